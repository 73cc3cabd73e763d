import assert from "node:assert/strict"
import { test } from "node:test"
import { order, TestCore } from "../fixtures.ts"
import type { CampaignId, NodeId } from "../model.ts"
import { noRules } from "../rules.ts"
import { explain } from "./explain.ts"
import { prospect } from "./feasible.ts"

const giga = 1024 ** 3
const sizes = (slots: number, memory = 0, disk = 0) => ({
  needs: { slots, memoryBytes: memory * giga, diskBytes: disk * giga },
})
const big = (slots: number, memory: number) => ({ slots, memoryBytes: memory * giga, diskBytes: 100 * giga })

function ask(core: TestCore, campaign: number, index: number | null = null) {
  const found = core.state.campaigns.get(campaign as CampaignId)!
  return explain(core.state, found, index, { nowMs: core.nowMs, wallMs: 1e12 + core.nowMs })
}

test("what is under way, held, awaited, early or backing off is said before anything about nodes", () => {
  const core = new TestCore()
  core.submit({ key: "1", total: 2, rules: { ...noRules, retryMax: 1 } })
  core.submit({ key: "2", total: 1, waitsFor: [{ campaign: 1 as CampaignId, success: true }] })
  core.submit({ key: "3", total: 1, held: true })
  core.submit({
    key: "4",
    total: 1,
    rules: { ...noRules, reservation: { startAt: 1e12 + core.nowMs + 7_500_000, endAt: null } },
  })
  assert.equal(ask(core, 1)?.cause, "noNodes")
  core.tick(core.hello("n1", { slots: 2, name: "attic" }))
  assert.match(ask(core, 1, 0)?.sentence ?? "", /it is under way: offered on attic/)
  assert.match(ask(core, 1)?.sentence ?? "", /every job of campaign 1 that has not ended is under way/)
  assert.match(ask(core, 2)?.sentence ?? "", /waits for campaign 1 to end well; 2 of its 2 jobs have still to finish/)
  assert.deepEqual(
    [ask(core, 3)?.cause, ask(core, 3)?.remedies[0]?.change],
    ["campaignHeld", { kind: "resume", campaign: 3, index: null }],
  )
  assert.match(ask(core, 4)?.sentence ?? "", /its reservation begins in 2 h 5 min/)
  core.tick(core.report("n1", [1, 0, 1], "ended", { outcome: "failed", exitCode: 7 }))
  assert.match(ask(core, 1, 0)?.sentence ?? "", /after 1 failures and 0 losses \(last: failed with exit code 7/)
  core.tick(core.report("n1", [1, 1, 1], "ended"))
  assert.equal(ask(core, 1, 1), null, "it has ended")
})

test("nodes are counted by what they lack first, and each change that would run the job now is named", () => {
  const core = new TestCore()
  core.tick(
    core.hello("old", { ...big(8, 64), properties: { arch: "arm" } }),
    core.hello("small", { ...big(2, 4), properties: { arch: "x86" } }),
    core.hello("away", { ...big(8, 32), properties: { arch: "x86" } }),
  )
  core.tick({ kind: "NodeGone", node: "away" as NodeId, epoch: 1 })
  core.submit({ total: 1, ...sizes(2, 8), rules: { ...noRules, property: "arch = 'x86' AND slots > 1" } })
  const found = ask(core, 1)
  assert.equal(found?.cause, "nodesAway")
  assert.deepEqual(found?.obstacles, [
    { lacks: "arch = 'x86'", nodes: 1 },
    { lacks: "mem 8G in all", nodes: 1 },
    { lacks: "a connection", nodes: 1 },
  ])
  assert.deepEqual(found?.remedies, [
    { change: { kind: "needs", size: "memoryBytes", value: 4 * giga }, nodes: 1 },
    { change: { kind: "property", property: "slots > 1" }, nodes: 1 },
  ])
})

test("a job for a node that nobody has, or that is large beyond all nodes, is told apart from one that only waits", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", big(4, 8)))
  core.submit({ owner: "ada", key: "1", total: 4 })
  core.submit({ owner: "bob", key: "1", total: 1 })
  assert.match(ask(core, 2)?.sentence ?? "", /1 node could run it, and all are busy; it is next/)
  core.submit({ owner: "ada", key: "2", total: 1 })
  core.nowMs += 60_000
  assert.match(ask(core, 3)?.sentence ?? "", /1 node could run it, and all are busy$/)
  assert.equal(ask(core, 3)?.jobsAhead, 1)
  core.submit({ key: "3", total: 1, ...sizes(5) })
  assert.deepEqual(
    [ask(core, 4)?.cause, ask(core, 4)?.obstacles],
    ["tooLarge", [{ lacks: "5 slots in all", nodes: 1 }]],
  )
  core.submit({ key: "4", total: 1, rules: { ...noRules, property: "gpu = 'a100'" } })
  assert.equal(ask(core, 5)?.cause, "noSuchNode")
  assert.deepEqual(ask(core, 5)?.remedies, [], "without it the node would still be busy")
})

test("what is inside a container is explained by the container", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 4 }))
  core.submit({ key: "1", total: 1, ...sizes(1), rules: { ...noRules, container: true } })
  core.submit({ key: "2", total: 2, rules: { ...noRules, inside: 1 as CampaignId } })
  assert.equal(ask(core, 2)?.cause, "containerNotRunning")
  core.tick(core.report("n1", [1, 0, 1], "running"))
  assert.match(ask(core, 2)?.sentence ?? "", /container 1 runs on 1 node and is full: 0 slots at most are free/)
})

test("a dry run counts what there is and who goes first, and changes nothing", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", big(4, 8)), core.hello("n2", big(2, 8)), core.hello("n3", big(1, 1)))
  core.tick({ kind: "NodeGone", node: "n2" as NodeId, epoch: 1 })
  core.submit({ owner: "bob", key: "1", total: 10, ...sizes(1, 2) })
  const now = { nowMs: core.nowMs, wallMs: 1e12 + core.nowMs }
  const wish = { ...order({ owner: "ada", total: 9, ...sizes(2, 4) }), walltimeMs: 1_000 }
  const before = JSON.stringify([...core.state.campaigns.keys(), core.state.deadlines.size])
  const found = prospect(core.state, wish, now)
  assert.deepEqual(
    [found.nodesOnline, found.nodesAway, found.jobsNow, found.jobsAtOnce, found.jobsAhead, found.atMostMs],
    [1, 1, 0, 2, 0, 5_000],
  )
  const best = { ...wish, rules: { ...noRules, bestEffort: true } }
  assert.equal(prospect(core.state, best, now).jobsAhead, 6, "all that are in turn")
  assert.equal(JSON.stringify([...core.state.campaigns.keys(), core.state.deadlines.size]), before)
})
