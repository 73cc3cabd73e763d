import assert from "node:assert/strict"
import { test } from "node:test"
import { RETRY_JOBS_MAX } from "../limits.ts"
import { MemoryStore } from "../store/memory/memory.ts"
import { only, order, TestCore } from "./fixtures.ts"
import type { CampaignId, IndexRange, NodeId, Rules } from "./model.ts"
import type { Order } from "./ports.ts"
import { groundOf } from "./retry.ts"
import type { Write } from "./rows.ts"
import { noRules } from "./rules.ts"
import { linesOf } from "./story.ts"

const all: IndexRange = { first: 0, last: 9_999_999 }

/** A core, and the disk on which everything is that it has decided. */
class Kept {
  readonly core = new TestCore()
  readonly store = new MemoryStore({ defer: run => run() })

  constructor(slots = 8) {
    this.keep(this.core.tick(this.core.hello("n1", { slots })).writes)
  }

  keep(writes: readonly Write[]): void {
    this.store.commit(writes, error => assert.equal(error, null))
  }

  submit(change: Partial<Order> = {}): CampaignId {
    const { core } = this
    const key = `key ${core.state.lastCampaign}`
    this.keep(core.tick({ kind: "CampaignSubmitted", request: core.request(), ...order({ key, ...change }) }).writes)
    return core.state.lastCampaign as CampaignId
  }

  /** What the node says of its attempts. */
  end(outcome: "failed" | "finished", ...names: [number, number, number][]): void {
    const { core } = this
    const exitCode = outcome === "failed" ? 1 : 0
    this.keep(core.tick(...names.map(name => core.report("n1", name, "ended", { outcome, exitCode }))).writes)
  }

  cancel(campaign: CampaignId, ...ranges: IndexRange[]): void {
    const { core } = this
    this.keep(core.tick({ kind: "JobsCancelled", request: core.request(), campaign, ranges }).writes)
  }

  wait(ms: number): void {
    this.keep(this.core.wait(ms).writes)
  }

  retry(campaign: number, change: { ranges?: IndexRange[]; seen?: number; jobsMax?: number } = {}) {
    const { core, store } = this
    const { ranges = [all], seen = null, jobsMax = 100_000_000 } = change
    const id = campaign as CampaignId
    const ground = groundOf(store, id, ranges)
    const event = { kind: "JobsRetried", campaign: id, ranges, by: "ada", seen, jobsMax, ground } as const
    const { speech, writes } = core.tick({ ...event, request: core.request() })
    this.keep(writes)
    const reply = only(speech, "Reply")[0]?.reply
    const offers = only(speech, "Offer").map(one => `${one.campaign}.${one.index}#${one.attempt}`)
    return { reply, why: reply?.kind === "error" ? reply.error.message : "", offers }
  }

  live(campaign: number) {
    return this.core.state.campaigns.get(campaign as CampaignId)
  }

  row(campaign: number) {
    return this.store.campaign(campaign as CampaignId)
  }
}

const rules = (change: Partial<Rules>): { rules: Rules } => ({ rules: { ...noRules, ...change } })
const done = (jobs: number, campaigns: number[] = []) => ({ kind: "retried", jobs, existed: false, campaigns })

test("M5: failed jobs of a campaign that has ended get further attempts in it, and it ends anew", () => {
  const hub = new Kept()
  hub.submit({ total: 3 })
  hub.end("failed", [1, 0, 1], [1, 2, 1])
  hub.end("finished", [1, 1, 1])
  assert.deepEqual([hub.live(1), hub.row(1)?.counts.failed], [undefined, 2])
  const { reply, offers } = hub.retry(1)
  assert.deepEqual([reply, offers], [done(2), ["1.0#2", "1.2#2"]])
  assert.deepEqual([hub.row(1)?.endedAt, hub.row(1)?.counts.finished, hub.row(1)?.counts.offered], [null, 1, 2])
  assert.deepEqual(
    linesOf(hub.core.job(1, 0)!.story).map(({ event, attempt }) => [event, attempt]),
    [
      ["offered", 1],
      ["failed with exit code 1", 1],
      ["queued again by ada", 1],
      ["offered", 2],
    ],
  )
  // What it wrote before stays to be read, and its result is that of the attempt that counts.
  assert.deepEqual(
    hub.store.attempts(1 as CampaignId, 0).map(({ attempt }) => attempt),
    [1],
  )
  assert.equal(hub.store.result(1 as CampaignId, 0), null)
  hub.end("finished", [1, 0, 2], [1, 2, 2])
  assert.deepEqual([hub.row(1)?.counts.finished, hub.row(1)?.endedAt !== null, hub.live(1)], [3, true, undefined])
  assert.deepEqual([hub.row(1)?.totals.resubmissions, hub.store.errors(1 as CampaignId, 9)], [1, []])
})

test("M5: what is still said of the attempt before is stale, and gives no credit twice", () => {
  const hub = new Kept()
  hub.submit({ total: 1 })
  hub.end("failed", [1, 0, 1])
  hub.retry(1)
  const late = hub.core.tick(hub.core.report("n1", [1, 0, 1], "ended", { outcome: "finished" }))
  assert.deepEqual(
    only(late.speech, "AnswerReport").map(({ answer }) => answer),
    ["stale"],
  )
  const { writes } = hub.core.tick(hub.core.report("n1", [1, 0, 2], "ended"))
  assert.deepEqual(
    writes.flatMap(write => (write.kind === "credit" ? [write.row.attempt] : [])),
    [2],
  )
})

test("M5: in a campaign that goes on, those that have failed so far, and none that runs or went well", () => {
  const hub = new Kept(3)
  hub.submit({ total: 5 })
  hub.end("failed", [1, 0, 1])
  hub.end("finished", [1, 1, 1])
  assert.deepEqual(hub.retry(1).reply, done(1))
  assert.equal(hub.live(1)?.counts.queued, 1)
  assert.match(hub.retry(1).why, /none of these jobs of campaign 1 has failed/)
  hub.end("finished", [1, 2, 1], [1, 3, 1], [1, 4, 1])
  hub.end("finished", [1, 0, 2])
  assert.match(hub.retry(1).why, /all jobs of campaign 1 finished well/)
})

test("M5: a retried job has its further tries and its losses anew", () => {
  const hub = new Kept()
  hub.submit({ total: 1, ...rules({ retryMax: 1 }) })
  hub.end("failed", [1, 0, 1])
  hub.wait(60_000)
  hub.end("failed", [1, 0, 2])
  assert.equal(hub.live(1), undefined)
  assert.deepEqual(hub.retry(1).offers, ["1.0#3"])
  hub.end("failed", [1, 0, 3])
  assert.equal(hub.core.job(1, 0)?.phase, "queued")
  assert.deepEqual(
    hub.store.attempts(1 as CampaignId, 0).map(({ attempt }) => attempt),
    [1, 2, 3],
  )
})

test("M5: jobs that were cancelled before they began are as they were, also those that the cursor has passed", () => {
  const hub = new Kept(4)
  hub.submit({ total: 1_000_000, ...rules({ failMax: 1 }) })
  hub.cancel(1 as CampaignId, { first: 5, last: 6 })
  hub.end("finished", [1, 0, 1], [1, 1, 1], [1, 2, 1])
  assert.deepEqual([hub.live(1)?.cursor, hub.live(1)?.skipped], [9, []])
  hub.end("failed", [1, 3, 1])
  assert.equal(hub.row(1)?.counts.cancelled, 1_000_000 - 4)
  // Some, in the middle of what was cancelled, then all the rest.
  assert.match(
    hub.retry(1, { ranges: [{ first: 100, last: 199 }] }).why,
    /stops after 1 failed jobs, and 1 would be left/,
  )
  assert.deepEqual(
    hub.retry(1, {
      ranges: [
        { first: 3, last: 3 },
        { first: 100, last: 199 },
      ],
    }).reply,
    done(101),
  )
  assert.deepEqual(hub.store.cancelledRanges(1 as CampaignId), [
    { first: 5, last: 6 },
    { first: 9, last: 99 },
    { first: 200, last: 999_999 },
  ])
  const { reply } = hub.retry(1)
  // 5 and 6 get a row, and so do 4, 7 and 8, which ran when it stopped.
  assert.deepEqual(reply, done(1_000_000 - 4 - 100))
  assert.deepEqual([hub.row(1)?.counts.cancelled, hub.store.cancelledRanges(1 as CampaignId)], [0, []])
  assert.ok(hub.core.job(1, 5) !== null && hub.core.job(1, 50) === null)
})

test("M5: what depends on it waits again, with what depends on that, and goes on when it ends well", () => {
  const hub = new Kept()
  hub.submit({ total: 1 })
  const needs = (campaign: number) => [{ campaign: campaign as CampaignId, success: true }]
  hub.submit({ total: 4, waitsFor: needs(1) })
  hub.submit({ total: 1, waitsFor: needs(2) })
  hub.submit({ total: 1, waitsFor: [{ campaign: 1 as CampaignId, success: false }], ...rules({}) })
  const { core } = hub
  // Of those that wait one is on hold, and one is cancelled by its owner for good.
  const held = { kind: "JobsHeld", request: core.request(), campaign: 2 as CampaignId, held: true } as const
  hub.keep(core.tick({ ...held, ranges: [{ first: 1, last: 1 }] }).writes)
  hub.cancel(2 as CampaignId, { first: 2, last: 2 })
  hub.end("failed", [1, 0, 1])
  assert.deepEqual(
    [2, 3].map(id => hub.row(id)?.counts.cancelled),
    [4, 1],
  )
  assert.match(
    hub.retry(2).why,
    /needs campaign 1, which did not end well: try that one again, and 2 goes on by itself/,
  )
  // What only waited for it has gone on, and stays as it is.
  assert.equal(hub.live(4)?.counts.offered, 1)
  assert.deepEqual(hub.retry(1).reply, done(1, [2, 3]))
  const { queued, held: onHold, cancelled } = hub.row(2)!.counts
  assert.deepEqual([queued, onHold, cancelled, hub.row(2)?.endedAt], [2, 1, 1, null])
  assert.deepEqual([hub.row(2)?.waitsFor, hub.row(3)?.waitsFor], [needs(1), needs(2)])
  hub.end("finished", [1, 0, 2])
  assert.deepEqual([...core.state.nodes.get("n1" as NodeId)!.held.keys()].sort(), ["2.0", "2.3", "4.0"])
})

test("M5: one that fails again takes its dependants along again, and they come back again", () => {
  const hub = new Kept()
  hub.submit({ total: 1 })
  hub.submit({ total: 2, waitsFor: [{ campaign: 1 as CampaignId, success: true }] })
  hub.end("failed", [1, 0, 1])
  for (const attempt of [2, 3]) {
    assert.deepEqual(hub.retry(1).reply, done(1, [2]))
    hub.end("failed", [1, 0, attempt])
    assert.equal(hub.row(2)?.counts.cancelled, 2)
  }
})

test("M5: a dependant that lacks yet another campaign comes back when that is tried again", () => {
  const hub = new Kept()
  hub.submit({ total: 1 })
  hub.submit({ total: 1 })
  const waitsFor = [1, 2].map(id => ({ campaign: id as CampaignId, success: true }))
  hub.submit({ total: 1, waitsFor })
  hub.end("failed", [1, 0, 1])
  hub.end("failed", [2, 0, 1])
  assert.deepEqual(hub.retry(1).reply, done(1))
  assert.equal(hub.live(3), undefined)
  assert.deepEqual(hub.retry(2).reply, done(1, [3]))
  hub.end("finished", [2, 0, 2])
  assert.deepEqual(hub.live(3)?.waitsFor, waitsFor.slice(0, 1))
  hub.end("finished", [1, 0, 2])
  assert.deepEqual(hub.live(3)?.counts.offered, 1)
})

test("M5: the same request twice is done once, and one that has seen something else is refused", () => {
  const hub = new Kept()
  hub.submit({ total: 1 })
  hub.end("failed", [1, 0, 1])
  assert.deepEqual(hub.retry(1, { seen: 0 }).reply, done(1))
  hub.end("failed", [1, 0, 2])
  assert.deepEqual(hub.retry(1, { seen: 0 }).reply, { kind: "retried", jobs: 0, existed: true, campaigns: [] })
  assert.equal(hub.live(1), undefined)
  assert.deepEqual(hub.retry(1, { seen: 1 }).reply, done(1))
  hub.end("failed", [1, 0, 3])
  assert.match(hub.retry(1, { seen: 0 }).why, /tried again meanwhile/)
})

test("M5: what cannot run any more is refused with the reason", () => {
  const hub = new Kept()
  assert.match(hub.retry(9).why, /there is no campaign 9/)
  hub.submit({ total: 1, ...rules({ deadlineAt: 1e12 + 60_000 }) })
  hub.end("failed", [1, 0, 1])
  hub.submit({ total: 1, ...rules({ container: true }) })
  hub.submit({ total: 1, ...rules({ inside: 2 as CampaignId }) })
  hub.cancel(2 as CampaignId, all)
  hub.wait(60_000)
  assert.match(hub.retry(1).why, /campaign 1's deadline has passed.* cah resub 1 --failed/)
  assert.match(hub.retry(3).why, /container 2, which campaign 3 was inside, has ended/)
  hub.submit({ total: RETRY_JOBS_MAX + 2, ...rules({}), needs: { slots: 9, memoryBytes: 0, diskBytes: 0 } })
  const held = { kind: "JobsHeld", request: hub.core.request(), campaign: 4 as CampaignId, held: true } as const
  for (const first of [0, 2])
    hub.keep(hub.core.tick({ ...held, ranges: [{ first, last: first + RETRY_JOBS_MAX - 1 }] }).writes)
  hub.cancel(4 as CampaignId, all)
  assert.match(hub.retry(4).why, /more than 10000 jobs are too many.* 4\.0-9999/)
  assert.match(hub.retry(4, { ranges: [{ first: 0, last: 1 }], jobsMax: 5 }).why, /above your quota of 5/)
  assert.deepEqual(hub.retry(4, { ranges: [{ first: 0, last: 9_999 }] }).reply, done(10_000))
})

test("M5: a campaign that is tried again tells of its end and of an error anew", () => {
  const hub = new Kept()
  const target = { kind: "mail", address: "ada@example.org" } as const
  hub.submit({ total: 1, ...rules({ notices: [{ occasions: ["running", "error", "end"], target }] }) })
  hub.end("failed", [1, 0, 1])
  const told = () => hub.store.notices(1 as CampaignId).map(({ occasion, at }) => [occasion, at - 1e12])
  assert.deepEqual(told(), [
    ["error", 1_000],
    ["end", 1_000],
  ])
  hub.wait(500)
  hub.retry(1)
  hub.end("failed", [1, 0, 2])
  assert.deepEqual(told(), [
    ["error", 1_500],
    ["end", 1_500],
  ])
})
