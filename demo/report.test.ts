import assert from "node:assert/strict"
import { test } from "node:test"
import type { JobAnswer } from "../harness/hub.ts"
import { type Options, parseOptions } from "./options.ts"
import { type Findings, report, table } from "./report.ts"

const options = parseOptions(["--frames", "2", "--agents", "2", "--slots", "1"]) as Options
const finished = (index: number): JobAnswer => ({
  id: { index },
  outcome: "OUTCOME_FINISHED",
  attempt: 1,
  result: { runTime: "1.500s" },
})
const found: Findings = {
  renderer: "POV-Ray",
  jobs: [finished(0), finished(1)],
  check: { ok: 2, duplicates: 0, complaints: [] },
  makespanSeconds: 2,
  totals: { stageinBytes: 200, stageoutBytes: 5_000 },
  stageinBytes: 100,
  dbHandles: { atStart: 2, atEnd: 2 },
  nodes: 2,
  renders: { renders: 2, frames: 2 },
  kills: 0,
  video: null,
}

test("speed-up is the sum of run times over the makespan", () => {
  assert.equal(report(found, options).speedUp, 1.5)
  assert.deepEqual(report(found, options).complaints, [])
})

test("what was sent once a node instead of once a job is saved", () => {
  assert.equal(report({ ...found, totals: { stageinBytes: 100, stageoutBytes: 0 } }, options).dedupBytesSaved, 100)
})

for (const [what, change, words] of [
  [
    "a lost attempt",
    { jobs: [finished(0), { ...finished(1), attempt: 2, losses: 1 }] },
    /job 1 took attempt 2, with 1 lost/,
  ],
  [
    "a job that did not finish",
    { jobs: [finished(0), { ...finished(1), outcome: "OUTCOME_FAILED" }] },
    /1 of 2 jobs did not finish/,
  ],
  ["a job that is not there", { jobs: [finished(0)] }, /1 of 2 jobs did not finish/],
  ["a frame rendered twice", { renders: { renders: 3, frames: 2 } }, /1 renders were repetitions/],
  ["a growing number of database handles", { dbHandles: { atStart: 2, atEnd: 5 } }, /from 2 without agents to 5/],
  ["a missing node", { nodes: 1 }, /1 nodes are online, not 2/],
] as const) {
  test(`${what} is complained about`, () => {
    assert.match(report({ ...found, ...change }, options).complaints.join("\n"), words)
  })
}

test("the table names every figure", () => {
  const text = table(report(found, options), options)
  for (const word of ["makespan", "speed-up", "deduplication", "database handles", "lost", "duplicates"])
    assert.match(text, new RegExp(word))
})
