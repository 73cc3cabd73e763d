import assert from "node:assert/strict"
import { test } from "node:test"
import { only, TestCore } from "./fixtures.ts"
import type { HostId, NodeId } from "./model.ts"
import { noRules } from "./rules.ts"

function forget(core: TestCore, name: string) {
  const { speech, writes } = core.tick({ kind: "NodeForgotten", request: core.request(), node: name as NodeId })
  const reply = only(speech, "Reply")[0]?.reply
  return { why: reply?.kind === "error" ? reply.error.message : null, writes }
}

test("O9: a node is forgotten when it is gone and holds nothing, and refused before in words", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  assert.match(forget(core, "n1").why ?? "", /n1 is connected/)
  core.submit({ total: 1 })
  core.tick({ kind: "NodeGone", node: "n1" as NodeId, epoch: 1 })
  assert.match(forget(core, "n1").why ?? "", /has 1 of the hub's jobs still/)
  core.tick({ kind: "NodeRevoked", request: core.request(), node: "n1" as NodeId })
  const { why, writes } = forget(core, "n1")
  assert.equal(why, null)
  assert.deepEqual(writes, [{ kind: "forgetNode", node: "n1" }])
  assert.equal(core.state.nodes.size, 0)
  assert.match(forget(core, "n1").why ?? "", /there is no node n1/)
})

test("O9: a node that joins after one was forgotten is judged by its own properties", () => {
  const core = new TestCore()
  core.tick(core.hello("n1", { properties: { arch: "arm" } }), core.hello("n2", { properties: { arch: "x86" } }))
  // Judged now: n1 has what is asked for, n2 has not.
  core.submit({ key: "1", total: 2, rules: { ...noRules, property: "arch = 'arm'" } })
  core.tick({ kind: "NodeGone", node: "n2" as NodeId, epoch: 1 })
  assert.equal(forget(core, "n2").why, null)
  const { speech } = core.tick(core.hello("n3", { properties: { arch: "arm" } }))
  assert.equal(only(speech, "Offer").length, 1)
  core.tick(core.hello("n4"))
  const numbers = [...core.state.nodes.values()].map(({ number }) => number)
  assert.equal(new Set(numbers).size, numbers.length)
})

test("a node's network is that of its last hello, and its computer that with which it joined, over a start too", () => {
  const core = new TestCore()
  const written = (change: Parameters<TestCore["hello"]>[1]) =>
    core
      .tick(core.hello("n1", change))
      .writes.flatMap(write => (write.kind === "node" ? [[write.row.network, write.row.host]] : []))
  assert.deepEqual(written({ network: "192.0.2.0/24", host: 5 as HostId }), [["192.0.2.0/24", 5]])
  assert.deepEqual(written({ network: "2001:db8:1::/48", host: null }), [["2001:db8:1::/48", 5]])
  core.tick({ kind: "NodeRevoked", request: core.request(), node: "n1" as NodeId })
  assert.equal(core.state.nodes.get("n1" as NodeId)?.network, "")
})

test("O9: a node that was forgotten is a new one when it comes again", () => {
  const core = new TestCore()
  core.tick(core.hello("n1"))
  core.tick({ kind: "NodeGone", node: "n1" as NodeId, epoch: 1 })
  forget(core, "n1")
  const { speech } = core.tick(core.hello("n1"))
  assert.equal(only(speech, "Welcome")[0]?.epoch, 1)
})
