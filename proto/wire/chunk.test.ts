import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { cut, Inlet, windowOf } from "./chunk.ts"
import { CHUNK_MAX_BYTES, FrameError, STREAM_WINDOW_BYTES, STREAM_WINDOW_WIDE_BYTES } from "./frame.ts"

function inlet(sizeBytes: number | null, offset = 0) {
  const grants: number[] = []
  return {
    inlet: new Inlet({
      offset,
      sizeBytes,
      windowBytes: () => STREAM_WINDOW_BYTES,
      grant: credit => grants.push(credit),
    }),
    grants,
  }
}

const chunk = (length = CHUNK_MAX_BYTES) => new Uint8Array(length).fill(length % 251)

const lengthOf = (bytes: Uint8Array) => bytes.length

describe("a window", () => {
  it("is wide while there are few, and never less than an agent may count on", () => {
    const all = 4 * STREAM_WINDOW_WIDE_BYTES
    assert.equal(windowOf(1, all), STREAM_WINDOW_WIDE_BYTES)
    assert.equal(windowOf(4, all), STREAM_WINDOW_WIDE_BYTES)
    assert.equal(windowOf(5, all), Math.floor(all / 5))
    assert.equal(windowOf(4_096, all), STREAM_WINDOW_BYTES)
  })
})

describe("bytes", () => {
  it("are cut into chunks of the limit and a rest, without being copied", () => {
    const bytes = new Uint8Array(2 * CHUNK_MAX_BYTES + 1)
    const pieces = [...cut(bytes)]
    assert.deepEqual(
      pieces.map(piece => piece.length),
      [CHUNK_MAX_BYTES, CHUNK_MAX_BYTES, 1],
    )
    assert.ok(pieces.every(piece => piece.buffer === bytes.buffer))
    assert.deepEqual([...cut(new Uint8Array(0))], [])
    assert.equal([...cut(new Uint8Array(CHUNK_MAX_BYTES))].length, 1)
  })
})

describe("an inlet", () => {
  it("gives its reader what came, in order, and grants credit as the bytes are taken", async () => {
    const { inlet: stream, grants } = inlet(3 * STREAM_WINDOW_BYTES)
    assert.equal(stream.creditOffset, STREAM_WINDOW_BYTES)
    for (let at = 0; at < STREAM_WINDOW_BYTES; at += CHUNK_MAX_BYTES) stream.accept(at, chunk())
    const reader = stream[Symbol.asyncIterator]()
    await reader.next()
    await reader.next()
    // One chunk was given back, the second is still the reader's.
    assert.deepEqual(grants, [])
    await reader.next()
    assert.deepEqual(grants, [STREAM_WINDOW_BYTES + 2 * CHUNK_MAX_BYTES])
  })

  it("grants in smaller steps where it is told to, and of a window that became smaller nothing until that much is free", async () => {
    const grants: number[] = []
    let windowBytes = 4 * CHUNK_MAX_BYTES
    const grant = (credit: number) => grants.push(credit / CHUNK_MAX_BYTES)
    const options = { offset: 0, sizeBytes: null, windowBytes: () => windowBytes, stepBytes: CHUNK_MAX_BYTES, grant }
    const stream = new Inlet(options)
    for (let n = 0; n < 4; n++) stream.accept(n * CHUNK_MAX_BYTES, chunk())
    const reader = stream.batches(CHUNK_MAX_BYTES)
    await reader.next()
    assert.deepEqual(grants, [5])
    windowBytes = 2 * CHUNK_MAX_BYTES
    await reader.next()
    await reader.next()
    assert.deepEqual(grants, [5])
    await reader.next()
    assert.deepEqual(grants, [5, 6])
  })

  it("never grants beyond the stream's size, and grants the last bytes however few", async () => {
    const { inlet: stream, grants } = inlet(STREAM_WINDOW_BYTES + 1)
    for (let at = 0; at < STREAM_WINDOW_BYTES; at += CHUNK_MAX_BYTES) stream.accept(at, chunk())
    const reader = stream[Symbol.asyncIterator]()
    await reader.next()
    await reader.next()
    assert.deepEqual(grants, [STREAM_WINDOW_BYTES + 1])
  })

  it("gives all that waits at once to a reader who wants it so, and grants it anew as it is taken", async () => {
    const { inlet: stream, grants } = inlet(3 * STREAM_WINDOW_BYTES)
    for (let at = 0; at < STREAM_WINDOW_BYTES; at += CHUNK_MAX_BYTES) stream.accept(at, chunk())
    const reader = stream.batches(3 * CHUNK_MAX_BYTES)
    assert.deepEqual((await reader.next()).value?.map(lengthOf), [CHUNK_MAX_BYTES, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES])
    assert.deepEqual(grants, [STREAM_WINDOW_BYTES + 3 * CHUNK_MAX_BYTES])
    // Less than half a window more.
    assert.deepEqual((await reader.next()).value?.map(lengthOf), [CHUNK_MAX_BYTES])
    assert.equal(grants.length, 1)
    stream.fail(new Error("gone"))
    await assert.rejects(reader.next(), /gone/)
  })

  it("gives one piece at least, whatever its reader's bound", async () => {
    const { inlet: stream } = inlet(CHUNK_MAX_BYTES)
    stream.accept(0, chunk())
    stream.finish()
    const reader = stream.batches(1)
    assert.deepEqual((await reader.next()).value?.map(lengthOf), [CHUNK_MAX_BYTES])
    assert.equal((await reader.next()).done, true)
  })

  it("refuses a chunk out of sequence, one beyond its credit, and an empty one", () => {
    const { inlet: stream } = inlet(null, 10)
    assert.throws(() => stream.accept(9, chunk()), /at offset 9 where 10 was due/)
    assert.throws(() => stream.accept(11, chunk()), FrameError)
    assert.throws(() => stream.accept(10, chunk(0)), /empty/)
    for (let n = 0; n < 4; n++) stream.accept(10 + n * CHUNK_MAX_BYTES, chunk())
    // The window is full to the byte.
    assert.throws(() => stream.accept(10 + STREAM_WINDOW_BYTES, chunk(1)), /beyond the credit of 262154/)
  })

  it("ends when all has come, and not before", async () => {
    const { inlet: stream } = inlet(5)
    stream.accept(0, chunk(4))
    assert.throws(() => stream.finish(), /ended at offset 4 of 5/)
    stream.accept(4, chunk(1))
    stream.finish()
    let length = 0
    for await (const piece of stream) length += piece.length
    assert.equal(length, 5)
  })

  it("of nothing ends at once", async () => {
    const { inlet: stream } = inlet(0)
    stream.finish()
    for await (const piece of stream) assert.fail(`got ${piece.length} bytes`)
  })

  it("gives what came before it failed, then the error", async () => {
    const { inlet: stream } = inlet(10)
    stream.accept(0, chunk(4))
    stream.fail(new Error("gone"))
    stream.accept(4, chunk(4))
    const reader = stream[Symbol.asyncIterator]()
    assert.equal((await reader.next()).value?.length, 4)
    await assert.rejects(reader.next(), /gone/)
  })

  it("puts crumbs together, so that a window of single bytes stays small", async () => {
    const { inlet: stream } = inlet(null)
    for (let at = 0; at < 100_000; at++) stream.accept(at, Uint8Array.of(at % 256))
    stream.finish()
    let pieces = 0
    let at = 0
    for await (const piece of stream) {
      pieces++
      for (const byte of piece) assert.equal(byte, at++ % 256)
    }
    assert.equal(at, 100_000)
    assert.ok(pieces <= 32, `${pieces} pieces`)
  })
})
