// Blobs in memory, for the simulator and for tests. What would be on the disk is an object of its own: a crash is a new
// store on the same disk, and a test that wants a bit flipped flips it there.
import { createHash } from "node:crypto"
import { type Digest, digestOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobStore, BlobWriter } from "../core/ports.ts"
import { BLOB_PIECE_BYTES } from "../limits.ts"
import {
  beingWritten,
  beyondEnd,
  closed,
  malformed,
  notFound,
  rotten,
  tooLong,
  tooShort,
  wrongDigest,
} from "./errors.ts"

export interface MemoryFile {
  bytes: Uint8Array
  /** Wall time, ms. */
  touchedAt: number
}

export class MemoryDisk {
  readonly blobs = new Map<Digest, MemoryFile>()
  /** By upload and digest. */
  readonly partial = new Map<string, MemoryFile>()
  /** What freeBytes() says. */
  freeBytes = 1e12
}

export interface MemoryBlobOptions {
  readonly disk?: MemoryDisk
  /** Wall time in ms. Default: always 0. */
  readonly wallMs?: () => number
}

export class MemoryBlobStore implements BlobStore {
  readonly #disk: MemoryDisk
  readonly #wallMs: () => number
  readonly #writing = new Set<string>()

  constructor(options: MemoryBlobOptions = {}) {
    this.#disk = options.disk ?? new MemoryDisk()
    this.#wallMs = options.wallMs ?? (() => 0)
  }

  async openWriter(upload: string, blob: BlobRef): Promise<BlobWriter> {
    if (!Number.isSafeInteger(blob.sizeBytes) || blob.sizeBytes < 0) throw malformed(blob)
    const key = keyOf(upload, blob.digest)
    if (this.#writing.has(key)) throw beingWritten(blob)
    this.#writing.add(key)
    return this.#writer(key, blob)
  }

  #writer(key: string, blob: BlobRef): BlobWriter {
    const { partial, blobs } = this.#disk
    const end = () => {
      open = false
      this.#writing.delete(key)
    }
    let open = true
    const here = () => partial.get(key)?.bytes ?? new Uint8Array(0)
    const put = (bytes: Uint8Array) => partial.set(key, { bytes, touchedAt: this.#wallMs() })
    put(here().length > blob.sizeBytes ? new Uint8Array(0) : here())
    return {
      blob,
      get offsetBytes() {
        return here().length
      },
      async write(...pieces) {
        if (!open) throw closed(blob)
        const bytes = Buffer.concat([here(), ...pieces])
        if (bytes.length > blob.sizeBytes) throw tooLong(blob, bytes.length)
        put(bytes)
      },
      finish: async () => {
        if (!open) throw closed(blob)
        if (here().length < blob.sizeBytes) throw tooShort(blob, here().length)
        const bytes = here()
        partial.delete(key)
        end()
        const found = digestBytes(bytes)
        if (found !== blob.digest) throw wrongDigest(blob, found)
        blobs.set(blob.digest, { bytes, touchedAt: this.#wallMs() })
      },
      async suspend() {
        if (open) end()
      },
    }
  }

  async partialBytes(upload: string, digest: Digest): Promise<number> {
    return this.#disk.partial.get(keyOf(upload, digest))?.bytes.length ?? 0
  }

  async has(digest: Digest): Promise<boolean> {
    const file = this.#disk.blobs.get(digest)
    if (file !== undefined) file.touchedAt = this.#wallMs()
    return file !== undefined
  }

  async *read(digest: Digest, offsetBytes: number): AsyncGenerator<Uint8Array> {
    const bytes = this.#disk.blobs.get(digest)?.bytes
    if (bytes === undefined) throw notFound(digest)
    if (offsetBytes > bytes.length) throw beyondEnd(digest, offsetBytes, bytes.length)
    const found = offsetBytes === 0 ? digestBytes(bytes) : digest
    if (found !== digest) {
      this.#disk.blobs.delete(digest)
      throw rotten(digest, found)
    }
    for (let at = offsetBytes; at < bytes.length; at += BLOB_PIECE_BYTES) yield bytes.slice(at, at + BLOB_PIECE_BYTES)
  }

  async remove(digest: Digest, untouchedForMs: number): Promise<boolean> {
    const file = this.#disk.blobs.get(digest)
    if (file === undefined || this.#wallMs() - file.touchedAt < untouchedForMs) return false
    return this.#disk.blobs.delete(digest)
  }

  async *list(): AsyncGenerator<BlobRef> {
    for (const digest of [...this.#disk.blobs.keys()].sort()) {
      const file = this.#disk.blobs.get(digest)
      if (file !== undefined) yield { digest, sizeBytes: file.bytes.length }
    }
  }

  async sweep(olderThanMs: number): Promise<number> {
    let freed = 0
    for (const [key, { bytes, touchedAt }] of this.#disk.partial) {
      if (this.#writing.has(key) || this.#wallMs() - touchedAt < olderThanMs) continue
      this.#disk.partial.delete(key)
      freed += bytes.length
    }
    return freed
  }

  async freeBytes(): Promise<number> {
    return this.#disk.freeBytes
  }
}

function keyOf(upload: string, digest: Digest): string {
  return `${upload}\n${digest}`
}

function digestBytes(bytes: Uint8Array): Digest {
  return digestOf(createHash("sha256").update(bytes).digest())
}
