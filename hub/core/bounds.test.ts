// What a scientist allows a campaign at most: jobs that fail, jobs at once.
import assert from "node:assert/strict"
import { test } from "node:test"
import { only, TestCore } from "./fixtures.ts"
import { noRules } from "./rules.ts"

const failed = { outcome: "failed", exitCode: 1 } as const

test("M3: a campaign stops when so many of its jobs have failed, and its story says why", () => {
  const core = new TestCore()
  for (let i = 0; i < 4; i++) core.tick(core.hello(`n${i}`))
  const id = core.submit({ total: 500, rules: { ...noRules, failMax: 3 } })
  const running = core.job(id, 3)!
  for (let index = 0; index < 2; index++)
    core.tick(core.report(core.job(id, index)!.node!, [id, index, 1], "ended", failed))
  assert.equal(core.state.campaigns.get(id)?.counts.failed, 2)
  const { effects, speech } = core.tick(core.report(core.job(id, 2)!.node!, [id, 2, 1], "ended", failed))
  assert.equal(core.state.campaigns.has(id), false)
  const [campaign] = [...effects.campaigns].filter(one => one.id === id)
  assert.deepEqual([campaign?.counts.failed, campaign?.counts.cancelled], [3, 497])
  assert.equal(only(speech, "Kill").length > 0, true)
  assert.match(running.story.join(" "), /cancelled: 3 jobs of the campaign failed, and it stops after 3/)
})

test("M3: failures that are tried again do not count, nor does a campaign stop that asks for none of it", () => {
  const core = new TestCore()
  core.tick(core.hello("n0"))
  const id = core.submit({ total: 2, rules: { ...noRules, failMax: 1, retryMax: 1 } })
  core.tick(core.report("n0", [id, 0, 1], "ended", failed))
  assert.equal(core.state.campaigns.has(id), true)
  const other = core.submit({ total: 3, key: "other" })
  core.tick(core.report("n0", [id, 1, 1], "ended"))
  assert.equal(core.state.campaigns.get(other)?.counts.cancelled, 0)
})

test("M4: at most so many jobs of the campaign are under way, and the next begins when one has ended", () => {
  const core = new TestCore()
  core.tick(core.hello("n0", { slots: 8 }))
  const id = core.submit({ total: 10, rules: { ...noRules, atOnceMax: 2 } })
  const node = core.state.nodes.get(core.job(id, 0)!.node!)!
  assert.equal(node.held.size, 2)
  assert.match(core.explain(id, 5), /2 jobs of campaign 1 are under way, and it asked for 2 at once \(--at-once\)/)
  core.tick(core.report("n0", [id, 0, 1], "running"))
  assert.equal(node.held.size, 2)
  for (let index = 0; index < 10; index++) {
    assert.ok(node.held.size <= 2)
    core.tick(core.report("n0", [id, index, 1], "ended"))
  }
  assert.equal(core.state.campaigns.size, 0)
})

test("M4: others take what a campaign with a limit leaves, and a lost job comes back within it", () => {
  const core = new TestCore()
  core.tick(core.hello("n0", { slots: 4 }))
  const id = core.submit({ total: 10, priority: 5, rules: { ...noRules, atOnceMax: 1 } })
  const other = core.submit({ total: 10, key: "other" })
  const held = () => [...core.state.nodes.values()].flatMap(node => [...node.held.values()].map(one => one.campaign))
  assert.deepEqual(held().sort(), [id, other, other, other])
  core.tick(core.report("n0", [id, 0, 1], "ended", { outcome: "lost" }))
  core.wait(1_000)
  assert.deepEqual(held().sort(), [id, other, other, other])
})
