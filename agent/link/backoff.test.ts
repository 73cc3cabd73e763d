import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { Backoff } from "./backoff.ts"

describe("a back-off", () => {
  it("takes a random part of a ceiling that doubles up to two minutes", () => {
    const backoff = new Backoff(() => 0.5)
    const waits = Array.from({ length: 12 }, () => backoff.next(null))
    assert.deepEqual(waits.slice(0, 4), [500, 1_000, 2_000, 4_000])
    assert.deepEqual(waits.slice(-3), [60_000, 60_000, 60_000])
    backoff.sessionEnded(false)
    assert.equal(backoff.next(null), 2_000)
    backoff.sessionEnded(true)
    assert.equal(backoff.next(null), 500)
  })

  it("follows the hub's word: between that and twice that, an hour at most", () => {
    assert.equal(new Backoff(() => 0).next(5_000), 5_000)
    assert.equal(new Backoff(() => 0.5).next(5_000), 7_500)
    assert.equal(new Backoff(() => 0).next(1e12), 3_600_000)
  })
})
