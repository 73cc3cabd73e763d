// Kinds of jobs: best effort, jobs too large for gaps, reservations, containers and what runs inside them.
import assert from "node:assert/strict"
import { test } from "node:test"
import { LOOK_EVERY_MS, LOSS_MAX, PATIENCE_MS } from "../limits.ts"
import { only, TestCore } from "./fixtures.ts"
import type { CampaignId, NodeId } from "./model.ts"
import { noRules } from "./rules.ts"

const idOf = (campaign: number) => campaign as CampaignId
const bestEffort = { ...noRules, bestEffort: true }
const slots = (count: number) => ({ needs: { slots: count, memoryBytes: 0, diskBytes: 0 } })
const heldOn = (core: TestCore, node: string) => [...core.state.nodes.get(node as NodeId)!.held.keys()]

test("best effort gets what nobody else wants, whoever has used least", () => {
  const core = new TestCore()
  core.submit({ owner: "ada", total: 2, rules: bestEffort })
  core.submit({ owner: "bob", total: 1 })
  core.tick(core.hello("n1", { slots: 2 }))
  assert.deepEqual(heldOn(core, "n1"), ["2.0", "1.0"])
})

test("best effort makes room for a job in turn, is queued again at once, and loses nothing by it", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 2 }))
  core.submit({ owner: "ada", total: 2, rules: bestEffort })
  core.tick(core.report("n1", [1, 0, 1], "running"), core.report("n1", [1, 1, 1], "running"))
  core.submit({ owner: "bob", total: 1, ...slots(1) })
  const kill = core.job(1, 1)
  assert.equal(kill?.phase, "queued", "the younger one was stopped")
  assert.equal(core.job(1, 0)?.phase, "running")
  assert.equal(core.job(2, 0), null, "its slot is not free yet")
  const { speech } = core.tick(core.report("n1", [1, 1, 1], "ended", { outcome: "lost", message: "stopped" }))
  assert.equal(only(speech, "AnswerReport")[0]?.answer, "stale")
  assert.equal(core.job(2, 0)?.phase, "offered")
  assert.deepEqual([core.job(1, 1)?.losses, core.job(1, 1)?.failures], [0, 0])
  assert.equal(core.state.campaigns.get(idOf(1))?.totals.preemptions, 1)
})

test("no more of best effort is stopped than the jobs in turn need", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 8 }))
  core.submit({ owner: "ada", total: 8, rules: bestEffort })
  core.submit({ owner: "bob", total: 1, ...slots(3) })
  core.wait(LOOK_EVERY_MS)
  core.wait(LOOK_EVERY_MS)
  const stopped = [...core.state.nodes.get("n1" as NodeId)!.held.values()].filter(held => held.stopping !== null)
  assert.deepEqual(
    stopped.map(held => held.index),
    [5, 6, 7],
  )
})

test("best effort does not count against its owner's share", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ owner: "ada", key: "1", total: 1, rules: bestEffort })
  core.live(3_600_000)
  core.submit({ owner: "bob", key: "1", total: 1 })
  core.submit({ owner: "ada", key: "2", total: 1 })
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }))
  assert.deepEqual(heldOn(core, "n1"), ["2.0"], "both have used nothing: the older lane goes first")
  core.nowMs += 60_000
  core.submit({ owner: "bob", key: "2", total: 1 })
  core.tick(core.report("n1", [2, 0, 1], "ended"))
  assert.deepEqual(heldOn(core, "n1"), ["3.0"], "bob has used a minute in turn, ada nothing")
})

test("best effort of a job that is stopped for ever never ends as lost", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ owner: "ada", total: 1, rules: bestEffort })
  for (let round = 1; round <= LOSS_MAX + 2; round++) {
    core.submit({ owner: "bob", key: `${round}`, total: 1 })
    core.tick(core.report("n1", [1, 0, round], "ended", { outcome: "lost" }))
    core.tick(core.report("n1", [1 + round, 0, 1], "ended"))
    assert.equal(core.job(1, 0)?.attempt, round + 1)
  }
  assert.equal(core.job(1, 0)?.losses, 0)
})

test("a job that no gap is large enough for gets a node kept for it, when it is its turn and it has waited", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 4 }))
  core.submit({ owner: "ada", total: 1_000 })
  core.submit({ owner: "bob", total: 1, ...slots(4) })
  let ended = 0
  const endOne = () => {
    core.live(60_000)
    const [held] = core.state.nodes.get("n1" as NodeId)!.held.values()
    core.tick(core.report("n1", [held!.campaign, held!.index, held!.attempt], "ended"))
    return ++ended
  }
  while (core.state.claims.size === 0) assert.ok(endOne() < 20, "a claim comes in time")
  assert.ok(ended * 60_000 >= PATIENCE_MS, "and not before")
  for (let i = 0; i < 3; i++) endOne()
  assert.deepEqual(heldOn(core, "n1"), ["2.0"])
  assert.equal(core.state.claims.size, 0)
})

test("a claim goes with the job that it was made for, and its node serves all again", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 2 }))
  core.submit({ owner: "ada", total: 10 })
  core.submit({ owner: "bob", total: 1, ...slots(2) })
  core.live(PATIENCE_MS + 180_000)
  assert.equal(core.state.claims.size, 1)
  core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(heldOn(core, "n1").length, 1, "the slot is kept")
  const ranges = [{ first: 0, last: 0 }]
  core.tick({ kind: "JobsCancelled", request: core.request(), campaign: idOf(2), ranges })
  core.wait(LOOK_EVERY_MS)
  assert.equal(heldOn(core, "n1").length, 2)
})

// ---- reservations --------------------------------------------------------------------------------------------

const reserved = (core: TestCore, inMs: number, endInMs: number | null = null) => {
  const now = 1e12 + core.nowMs
  return { ...noRules, reservation: { startAt: now + inMs, endAt: endInMs === null ? null : now + endInMs } }
}

test("a reservation begins at its start, ahead of everybody, and what would run into it is kept away before", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 2 }))
  core.submit({ owner: "ada", total: 2, rules: reserved(core, 3_600_000) })
  core.submit({ owner: "bob", key: "short", total: 1, walltimeMs: 1_800_000 })
  core.submit({ owner: "bob", key: "long", total: 2, walltimeMs: 7_200_000 })
  assert.deepEqual(heldOn(core, "n1"), ["2.0"], "the short one fits before the start, the long ones do not")
  core.live(1_800_000)
  core.tick(core.report("n1", [2, 0, 1], "ended"))
  assert.deepEqual(heldOn(core, "n1"), [])
  core.live(1_800_000)
  assert.deepEqual(heldOn(core, "n1"), ["1.0", "1.1"])
})

test("a reservation begins at its start by the wall clock, also one that is set meanwhile", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 1 }))
  core.wallJumpMs = -86_400_000
  core.submit({ owner: "ada", total: 1, rules: reserved(core, 3_600_000) })
  core.live(1_800_000)
  core.wallJumpMs = 0
  core.live(1_700_000)
  assert.deepEqual(heldOn(core, "n1"), [], "by the right clock it is not time yet")
  core.live(200_000)
  assert.deepEqual(heldOn(core, "n1"), ["1.0"])
})

test("what a reservation can spare is used", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 8 }))
  core.submit({ owner: "ada", total: 2, rules: reserved(core, 3_600_000) })
  core.submit({ owner: "bob", total: 100, walltimeMs: 7_200_000 })
  const placed = heldOn(core, "n1").length
  // Of a node that is new little is known: some more is kept than is asked for.
  assert.ok(placed > 0 && placed <= 6, `${placed} of 8 slots are used`)
  core.live(3_600_000)
  assert.deepEqual(heldOn(core, "n1").slice(placed), ["1.0", "1.1"])
})

test("best effort may run into a reservation, for which it makes room", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ owner: "ada", total: 1, rules: reserved(core, 3_600_000) })
  core.submit({ owner: "bob", total: 1, walltimeMs: 7_200_000, rules: bestEffort })
  assert.deepEqual(heldOn(core, "n1"), ["2.0"])
  const speech = core.live(3_600_000)
  assert.deepEqual(
    only(speech, "Kill").map(kill => kill.campaign),
    [2],
  )
  core.tick(core.report("n1", [2, 0, 1], "ended", { outcome: "lost" }))
  assert.deepEqual(heldOn(core, "n1"), ["1.0"])
})

test("a reservation that is over ends what is left of it, and one that is cancelled frees what was kept", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ owner: "ada", key: "1", total: 2, rules: reserved(core, 1_000, 60_000) })
  core.wait(1_000)
  assert.deepEqual(heldOn(core, "n1"), ["1.0"])
  const over = core.wait(59_000)
  assert.match(only(over.speech, "Kill")[0]!.reason, /reservation is over/)
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }))
  core.submit({ owner: "ada", key: "2", total: 1, rules: reserved(core, 60_000) })
  core.submit({ owner: "bob", total: 1 })
  assert.deepEqual(heldOn(core, "n1"), [])
  core.tick({ kind: "JobsCancelled", request: core.request(), campaign: idOf(2), ranges: [{ first: 0, last: 0 }] })
  assert.deepEqual(heldOn(core, "n1"), ["3.0"])
})

// ---- containers ----------------------------------------------------------------------------------------------

const container = { ...noRules, container: true }
const inside = (campaign: number) => ({ ...noRules, inside: idOf(campaign) })

/** A container of two slots that runs on one node of three, with jobs inside. */
function contained(): TestCore {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 3 }))
  core.submit({ owner: "ada", key: "1", total: 1, ...slots(2), rules: container })
  core.submit({ owner: "ada", key: "2", total: 5, rules: inside(1) })
  assert.deepEqual(heldOn(core, "n1"), ["1.0"], "it does not run yet")
  core.tick(core.report("n1", [1, 0, 1], "running"))
  return core
}

test("jobs inside a container fill its room and no other, and use nothing of their own", () => {
  const core = contained()
  assert.deepEqual(heldOn(core, "n1"), ["1.0", "2.0", "2.1"])
  assert.ok(core.state.room.has("n1" as NodeId), "the third slot is free for others")
  core.submit({ owner: "bob", total: 2 })
  assert.deepEqual(heldOn(core, "n1"), ["1.0", "2.0", "2.1", "3.0"])
  core.tick(core.report("n1", [2, 0, 1], "ended"))
  assert.deepEqual(heldOn(core, "n1"), ["1.0", "2.1", "3.0", "2.2"])
})

test("when a container is lost what is inside is queued again, and goes on when the container does", () => {
  const core = contained()
  const { speech } = core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "lost" }))
  assert.deepEqual(
    only(speech, "Kill").map(({ campaign, index }) => `${campaign}.${index}`),
    ["2.1", "2.0"],
  )
  assert.deepEqual([core.job(2, 0)?.phase, core.job(2, 0)?.losses], ["queued", 0])
  core.wait(1_000)
  core.tick(core.report("n1", [1, 0, 2], "running"))
  core.tick(
    core.report("n1", [2, 0, 1], "ended", { outcome: "lost" }),
    core.report("n1", [2, 1, 1], "ended", { outcome: "lost" }),
  )
  assert.equal(heldOn(core, "n1").filter(id => id.startsWith("2.")).length, 2)
})

test("when a container has ended what is inside is cancelled", () => {
  const core = contained()
  core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(core.state.campaigns.size, 0)
})

test("nothing can be put into a container that has ended", () => {
  const core = new TestCore()
  const event = { total: 1, rules: inside(7) }
  core.submit(event)
  assert.equal(core.state.campaigns.size, 0)
})
