// Blobs in a directory, each under its digest:
//   sha256/ab/<64 hex>            whole, checked, durable
//   partial/<upload>.<64 hex>     on its way in; <upload> is the hash of the upload's name
//   quarantine/<64 hex>           found bad, kept for a person to look at
// A blob gets its name only after its bytes are checked and on disk, and its caller hears of it only after the name is.
// It hashes in small pieces between awaits, never a whole file at once, and knows nothing of who owns what.
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, unlink, utimes } from "node:fs/promises"
import { dirname, join } from "node:path"
import { syncDirectory } from "../../common/disk.ts"
import { Turns } from "../../common/turns.ts"
import { type Digest, digestOf, hexOf, parseDigest } from "../../proto/wire/digest.ts"
import { CHUNK_MAX_BYTES } from "../../proto/wire/frame.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobStore, BlobWriter } from "../core/ports.ts"
import {
  BLOB_PIECE_BYTES,
  BLOB_PIECES_BYTES,
  BLOB_QUARANTINE_MS,
  BLOB_STATS_AT_ONCE,
  BLOB_TOUCH_MS,
} from "../limits.ts"
import type { Damage } from "./damage.ts"
import { beingWritten, beyondEnd, fromSystem, malformed, notFound, rotten } from "./errors.ts"
import { DiskWriter } from "./upload.ts"

export interface DiskBlobOptions {
  /** Made if it is not there. */
  readonly directory: string
  /** Wall time in ms: ages of files are told by it. */
  readonly wallMs: () => number
  /** Hears of blobs that went bad, and of those stored anew. */
  readonly damage?: Pick<Damage, "found" | "healed">
}

export async function openDiskBlobs(options: DiskBlobOptions): Promise<DiskBlobStore> {
  const { directory } = options
  for (const place of ["partial", "quarantine", "sha256"]) {
    await mkdir(join(directory, place), { recursive: true, mode: 0o700 })
  }
  // All 256 now, so that no upload has to make a directory durable beside its file.
  const drawers = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))
  await Promise.all(drawers.map(name => mkdir(join(directory, "sha256", name), { recursive: true, mode: 0o700 })))
  await syncDirectory(join(directory, "sha256"))
  await syncDirectory(directory)
  await syncDirectory(dirname(directory))
  return new DiskBlobStore(options)
}

export class DiskBlobStore implements BlobStore {
  readonly #directory: string
  readonly #wallMs: () => number
  readonly #damage: DiskBlobOptions["damage"]
  /** Paths of unfinished uploads that have a writer now. */
  readonly #writing = new Set<string>()
  /** One upload at a time is synchronised ahead of its end: Node has four threads for files, and whoever writes needs them. */
  #isSyncing = false
  /**
   * One upload at a time is written to: a write copies into the page cache, which several threads do no faster and take the
   * processor from the hub's own for (npm run bench -- --only stream: control frames wait a third as long).
   */
  readonly #writes = new Turns()
  #readers = 0
  /** By digest: taking a blob away must not fall between somebody's asking for it and its being marked as used. */
  readonly #turns = new Turns()

  constructor(options: DiskBlobOptions) {
    this.#directory = options.directory
    this.#wallMs = options.wallMs
    this.#damage = options.damage
  }

  async openWriter(upload: string, blob: BlobRef): Promise<BlobWriter> {
    if (!Number.isSafeInteger(blob.sizeBytes) || blob.sizeBytes < 0) throw malformed(blob)
    const path = this.#partialPath(upload, blob.digest)
    if (this.#writing.has(path)) throw beingWritten(blob)
    this.#writing.add(path)
    const release = () => void this.#writing.delete(path)
    const keep = () => this.#keep(path, blob.digest)
    const syncAhead = (file: FileHandle) => this.#syncAhead(file)
    const writeInTurn = <T>(write: () => Promise<T>) => this.#writes.take("", write)
    try {
      return await DiskWriter.open({ blob, path, keep, syncAhead, writeInTurn, release })
    } catch (thrown) {
      release()
      throw fromSystem(thrown, `opening the upload of ${blob.digest}`)
    }
  }

  async partialBytes(upload: string, digest: Digest): Promise<number> {
    return (await statOrNull(this.#partialPath(upload, digest)))?.size ?? 0
  }

  has(digest: Digest): Promise<boolean> {
    const path = this.#path(digest)
    return this.#turns.take(digest, async () => {
      const found = await statOrNull(path)
      if (found === null) return false
      const now = this.#wallMs()
      if (now - found.mtimeMs > BLOB_TOUCH_MS) await utimes(path, now / 1_000, now / 1_000)
      return true
    })
  }

  async *read(digest: Digest, offsetBytes: number): AsyncGenerator<Uint8Array> {
    const path = this.#path(digest)
    let file: FileHandle
    try {
      file = await open(path, constants.O_RDONLY)
    } catch (thrown) {
      if (isMissing(thrown)) throw notFound(digest)
      throw fromSystem(thrown, `reading blob ${digest}`)
    }
    this.#readers++
    try {
      const { size, ino } = await file.stat()
      if (offsetBytes > size) throw beyondEnd(digest, offsetBytes, size)
      const pieces = this.#pieces(file, offsetBytes, size)
      if (offsetBytes > 0) yield* pieces
      else yield* this.#checked(digest, pieces, ino)
    } catch (thrown) {
      throw fromSystem(thrown, `reading blob ${digest}`)
    } finally {
      this.#readers--
      await file.close()
    }
  }

  async *#pieces(file: FileHandle, offsetBytes: number, size: number): AsyncGenerator<Uint8Array> {
    for (let position = offsetBytes; position < size; ) {
      const share = Math.max(Math.floor(BLOB_PIECES_BYTES / this.#readers), CHUNK_MAX_BYTES)
      // Each its own: the one before may still be on its way to a socket.
      const piece = Buffer.allocUnsafeSlow(Math.min(BLOB_PIECE_BYTES, share, size - position))
      const { bytesRead } = await file.read(piece, 0, piece.length, position)
      if (bytesRead === 0) return
      position += bytesRead
      yield piece.subarray(0, bytesRead)
    }
  }

  /** The last piece waits until all are known to be right: nobody can take a bad blob for a whole one. */
  async *#checked(digest: Digest, pieces: AsyncIterable<Uint8Array>, ino: number): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256")
    let held: Uint8Array | null = null
    for await (const piece of pieces) {
      hash.update(piece)
      if (held !== null) yield held
      held = piece
    }
    const found = digestOf(hash.digest())
    if (found !== digest) {
      await this.#quarantine(digest, ino)
      throw rotten(digest, found)
    }
    if (held !== null) yield held
  }

  #quarantine(digest: Digest, ino: number): Promise<void> {
    const path = this.#path(digest)
    return this.#turns.take(digest, async () => {
      // A good copy may have been put in its place while the bad one was being read.
      if ((await statOrNull(path))?.ino !== ino) return
      this.#damage?.found(digest)
      await rename(path, join(this.#directory, "quarantine", hexOf(digest)))
      await syncDirectory(dirname(path))
    })
  }

  remove(digest: Digest, untouchedForMs: number): Promise<boolean> {
    const path = this.#path(digest)
    return this.#turns.take(digest, async () => {
      const found = await statOrNull(path)
      if (found === null || this.#wallMs() - found.mtimeMs < untouchedForMs) return false
      await unlink(path)
      return true
    })
  }

  async *list(): AsyncGenerator<BlobRef> {
    const root = join(this.#directory, "sha256")
    for (const drawer of (await readdir(root)).sort()) {
      const digests = (await readdir(join(root, drawer))).sort().flatMap(hex => parseDigest(`sha256:${hex}`) ?? [])
      for (let at = 0; at < digests.length; at += BLOB_STATS_AT_ONCE) {
        const some = digests.slice(at, at + BLOB_STATS_AT_ONCE)
        const found = await Promise.all(some.map(digest => statOrNull(this.#path(digest))))
        for (const [which, digest] of some.entries()) {
          const sizeBytes = found[which]?.size
          // Undefined: removed since the directory was read.
          if (sizeBytes !== undefined) yield { digest, sizeBytes }
        }
      }
    }
  }

  async sweep(olderThanMs: number): Promise<number> {
    const uploads = await this.#sweepFiles("partial", olderThanMs)
    return uploads + (await this.#sweepFiles("quarantine", BLOB_QUARANTINE_MS))
  }

  async #sweepFiles(place: "partial" | "quarantine", olderThanMs: number): Promise<number> {
    let freed = 0
    for (const name of await readdir(join(this.#directory, place))) {
      const path = join(this.#directory, place, name)
      const found = await statOrNull(path)
      // ctime, because a file that was moved here keeps the mtime it had.
      if (found === null || this.#wallMs() - found.ctimeMs < olderThanMs || this.#writing.has(path)) continue
      await rm(path, { force: true })
      freed += found.size
    }
    return freed
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory)
    return bavail * bsize
  }

  /** Gives a checked and durable file its name. Over an older file of the same name too: that heals one gone bad. */
  #keep(partial: string, digest: Digest): Promise<void> {
    const path = this.#path(digest)
    return this.#turns.take(digest, async () => {
      const now = this.#wallMs() / 1_000
      await utimes(partial, now, now)
      await rename(partial, path)
      try {
        await syncDirectory(dirname(path))
      } catch (thrown) {
        // A name that a power cut may take must not be seen by has().
        await rm(path, { force: true })
        throw thrown
      }
      this.#damage?.healed(digest)
    })
  }

  #syncAhead(file: FileHandle): Promise<void> | null {
    if (this.#isSyncing) return null
    this.#isSyncing = true
    return file.sync().finally(() => {
      this.#isSyncing = false
    })
  }

  #path(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.#directory, "sha256", hex.slice(0, 2), hex)
  }

  #partialPath(upload: string, digest: Digest): string {
    const name = createHash("sha256").update(upload).digest("hex")
    return join(this.#directory, "partial", `${name}.${hexOf(digest)}`)
  }
}

async function statOrNull(path: string) {
  try {
    return await stat(path)
  } catch (thrown) {
    if (isMissing(thrown)) return null
    throw thrown
  }
}

function isMissing(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException).code === "ENOENT"
}
