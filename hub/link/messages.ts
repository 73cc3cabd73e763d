// Frames as WebSocket messages, put together for one write. ws writes a header and a payload for each message and gives the
// kernel a list of them; for the small frames of a tick one buffer costs a third (npm run bench -- --only noop). RFC 6455
// §5.2, from a server: never masked, never in fragments, no extension.

/** Up to here copying is cheaper than another entry in the list. */
const COPIED_MAX_BYTES = 4 * 1024
/** FIN, and opcode 2: binary. */
const BINARY = 0x82

/** Buffers that hold the messages of these frames, in order. */
export function messages(frames: readonly Uint8Array[]): Uint8Array[] {
  const found: Uint8Array[] = []
  let first = 0
  for (let at = 0; at <= frames.length; at++) {
    const frame = frames[at]
    if (frame !== undefined && frame.length <= COPIED_MAX_BYTES) continue
    if (at > first) found.push(together(frames, first, at))
    first = at + 1
    if (frame !== undefined) found.push(header(frame.length), frame)
  }
  return found
}

function together(frames: readonly Uint8Array[], first: number, end: number): Buffer {
  let size = 0
  for (let at = first; at < end; at++) size += headerLength(frames[at]!.length) + frames[at]!.length
  const buffer = Buffer.allocUnsafe(size)
  let position = 0
  for (let at = first; at < end; at++) {
    const frame = frames[at]!
    position = putHeader(buffer, position, frame.length)
    buffer.set(frame, position)
    position += frame.length
  }
  return buffer
}

function header(length: number): Buffer {
  const buffer = Buffer.allocUnsafe(headerLength(length))
  putHeader(buffer, 0, length)
  return buffer
}

/** Frames have at most 256 KiB: the length's upper bytes are 0. */
function headerLength(length: number): number {
  return length < 126 ? 2 : length < 65_536 ? 4 : 10
}

function putHeader(buffer: Buffer, at: number, length: number): number {
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
