// One blob on its way to the disk. Bytes are appended at a known offset and hashed as they come; what a failed write left
// behind is cut off, so that offset, hash and file always agree and the same bytes may be sent again. The disk is kept busy
// ahead of the end, and nobody waits for it before that. After a failed fsync, whoever heard of it first, nothing that was
// written is trusted any more.
import { createHash, type Hash } from "node:crypto"
import { constants } from "node:fs"
import { type FileHandle, open, rm } from "node:fs/promises"
import { Turns } from "../../common/turns.ts"
import { digestOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobWriter } from "../core/ports.ts"
import { BLOB_REHASH_BYTES, BLOB_SYNC_BYTES } from "../limits.ts"
import { closed, fromSystem, notDurable, tooLong, tooShort, wrongDigest } from "./errors.ts"

export interface Upload {
  readonly blob: BlobRef
  readonly path: string
  /** Gives the checked and durable file its name, durably. */
  readonly keep: () => Promise<void>
  /** Synchronises the file while more is written to it. Null: not now, others are being synchronised. */
  readonly syncAhead: (file: FileHandle) => Promise<void> | null
  /** Runs a write when those of other uploads before it are done. */
  readonly writeInTurn: <T>(write: () => Promise<T>) => Promise<T>
  /** Lets the next writer of this upload in. */
  readonly release: () => void
}

export class DiskWriter implements BlobWriter {
  readonly blob: BlobRef
  readonly #upload: Upload
  readonly #file: FileHandle
  readonly #turns = new Turns()
  #hash: Hash
  #offsetBytes: number
  #syncedBytes: number
  /** The synchronisation under way. Never rejects: what it failed by is kept in #doubt. */
  #ahead: Promise<void> | null = null
  #doubt: { readonly cause: unknown } | null = null
  #open = true

  private constructor(upload: Upload, file: FileHandle, hash: Hash, offsetBytes: number) {
    this.blob = upload.blob
    this.#upload = upload
    this.#file = file
    this.#hash = hash
    this.#offsetBytes = offsetBytes
    this.#syncedBytes = offsetBytes
  }

  /** With what an earlier writer left, hashed anew: its own hash went with it. */
  static async open(upload: Upload): Promise<DiskWriter> {
    const file = await open(upload.path, constants.O_RDWR | constants.O_CREAT, 0o600)
    try {
      const hash = createHash("sha256")
      const piece = Buffer.allocUnsafeSlow(BLOB_REHASH_BYTES)
      let offsetBytes = 0
      while (true) {
        const { bytesRead } = await file.read(piece, 0, piece.length, offsetBytes)
        if (bytesRead === 0) break
        hash.update(piece.subarray(0, bytesRead))
        offsetBytes += bytesRead
      }
      const writer = new DiskWriter(upload, file, hash, offsetBytes)
      // The same name was used for another size: none of these bytes can be meant.
      if (offsetBytes > upload.blob.sizeBytes) await writer.#beginAgain()
      return writer
    } catch (thrown) {
      await file.close()
      throw thrown
    }
  }

  get offsetBytes(): number {
    return this.#offsetBytes
  }

  write(...pieces: Uint8Array[]): Promise<void> {
    return this.#inTurn(`writing blob ${this.blob.digest}`, async () => {
      const end = pieces.reduce((sum, { length }) => sum + length, this.#offsetBytes)
      if (end > this.blob.sizeBytes) throw tooLong(this.blob, end)
      const offsetBytes = this.#offsetBytes
      const before = this.#hash.copy()
      const writing = this.#upload.writeInTurn(() => writeAll(this.#file, pieces, offsetBytes))
      // While the disk's thread has them.
      for (const piece of pieces) this.#hash.update(piece)
      try {
        await writing
      } catch (thrown) {
        this.#hash = before
        await this.#file.truncate(offsetBytes)
        throw thrown
      }
      this.#offsetBytes = end
      if (end - this.#syncedBytes >= BLOB_SYNC_BYTES) this.#syncAhead()
    })
  }

  finish(): Promise<void> {
    return this.#inTurn(`storing blob ${this.blob.digest}`, async () => {
      if (this.#offsetBytes < this.blob.sizeBytes) throw tooShort(this.blob, this.#offsetBytes)
      const found = digestOf(this.#hash.copy().digest())
      if (found !== this.blob.digest) {
        await this.#throwAway()
        throw wrongDigest(this.blob, found)
      }
      await this.#sync()
      await this.#upload.keep()
      await this.#end()
    })
  }

  suspend(): Promise<void> {
    return this.#turns.take("", async () => {
      if (!this.#open) return
      await this.#ahead
      await (this.#doubt === null ? this.#end() : this.#throwAway())
    })
  }

  #inTurn(doing: string, work: () => Promise<void>): Promise<void> {
    return this.#turns.take("", async () => {
      if (!this.#open) throw closed(this.blob)
      try {
        if (this.#doubt !== null) await this.#giveUp(this.#doubt.cause)
        await work()
      } catch (thrown) {
        throw fromSystem(thrown, doing)
      }
    })
  }

  #syncAhead(): void {
    if (this.#ahead !== null) return
    const offsetBytes = this.#offsetBytes
    const syncing = this.#upload.syncAhead(this.#file)
    if (syncing === null) return
    this.#ahead = syncing
      .then(
        () => {
          this.#syncedBytes = offsetBytes
        },
        cause => {
          this.#doubt = { cause }
        },
      )
      .finally(() => {
        this.#ahead = null
      })
  }

  async #sync(): Promise<void> {
    await this.#ahead
    // The kernel tells of a failure once: it will not say so again.
    if (this.#doubt !== null) await this.#giveUp(this.#doubt.cause)
    try {
      await this.#file.sync()
    } catch (thrown) {
      await this.#giveUp(thrown)
    }
  }

  async #giveUp(cause: unknown): Promise<never> {
    await this.#throwAway()
    throw notDurable(this.blob, cause)
  }

  async #beginAgain(): Promise<void> {
    await this.#file.truncate(0)
    this.#hash = createHash("sha256")
    this.#offsetBytes = 0
    this.#syncedBytes = 0
  }

  async #throwAway(): Promise<void> {
    try {
      await rm(this.#upload.path, { force: true })
    } finally {
      await this.#end()
    }
  }

  async #end(): Promise<void> {
    this.#open = false
    await this.#ahead
    try {
      await this.#file.close()
    } finally {
      this.#upload.release()
    }
  }
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
  let at = offsetBytes
  for (let left = pieces; left.length > 0; ) {
    const { bytesWritten } = await file.writev(left, at)
    at += bytesWritten
    left = after(left, bytesWritten)
  }
}

/** What is left of the pieces behind so many bytes. */
function after(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let rest = bytes
  const next = pieces.findIndex(({ length }) => {
    if (rest < length) return true
    rest -= length
    return false
  })
  return next < 0 ? [] : [pieces[next]!.subarray(rest), ...pieces.slice(next + 1)]
}
