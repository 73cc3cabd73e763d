// One blob on its way to the disk. Bytes are appended at a known offset and hashed as they come; what a failed write left
// behind is cut off, so that offset, hash and file always agree and the same bytes may be sent again. After a failed
// fsync nothing that was written is trusted any more.
import { createHash, type Hash } from "node:crypto"
import { constants } from "node:fs"
import { type FileHandle, open, rm } from "node:fs/promises"
import { digestOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobWriter } from "../core/ports.ts"
import { BLOB_REHASH_BYTES, BLOB_SYNC_BYTES } from "../limits.ts"
import { Turns } from "../turns.ts"
import { closed, fromSystem, notDurable, tooLong, tooShort, wrongDigest } from "./errors.ts"

export interface Upload {
  readonly blob: BlobRef
  readonly path: string
  /** Gives the checked and durable file its name, durably. */
  readonly keep: () => Promise<void>
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

  write(data: Uint8Array): Promise<void> {
    return this.#inTurn(`writing blob ${this.blob.digest}`, async () => {
      const end = this.#offsetBytes + data.length
      if (end > this.blob.sizeBytes) throw tooLong(this.blob, end)
      try {
        for (let written = 0; written < data.length; ) {
          const left = data.length - written
          written += (await this.#file.write(data, written, left, this.#offsetBytes + written)).bytesWritten
        }
      } catch (thrown) {
        await this.#file.truncate(this.#offsetBytes)
        throw thrown
      }
      this.#hash.update(data)
      this.#offsetBytes = end
      if (end - this.#syncedBytes >= BLOB_SYNC_BYTES) await this.#sync()
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
      if (this.#open) await this.#end()
    })
  }

  #inTurn(doing: string, work: () => Promise<void>): Promise<void> {
    return this.#turns.take("", async () => {
      if (!this.#open) throw closed(this.blob)
      try {
        await work()
      } catch (thrown) {
        throw fromSystem(thrown, doing)
      }
    })
  }

  async #sync(): Promise<void> {
    try {
      await this.#file.sync()
      this.#syncedBytes = this.#offsetBytes
    } catch (thrown) {
      await this.#throwAway()
      throw notDurable(this.blob, thrown)
    }
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
    try {
      await this.#file.close()
    } finally {
      this.#upload.release()
    }
  }
}
