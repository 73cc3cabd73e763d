import assert from "node:assert/strict"
import { test } from "node:test"
import { STRANGER_MS, STRANGERS_MAX } from "../limits.ts"
import { Strangers } from "./strangers.ts"

test("O2: strangers are forgotten when they knock no more, and are never more than can be kept", () => {
  const strangers = new Strangers()
  strangers.knocked("a", 0)
  strangers.knocked("b", 1_000)
  strangers.knocked("a", 2_000)
  assert.equal(strangers.count(STRANGER_MS + 1_000), 2)
  assert.equal(strangers.count(STRANGER_MS + 1_001), 1, "b did not come again")
  for (let i = 0; i < STRANGERS_MAX + 5; i++) strangers.knocked(`${i}`, 3_000)
  assert.equal(strangers.count(3_000), STRANGERS_MAX)
})
