// Frames as WebSocket messages, put together for one write. ws writes a header and a payload for each message and gives the
// kernel a list of them; for the small frames of a tick one buffer costs a third (npm run bench -- --only noop). RFC 6455
// §5.2: never in fragments, no extension; from a server not masked, from a client with a key of zeros, which changes no byte.
import type { Frame } from "./bulk.ts"

/** Up to here copying is cheaper than another entry in the list. */
const COPIED_MAX_BYTES = 4 * 1024
/** FIN, and opcode 2: binary. */
const BINARY = 0x82
/** Beside the length: a key follows, of so many bytes. */
const MASKED = 0x80
const KEY_BYTES = 4

/** Buffers that hold the messages of these frames, in order. */
export function messages(frames: readonly Frame[], from: "server" | "client"): Uint8Array[] {
  const isMasked = from === "client"
  const found: Uint8Array[] = []
  let first = 0
  for (let at = 0; at <= frames.length; at++) {
    const frame = frames[at]
    if (frame !== undefined && frame.length <= COPIED_MAX_BYTES) continue
    if (at > first) found.push(together(frames, first, at, isMasked))
    first = at + 1
    if (frame === undefined) break
    if (frame instanceof Uint8Array) found.push(header(frame.length, isMasked), frame)
    else found.push(Buffer.concat([header(frame.length, isMasked), frame.head]), frame.data)
  }
  return found
}

function together(frames: readonly Frame[], first: number, end: number, isMasked: boolean): Buffer {
  let size = 0
  for (let at = first; at < end; at++) size += headerLength(frames[at]!.length, isMasked) + frames[at]!.length
  const buffer = Buffer.allocUnsafe(size)
  let position = 0
  for (let at = first; at < end; at++) {
    const frame = frames[at]!
    position = putHeader(buffer, position, frame.length, isMasked)
    if (frame instanceof Uint8Array) buffer.set(frame, position)
    else {
      buffer.set(frame.head, position)
      buffer.set(frame.data, position + frame.head.length)
    }
    position += frame.length
  }
  return buffer
}

function header(length: number, isMasked: boolean): Buffer {
  const buffer = Buffer.allocUnsafe(headerLength(length, isMasked))
  putHeader(buffer, 0, length, isMasked)
  return buffer
}

/** Frames have at most 256 KiB: the length's upper bytes are 0. */
function headerLength(length: number, isMasked: boolean): number {
  return (length < 126 ? 2 : length < 65_536 ? 4 : 10) + (isMasked ? KEY_BYTES : 0)
}

function putHeader(buffer: Buffer, start: number, length: number, isMasked: boolean): number {
  const at = putLength(buffer, start, length)
  if (!isMasked) return at
  buffer[start + 1]! |= MASKED
  buffer.fill(0, at, at + KEY_BYTES)
  return at + KEY_BYTES
}

function putLength(buffer: Buffer, at: number, length: number): number {
  buffer[at] = BINARY
  if (length < 126) {
    buffer[at + 1] = length
    return at + 2
  }
  if (length < 65_536) {
    buffer[at + 1] = 126
    buffer.writeUInt16BE(length, at + 2)
    return at + 4
  }
  buffer[at + 1] = 127
  buffer.writeUInt32BE(0, at + 2)
  buffer.writeUInt32BE(length, at + 6)
  return at + 10
}
