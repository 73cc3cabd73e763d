import assert from "node:assert/strict"
import { test } from "node:test"
import { type Lapse, LapseWatch, outsideClock } from "./lapse.ts"
import { LAPSE_MIN_MS } from "./limits.ts"

class TestMachine {
  nowMs = 1_000
  outsideMs: number | null = 5_000_000
  readonly lapses: Lapse[] = []
  readonly watch = new LapseWatch(
    { nowMs: () => this.nowMs, wallMs: () => 0 },
    () => this.outsideMs,
    lapse => this.lapses.push(lapse),
  )

  /** Both clocks go on, the outer one by this much more. */
  pass(ms: number, lostMs = 0): void {
    this.nowMs += ms
    this.outsideMs! += ms + lostMs
    this.watch.look()
  }
}

test("a machine that stood still says how long, and what time it is now, once", () => {
  const machine = new TestMachine()
  machine.watch.look()
  machine.pass(2_000)
  machine.pass(2_000, 86_400_000)
  machine.pass(2_000)
  assert.deepEqual(machine.lapses, [{ lostMs: 86_400_000, wallMs: 5_000_000 + 4_000 + 86_400_000 }])
})

test("seconds that are rounded, clocks that drift and clocks that are set back are no lapse", () => {
  const machine = new TestMachine()
  machine.watch.look()
  for (const lost of [999, -999, 500, LAPSE_MIN_MS - 1, -3_600_000]) machine.pass(2_000, lost)
  for (let i = 0; i < 1_000; i++) machine.pass(2_000, 20)
  assert.deepEqual(machine.lapses, [])
})

test("a clock that cannot be read for a while is compared with what it last said", () => {
  const machine = new TestMachine()
  machine.watch.look()
  const { outsideMs } = machine
  machine.outsideMs = null
  machine.watch.look()
  assert.deepEqual(machine.lapses, [])
  machine.outsideMs = outsideMs! + LAPSE_MIN_MS
  machine.watch.look()
  assert.equal(machine.lapses.length, 1)
})

test("this machine has a clock to compare with", () => {
  const clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
  const outside = outsideClock(clock)()
  // A real-time clock may be in local time.
  assert.ok(Math.abs(outside! - Date.now()) < 26 * 3_600_000, `${outside}`)
})
