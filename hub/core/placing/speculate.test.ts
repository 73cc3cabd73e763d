// Tail rescue: who gets another attempt, when, and on which node.
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  LEASE_MS,
  LOOK_EVERY_MS,
  MISSED_AT_START_MS,
  MISSED_MS,
  TAIL_EVERY_MS,
  TAIL_SLOW_MIN_MS,
  TAIL_SOON_MS,
} from "../../limits.ts"
import { offersOf, only, order, TestCore } from "../fixtures.ts"
import type { CampaignId, NodeId } from "../model.ts"
import { restore } from "../restore.ts"
import type { Write } from "../rows.ts"
import { noRules } from "../rules.ts"
import { linesOf } from "../story.ts"

const idOf = (campaign: number) => campaign as CampaignId

/** Two nodes; job 0 ran quickly on the first, job 1 runs and runs on the second. */
function slowTail(): TestCore {
  const core = new TestCore()
  core.tick(core.hello("quick"), core.hello("slow"))
  core.submit({ total: 2 })
  core.nowMs += 5_000
  core.tick(core.report("slow", [1, 1, 1], "running"), core.report("quick", [1, 0, 1], "ended"))
  return core
}

function waitUntilRescued(core: TestCore) {
  for (let waited = 0; waited <= TAIL_SLOW_MIN_MS + TAIL_EVERY_MS; waited += TAIL_EVERY_MS) {
    const { speech } = core.wait(TAIL_EVERY_MS)
    if (offersOf(speech).length > 0) return offersOf(speech)
  }
  return []
}

test("in the tail an idle node doubles a slow attempt, and the first result ends the other", () => {
  const core = slowTail()
  assert.deepEqual(waitUntilRescued(core), [{ link: 1, campaign: 1, index: 1, attempt: 2 }])
  const { speech, writes } = core.tick(core.report("quick", [1, 1, 2], "ended"))
  assert.equal(writes.find(write => write.kind === "result")?.row.attempt, 2)
  assert.deepEqual(
    only(speech, "Kill").map(({ attempt, link }) => [attempt, link]),
    [[1, 2]],
  )
  const late = core.tick(core.report("slow", [1, 1, 1], "ended"))
  assert.equal(only(late.speech, "AnswerReport")[0]?.answer, "stale")
})

test("of a doubled job one attempt may be lost without the job noticing", () => {
  const core = slowTail()
  waitUntilRescued(core)
  core.tick(core.report("quick", [1, 1, 2], "running"))
  core.tick({ kind: "NodeGone", node: "slow" as NodeId, epoch: 1 })
  for (let beat = 1; beat <= 3; beat++) {
    core.nowMs += LEASE_MS / 2
    core.tick({ kind: "HeartbeatReceived", node: "quick" as NodeId, epoch: 1, sequence: beat })
  }
  assert.deepEqual(
    core.job(1, 1)?.tries.map(one => one.node),
    ["quick"],
  )
  core.tick(core.report("quick", [1, 1, 2], "ended"))
  assert.equal(core.state.campaigns.size, 0)
})

test("after a restart of the hub attempts count as long as they run, so that none looks slow for having begun before it", () => {
  const core = new TestCore()
  core.tick(core.hello("quick"), core.hello("slow"))
  core.submit({ total: 2 })
  core.tick(core.report("quick", [1, 0, 1], "running"), core.report("slow", [1, 1, 1], "running"))
  core.nowMs += 100_000
  // As restore() has them: known since this start, and to have begun long before.
  for (const { tries } of core.state.campaigns.get(idOf(1))!.jobs.values()) {
    Object.assign(tries[0]!, { sinceMs: core.nowMs, startedMs: core.nowMs - 100_000 })
  }
  core.tick(core.report("quick", [1, 0, 1], "ended"))
  assert.deepEqual(waitUntilRescued(core), [])
  core.nowMs += 60_000
  assert.equal(waitUntilRescued(core).length, 1, "in the end it is slow indeed")
})

test("nothing is doubled while others have jobs waiting", () => {
  const core = slowTail()
  core.submit({ key: "big", total: 1, needs: { slots: 64, memoryBytes: 0, diskBytes: 0 } })
  assert.deepEqual(waitUntilRescued(core), [])
})

// ---- nodes that are away ---------------------------------------------------------------------------------------

function gone(core: TestCore, node: string) {
  return { kind: "NodeGone", node: node as NodeId, epoch: core.state.nodes.get(node as NodeId)!.epoch } as const
}

/** Job 0 runs on "leaving", which is gone now; the others, which have nothing, stand idle. */
function awayTail(...idle: string[]): TestCore {
  const core = new TestCore()
  core.tick(core.hello("leaving"))
  core.submit({ total: 1 })
  core.tick(core.report("leaving", [1, 0, 1], "running"), ...idle.map(name => core.hello(name)))
  core.tick(gone(core, "leaving"))
  return core
}

const offersIn = ({ speech }: ReturnType<TestCore["wait"]>) => only(speech, "Offer").map(offer => offer.attempt)
const nodesOf = (core: TestCore, index = 0) => core.job(1, index)!.tries.map(one => one.node)

test("in the tail a job whose node is away goes to an idle one as soon as the node is missed", () => {
  const core = awayTail("idle")
  assert.deepEqual(offersIn(core.wait(MISSED_MS - 1)), [])
  assert.deepEqual(offersIn(core.wait(1)), [2])
  assert.deepEqual(nodesOf(core), ["leaving", "idle"])
  const { speech } = core.tick(core.report("idle", [1, 0, 2], "ended"))
  assert.deepEqual(only(speech, "JobEnded").length, 1)
})

test("a node that comes back before it is missed keeps its job to itself", () => {
  const core = awayTail("idle")
  core.wait(MISSED_MS - 1)
  core.tick(core.hello("leaving", { holding: [{ campaign: idOf(1), index: 0, attempt: 1, phase: "running" }] }))
  for (let second = 0; second < 60; second++) assert.deepEqual(offersIn(core.wait(1_000)), [])
})

test("a missed node that comes back may still be first", () => {
  const core = awayTail("idle")
  core.wait(MISSED_MS)
  const holding = [{ campaign: idOf(1), index: 0, attempt: 1, phase: "running" as const }]
  const { speech } = core.tick(core.hello("leaving", { holding }))
  assert.deepEqual(
    only(speech, "Welcome")[0]!.reconciled.map(({ answer }) => answer),
    ["continue"],
  )
  const ended = core.tick(core.report("leaving", [1, 0, 1], "ended"))
  assert.equal(only(ended.speech, "AnswerReport")[0]?.answer, "accepted")
  assert.deepEqual(
    only(ended.speech, "Kill").map(({ attempt }) => attempt),
    [2],
  )
})

test("when both nodes of a doubled job are missed, a third gets it and the one missed for longer is given up", () => {
  const core = awayTail("second", "third")
  core.wait(MISSED_MS)
  core.tick(gone(core, "second"))
  assert.deepEqual(offersIn(core.wait(MISSED_MS - 1)), [])
  assert.deepEqual(offersIn(core.wait(1)), [3])
  assert.deepEqual(nodesOf(core), ["second", "third"])
  const whys = linesOf(core.job(1, 0)!.story).map(({ why, attempt }) => `${why} ${attempt}`)
  assert.deepEqual(whys.slice(-2), ["speculated 3", "superseded 1"])
  const holding = [{ campaign: idOf(1), index: 0, attempt: 1, phase: "running" as const }]
  const { speech } = core.tick(core.hello("leaving", { holding }))
  assert.deepEqual(
    only(speech, "Welcome")[0]!.reconciled.map(({ answer }) => answer),
    ["kill"],
  )
  core.tick(core.report("third", [1, 0, 3], "ended"))
  assert.equal(core.state.campaigns.size, 0)
})

test("a slow attempt beside one whose node is missed is doubled as if it were alone", () => {
  const core = slowTail()
  core.tick(core.hello("third"))
  core.nowMs += TAIL_SLOW_MIN_MS
  core.tick()
  assert.equal(nodesOf(core, 1).length, 2, "two are at work, and a third stands idle")
  core.live(3 * LEASE_MS)
  assert.equal(nodesOf(core, 1).length, 2, "whoever is there, however slow, is not more than doubled")
  core.tick(gone(core, "slow"))
  assert.deepEqual(offersIn(core.wait(MISSED_MS)), [3])
  assert.equal(nodesOf(core, 1).includes("slow" as NodeId), false)
})

test("a node that was away long before the tail began is missed at the first look", () => {
  const core = new TestCore()
  core.tick(core.hello("leaving"))
  core.submit({ total: 3 })
  core.tick(gone(core, "leaving"), core.hello("n1"))
  core.wait(MISSED_MS)
  assert.deepEqual(nodesOf(core), ["leaving"], "it is not the tail yet")
  core.tick(core.report("n1", [1, 1, 1], "ended"))
  core.tick(core.report("n1", [1, 2, 1], "ended"))
  assert.deepEqual(offersIn(core.wait(TAIL_EVERY_MS)), [2])
})

test("of more jobs than there are idle nodes, those that began first go first, and the others soon after", () => {
  const core = new TestCore()
  core.tick(core.hello("first"))
  core.submit({ total: 3 })
  core.nowMs += 1_000
  core.tick(core.hello("second", { slots: 2 }))
  core.tick(core.hello("idle"), gone(core, "second"), gone(core, "first"))
  const { speech } = core.wait(MISSED_MS)
  assert.deepEqual(
    only(speech, "Offer").map(({ index }) => index),
    [0],
  )
  core.tick(core.hello("more", { slots: 2 }))
  assert.deepEqual(offersIn(core.wait(TAIL_SOON_MS)), [2, 2])
})

test("a node that is still stopping an older attempt at the job does not get it again", () => {
  const core = awayTail("second", "third")
  core.wait(MISSED_MS)
  core.tick(gone(core, "second"))
  core.wait(MISSED_MS)
  // Given up, and back: it has a second slot now.
  const holding = [{ campaign: idOf(1), index: 0, attempt: 1, phase: "running" as const }]
  core.tick(core.hello("leaving", { slots: 2, holding }), gone(core, "third"))
  for (let second = 0; second < 60; second++) assert.deepEqual(offersIn(core.wait(1_000)), [])
})

test("after a restart of the hub no node is missed until all had time to come back", () => {
  const before = new TestCore()
  const rowsOf = (...all: Write[]) => ({
    nodes: all.flatMap(write => (write.kind === "node" ? write.row : [])),
    liveCampaigns: all.flatMap(write => (write.kind === "campaign" ? write.row : [])),
    liveJobs: all.flatMap(write => (write.kind === "job" ? write.row : [])),
  })
  const hellos = before.tick(before.hello("leaving", { slots: 2 }))
  const submit = { kind: "CampaignSubmitted", request: before.request(), ...order({ total: 1 }) } as const
  const { nodes, liveCampaigns, liveJobs } = rowsOf(...hellos.writes, ...before.tick(submit).writes)
  const [none, now] = [() => [], { nowMs: 0, wallMs: 1e12 }]
  const rows = { nodes: () => nodes, liveCampaigns: () => liveCampaigns, liveJobs: () => liveJobs }
  const others = {
    lastCampaign: () => idOf(1),
    indicesFrom: none,
    attempts: none,
    cancelledRanges: none,
    usages: none,
    shares: none,
  }
  const core = new TestCore(restore({ ...rows, ...others }, now))
  core.nowMs = 0
  core.tick(core.hello("idle"))
  for (let waited = TAIL_EVERY_MS; waited < MISSED_AT_START_MS; waited += TAIL_EVERY_MS) {
    assert.deepEqual(offersIn(core.wait(TAIL_EVERY_MS)), [])
  }
  assert.deepEqual(offersIn(core.wait(TAIL_EVERY_MS)), [2])
})

test("nothing is doubled onto what is kept for a reservation", () => {
  const core = awayTail("idle")
  const startAt = 1e12 + core.nowMs + 600_000
  core.submit({ key: "soon", total: 1, rules: { ...noRules, reservation: { startAt, endAt: null } } })
  assert.deepEqual(offersIn(core.wait(MISSED_MS)), [])
  core.tick(core.hello("large", { slots: 8 }))
  core.wait(LOOK_EVERY_MS)
  assert.deepEqual(offersIn(core.wait(TAIL_EVERY_MS)), [2])
})
