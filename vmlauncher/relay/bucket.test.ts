import assert from "node:assert/strict"
import { test } from "node:test"
import { REFILL_MS } from "../limits.ts"
import { Bucket } from "./bucket.ts"

test("without a limit nobody waits", () => {
  assert.equal(new Bucket(null).take(1e12), undefined)
})

test("bytes go at the rate, in steps, in the order in which they were asked for", async () => {
  const bucket = new Bucket(100_000)
  const order: string[] = []
  const startedMs = performance.now()
  assert.equal(bucket.take(10_000), undefined)
  const first = bucket.take(20_000)!.then(() => order.push("first"))
  const second = bucket.take(1)!.then(() => order.push("second"))
  await Promise.all([first, second])
  assert.deepEqual(order, ["first", "second"])
  // Three steps: two for the 20,000, the third for the one byte after them. Timers may be early by a millisecond each.
  assert.ok(performance.now() - startedMs >= 3 * REFILL_MS - 5)
})

test("more than a step's worth is never saved up", async t => {
  t.mock.timers.enable({ apis: ["setInterval"] })
  const bucket = new Bucket(10_000)
  assert.equal(bucket.take(1_000), undefined)
  let isDone = false
  const taken = bucket.take(2_500)!.then(() => {
    isDone = true
  })
  t.mock.timers.tick(2 * REFILL_MS)
  await Promise.resolve()
  assert.equal(isDone, false)
  t.mock.timers.tick(REFILL_MS)
  await taken
  // Of the third step half is left, and nothing more comes while nobody waits.
  assert.equal(bucket.take(500), undefined)
  assert.notEqual(bucket.take(1), undefined)
})

test("a limit that is lifted lets those who wait go, and one that is set holds those who come", async () => {
  const bucket = new Bucket(10)
  const waiting = bucket.take(1_000_000)
  bucket.setRate(null)
  await waiting
  bucket.setRate(10)
  assert.notEqual(bucket.take(1_000), undefined)
  bucket.setRate(null)
})
