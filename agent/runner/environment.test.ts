import assert from "node:assert/strict"
import { test } from "node:test"
import { name, spec } from "../fixtures.ts"
import { commandOf, environmentOf, unrunnable } from "./environment.ts"

const around = { node: "attic", work: "/work", nodeFile: "/nodes", scratch: "/tmp" }

test("one element is a line for the shell, its parameters added as written", () => {
  assert.deepEqual(commandOf(spec({ command: ["echo $HOME"], line: "'a b'  c" })), [
    "/bin/sh",
    "-c",
    "echo $HOME 'a b'  c",
  ])
  assert.deepEqual(commandOf(spec({ command: ["true"] })), ["/bin/sh", "-c", "true"])
})

test("several elements run as they are, parameters split at spaces", () => {
  assert.deepEqual(commandOf(spec({ command: ["povray", "+I a.pov"], line: " +K1  +O'x' " })), [
    "povray",
    "+I a.pov",
    "+K1",
    "+O'x'",
  ])
  assert.deepEqual(commandOf(spec({ command: ["povray", "x"], line: "" })), ["povray", "x"])
})

test("a job knows who it is, in our words and in OAR's", () => {
  const environment = environmentOf(name, spec({ line: "1 2", env: { MINE: "yes" } }), around)
  const expected: Record<string, string> = {
    CAH_JOB_ID: "12.7",
    CAH_CAMPAIGN_ID: "12",
    CAH_ARRAY_INDEX: "7",
    CAH_ARRAY_SIZE: "100",
    CAH_ATTEMPT: "2",
    CAH_ATTEMPT_ID: "12.7#2",
    CAH_NODE: "attic",
    CAH_SLOTS: "2",
    CAH_PARAMETERS: "1 2",
    OAR_JOB_ID: "12.7",
    OAR_ARRAY_ID: "12",
    OAR_ARRAY_INDEX: "7",
    OAR_JOB_INDEX: "7",
    OAR_JOB_NAME: "wing",
    OAR_JOB_WALLTIME: "1:02:05",
    OAR_JOB_WALLTIME_SECONDS: "3725",
    OAR_PROJECT_NAME: "lift",
    OAR_WORKDIR: "/work",
    OAR_NODEFILE: "/nodes",
    MINE: "yes",
    HOME: "/work",
  }
  for (const [key, value] of Object.entries(expected)) assert.equal(environment[key], value, key)
  assert.equal(environmentOf(name, spec({ arraySize: 1 }), around).OAR_JOB_ID, "12", "a single job has a plain number")
})

test("a scientist may choose PATH, but not who the job is; nothing of ours leaks in", () => {
  process.env.CAH_TEST_LEAK = "secret"
  const environment = environmentOf(
    name,
    spec({ env: { PATH: "/opt", CAH_ATTEMPT_ID: "1.1#1", OAR_JOB_ID: "9" } }),
    around,
  )
  delete process.env.CAH_TEST_LEAK
  assert.equal(environment.PATH, "/opt")
  assert.equal(environment.CAH_ATTEMPT_ID, "12.7#2")
  assert.equal(environment.OAR_JOB_ID, "12.7")
  assert.equal(environment.CAH_TEST_LEAK, undefined)
})

test("what no system would run is told apart before it is tried", () => {
  assert.match(unrunnable(spec({ command: [] }))!, /empty/)
  assert.match(unrunnable(spec({ command: ["a\0b"] }))!, /NUL/)
  assert.match(unrunnable(spec({ env: { "A=B": "" } }))!, /"A=B" can't be the name/)
  assert.equal(unrunnable(spec()), null)
})
