import assert from "node:assert/strict"
import { test } from "node:test"
import { TestCore } from "../fixtures.ts"
import type { CampaignId, NodeId } from "../model.ts"
import { noRules } from "../rules.ts"
import { outlook } from "./outlook.ts"

const look = (core: TestCore) => outlook(core.state, core.nowMs, { shown: 9, demands: 9 })

test("O10: work that no node can run any more is named with what nodes lack, also when it was taken", () => {
  const core = new TestCore()
  core.tick(core.hello("large", { slots: 8 }), core.hello("small", { slots: 2 }))
  core.submit({ key: "1", total: 5, needs: { slots: 4, memoryBytes: 1, diskBytes: 1 }, name: "wide", owner: "ada" })
  core.submit({ key: "2", total: 1 })
  assert.deepEqual(look(core).stuck, [], "all waits for its turn")
  core.tick({ kind: "NodeGone", node: "large" as NodeId, epoch: 1 })
  const [away] = look(core).stuck
  assert.match(away?.why ?? "", /the one node that can run it is away/)
  assert.deepEqual([away?.campaign, away?.owner, away?.name, away?.jobs, away?.isFinal], [1, "ada", "wide", 3, false])
  core.tick({ kind: "NodeRevoked", request: core.request(), node: "large" as NodeId })
  const [never] = look(core).stuck
  assert.match(never?.why ?? "", /no node can ever run it: it needs core 4, and the largest has 2/)
  assert.equal(never?.isFinal, true)
})

test("O10: owners are listed by how much they have, held work apart, and held work is not due", () => {
  const core = new TestCore()
  core.submit({ key: "1", total: 10_000_000, owner: "hog" })
  core.submit({ key: "2", total: 1_001, owner: "ada", held: true })
  core.submit({ key: "3", total: 2, owner: "bob" })
  core.tick({
    kind: "JobsHeld",
    request: core.request(),
    campaign: 3 as CampaignId,
    ranges: [{ first: 1, last: 1 }],
    held: true,
  })
  core.tick(core.hello("n1"))
  const { owners, due } = look(core)
  assert.deepEqual(
    owners.map(({ owner, onNodes, waiting, held }) => [owner, onNodes, waiting, held]),
    [
      ["hog", 1, 9_999_999, 0],
      ["ada", 0, 0, 1_001],
      ["bob", 0, 1, 1],
    ],
  )
  assert.equal(due, 10_000_001)
})

test("O10: what waits for other campaigns, for a moment or inside a container is not stuck", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.submit({ key: "1", total: 1 })
  const needs = { slots: 64, memoryBytes: 1, diskBytes: 1 }
  core.submit({ key: "2", total: 1, needs, waitsFor: [{ campaign: 1 as CampaignId, success: false }] })
  core.submit({ key: "3", total: 1, needs, held: true })
  const reservation = { startAt: 1e12 + core.nowMs + 3_600_000, endAt: null }
  core.submit({ key: "4", total: 1, rules: { ...noRules, reservation } })
  assert.deepEqual(look(core).stuck, [])
})
