import assert from "node:assert/strict"
import { describe, it, mock } from "node:test"
import { LAG_SAMPLE_MS } from "../limits.ts"
import { LoopLag } from "./lag.ts"

describe("the lag of the loop", () => {
  it("is what a timer was late by, and fades within a second", () => {
    mock.timers.enable({ apis: ["setInterval"] })
    let nowMs = 0
    const lag = new LoopLag(() => nowMs)
    const sample = (afterMs: number) => {
      nowMs += afterMs
      mock.timers.tick(LAG_SAMPLE_MS)
    }
    sample(LAG_SAMPLE_MS)
    assert.equal(lag.ms, 0)
    sample(LAG_SAMPLE_MS + 400)
    assert.equal(lag.ms, 400)
    for (let n = 0; n < 10; n++) sample(LAG_SAMPLE_MS)
    assert.ok(lag.ms < 20, String(lag.ms))
    lag.stop()
    mock.timers.reset()
  })
})
