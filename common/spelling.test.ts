import assert from "node:assert/strict"
import { test } from "node:test"
import { nearest, slips } from "./spelling.ts"

test("a slip is a letter too many, too few, wrong, or swapped with its neighbour", () => {
  for (const [a, b, count] of [
    ["port", "port", 0],
    ["prot", "port", 1],
    ["por", "port", 1],
    ["portt", "port", 1],
    ["pord", "port", 1],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
  ] as const) {
    assert.equal(slips(a, b), count, `${a} ${b}`)
    assert.equal(slips(b, a), count, `${b} ${a}`)
  }
})

test("the nearest known word is offered, the first of those equally near, and none when none is near", () => {
  const known = ["port", "host", "quota-submits"]
  assert.equal(nearest("prot", known), "port")
  assert.equal(nearest("quota-submit-s", known), "quota-submits")
  assert.equal(nearest("hort", known), "port")
  assert.equal(nearest("frobnicate", known), null)
  assert.equal(nearest("x".repeat(1_000_000), known), null)
  assert.equal(nearest("port", []), null)
})
