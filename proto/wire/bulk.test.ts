import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { AGENT_CHUNK, chunkFrame, HUB_CHUNK, quickChunk, whole } from "./bulk.ts"
import { decodeAgentFrame, decodeHubFrame, encodeAgentFrame, encodeHubFrame } from "./frame.ts"

const stream = fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 2 ** 31, 2 ** 32 - 1))
const offset = fc.oneof(fc.nat(300), fc.constantFrom(2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1), fc.maxSafeNat())
const data = fc.uint8Array({ minLength: 0, maxLength: 300 })

describe("a chunk coded by hand", () => {
  it("has the bytes of the generated code, from either side", () => {
    fc.assert(
      fc.property(stream, offset, data, (stream, offset, data) => {
        const value = { stream, offset: BigInt(offset), data }
        for (const [first, encode] of [
          [HUB_CHUNK, encodeHubFrame] as const,
          [AGENT_CHUNK, encodeAgentFrame] as const,
        ]) {
          const frame = chunkFrame(first, stream, offset, data)
          const wanted = encode({ case: "chunk", value })
          assert.deepEqual(Buffer.from(whole(frame)), Buffer.from(wanted))
          assert.equal(frame.length, wanted.length)
        }
      }),
    )
  })

  it("shares its bytes with what it was made from", () => {
    const bytes = new Uint8Array(1_000)
    assert.equal(chunkFrame(HUB_CHUNK, 1, 0, bytes).data, bytes)
  })

  it("is read as the generated code reads it", () => {
    fc.assert(
      fc.property(stream, offset, data, (stream, offset, data) => {
        const frame = encodeAgentFrame({ case: "chunk", value: { stream, offset: BigInt(offset), data } })
        const found = quickChunk(AGENT_CHUNK, frame)
        // Stream 0 and no bytes are no honest agent's: for the long way to refuse.
        assert.equal(found === null, stream === 0 || data.length === 0)
        if (found === null) return
        assert.deepEqual([found.value.stream, found.value.offset], [stream, BigInt(offset)])
        assert.deepEqual(Buffer.from(found.value.data), Buffer.from(data))
      }),
    )
  })

  it("is left to the long way when it is cut off, goes on, is another frame or is spelled oddly", () => {
    const frame = whole(chunkFrame(AGENT_CHUNK, 7, 65_536, Buffer.from("hi")))
    assert.notEqual(quickChunk(AGENT_CHUNK, frame), null)
    for (let end = 0; end < frame.length; end++) assert.equal(quickChunk(AGENT_CHUNK, frame.subarray(0, end)), null)
    assert.equal(quickChunk(AGENT_CHUNK, Buffer.concat([frame, Buffer.of(0)])), null)
    assert.equal(quickChunk(HUB_CHUNK, frame), null)
    const odd = [
      "2a 06 1a 02 68 69 08 07",
      "2a 08 08 07 10 00 1a 02 68 69",
      "2a 07 08 87 00 1a 02 68 69",
      "2a 0a 08 87 80 80 80 80 01 1a 01 68",
      "2a 0c 08 07 08 08 10 80 80 04 1a 02 68 69",
    ]
    for (const hex of odd) assert.equal(quickChunk(AGENT_CHUNK, Buffer.from(hex.replaceAll(" ", ""), "hex")), null, hex)
  })

  it("of any bytes is what the long way finds, or nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
        const frame = Buffer.from([HUB_CHUNK, bytes.length, ...bytes])
        if (quickChunk(HUB_CHUNK, frame) !== null) assert.equal(decodeHubFrame(frame).case, "chunk")
        assert.throws(() => decodeAgentFrame(frame))
      }),
    )
  })
})
