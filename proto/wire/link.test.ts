import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FrameError } from "./frame.ts"
import { afterAgentFrame, afterHubFrame, agreeOnVersion, type LinkPhase } from "./link.ts"

describe("a link", () => {
  it("opens by challenge, hello and welcome, in this order", () => {
    let phase: LinkPhase = "connecting"
    phase = afterHubFrame(phase, "challenge")
    phase = afterAgentFrame(phase, "hello")
    phase = afterHubFrame(phase, "welcome")
    assert.equal(phase, "open")
    assert.equal(afterHubFrame(phase, "goodbye"), "draining")
  })

  it("takes nothing before the welcome but what leads to it", () => {
    const agents = ["heartbeat", "report", "streamOpen", "streamOpened", "chunk", "credit", "streamEnd"] as const
    const hubs = ["offer", "kill", "reportAnswer", "followLog", "chunk", "streamStored"] as const
    for (const phase of ["connecting", "challenged", "greeted", "closed"] as const) {
      for (const kind of agents) assert.throws(() => afterAgentFrame(phase, kind), FrameError)
      for (const kind of hubs) assert.throws(() => afterHubFrame(phase, kind), FrameError)
    }
    for (const phase of ["connecting", "greeted", "open", "draining", "closed"] as const) {
      assert.throws(() => afterAgentFrame(phase, "hello"), /hello from the agent while the link is/)
    }
    for (const phase of ["connecting", "challenged", "open", "draining", "closed"] as const) {
      assert.throws(() => afterHubFrame(phase, "welcome"), FrameError)
    }
  })

  it("offers nothing once the hub has said goodbye, but lets what is under way end", () => {
    assert.throws(() => afterHubFrame("draining", "offer"), FrameError)
    assert.equal(afterHubFrame("draining", "streamStored"), "draining")
    assert.equal(afterAgentFrame("draining", "report"), "draining")
  })
})

describe("the version spoken", () => {
  it("is the highest that both know, or tells who is to be upgraded", () => {
    assert.deepEqual(agreeOnVersion({ min: 1, max: 3 }, { min: 2, max: 9 }), { version: 3 })
    assert.deepEqual(agreeOnVersion({ min: 1, max: 3 }, { min: 1, max: 1 }), { version: 1 })
    assert.deepEqual(agreeOnVersion({ min: 2, max: 3 }, { min: 1, max: 1 }), { upgrade: "agent" })
    assert.deepEqual(agreeOnVersion({ min: 1, max: 3 }, { min: 4, max: 5 }), { upgrade: "hub" })
  })
})
