import assert from "node:assert/strict"
import { test } from "node:test"
import { backoffMs } from "./backoff.ts"

test("a wait begins at the least, doubles with each failure in a row, and never passes its bound", () => {
  const waits = [0, 1, 2, 3, 4, 5, 6, 1_000, Number.MAX_SAFE_INTEGER].map(times => backoffMs(times, 1_000, 20_000))
  assert.deepEqual(waits, [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000])
  assert.equal(backoffMs(40, 1, Number.POSITIVE_INFINITY), 2 ** 30)
})
