import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { Phase } from "../gen/cah/v1/job_pb.ts"
import {
  CHUNK_MAX_BYTES,
  closeCodes,
  decodeAgentFrame,
  decodeHubFrame,
  encodeAgentFrame,
  encodeHubFrame,
  FRAME_MAX_BYTES,
  FrameError,
  HOLDING_MAX,
  LOG_INLINE_MAX_BYTES,
  PROPERTIES_MAX,
  safeInteger,
} from "./frame.ts"

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))

function breach(message: RegExp, closeCode: number = closeCodes.breach) {
  return (error: unknown) => {
    assert.ok(error instanceof FrameError, `not a FrameError: ${error}`)
    assert.match(error.message, message)
    assert.equal(error.closeCode, closeCode)
    return true
  }
}

const hello = (counts: { holding?: number; properties?: number }) =>
  encodeAgentFrame({
    case: "hello",
    value: {
      publicKey: new Uint8Array(32),
      signature: new Uint8Array(64),
      node: { properties: Array.from({ length: counts.properties ?? 0 }, () => ({})) },
      holding: Array.from({ length: counts.holding ?? 0 }, () => ({})),
    },
  })

describe("a frame", () => {
  it("has these bytes on the wire", () => {
    // Field 2 of AgentFrame (heartbeat), 3 bytes: field 1, varint 300.
    const heartbeat = hex("12 03 08 ac 02")
    assert.deepEqual(encodeAgentFrame({ case: "heartbeat", value: { sequence: 300n } }), heartbeat)
    const decoded = decodeAgentFrame(heartbeat)
    assert.equal(decoded.case, "heartbeat")
    assert.equal(decoded.value.sequence, 300n)

    // Field 10 of HubFrame (chunk): stream 7, offset 65536, data "hi".
    const chunk = hex("52 0a 08 07 10 80 80 04 1a 02 68 69")
    const sent = { stream: 7, offset: 65_536n, data: Buffer.from("hi") }
    assert.deepEqual(encodeHubFrame({ case: "chunk", value: sent }), chunk)
    const received = decodeHubFrame(chunk)
    assert.ok(received.case === "chunk")
    assert.deepEqual(Buffer.from(received.value.data), Buffer.from("hi"))

    // Field 3 (report): attempt 12.7#2, phase running.
    const report = decodeAgentFrame(hex("1a 0a 0a 06 08 0c 10 07 18 02 10 05"))
    assert.ok(report.case === "report")
    assert.deepEqual(
      { ...report.value.attempt, $typeName: undefined },
      { ...{ campaign: 12n, index: 7, attempt: 2 }, $typeName: undefined },
    )
    assert.equal(report.value.phase, Phase.RUNNING)
  })

  it("cut off anywhere is a breach and nothing else", () => {
    const whole = encodeAgentFrame({
      case: "report",
      value: { attempt: { campaign: 1n, attempt: 1 }, phase: Phase.ENDED, result: { message: "no", exitCode: 3 } },
    })
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decodeAgentFrame(whole.subarray(0, length)), breach(/empty|malformed/))
    }
    decodeAgentFrame(whole)
  })

  it("of an unknown kind, of two kinds at once or with something behind it is a breach", () => {
    assert.throws(() => decodeAgentFrame(hex("7a 00")), breach(/unknown kind: field 15/))
    assert.throws(() => decodeAgentFrame(hex("12 00 12 00")), breach(/says 0 bytes, there are 2/))
    assert.throws(() => decodeAgentFrame(hex("10 01")), breach(/heartbeat is not a message/))
    assert.throws(() => decodeHubFrame(hex("0b 0c")), breach(/challenge is not a message/))
  })

  it("may be as large as the limit, and not one byte larger", () => {
    // Field 9 of HubFrame (stream_opened) with an unknown field 15 of the wanted length in it.
    const padded = (length: number) => {
      const frame = Buffer.alloc(length)
      const body = length - 4
      frame.set([0x4a, (body & 0x7f) | 0x80, ((body >> 7) & 0x7f) | 0x80, body >> 14])
      const inner = body - 4
      frame.set([0x7a, (inner & 0x7f) | 0x80, ((inner >> 7) & 0x7f) | 0x80, inner >> 14], 4)
      return frame
    }
    const largest = decodeHubFrame(padded(FRAME_MAX_BYTES))
    assert.equal(largest.case, "streamOpened")
    // Unknown fields are not kept: they would be memory that nobody reads.
    assert.equal(largest.value.$unknown, undefined)
    assert.throws(() => decodeHubFrame(padded(FRAME_MAX_BYTES + 1)), breach(/262145 bytes/, closeCodes.tooBig))
  })

  it("holds at most so many attempts and properties, counted before they cost memory", () => {
    decodeAgentFrame(hello({ holding: HOLDING_MAX, properties: PROPERTIES_MAX }))
    assert.throws(() => decodeAgentFrame(hello({ holding: HOLDING_MAX + 1 })), breach(/1025 attempts held/))
    assert.throws(() => decodeAgentFrame(hello({ properties: PROPERTIES_MAX + 1 })), breach(/257 properties/))
    const reconciled = Array.from({ length: HOLDING_MAX + 1 }, () => ({}))
    const welcome = encodeHubFrame({ case: "welcome", value: { reconciled } })
    assert.throws(() => decodeHubFrame(welcome), breach(/1025 attempts reconciled/))
  })

  it("with a hundred thousand empty submessages costs no memory worth naming", () => {
    const body = Buffer.alloc(200_000)
    for (let at = 0; at < body.length; at += 2) body[at] = 0x4a
    const frame = Buffer.concat([Buffer.from([0x0a, 0xc0, 0x9a, 0x0c]), body])
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 10; n++) assert.throws(() => decodeAgentFrame(frame), breach(/100000 attempts held/))
    assert.ok(process.memoryUsage().heapUsed - before < 64 * 1024 * 1024)
  })

  it("with a text, a key or a log beyond its limit is a breach", () => {
    const report = (length: number) =>
      encodeAgentFrame({ case: "report", value: { result: { stdout: { inline: new Uint8Array(length) } } } })
    decodeAgentFrame(report(LOG_INLINE_MAX_BYTES))
    assert.throws(() => decodeAgentFrame(report(LOG_INLINE_MAX_BYTES + 1)), breach(/inline log of 16385/))

    const chunk = (length: number) => encodeAgentFrame({ case: "chunk", value: { data: new Uint8Array(length) } })
    decodeAgentFrame(chunk(CHUNK_MAX_BYTES))
    assert.throws(() => decodeAgentFrame(chunk(CHUNK_MAX_BYTES + 1)), breach(/chunk of 65537/))

    const end = (length: number) => encodeAgentFrame({ case: "streamEnd", value: { message: "x".repeat(length) } })
    decodeAgentFrame(end(2_048))
    assert.throws(() => decodeAgentFrame(end(2_049)), breach(/2049 characters/))

    const short = encodeAgentFrame({ case: "hello", value: { publicKey: new Uint8Array(31) } })
    assert.throws(() => decodeAgentFrame(short), breach(/public_key has 31 bytes/))
  })

  it("that is not UTF-8 where text belongs is a breach", () => {
    // stream_end with message ff fe.
    assert.throws(() => decodeAgentFrame(hex("3a 04 1a 02 ff fe")), breach(/malformed/))
  })

  it("nested as deep as fits is a breach, not a stack overflow", () => {
    const depth = 100_000
    const groups = Buffer.alloc(depth, 0x7b)
    const length = [(depth & 0x7f) | 0x80, ((depth >> 7) & 0x7f) | 0x80, depth >> 14]
    assert.throws(() => decodeAgentFrame(Buffer.concat([Buffer.from([0x12, ...length]), groups])), breach(/malformed/))
    assert.throws(() => decodeAgentFrame(Buffer.concat([Buffer.from([0x0a, ...length]), groups])), breach(/malformed/))
  })

  it("of random bytes throws nothing but FrameError", () => {
    const kinds = [0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42, 0x4a, 0x52, 0x5a, 0x62, 0x6a]
    const framed = fc.tuple(fc.constantFrom(...kinds), fc.uint8Array({ maxLength: 127 })).map(([kind, body]) => {
      return Uint8Array.from([kind, body.length, ...body])
    })
    const survives = (decode: (bytes: Uint8Array) => unknown) => (bytes: Uint8Array) => {
      try {
        decode(bytes)
      } catch (error) {
        assert.ok(error instanceof FrameError, String(error))
      }
    }
    for (const decode of [decodeAgentFrame, decodeHubFrame]) {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives(decode)), { numRuns: 2_000 })
      fc.assert(fc.property(framed, survives(decode)), { numRuns: 5_000 })
    }
  })

  it("of ours beyond the limit is our own bug, not a breach", () => {
    const offer = { case: "offer", value: { spec: new Uint8Array(FRAME_MAX_BYTES) } } as const
    assert.throws(() => encodeHubFrame(offer), /our own offer frame has 26\d{4} bytes/)
  })
})

describe("a number of the wire", () => {
  it("is taken up to 2^53 - 1", () => {
    assert.equal(safeInteger(2n ** 53n - 1n, "an offset"), Number.MAX_SAFE_INTEGER)
    assert.throws(() => safeInteger(2n ** 53n, "an offset"), breach(/an offset is beyond 2\^53/))
  })
})
