import assert from "node:assert/strict"
import { test } from "node:test"
import { STORY_MAX } from "../limits.ts"
import type { NodeId, Story } from "./model.ts"
import { lastTold, linesOf, storyOf, tell } from "./story.ts"

test("a story is told line by line and read again", () => {
  const story: Story = []
  assert.equal(lastTold(story), null)
  tell(story, 7, "offered", "offered", { attempt: 1, node: "n1" as NodeId })
  tell(story, 9, "lost", "queued", { attempt: 1, node: null })
  assert.equal(lastTold(story), 9)
  const lines = linesOf(story)
  assert.deepEqual(lines, [
    { at: 7, event: "offered", phase: "offered", attempt: 1, node: "n1" },
    { at: 9, event: "lost", phase: "queued", attempt: 1, node: null },
  ])
  assert.deepEqual(storyOf(lines), story)
})

test("the oldest lines of a long story go", () => {
  const story: Story = []
  for (let at = 1; at <= STORY_MAX + 3; at++) tell(story, at, "offered", "offered", { attempt: at, node: null })
  const lines = linesOf(story)
  assert.equal(lines.length, STORY_MAX)
  assert.deepEqual([lines[0]!.at, lines.at(-1)!.at], [4, STORY_MAX + 3])
})
