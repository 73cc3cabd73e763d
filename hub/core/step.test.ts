import assert from "node:assert/strict"
import { test } from "node:test"
import { ATTEMPT_SLACK_MS, BACKOFF_MIN_MS, HEARTBEAT_MS, LEASE_MS, LOSS_MAX, OFFER_MS } from "../limits.ts"
import { digest, offersOf, only, order, TestCore } from "./fixtures.ts"
import type { CampaignId, NodeId } from "./model.ts"

test("a job goes from submit to its result, and every step is written before it is answered", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  const { speech, writes } = core.tick({
    kind: "CampaignSubmitted",
    request: core.request(),
    ...order({ total: 1 }),
  })
  assert.deepEqual(speech, [
    { kind: "Reply", request: 1, reply: { kind: "submitted", campaign: 1, jobs: 1, existed: false } },
    {
      ...{ kind: "Offer", link: 1, campaign: 1, index: 0, attempt: 1 },
      ...{ shape: null, owner: "ada", spec: Uint8Array.of(1), total: 1, inside: false, hasLine: false, line: null },
    },
  ])
  assert.deepEqual(
    writes.map(write => write.kind),
    ["usage", "campaign", "job"],
  )
  for (const phase of ["staging", "running", "returning"] as const) {
    const { speech: said } = core.tick(core.report("n1", [1, 0, 1], phase))
    assert.deepEqual(said, [
      { kind: "AnswerReport", link: 1, campaign: 1, index: 0, attempt: 1, phase, answer: "accepted" },
    ])
    assert.equal(core.job(1, 0)?.phase, phase)
  }
  const end = core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.deepEqual(
    end.writes.map(write => write.kind),
    ["usage", "campaign", "job", "result", "credit"],
  )
  assert.deepEqual(
    end.speech.map(said => said.kind),
    ["JobEnded", "AnswerReport"],
  )
  assert.equal(core.state.campaigns.size, 0, "what has ended leaves memory")
})

test("the same key with the same specification gives the same campaign; with another it is refused", () => {
  const core = new TestCore()
  core.submit({ key: "k", total: 5 })
  const again = (specDigest = digest("a")) =>
    core.tick({ kind: "CampaignSubmitted", request: core.request(), ...order({ key: "k", total: 5, specDigest }) })
  assert.deepEqual(only(again().speech, "Reply")[0]?.reply, { kind: "submitted", campaign: 1, jobs: 5, existed: true })
  const refused = only(again(digest("b")).speech, "Reply")[0]?.reply
  assert.equal(refused?.kind === "error" && refused.error.code, "already_exists")
  assert.equal(core.state.lastCampaign, 1)
})

test("a report about an older attempt is stale and changes nothing", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost", message: "restarted" }))
  core.wait(BACKOFF_MIN_MS)
  assert.equal(core.job(1, 0)?.attempt, 2)
  const { speech, writes } = core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(only(speech, "AnswerReport")[0]?.answer, "stale")
  assert.deepEqual(writes, [])
  assert.equal(core.job(1, 0)?.phase, "offered")
})

test("a repeated report is answered already, and a repeated result stale", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  assert.equal(only(core.tick(core.report("n1", [1, 0, 1], "staging")).speech, "AnswerReport")[0]?.answer, "already")
  core.tick(core.report("n1", [1, 0, 1], "ended"))
  const { speech, writes } = core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(only(speech, "AnswerReport")[0]?.answer, "stale")
  assert.deepEqual(writes, [])
})

test("a node that falls silent loses its lease, and the job goes to another after a back-off", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  core.tick({ kind: "NodeGone", node: "n1" as NodeId, epoch: 1 })
  core.wait(LEASE_MS - 1)
  assert.equal(core.job(1, 0)?.phase, "running")
  core.wait(1)
  core.tick(core.hello("n2"))
  assert.equal(core.job(1, 0)?.phase, "queued")
  const { speech } = core.wait(BACKOFF_MIN_MS)
  assert.deepEqual(offersOf(speech), [{ link: 2, campaign: 1, index: 0, attempt: 2 }])
})

test("heartbeats keep a lease for as long as they come", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1, walltimeMs: 1e9 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  for (let sequence = 1; sequence <= 30; sequence++) {
    core.nowMs += HEARTBEAT_MS
    const { speech } = core.tick({ kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence })
    assert.deepEqual(speech, [{ kind: "AnswerHeartbeat", link: 1, sequence, leaseMs: LEASE_MS }])
  }
  assert.equal(core.job(1, 0)?.phase, "running")
})

test("a lost attempt that nobody else has got comes back with its work", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  core.tick({ kind: "NodeGone", node: "n1" as NodeId, epoch: 1 })
  core.wait(LEASE_MS)
  assert.equal(core.job(1, 0)?.phase, "queued")
  const holding = [{ campaign: 1 as CampaignId, index: 0, attempt: 1, phase: "running" as const }]
  const { speech } = core.tick(core.hello("n1", { holding }))
  assert.deepEqual(only(speech, "Welcome")[0]?.reconciled, [{ campaign: 1, index: 0, attempt: 1, answer: "continue" }])
  assert.deepEqual(only(speech, "Offer"), [])
  core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(core.state.campaigns.size, 0)
})

test("an attempt that went to another node meanwhile is killed where it comes back, and keeps its room until it is dead", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 2 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  core.tick({ kind: "NodeGone", node: "n1" as NodeId, epoch: 1 })
  core.wait(LEASE_MS)
  core.wait(BACKOFF_MIN_MS)
  core.tick(core.hello("n2", { slots: 1 }))
  assert.equal(core.job(1, 0)?.node, "n2")
  const holding = [{ campaign: 1 as CampaignId, index: 0, attempt: 1, phase: "running" as const }]
  const { speech } = core.tick(core.hello("n1", { holding }))
  assert.deepEqual(only(speech, "Welcome")[0]?.reconciled, [{ campaign: 1, index: 0, attempt: 1, answer: "kill" }])
  assert.deepEqual(only(speech, "Offer"), [], "the slot is not free yet")
  const after = core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }))
  assert.deepEqual(offersOf(after.speech), [{ link: 3, campaign: 1, index: 1, attempt: 1 }])
})

test("an offer that never arrived is said again at the next hello, as the same attempt", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  const { speech } = core.tick(core.hello("n1", { bootId: "another" }))
  assert.deepEqual(only(speech, "CloseLink"), [{ kind: "CloseLink", link: 1, why: "superseded" }])
  assert.deepEqual(offersOf(speech), [{ link: 2, campaign: 1, index: 0, attempt: 1 }])
})

test("an offer that nobody answers is taken back", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  core.nowMs += OFFER_MS
  const { speech } = core.tick({ kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence: 1 })
  assert.deepEqual(only(speech, "Kill").length, 1)
  assert.equal(core.job(1, 0)?.losses, 1)
})

test("an attempt that outlives its walltime and all slack is taken back, however well its node heartbeats", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1, walltimeMs: 1_000 })
  core.tick(core.report("n1", [1, 0, 1], "running"))
  for (let beat = 0; core.job(1, 0)?.losses === 0; beat++) {
    assert.ok(core.nowMs < ATTEMPT_SLACK_MS + 2 * LEASE_MS, "within a lease of its time")
    core.nowMs += HEARTBEAT_MS
    core.tick({ kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence: beat })
  }
  assert.ok(core.nowMs >= ATTEMPT_SLACK_MS)
})

test("frames of an older session change nothing", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  const old = core.report("n1", [1, 0, 1], "running")
  core.tick(core.hello("n1"))
  assert.deepEqual(core.tick(old).speech, [])
  core.tick({ kind: "NodeGone", node: "n1" as NodeId, epoch: 1 })
  assert.notEqual(core.state.nodes.get("n1" as NodeId)?.link, null)
})

test("a job whose attempts are all lost ends as lost, and never loops", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  for (let attempt = 1; attempt <= LOSS_MAX + 1; attempt++) {
    assert.equal(core.job(1, 0)?.attempt, attempt)
    core.tick(core.report("n1", [1, 0, attempt], "ended", { outcome: "lost" }))
    core.wait(6 * 60_000)
    core.tick({ kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence: attempt })
  }
  assert.equal(core.state.campaigns.size, 0)
})

test("a failed job ends as failed with its result", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  const { writes, speech } = core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 3 }))
  assert.deepEqual(only(speech, "JobEnded"), [{ kind: "JobEnded", campaign: 1, index: 0, outcome: "failed" }])
  const row = writes.find(write => write.kind === "result")?.row
  assert.equal(row?.exitCode, 3)
})

test("a cancel ends running jobs, tells their nodes until they have stopped, and stores the untouched ones as a range", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1_000_000 })
  const ranges = [{ first: 0, last: 999_999 }]
  const event = { kind: "JobsCancelled", request: core.request(), campaign: 1 as CampaignId, ranges } as const
  const { speech, writes } = core.tick(event)
  assert.deepEqual(only(speech, "Reply").at(-1)?.reply, { kind: "cancelled", jobs: 1_000_000 })
  assert.equal(only(speech, "Kill").length, 1)
  assert.deepEqual(
    writes.map(write => write.kind),
    ["campaign", "job", "cancelledRange"],
  )
  assert.equal(core.state.campaigns.size, 0)
  const beat = core.tick({ kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence: 1 })
  assert.equal(only(beat.speech, "Kill").length, 1, "said again until the node answers")
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }))
  assert.equal(core.state.nodes.get("n1" as NodeId)?.held.size, 0)
})

test("cancelled jobs in the middle of an array are stepped over", () => {
  const core = new TestCore()
  core.submit({ total: 6 })
  for (const [first, last] of [
    [1, 2],
    [2, 4],
  ] as const) {
    const ranges = [{ first, last }]
    core.tick({ kind: "JobsCancelled", request: core.request(), campaign: 1 as CampaignId, ranges })
  }
  const { speech } = core.tick(core.hello("n1", { slots: 8 }))
  assert.deepEqual(
    only(speech, "Offer").map(offer => offer.index),
    [0, 5],
  )
})

test("the owner who has used least goes first, and within an owner the higher priority", () => {
  const core = new TestCore()
  core.submit({ owner: "ada", key: "1", total: 10 })
  core.submit({ owner: "ada", key: "2", total: 1, priority: 5 })
  core.submit({ owner: "bob", key: "1", total: 10 })
  core.tick(core.hello("n1"))
  const served: number[] = []
  for (let i = 0; i < 5; i++) {
    const held = [...core.state.nodes.get("n1" as NodeId)!.held.values()][0]!
    served.push(held.campaign)
    core.nowMs += 10_000
    core.tick(core.report("n1", [held.campaign, held.index, held.attempt], "ended"))
  }
  assert.deepEqual(served, [2, 3, 1, 3, 1])
})

test("a job that needs more than a node has waits for one that has it, and lets smaller ones pass", () => {
  const core = new TestCore()
  core.tick(core.hello("small", { slots: 2 }))
  core.submit({ key: "1", total: 1, needs: { slots: 4, memoryBytes: 0, diskBytes: 0 } })
  core.submit({ key: "2", total: 1 })
  assert.equal(core.job(2, 0)?.node, "small")
  core.tick(core.hello("big", { slots: 4 }))
  assert.equal(core.job(1, 0)?.node, "big")
})

test("a drained node keeps what it has and gets nothing new", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 2 })
  core.tick({ kind: "NodeDrained", request: core.request(), node: "n1" as NodeId, drained: true })
  const { speech } = core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.deepEqual(only(speech, "Offer"), [])
  const back = core.tick({ kind: "NodeDrained", request: core.request(), node: "n1" as NodeId, drained: false })
  assert.equal(only(back.speech, "Offer").length, 1)
})

test("O15: a revoked node cannot be undrained", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.tick({ kind: "NodeRevoked", request: core.request(), node: "n1" as NodeId })
  const { speech } = core.tick({ kind: "NodeDrained", request: core.request(), node: "n1" as NodeId, drained: false })
  const [reply] = only(speech, "Reply")
  assert.match(reply?.reply.kind === "error" ? reply.reply.error.message : "", /n1 is revoked, for good/)
  assert.equal(speech.length, 1)
})

test("a revoked node loses its work and its link, and is refused when it comes back", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  const { speech } = core.tick({ kind: "NodeRevoked", request: core.request(), node: "n1" as NodeId })
  assert.deepEqual(only(speech, "CloseLink"), [{ kind: "CloseLink", link: 1, why: "revoked" }])
  assert.equal(core.job(1, 0)?.phase, "queued")
  const back = core.tick(core.hello("n1"))
  assert.deepEqual(back.speech, [{ kind: "CloseLink", link: 2, why: "revoked" }])
})

test("an order about a node that is not there is refused in words", () => {
  const core = new TestCore()
  const { speech } = core.tick({ kind: "NodeRevoked", request: core.request(), node: "nobody" as NodeId })
  const reply = only(speech, "Reply")[0]?.reply
  assert.equal(reply?.kind === "error" && reply.error.code, "not_found")
})

test("a lost report of a job that waits for its back-off does not take it out of the queue", () => {
  // Found by the simulator, seed 1, faults network: the kill after a taken-back offer was answered "lost" again.
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ total: 1 })
  core.nowMs += OFFER_MS
  core.tick({ kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence: 1 })
  core.wait(BACKOFF_MIN_MS)
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }))
  assert.equal(core.job(1, 0)?.attempt, 2)
})
