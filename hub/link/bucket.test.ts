import assert from "node:assert/strict"
import { it } from "node:test"
import { Bucket } from "./bucket.ts"

it("a bucket has its burst, then its rate, and what it is given, never more than its burst", () => {
  const bucket = new Bucket(1_000, 10, 0)
  assert.equal(bucket.take(11, 0), false)
  assert.equal(bucket.take(10, 0), true)
  assert.equal(bucket.take(1, 0), false)
  assert.equal(bucket.take(3, 3), true)
  bucket.give(2)
  assert.equal(bucket.take(3, 3), false)
  assert.equal(bucket.take(2, 3), true)
  bucket.give(100)
  assert.equal(bucket.take(11, 3), false)
  assert.equal(bucket.take(10, 3), true)
})
