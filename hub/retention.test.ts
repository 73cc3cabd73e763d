import assert from "node:assert/strict"
import { test } from "node:test"
import type { CampaignId } from "./core/model.ts"
import type { Clock, Log, Timer } from "./core/ports.ts"
import type { RowWrite, Write } from "./core/rows.ts"
import { CLOCK_AHEAD_MS, CLOCK_DOUBT_MS, CLOCK_NOTE_MS, RETENTION_EVERY_MS, RETENTION_SHARE } from "./limits.ts"
import { Retention } from "./retention.ts"
import { MemoryStore } from "./store/memory/memory.ts"
import { campaignRow, commit, WALL_MS } from "./store/store.suite.ts"
import { WallClock } from "./wallclock.ts"

const hour = 3_600_000
const day = 24 * hour
const keepMs = 90 * day

/** A hub of so many campaigns that ended an hour before it stopped, with clocks that the test sets. */
class Bench {
  readonly store = new MemoryStore()
  readonly warnings: string[] = []
  nowMs = 0
  /** Of the wall clock, as the machine has it. */
  wallMs = WALL_MS
  private alarms: { readonly atMs: number; readonly run: () => void }[] = []
  private readonly clock: Clock = { nowMs: () => this.nowMs, wallMs: () => this.wallMs }
  private readonly timer: Timer = {
    soon: run => queueMicrotask(run),
    at: (atMs, run) => {
      const alarm = { atMs, run }
      this.alarms.push(alarm)
      return () => {
        this.alarms = this.alarms.filter(one => one !== alarm)
      }
    },
  }
  private readonly log: Log = { debug() {}, info() {}, warn: (_, said) => this.warnings.push(said), error() {} }
  wallClock: WallClock | null = null
  retention: Retention | null = null

  async fill(campaigns: number): Promise<this> {
    const ended = (id: number): Write => ({ kind: "campaign", row: campaignRow(id, { endedAt: WALL_MS - hour }) })
    await commit(this.store, ...Array.from({ length: campaigns }, (_, i) => ended(i + 1)))
    return this
  }

  start(): void {
    this.alarms = []
    this.nowMs = 0
    const { store, clock, timer, log } = this
    const write = (writes: RowWrite[]) => commit(store, ...writes)
    this.wallClock = new WallClock({ store, clock, timer, log, commit: write })
    this.retention = new Retention({
      store,
      clock,
      timer,
      log,
      commit: write,
      isNeeded: id => id === (1 as CampaignId),
      keepMs,
      doubt: () => this.wallClock!.doubt(),
    })
  }

  /** Hours of both clocks, with all that is due in them. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    while (this.nowMs < endMs) {
      const step = Math.min(RETENTION_EVERY_MS, endMs - this.nowMs)
      this.nowMs += step
      this.wallMs += step
      for (const alarm of this.alarms.filter(({ atMs }) => atMs <= this.nowMs)) {
        this.alarms.splice(this.alarms.indexOf(alarm), 1)
        alarm.run()
      }
      await this.retention!.wake()
    }
  }

  get kept(): number {
    return this.store.endedCount()
  }
}

test("O8: a clock two years ahead at the start forgets nothing for a day, says so, and takes a share a round after it", async () => {
  const bench = await new Bench().fill(200)
  bench.start()
  await bench.pass(2 * CLOCK_NOTE_MS)
  bench.wallMs += 730 * day
  bench.start()
  await bench.retention!.forgetOld()
  assert.equal(bench.kept, 200)
  assert.match(bench.warnings[0]!, /the clock says 2025-11-\d\d .* is what the hub last knew: set it if it is wrong/)
  assert.match(bench.warnings[1]!, /seem old enough to be forgotten are kept: the clock says/)
  await bench.pass(CLOCK_DOUBT_MS - hour)
  assert.equal(bench.kept, 200)
  // A start does not make it true.
  bench.start()
  assert.notEqual(bench.wallClock!.doubt(), null)
  await bench.pass(CLOCK_DOUBT_MS)
  assert.equal(bench.kept, 200 * (1 - RETENTION_SHARE), "one round")
  assert.equal(bench.wallClock!.doubt(), null)
  await bench.pass(hour)
  assert.equal(bench.kept, 190 - Math.ceil(190 * RETENTION_SHARE))
  await bench.pass(10 * day)
  assert.equal(bench.kept, 1, "what another campaign needs stays")
})

test("O8: a clock that jumps ahead while the hub runs, and one that is set back, is noticed, and its setting right too", async () => {
  const bench = await new Bench().fill(20)
  bench.start()
  await bench.pass(3 * hour)
  bench.wallMs += CLOCK_AHEAD_MS / 2
  assert.equal(bench.wallClock!.doubt(), null, "less than a day is no matter")
  bench.wallMs += 400 * day
  assert.match(bench.wallClock!.doubt()!, /the clock says/)
  await bench.pass(hour)
  assert.equal(bench.kept, 20)
  // Set right, and the hub started again, as it asks: what it noted last was from before the jump.
  bench.wallMs -= 400 * day
  bench.start()
  assert.equal(bench.wallClock!.doubt(), null)
  await bench.pass(hour)
  assert.equal(bench.kept, 20)
})

test("O8: a database of before, without a note of the time, is judged by its campaigns", async () => {
  const bench = await new Bench().fill(3)
  bench.wallMs += 730 * day
  bench.start()
  assert.match(bench.wallClock!.doubt()!, /the clock says/)
  const fresh = new Bench()
  fresh.start()
  assert.equal(fresh.wallClock!.doubt(), null)
})
