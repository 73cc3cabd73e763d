// Pictures made here byte by byte, so that the decoder is not checked against itself.
import assert from "node:assert/strict"
import { test } from "node:test"
import { crc32, deflateSync } from "node:zlib"
import { decodePng, variance } from "./png.ts"

function chunk(kind: string, body: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(kind, "latin1"), body, Buffer.alloc(4)])
  bytes.writeUInt32BE(body.length, 0)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length)
  return bytes
}

function png(width: number, height: number, rows: readonly (readonly number[])[], depth = 8, colour = 2): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([depth, colour, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.from(rows.flat()))),
    chunk("IEND", Buffer.alloc(0)),
  ])
}

test("each of the five filters is undone as the specification says", () => {
  // Two pixels a row; every row decodes to 10 20 30, 40 50 60.
  const picture = decodePng(
    png(2, 5, [
      [0, 10, 20, 30, 40, 50, 60],
      [1, 10, 20, 30, 30, 30, 30], // minus left
      [2, 0, 0, 0, 0, 0, 0], // minus up
      [3, 5, 10, 15, 15, 15, 15], // minus the mean of left and up
      [4, 0, 0, 0, 0, 0, 0], // minus whichever of left, up, up-left predicts best
    ]),
  )
  assert.deepEqual([...picture.samples], Array(5).fill([10, 20, 30, 40, 50, 60]).flat())
})

test("sums wrap at 256", () => {
  assert.deepEqual([...decodePng(png(2, 1, [[1, 200, 200, 200, 100, 56, 55]])).samples], [200, 200, 200, 44, 0, 255])
})

test("of sixteen bits a sample the high byte is kept", () => {
  assert.deepEqual([...decodePng(png(1, 1, [[0, 1, 255, 2, 255, 3, 255]], 16)).samples], [1, 2, 3])
})

test("a picture of one colour varies by 0, black beside white by 127.5 squared", () => {
  assert.equal(variance(decodePng(png(2, 1, [[0, 7, 7, 7, 7, 7, 7]]))), 0)
  assert.equal(variance(decodePng(png(2, 1, [[0, 0, 0, 0, 255, 255, 255]]))), 127.5 ** 2)
})

test("a file cut at any byte is refused, never half read", () => {
  const whole = png(2, 1, [[0, 1, 2, 3, 4, 5, 6]])
  for (let bytes = 0; bytes < whole.length; bytes++)
    assert.throws(() => decodePng(whole.subarray(0, bytes)), Error, `${bytes} bytes`)
})

test("a flipped bit is noticed wherever it is", () => {
  const whole = png(2, 1, [[0, 1, 2, 3, 4, 5, 6]])
  for (let at = 0; at < whole.length; at++) {
    const bent = Buffer.from(whole)
    bent[at] = (bent[at] ?? 0) ^ 1
    assert.throws(() => decodePng(bent), Error, `byte ${at}`)
  }
})

test("a header that promises more than it holds is refused before memory is taken for it", () => {
  assert.throws(() => decodePng(png(60_000, 60_000, [[0]])), /no size for a frame/)
  assert.throws(() => decodePng(png(100, 100, [[0]])), /bytes of pixels where/)
})
