import assert from "node:assert/strict"
import { createRequire } from "node:module"
import type { Writable } from "node:stream"
import { test } from "node:test"
import fc from "fast-check"
import type { Frame } from "./bulk.ts"
import { messages } from "./messages.ts"

/** The types of ws do not know its receiver. */
const { Receiver } = createRequire(import.meta.url)("ws") as { Receiver: new (options: object) => Writable }

test("whatever frames are written together, a WebSocket receiver finds each of them as a message", async () => {
  const size = fc.oneof(
    fc.nat(200),
    fc.constantFrom(125, 126, 127, 4_095, 4_096, 4_097, 65_535, 65_536),
    fc.nat(200_000),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(size, { maxLength: 12 }),
      fc.boolean(),
      fc.boolean(),
      async (sizes, isServer, isSplit) => {
        const frames = sizes.map((length, at) => frameOf(new Uint8Array(length).fill(at + 1), isSplit))
        const receiver = new Receiver({ isServer, binaryType: "nodebuffer", maxPayload: 1024 * 1024 })
        const found: number[][] = []
        receiver.on("message", (data: Buffer, isBinary: boolean) => {
          assert.equal(isBinary, true)
          found.push([data.length, data[0] ?? 0])
        })
        for (const buffer of messages(frames, isServer ? "client" : "server")) {
          await new Promise<void>((resolve, reject) =>
            receiver.write(buffer, error => (error ? reject(error) : resolve())),
          )
        }
        assert.deepEqual(
          found,
          sizes.map((length, at) => [length, length === 0 ? 0 : at + 1]),
        )
      },
    ),
    { numRuns: 60 },
  )
})

/** Whole, or as a chunk is: in two. */
function frameOf(bytes: Uint8Array, isSplit: boolean): Frame {
  const head = bytes.subarray(0, Math.min(9, bytes.length))
  return isSplit ? { head, data: bytes.subarray(head.length), length: bytes.length } : bytes
}

test("small frames are one buffer", () => {
  assert.equal(
    messages(
      Array.from({ length: 100 }, () => new Uint8Array(30)),
      "server",
    ).length,
    1,
  )
  assert.equal(messages([new Uint8Array(30), new Uint8Array(65_000), new Uint8Array(30)], "server").length, 4)
  assert.deepEqual(messages([], "server"), [])
})
