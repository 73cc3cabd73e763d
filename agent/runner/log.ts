// One output stream of a running command, kept within a bound: all of it while it is short, later its first and its last half,
// with what was dropped between them counted and marked. Short outputs never touch the disk. A follower reads from what is kept, as
// fast as it can: the kept bytes are its buffer, so a slow one costs nothing and loses only what nobody kept.
import { createHash } from "node:crypto"
import { type FileHandle, open, rename, unlink } from "node:fs/promises"
import { join } from "node:path"
import { digestOf, hexOf } from "../../proto/wire/digest.ts"
import type { BlobRef, LogRef } from "../core/model.ts"
import { LOG_INLINE_MAX_BYTES, LOG_MAX_BYTES } from "../limits.ts"

const CHUNK_BYTES = 64 * 1024

export interface LogBounds {
  readonly inlineMaxBytes: number
  readonly maxBytes: number
}

export class OutputLog {
  readonly #file: string
  readonly #inlineMax: number
  /** The head is kept whole; what follows goes round in the tail. */
  readonly #headMax: number
  readonly #tailMax: number
  /** All that was written, until it is too much; then null, and the file has it. */
  #memory: Buffer[] | null = []
  #handle: FileHandle | null = null
  /** Bytes given to us, and of them, in order, those that were stored at some time. They differ once the disk has failed. */
  #total = 0
  #stored = 0
  #trouble = ""
  #ended = false
  /** Who needs the file: the writer until finish() is over, and every follower. The last to leave closes it. */
  #users = 1
  #wake: (() => void)[] = []

  /** `file` is where it may spill to; it need not exist. */
  constructor(file: string, bounds: LogBounds = { inlineMaxBytes: LOG_INLINE_MAX_BYTES, maxBytes: LOG_MAX_BYTES }) {
    this.#file = file
    this.#inlineMax = bounds.inlineMaxBytes
    this.#headMax = Math.floor(bounds.maxBytes / 2)
    this.#tailMax = bounds.maxBytes - this.#headMax
  }

  /** One call at a time. Never rejects: a disk that is full costs the rest of the log, not the job. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#total += bytes.length
    if (this.#trouble === "") {
      try {
        await this.#store(bytes)
      } catch (error) {
        this.#trouble = `its output could not be kept: ${(error as NodeJS.ErrnoException).code === "ENOSPC" ? "the disk of the node is full" : String(error)}`
      }
    }
    this.#wakeAll()
  }

  /** No more comes. What is kept goes into the report if it is short, else into the spool under its digest. */
  async finish(spool: string): Promise<{ readonly log: LogRef; readonly trouble: string }> {
    this.#ended = true
    this.#wakeAll()
    const dropped = this.#total - this.#stored + Math.max(0, this.#stored - this.#headMax - this.#tailMax)
    try {
      if (this.#memory !== null) {
        const inline = this.#memory.length === 0 ? null : Buffer.concat(this.#memory).toString("base64")
        return { log: { inline, blob: null, droppedBytes: dropped }, trouble: this.#trouble }
      }
      const blob = await this.#spool(spool)
      return { log: { inline: null, blob, droppedBytes: dropped }, trouble: this.#trouble }
    } catch (error) {
      const trouble = `its output could not be kept: ${error instanceof Error ? error.message : String(error)}`
      return { log: { inline: null, blob: null, droppedBytes: this.#total }, trouble }
    } finally {
      await this.#leave()
    }
  }

  /** From the beginning or an offset, as far as it is kept, and on as it comes, until finish(). */
  async *follow(offset = 0): AsyncGenerator<Uint8Array> {
    // Came after the end, when the file is gone: what it says now is in the result.
    if (this.#users === 0) return
    this.#users++
    try {
      let cursor = Math.min(offset, this.#stored)
      const missed = this.#stored - this.#tailMax - cursor
      if (cursor >= this.#headMax && missed > 0) yield dropped(missed)
      for (;;) {
        // Overtaken by the tail's end: go on where the kept bytes begin.
        if (cursor >= this.#headMax) cursor = Math.max(cursor, this.#stored - this.#tailMax)
        if (cursor < this.#stored) {
          const bytes = await this.#read(cursor)
          const overwritten = cursor >= this.#headMax && cursor < this.#stored - this.#tailMax
          if (overwritten) continue
          cursor += bytes.length
          yield bytes
        } else if (this.#ended) return
        else await new Promise<void>(resolve => this.#wake.push(resolve))
      }
    } finally {
      await this.#leave()
    }
  }

  async #store(bytes: Uint8Array): Promise<void> {
    if (this.#memory !== null) {
      if (this.#stored + bytes.length <= this.#inlineMax) {
        // Copied: the chunk may be a slice of a pool.
        this.#memory.push(Buffer.from(bytes))
        this.#stored += bytes.length
        return
      }
      const before = Buffer.concat(this.#memory)
      this.#handle = await open(this.#file, "wx+", 0o600)
      await writeAt(this.#handle, before, 0)
      this.#memory = null
    }
    for (let at = 0; at < bytes.length; ) {
      const { position, room } = this.#place(this.#stored)
      const part = bytes.subarray(at, at + room)
      await writeAt(this.#handle!, part, position)
      at += part.length
      this.#stored += part.length
    }
  }

  /** Where in the file the byte of this offset lies, and how many follow it there without a break. */
  #place(offset: number): { position: number; room: number } {
    if (offset < this.#headMax) return { position: offset, room: this.#headMax - offset }
    const round = (offset - this.#headMax) % this.#tailMax
    return { position: this.#headMax + round, room: this.#tailMax - round }
  }

  async #read(offset: number): Promise<Buffer> {
    if (this.#memory !== null) return Buffer.concat(this.#memory).subarray(offset)
    const { position, room } = this.#place(offset)
    const buffer = Buffer.allocUnsafe(Math.min(room, this.#stored - offset, CHUNK_BYTES))
    const { bytesRead } = await this.#handle!.read(buffer, 0, buffer.length, position)
    return buffer.subarray(0, bytesRead)
  }

  /** In its true order, with a line where bytes are missing. */
  async *#kept(): AsyncGenerator<Buffer> {
    const tailBegin = Math.max(this.#headMax, this.#stored - this.#tailMax)
    for (let at = 0; at < this.#stored; ) {
      const bytes = await this.#read(at)
      const end = at < this.#headMax ? this.#headMax : this.#stored
      yield bytes.subarray(0, end - at)
      at += Math.min(bytes.length, end - at)
      if (at === this.#headMax && tailBegin > this.#headMax) {
        yield dropped(tailBegin - this.#headMax)
        at = tailBegin
      }
    }
  }

  async #spool(directory: string): Promise<BlobRef> {
    const temporary = `${this.#file}.whole`
    const handle = await open(temporary, "wx", 0o600)
    try {
      const hash = createHash("sha256")
      let sizeBytes = 0
      for await (const bytes of this.#kept()) {
        hash.update(bytes)
        await writeAt(handle, bytes, sizeBytes)
        sizeBytes += bytes.length
      }
      await handle.sync()
      const digest = digestOf(hash.digest())
      await rename(temporary, join(directory, hexOf(digest)))
      return { digest, sizeBytes }
    } catch (error) {
      await unlink(temporary).catch(() => {})
      throw error
    } finally {
      await handle.close()
    }
  }

  async #leave(): Promise<void> {
    if (--this.#users > 0 || this.#handle === null) return
    const handle = this.#handle
    this.#handle = null
    // Whatever closing it says, every byte was read that anybody wanted: it must not become the command's failure.
    await handle.close().catch(() => {})
    await unlink(this.#file).catch(() => {})
  }

  #wakeAll(): void {
    const sleepers = this.#wake
    this.#wake = []
    for (const wake of sleepers) wake()
  }
}

function dropped(bytes: number): Buffer {
  return Buffer.from(`\n[clouds-at-home: ${bytes} bytes were dropped here]\n`)
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten
}
