import assert from "node:assert/strict"
import { test } from "node:test"
import { TestCore } from "../fixtures.ts"
import type { NodeId } from "../model.ts"
import { likelihood, noPresence, notePresence, presenceBytes, presenceOf } from "./presence.ts"
import { conditionOf } from "./queue.ts"
import { expectation } from "./reservations.ts"

const hour = 3_600_000
const week = 168 * hour

/** A node that is there from 20 to 8 o'clock, seen over so many weeks. */
function nightly(weeks: number) {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  const node = core.state.nodes.get("n1" as NodeId)!
  Object.assign(node, { presence: noPresence(0) })
  for (let at = hour; at <= weeks * week; at += hour) {
    const clock = (at / hour) % 24
    notePresence(node.presence, at, clock >= 20 || clock < 8)
  }
  return { core, node }
}

test("a node's habit says when it may be expected, and the present says less the further ahead one asks", () => {
  const { node } = nightly(6)
  const now = { nowMs: 0, wallMs: 6 * week }
  const night = likelihood(node, 6 * week + 2 * 24 * hour + 22 * hour, now)
  const day = likelihood(node, 6 * week + 2 * 24 * hour + 12 * hour, now)
  assert.ok(night > 0.8 && day < 0.2, `${night} by night and ${day} by day`)
  assert.ok(likelihood(node, now.wallMs + 60_000, now) > 0.95, "it is there now")
})

test("presence survives its bytes, and a wall clock that jumps back notes nothing twice", () => {
  const { node } = nightly(2)
  const again = presenceOf(presenceBytes(node.presence), 0)
  assert.deepEqual(again, node.presence)
  assert.equal(notePresence(again, 2 * week - 10 * hour, true), false)
  assert.deepEqual(again, node.presence)
  assert.deepEqual(presenceOf(null, 5 * hour), noPresence(5 * hour))
})

test("what is expected of many nodes is a number of jobs and how sure it is", () => {
  const core = new TestCore()
  for (let i = 0; i < 100; i++) core.tick(core.hello(`n${i}`, { slots: 2 }))
  const now = { nowMs: core.nowMs, wallMs: 1e12 + core.nowMs }
  const demand = { shapes: [{ slots: 2, memoryBytes: 0, diskBytes: 0 }], condition: conditionOf(core.state.queue, "") }
  const window = { startAt: now.wallMs + 1_000, endAt: now.wallMs + hour }
  const soon = expectation(core.state, { demand, total: 100 }, window, now)
  assert.deepEqual([Math.round(soon.jobs), soon.nodes, soon.confidence > 0.9], [100, 100, true])
  const later = { startAt: now.wallMs + 3 * 24 * hour, endAt: now.wallMs + 4 * 24 * hour }
  // Of new nodes nothing is known beyond today: an even chance each.
  const half = expectation(core.state, { demand, total: 50 }, later, now)
  assert.ok(Math.abs(half.jobs - 50) < 1 && Math.abs(half.confidence - 0.54) < 0.02, JSON.stringify(half))
  assert.ok(expectation(core.state, { demand, total: 70 }, later, now).confidence < 0.001)
  assert.equal(
    expectation(
      core.state,
      { demand: { ...demand, shapes: [{ slots: 3, memoryBytes: 0, diskBytes: 0 }] }, total: 1 },
      window,
      now,
    ).nodes,
    0,
  )
})
