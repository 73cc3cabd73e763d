import assert from "node:assert/strict"
import { test } from "node:test"
import { USAGE_HALF_LIFE_MS } from "../../limits.ts"
import { TestCore } from "../fixtures.ts"
import type { NodeId } from "../model.ts"
import { ownerKey, usedBy } from "./usage.ts"

/** Each job takes so long; whenever one ends the next is placed. Returns the slots' seconds that each owner got. */
function runFor(core: TestCore, hours: number, jobMs: number): Map<string, number> {
  const got = new Map<string, number>()
  const untilMs = core.nowMs + hours * 3_600_000
  while (core.nowMs < untilMs) {
    core.nowMs += jobMs
    const reports = [...core.state.nodes.values()].flatMap(node =>
      [...node.held.values()].map(held => {
        got.set(held.account!.owner, (got.get(held.account!.owner) ?? 0) + jobMs / 1_000)
        return core.report(node.id, [held.campaign, held.index, held.attempt], "ended")
      }),
    )
    core.tick(...reports)
  }
  return got
}

test("three owners with different histories converge to equal shares within five per cent", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 4 }), core.hello("n2", { slots: 4 }), core.hello("n3", { slots: 1 }))
  core.state.usage.set(ownerKey("ada", false), { coreSeconds: 400_000, atMs: core.nowMs, slots: 0 })
  core.state.usage.set(ownerKey("bob", false), { coreSeconds: 50_000, atMs: core.nowMs, slots: 0 })
  for (const owner of ["ada", "bob", "cleo"]) core.submit({ owner, total: 1_000_000 })
  runFor(core, 48, 600_000)
  const got = runFor(core, 48, 600_000)
  const mean = [...got.values()].reduce((sum, seconds) => sum + seconds, 0) / 3
  for (const [owner, seconds] of got) {
    assert.ok(
      Math.abs(seconds / mean - 1) < 0.05,
      `${owner} got ${((seconds / mean) * 100).toFixed(1)} % of a fair share`,
    )
  }
})

test("who has used most is served last, and served all the same", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { slots: 1 }))
  core.state.usage.set(ownerKey("ada", false), { coreSeconds: 1e9, atMs: core.nowMs, slots: 0 })
  core.submit({ owner: "ada", total: 1 })
  core.submit({ owner: "bob", total: 3 })
  const held = () => [...core.state.nodes.get("n1" as NodeId)!.held.values()][0]!
  assert.equal(held().account?.owner, "ada", "nobody else was there yet")
  core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(held().account?.owner, "bob")
})

test("what was used counts half after the half-life", () => {
  const core = new TestCore()
  core.state.usage.set(ownerKey("ada", false), { coreSeconds: 1_000, atMs: 0, slots: 0 })
  assert.equal(Math.round(usedBy(core.state, ownerKey("ada", false), USAGE_HALF_LIFE_MS)), 500)
  assert.equal(usedBy(core.state, ownerKey("nobody", false), 0), 0)
})
