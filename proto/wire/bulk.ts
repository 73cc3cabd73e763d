// Chunks coded by hand, to the same bytes as the generated code makes and reads: it copies a chunk's bytes on their way out,
// which costs more than hashing them (npm run bench -- --only stream). A chunk to be sent is its head and, uncopied, its bytes.
// Reading is for the plain case only: whatever is not exactly that is null here and goes the long way, which knows what to say
// of it. bulk.test.ts holds both to the generated code.
import type { Chunk } from "../gen/cah/v1/link_pb.ts"
import { putVarint, varintLength } from "./varint.ts"

/** An encoded frame, whole or, for a chunk, in two parts. */
export type Frame = Uint8Array | ChunkFrame

export interface ChunkFrame {
  readonly head: Uint8Array
  readonly data: Uint8Array
  /** Of both. */
  readonly length: number
}

/** First bytes of a frame with a chunk: the envelope's field number and "length-delimited". */
export const HUB_CHUNK = 0x52
export const AGENT_CHUNK = 0x2a

const STREAM = 0x08
const OFFSET = 0x10
const DATA = 0x1a
/** Tags, and varints of an envelope's length, a stream, an offset up to 2^53 and a length. */
const HEAD_MAX_BYTES = 4 + 5 + 5 + 8 + 5

export function chunkFrame(first: number, stream: number, offset: number, data: Uint8Array): ChunkFrame {
  const content =
    (stream === 0 ? 0 : 1 + varintLength(stream)) +
    (offset === 0 ? 0 : 1 + varintLength(offset)) +
    (data.length === 0 ? 0 : 1 + varintLength(data.length) + data.length)
  const head = Buffer.allocUnsafe(HEAD_MAX_BYTES)
  let at = putField(head, 0, first, content)
  if (stream !== 0) at = putField(head, at, STREAM, stream)
  if (offset !== 0) at = putField(head, at, OFFSET, offset)
  if (data.length !== 0) at = putField(head, at, DATA, data.length)
  return { head: head.subarray(0, at), data, length: at + data.length }
}

/** For whoever can only send a frame in one piece. */
export function whole(frame: Frame): Uint8Array {
  return frame instanceof Uint8Array ? frame : Buffer.concat([frame.head, frame.data], frame.length)
}

/** The chunk that fills this frame. Null: it is another frame, or not a plain one. */
export function quickChunk(first: number, frame: Uint8Array): { case: "chunk"; value: Chunk } | null {
  if (frame[0] !== first) return null
  cursor = 1
  if (varint(frame) !== frame.length - cursor || frame[cursor++] !== STREAM) return null
  const stream = varint(frame)
  let offset = 0
  if (frame[cursor] === OFFSET) {
    cursor++
    offset = varint(frame)
    if (offset === 0) return null
  }
  if (!(stream > 0 && stream < 2 ** 32) || offset === UNREADABLE || frame[cursor++] !== DATA) return null
  const length = varint(frame)
  if (length === 0 || length !== frame.length - cursor) return null
  const value: Chunk = { $typeName: "cah.v1.Chunk", stream, offset: BigInt(offset), data: frame.subarray(cursor) }
  return { case: "chunk", value }
}

const UNREADABLE = -1
/** Where in a frame is read; its own variable, for a reading makes no objects. */
let cursor = 0

/** UNREADABLE: beyond the end, beyond 2^53, or longer than need be. */
function varint(frame: Uint8Array): number {
  let value = 0
  for (let scale = 1; scale < 2 ** 53; scale *= 128) {
    const byte = frame[cursor++]
    if (byte === undefined) return UNREADABLE
    value += (byte & 0x7f) * scale
    if (byte >= 0x80) continue
    const isPlain = value <= Number.MAX_SAFE_INTEGER && (byte !== 0 || scale === 1)
    return isPlain ? value : UNREADABLE
  }
  return UNREADABLE
}

function putField(buffer: Uint8Array, start: number, tag: number, value: number): number {
  buffer[start] = tag
  return putVarint(buffer, start + 1, value)
}
