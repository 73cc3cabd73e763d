import assert from "node:assert/strict"
import { test } from "node:test"
import { matches } from "../../../proto/wire/property.ts"
import { parseRequirement } from "../../../proto/wire/where.ts"
import { TestCore } from "../fixtures.ts"
import type { Node } from "../model.ts"
import { Condition } from "./condition.ts"

function manyNodes(): Node[] {
  const core = new TestCore()
  core.tick(...Array.from({ length: 1_000 }, (_, i) => core.hello(`n${i}`, { slots: 1 + (i % 7) })))
  return [...core.state.nodes.values()]
}

test("a condition finds the same of each of many nodes, asked in any order and again, as one that remembers nothing", () => {
  const nodes = manyNodes()
  const wanted = nodes.map(({ facts }) => matches(parseRequirement("cores > 1 OR slots >= 4"), facts))
  for (const remembers of [true, false]) {
    const condition = new Condition("cores > 1 OR slots >= 4", { remembers })
    // The last first: what is remembered grows to it at once.
    for (const node of [...nodes].reverse()) assert.equal(condition.isMetBy(node), wanted[node.number])
    for (const node of nodes) assert.equal(condition.isMetBy(node), wanted[node.number])
  }
  assert.deepEqual([wanted.includes(true), wanted.includes(false)], [true, true])
})

test("a node that has changed is judged anew, and its neighbours' judgements stay", () => {
  const [first, second, third] = manyNodes() as [Node, Node, Node]
  const condition = new Condition("slots = 2", { remembers: true })
  assert.deepEqual(
    [first, second, third].map(node => condition.isMetBy(node)),
    [false, true, false],
  )
  second.facts = { ...second.facts, slots: 9 }
  assert.equal(condition.isMetBy(second), true, "nobody has said that it changed")
  condition.forget(second)
  assert.deepEqual(
    [first, second, third].map(node => condition.isMetBy(node)),
    [false, false, false],
  )
})
