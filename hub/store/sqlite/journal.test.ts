import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import type { NodeId, Phase } from "../../core/model.ts"
import type { JobRow } from "../../core/rows.ts"
import { storyOf } from "../../core/story.ts"
import { whys } from "../../core/why.ts"
import { jobRow } from "../store.suite.ts"
import { journalRows, journalText, storyIn } from "./journal.ts"

const node = fc.option(fc.string({ unit: "binary" })) as fc.Arbitrary<NodeId | null>
const phase = fc.constantFrom<Phase>("queued", "held", "offered", "staging", "running", "returning")
const line = fc.record(
  {
    at: fc.nat(),
    why: fc.constantFrom(...whys),
    event: fc.string({ unit: "binary", minLength: 1 }),
    phase,
    attempt: fc.nat(),
    node,
  },
  { noNullPrototype: true },
)
const live = fc
  .record(
    { story: fc.array(line, { maxLength: 24 }).map(storyOf), phase, node, attempt: fc.nat(), losses: fc.nat() },
    { noNullPrototype: true },
  )
  .map((change): JobRow => {
    const tries = [{ attempt: 1, node: "n1" as NodeId, phase: "running" as const, shape: 2, startedAt: 7 }]
    return { ...jobRow(3, 7, { tries }), ...change }
  })

test("what a batch writes of live jobs is read again as it was, whatever stands in a story", () => {
  fc.assert(
    fc.property(fc.array(live, { minLength: 1, maxLength: 5 }), rows => {
      assert.deepEqual(journalRows(journalText(rows)), rows)
    }),
  )
})

test("stories of before they were one array, and of before their lines had a why, are read as those of today", () => {
  const read = [7, 0, "offered", "offered", 1, "n1", 9, 0, "lost", "queued", 1, null]
  assert.deepEqual(storyIn(`[[7,"offered","offered",1,"n1"],[9,"lost","queued",1,null]]`), read)
  assert.deepEqual(storyIn(`[7,"offered","offered",1,"n1",9,"lost","queued",1,null]`), read)
  assert.deepEqual(storyIn(JSON.stringify(read)), read)
  assert.deepEqual(storyIn("[]"), [])
})
