import assert from "node:assert/strict"
import { it } from "node:test"
import { caseFiles, caseIds } from "./cases.ts"

it("a test belongs to the cases that its name begins with", () => {
  assert.deepEqual(caseIds("F1: watching changes nothing"), ["F1"])
  assert.deepEqual(caseIds("F2, S10: descriptors are pipes"), ["F2", "S10"])
  assert.deepEqual(caseIds("F2 and S10: descriptors are pipes"), ["F2", "S10"])
  for (const name of ["a node of F1: no", "X1: no", "F: no", "F1 no"]) assert.deepEqual(caseIds(name), [])
})

it("files are found by what is written in them and in the suites that they run", () => {
  const written = (id: string) => `it("${id}: holds", () => {})`
  const texts: Record<string, string> = {
    "a/one.test.ts": written("F1"),
    "a/two.test.ts": 'import { suite } from "./deep/s.suite.ts"',
    "a/deep/s.suite.ts": 'import { more } from "../t.suite.ts"',
    "a/t.suite.ts": written("O1"),
    "a/none.test.ts": 'it("holds", () => {}) // F1: said only here',
  }
  const paths = ["a/one.test.ts", "a/two.test.ts", "a/none.test.ts"]
  assert.deepEqual(
    caseFiles(path => texts[path] ?? "", paths),
    ["a/one.test.ts", "a/two.test.ts"],
  )
})
