import assert from "node:assert/strict"
import { test } from "node:test"
import { BACKOFF_MIN_MS } from "../limits.ts"
import { only, order, TestCore } from "./fixtures.ts"
import type { CampaignId } from "./model.ts"
import { noRules } from "./rules.ts"

const idOf = (campaign: number) => campaign as CampaignId
const after = (campaign: number, success: boolean) => ({ campaign: idOf(campaign), success })

test("a held campaign is not offered until it is resumed, and what runs goes on", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 2 }))
  core.submit({ total: 3, held: true })
  assert.equal(core.job(1, 0), null)
  const resumed = core.tick({ kind: "CampaignHeld", request: core.request(), campaign: idOf(1), held: false })
  assert.equal(only(resumed.speech, "Offer").length, 2)
  core.tick({ kind: "CampaignHeld", request: core.request(), campaign: idOf(1), held: true })
  const { speech } = core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.deepEqual(only(speech, "Offer"), [])
  assert.equal(core.job(1, 1)?.phase, "offered")
})

test("a campaign begins when those it waits for have ended, however they did", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ key: "1", total: 1 })
  core.submit({ key: "2", total: 1, waitsFor: [after(1, false)] })
  assert.equal(core.job(2, 0), null)
  const { speech } = core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 1 }))
  assert.deepEqual(
    only(speech, "Offer").map(offer => offer.campaign),
    [2],
  )
})

test("a campaign that needs another's success is cancelled when that fails, and so is what needs it in turn", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ key: "1", total: 1 })
  core.submit({ key: "2", total: 5, waitsFor: [after(1, true)] })
  core.submit({ key: "3", total: 5, waitsFor: [after(2, true)] })
  core.submit({ key: "4", total: 1, waitsFor: [after(3, false)] })
  const { speech, writes } = core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 1 }))
  assert.deepEqual([...core.state.campaigns.keys()], [4])
  assert.deepEqual(
    only(speech, "Offer").map(offer => offer.campaign),
    [4],
  )
  const rows = writes.filter(write => write.kind === "campaign").map(({ row }) => [row.id, row.counts.cancelled])
  assert.deepEqual(rows, [
    [1, 0],
    [2, 5],
    [3, 5],
    [4, 0],
  ])
})

test("a campaign that is cancelled for another's end leaves memory, even if the same tick had changed it before", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ key: "1", total: 1 })
  core.submit({ key: "2", total: 5, waitsFor: [after(1, true)] })
  const failed = core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 1 })
  core.tick({ kind: "CampaignHeld", request: core.request(), campaign: idOf(2), held: true }, failed)
  assert.deepEqual([...core.state.campaigns.keys()], [])
})

test("a campaign that needs the success of one that has just ended is to be submitted again", () => {
  const core = new TestCore()
  const event = {
    kind: "CampaignSubmitted",
    request: core.request(),
    ...order({ waitsFor: [after(7, true)] }),
  } as const
  const reply = only(core.tick(event).speech, "Reply")[0]?.reply
  assert.equal(reply?.kind === "error" && reply.error.code, "aborted")
})

test("a job that fails is tried again as often as was asked, after a wait, and then ends with its last result", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1, rules: { ...noRules, retryMax: 2 } })
  for (const attempt of [1, 2]) {
    const { writes } = core.tick(core.report("n1", [1, 0, attempt], "ended", { outcome: "failed", exitCode: 3 }))
    assert.equal(writes.filter(write => write.kind === "result" && write.row.accepted).length, 0)
    assert.equal(core.job(1, 0)?.phase, "queued")
    core.wait(BACKOFF_MIN_MS * attempt)
    assert.equal(core.job(1, 0)?.attempt, attempt + 1)
  }
  const { writes } = core.tick(core.report("n1", [1, 0, 3], "ended", { outcome: "failed", exitCode: 3 }))
  assert.equal(writes.find(write => write.kind === "result")?.row.attempt, 3)
  assert.equal(core.state.campaigns.size, 0)
})

test("a repeated report of a failure that is tried again counts once", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1, rules: { ...noRules, retryMax: 5 } })
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 3 }))
  const { speech } = core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 3 }))
  assert.equal(only(speech, "AnswerReport")[0]?.answer, "stale")
  assert.equal(core.job(1, 0)?.failures, 1)
})

test("with exit codes named, only these are tried again", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1, rules: { ...noRules, retryMax: 2, retryExitCodes: [75] } })
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 75 }))
  core.wait(BACKOFF_MIN_MS)
  core.tick(core.report("n1", [1, 0, 2], "ended", { outcome: "failed", exitCode: 1 }))
  assert.equal(core.state.campaigns.size, 0)
})

test("of several shapes the first that fits is taken, and the room that it takes is its own", () => {
  const core = new TestCore()
  core.tick(core.hello("small", { slots: 2 }))
  const big = { needs: { slots: 8, memoryBytes: 0, diskBytes: 0 } }
  const little = { needs: { slots: 2, memoryBytes: 0, diskBytes: 0 }, walltimeMs: 10_000 }
  core.submit({ total: 2, ...big, rules: { ...noRules, shapes: [little] } })
  assert.deepEqual(core.job(1, 0)?.tries[0]?.shape, 1)
  const { speech } = core.tick(core.hello("big", { slots: 8 }))
  assert.deepEqual(
    only(speech, "Offer").map(({ index, shape }) => [index, shape]),
    [[1, null]],
  )
})

test("a job goes only to nodes that have the properties it asks for", () => {
  const core = new TestCore()
  core.submit({ total: 2, rules: { ...noRules, property: "gpu = 'a100' AND slots >= 2" } })
  core.tick(core.hello("plain", { slots: 4 }))
  core.tick(core.hello("weak", { slots: 1, properties: { GPU: "a100" } }))
  assert.equal(core.job(1, 0), null)
  core.tick(core.hello("right", { slots: 2, properties: { GPU: "a100" } }))
  assert.deepEqual([core.job(1, 0)?.node, core.job(1, 1)?.node], ["right", "right"])
})

test("a deadline is by the wall clock, also one that is set meanwhile", () => {
  for (const wrongMs of [-86_400_000, 86_400_000]) {
    const core = new TestCore()
    core.wallJumpMs = wrongMs
    core.submit({ total: 1, rules: { ...noRules, deadlineAt: 1e12 + core.nowMs + 2 * 86_400_000 } })
    core.wait(3_600_000)
    core.wallJumpMs = 0
    core.wait(86_400_000)
    assert.equal(core.state.campaigns.size, 1, "too early")
    core.wait(86_400_000)
    core.wait(600_000)
    assert.equal(core.state.campaigns.size, 0, "too late")
  }
})

test("what has not ended at its deadline is cancelled", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 5, rules: { ...noRules, deadlineAt: 1e12 + core.nowMs + 60_000 } })
  core.wait(59_999)
  assert.equal(core.state.campaigns.size, 1)
  const { speech } = core.wait(1)
  assert.equal(only(speech, "Kill").length, 1)
  assert.equal(core.state.campaigns.size, 0)
})
