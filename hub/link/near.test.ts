import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { CHUNK_MAX_BYTES } from "../../proto/wire/frame.ts"
import { NEAR_BYTES, NEAR_MS } from "../limits.ts"
import { Nearness } from "./near.ts"

const clock = { ms: 1_000 }
const nearness = (delayMs = Number.POSITIVE_INFINITY) => new Nearness(delayMs, () => clock.ms)

describe("a near agent's stream", () => {
  it("has its share under way, of whole chunks and one at least", () => {
    const near = nearness(NEAR_MS - 1)
    assert.equal(near.shareBytes(1, 1), NEAR_BYTES)
    assert.equal(near.shareBytes(3, 1), 2 * CHUNK_MAX_BYTES)
    assert.equal(near.shareBytes(1_000, 1), CHUNK_MAX_BYTES)
    assert.equal(near.shareBytes(1_000, 2), 2 * CHUNK_MAX_BYTES)
  })

  it("is one whose link was answered soon once, when it was empty or later", () => {
    const agent = nearness(NEAR_MS)
    assert.equal(agent.shareBytes(10, 1), Number.POSITIVE_INFINITY)
    const timer = agent.timer()
    timer.start(100)
    clock.ms += 2 * NEAR_MS
    // Of what is asked meanwhile the delay is not known.
    timer.start(200)
    timer.reached(99)
    timer.reached(250)
    assert.equal(agent.shareBytes(10, 1), Number.POSITIVE_INFINITY)
    timer.start(300)
    clock.ms += NEAR_MS - 1
    timer.reached(300)
    assert.equal(agent.shareBytes(10, 1), CHUNK_MAX_BYTES)
  })

  it("is not one that moved before it was asked", () => {
    const agent = nearness()
    agent.timer().reached(5)
    assert.equal(agent.shareBytes(10, 1), Number.POSITIVE_INFINITY)
  })
})
