import assert from "node:assert/strict"
import { test } from "node:test"
import { STORY_MAX } from "../limits.ts"
import type { NodeId, Story } from "./model.ts"
import { lastTold, linesOf, storyOf, tell } from "./story.ts"
import { whyNumber, whyOf, whys } from "./why.ts"

test("a story is told line by line and read again", () => {
  const story: Story = []
  assert.equal(lastTold(story), null)
  tell(story, 7, "offered", "offered", "offered", { attempt: 1, node: "n1" as NodeId })
  tell(story, 9, "lease_expired", "lost", "queued", { attempt: 1, node: null })
  assert.equal(lastTold(story), 9)
  assert.deepEqual(story.slice(0, 3), [7, 1, ""], "a phase's own name is not written twice")
  const lines = linesOf(story)
  assert.deepEqual(lines, [
    { at: 7, why: "offered", event: "offered", phase: "offered", attempt: 1, node: "n1" },
    { at: 9, why: "lease_expired", event: "lost", phase: "queued", attempt: 1, node: null },
  ])
  assert.deepEqual(storyOf(lines), story)
})

test("the oldest lines of a long story go", () => {
  const story: Story = []
  const about = { attempt: 1, node: null }
  for (let at = 1; at <= STORY_MAX + 3; at++) tell(story, at, "offered", "offered", "offered", about)
  const lines = linesOf(story)
  assert.equal(lines.length, STORY_MAX)
  assert.deepEqual([lines[0]!.at, lines.at(-1)!.at], [4, STORY_MAX + 3])
})

test("every why has a number of its own, and the number of a newer hub's is unknown", () => {
  assert.equal(new Set(whys).size, whys.length)
  for (const why of whys) assert.equal(whyOf(whyNumber(why)), why)
  assert.equal(whyOf(whys.length), "unknown")
  // On disk for good.
  assert.deepEqual(
    [whyNumber("unknown"), whyNumber("failed"), whyNumber("held"), whyNumber("retried_by_owner")],
    [0, 6, 21, 29],
  )
})
