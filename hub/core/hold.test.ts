import assert from "node:assert/strict"
import { test } from "node:test"
import { BACKOFF_MIN_MS, HOLD_JOBS_MAX } from "../limits.ts"
import { only, TestCore } from "./fixtures.ts"
import type { CampaignId, IndexRange, NodeId } from "./model.ts"
import { noRules } from "./rules.ts"

const one = 1 as CampaignId

function hold(core: TestCore, held: boolean, ...ranges: IndexRange[]) {
  const { speech, writes } = core.tick({ kind: "JobsHeld", request: core.request(), campaign: one, ranges, held })
  return { reply: only(speech, "Reply")[0]?.reply, writes, offers: only(speech, "Offer").map(({ index }) => index) }
}

test("jobs that have not begun are held one by one, stepped over, and offered when they are resumed", () => {
  const core = new TestCore()
  core.submit({ total: 6 })
  assert.deepEqual(hold(core, true, { first: 1, last: 2 }, { first: 2, last: 4 }).reply, { kind: "held", jobs: 4 })
  assert.equal(core.state.campaigns.get(one)?.counts.held, 4)
  const { speech } = core.tick(core.hello("n1", { slots: 8 }))
  assert.deepEqual(
    only(speech, "Offer").map(({ index }) => index),
    [0, 5],
  )
  const resumed = hold(core, false, { first: 0, last: 2 })
  assert.deepEqual([resumed.reply, resumed.offers], [{ kind: "held", jobs: 2 }, [1, 2]])
})

test("what runs is not held, and neither is what was resumed twice", () => {
  const core = new TestCore()
  core.submit({ total: 2 })
  core.tick(core.hello("n1", { slots: 1 }))
  assert.deepEqual(hold(core, true, { first: 0, last: 1 }).reply, { kind: "held", jobs: 1 })
  assert.deepEqual(hold(core, true, { first: 0, last: 1 }).reply, { kind: "held", jobs: 0 })
  assert.deepEqual(hold(core, false, { first: 0, last: 1 }).reply, { kind: "held", jobs: 1 })
  assert.deepEqual(hold(core, false, { first: 0, last: 1 }).reply, { kind: "held", jobs: 0 })
})

test("a job that waits for its next try can be held, and its back-off does not end the hold", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1, rules: { ...noRules, retryMax: 3 } })
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 1 }))
  assert.deepEqual(hold(core, true, { first: 0, last: 0 }).reply, { kind: "held", jobs: 1 })
  core.wait(10 * BACKOFF_MIN_MS)
  assert.equal(core.job(1, 0)?.phase, "held")
  assert.deepEqual(hold(core, false, { first: 0, last: 0 }).offers, [0])
})

test("held jobs are cancelled like others, and their campaign ends with them", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 4 }))
  core.submit({ total: 4, held: true })
  hold(core, true, { first: 1, last: 2 })
  core.tick({ kind: "CampaignHeld", request: core.request(), campaign: one, held: false })
  core.tick(core.report("n1", [1, 0, 1], "ended"), core.report("n1", [1, 3, 1], "ended"))
  assert.equal(core.state.campaigns.get(one)?.counts.held, 2)
  const ranges = [{ first: 0, last: 3 }]
  const { speech, writes } = core.tick({ kind: "JobsCancelled", request: core.request(), campaign: one, ranges })
  assert.deepEqual(only(speech, "Reply")[0]?.reply, { kind: "cancelled", jobs: 2 })
  assert.deepEqual(
    writes.flatMap(write => (write.kind === "job" ? [write.row.outcome] : [])),
    ["cancelled", "cancelled"],
  )
  assert.equal(core.state.campaigns.size, 0)
})

test("more jobs than get rows of their own are refused, with what to do instead", () => {
  const core = new TestCore()
  core.submit({ total: 1_000_000 })
  const { reply, writes } = hold(core, true, { first: 0, last: HOLD_JOBS_MAX })
  assert.match(reply?.kind === "error" ? reply.error.message : "", /hold campaign 1 as a whole/)
  assert.deepEqual(writes, [])
  assert.deepEqual(hold(core, true, { first: 5, last: HOLD_JOBS_MAX + 4 }).reply, { kind: "held", jobs: HOLD_JOBS_MAX })
  core.tick(core.hello("n1", { slots: 6 }))
  assert.deepEqual(
    [...core.state.nodes.get("n1" as NodeId)!.held.values()].map(({ index }) => index),
    [0, 1, 2, 3, 4, HOLD_JOBS_MAX + 5],
  )
})
