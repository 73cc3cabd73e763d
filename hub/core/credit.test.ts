import assert from "node:assert/strict"
import { test } from "node:test"
import { LEASE_MS } from "../limits.ts"
import { CREDIT_HALF_LIFE_MS, creditAt, creditOf, faded, noCredit, toAverage } from "./credit.ts"
import { TestCore } from "./fixtures.ts"
import type { Write } from "./rows.ts"
import { noRules } from "./rules.ts"

const needs = { slots: 2, memoryBytes: 0, diskBytes: 0 }
const day = 86_400_000

function granted(writes: readonly Write[]) {
  return writes.flatMap(write => (write.kind === "credit" ? [write.row] : []))
}

/** One job of two slots under way on n1. */
function running(walltimeMs = 3_600_000): TestCore {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 2, account: "volunteer:7" }))
  core.submit({ total: 1, needs, walltimeMs, rules: { ...noRules, retryMax: 1 } })
  core.tick(core.report("n1", [1, 0, 1], "staging"))
  core.wait(5_000)
  core.tick(core.report("n1", [1, 0, 1], "running"))
  return core
}

test("an accepted result is credited with its slots and the time since it ran, by the hub's clock", () => {
  const core = running()
  core.wait(60_000)
  const { writes } = core.tick(core.report("n1", [1, 0, 1], "ended", { runMs: 1e12, cpuMs: 1e12 }))
  assert.deepEqual(granted(writes), [
    {
      campaign: 1,
      index: 0,
      attempt: 1,
      account: "volunteer:7",
      node: "n1",
      slotMs: 2 * 60_000,
      at: 1e12 + core.nowMs,
    },
  ])
  assert.equal(
    writes.findIndex(write => write.kind === "result") + 1,
    writes.findIndex(write => write.kind === "credit"),
  )
})

test("no more is credited than the walltime, however late the result comes", () => {
  const core = running(30_000)
  core.wait(LEASE_MS / 2)
  const [line] = granted(core.tick(core.report("n1", [1, 0, 1], "ended")).writes)
  assert.equal(line?.slotMs, 2 * 30_000)
})

test("a failure, a loss and a repeated report are credited with nothing", () => {
  const core = running()
  core.wait(60_000)
  assert.deepEqual(
    granted(core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 1 })).writes),
    [],
  )
  core.wait(10_000)
  core.tick(core.report("n1", [1, 0, 2], "running"))
  assert.deepEqual(granted(core.tick(core.report("n1", [1, 0, 2], "ended", { outcome: "lost" })).writes), [])
  core.wait(10_000)
  core.tick(core.report("n1", [1, 0, 3], "running"))
  core.wait(1_000)
  assert.equal(granted(core.tick(core.report("n1", [1, 0, 3], "ended")).writes).length, 1)
  assert.deepEqual(granted(core.tick(core.report("n1", [1, 0, 3], "ended")).writes), [])
})

test("of two nodes with the same job only the one whose result was taken is credited", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { account: "volunteer:1" }))
  core.submit({ total: 1 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  core.tick(core.hello("n2", { account: "volunteer:2" }))
  core.tick({ ...core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }) })
  core.wait(2_000)
  const job = core.job(1, 0)!
  const winner = job.node!
  core.tick(core.report(winner, [1, 0, 2], "running"))
  core.wait(3_000)
  const late = winner === "n1" ? "n2" : "n1"
  assert.deepEqual(granted(core.tick(core.report(late, [1, 0, 1], "ended")).writes), [])
  const lines = granted(core.tick(core.report(winner, [1, 0, 2], "ended")).writes)
  assert.deepEqual(
    lines.map(line => [line.node, line.slotMs]),
    [[winner, 3_000]],
  )
})

test("an attempt that came back after its lease is credited from its return on", () => {
  const core = running()
  core.wait(LEASE_MS)
  assert.equal(core.job(1, 0)?.tries.length, 0)
  const hello = core.hello("n1", { slots: 2, account: "volunteer:7" })
  core.tick({ ...hello, holding: [{ campaign: 1 as never, index: 0, attempt: 1, phase: "running" }] })
  core.wait(7_000)
  const [line] = granted(core.tick(core.report("n1", [1, 0, 1], "ended")).writes)
  assert.equal(line?.slotMs, 2 * 7_000)
})

test("a day of one slot is 200, and a steady 200 a day has an average of 200", () => {
  assert.equal(creditOf(day), 200)
  let average = 0
  const step = 3_600_000
  for (let passed = 0; passed < 40 * CREDIT_HALF_LIFE_MS; passed += step)
    average = faded(average, step) + toAverage(step)
  assert.ok(Math.abs(average - 200) < 1, `${average}`)
})

test("an average fades by half in a week without anybody writing, and does not grow when the clock goes back", () => {
  const total = { slotMs: 3 * day, results: 5, average: 80, averageAt: 1e12 }
  assert.deepEqual(creditAt(total, 1e12 + CREDIT_HALF_LIFE_MS), { total: 600, average: 40 })
  assert.deepEqual(creditAt(total, 1e12 - day), { total: 600, average: 80 })
  assert.deepEqual(creditAt(noCredit, 1e12), { total: 0, average: 0 })
})
