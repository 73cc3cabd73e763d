// Frames that are well-formed and mean anything at all, in any order, from an agent that has been welcomed. The hub may
// answer or close the link; it must never fail inside, and never tell the engine what makes no sense.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { type AgentBodyInit, encodeAgentFrame } from "../../proto/wire/frame.ts"
import { MemoryBlobStore, MemoryDisk } from "../blobs/memory.ts"
import { attempt, newKey, ScriptedAgent, startHub } from "./fixtures.ts"

const small = fc.integer({ min: 0, max: 4 })
const size = fc.oneof(fc.bigInt({ min: 0n, max: 70_000n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
const held = { campaign: BigInt(attempt.campaign), index: attempt.index, attempt: attempt.attempt }
const name = fc.oneof(
  fc.constant(held),
  fc.record({ campaign: size, index: small, attempt: small }),
  fc.constant(undefined),
)
const digests = ["a", "b"].map(digit => `sha256:${digit.repeat(64)}`)
const blob = fc.oneof(
  fc.constant(undefined),
  fc.record({ digest: fc.constantFrom(...digests, "", "sha256:zz"), sizeBytes: size }),
)
const data = fc.uint8Array({ maxLength: 300 })
const log = fc.record({ inline: data, blob, droppedBytes: size })
const duration = fc.record({ seconds: fc.bigInt({ min: -5n, max: 2n ** 40n }), nanos: fc.integer() })
const result = fc.oneof(
  fc.constant(undefined),
  fc.record({
    outcome: fc.integer({ min: 0, max: 8 }),
    exitCode: fc.integer({ min: -2, max: 300 }),
    message: fc.string(),
    stageout: blob,
    stdout: log,
    runTime: duration,
    peakMemoryBytes: size,
  }),
)

const frame: fc.Arbitrary<AgentBodyInit> = fc.oneof(
  fc.record({ case: fc.constant("heartbeat"), value: fc.record({ sequence: size }) }),
  fc.record({
    case: fc.constant("report"),
    value: fc.record({ attempt: name, phase: fc.integer({ min: 0, max: 9 }), result }),
  }),
  fc.record({
    case: fc.constant("streamOpen"),
    value: fc.record({ stream: small, kind: small, attempt: name, blob, offset: size }),
  }),
  fc.record({
    case: fc.constant("streamOpened"),
    value: fc.record({ stream: small, offset: size, creditOffset: size }),
  }),
  fc.record({ case: fc.constant("chunk"), value: fc.record({ stream: small, offset: size, data }) }),
  fc.record({ case: fc.constant("credit"), value: fc.record({ stream: small, creditOffset: size }) }),
  fc.record({
    case: fc.constant("streamEnd"),
    value: fc.record({ stream: small, error: fc.integer({ min: 0, max: 9 }), message: fc.string() }),
  }),
) as fc.Arbitrary<AgentBodyInit>

/** So that streams begin properly often enough for what follows to reach them. */
const stageout: AgentBodyInit = {
  case: "streamOpen",
  value: { stream: 1, kind: 2, attempt: held, blob: { digest: digests[0]!, sizeBytes: 300n } },
}

describe("whatever a welcomed agent says", () => {
  it("never makes the hub fail inside", async () => {
    const hub = await startHub({ blobs: new MemoryBlobStore({ disk: new MemoryDisk() }) })
    const key = newKey()
    const says = fc.tuple(fc.boolean(), fc.array(frame, { maxLength: 12 }))
    await fc.assert(
      fc.asyncProperty(says, async ([begins, frames]) => {
        const agent = await new ScriptedAgent(hub, key).join()
        hub.engine.gives(key.node, attempt, { digest: digests[1] as never, sizeBytes: 1_000 })
        for (const body of begins ? [stageout, ...frames] : frames) agent.webSocket.send(encodeAgentFrame(body))
        agent.webSocket.close()
        await agent.closed
        const wrong = hub.logged.all.filter(({ level, message }) => level === "error" && !message.includes("digest"))
        assert.deepEqual(wrong, [])
      }),
      { numRuns: 300 },
    )
    for (const event of hub.engine.events.all) {
      if (event.kind !== "AttemptReported") continue
      assert.ok(Number.isSafeInteger(event.campaign) && event.attempt >= 1)
      assert.equal(event.phase === "ended", event.result !== null)
    }
    await new ScriptedAgent(hub, key).join()
    await hub.close()
  })
})
