// The file that the BOINC client shares with its application: eight channels of 1 KiB, each a flag and a text. The client maps it into memory; reading
// and writing it as a file shows the same bytes, as long as both are on one machine. Whoever sends writes the text first and the flag last, and
// only into an empty channel; whoever receives empties it. (BOINC: lib/app_ipc.h)
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs"

export const SHARED_FILE = "boinc_mmap_file"

const CHANNEL_BYTES = 1_024
const TEXT_MAX_BYTES = CHANNEL_BYTES - 2

/** By their place in the file. The others are not used any more. */
export const channels = { control: 0, heartbeat: 4, status: 5, trickleUp: 6, trickleDown: 7 } as const
export type Channel = keyof typeof channels
export const SHARED_BYTES = 8 * CHANNEL_BYTES

export class SharedFile {
  readonly #fd: number
  readonly #buffer = Buffer.alloc(CHANNEL_BYTES)

  /** Throws if the file is not there, or too small to be one. */
  constructor(path: string) {
    this.#fd = openSync(path, "r+")
    const { size } = fstatSync(this.#fd)
    if (size >= SHARED_BYTES) return
    closeSync(this.#fd)
    throw new Error(`${path} has ${size} bytes; a BOINC client makes it with ${SHARED_BYTES}`)
  }

  /** The message that waits in the channel, which is empty afterwards; null if there is none. */
  receive(channel: Channel): string | null {
    const offset = channels[channel] * CHANNEL_BYTES
    readSync(this.#fd, this.#buffer, 0, CHANNEL_BYTES, offset)
    if (this.#buffer[0] === 0) return null
    const end = this.#buffer.indexOf(0, 1)
    const text = this.#buffer.toString("latin1", 1, end === -1 ? CHANNEL_BYTES : end)
    writeSync(this.#fd, Buffer.of(0), 0, 1, offset)
    return text
  }

  /** False, and nothing sent, while the last message was not taken. */
  send(channel: Channel, text: string): boolean {
    const bytes = Buffer.from(`${text}\0`, "latin1")
    if (bytes.length > TEXT_MAX_BYTES) throw new Error(`a message of ${bytes.length} bytes is too long for a channel`)
    const offset = channels[channel] * CHANNEL_BYTES
    readSync(this.#fd, this.#buffer, 0, 1, offset)
    if (this.#buffer[0] !== 0) return false
    writeSync(this.#fd, bytes, 0, bytes.length, offset + 1)
    writeSync(this.#fd, Buffer.of(1), 0, 1, offset)
    return true
  }

  close(): void {
    closeSync(this.#fd)
  }
}
