// Stageins by digest on the node's disk: fetched once however many attempts ask, resumed where they broke off, verified before
// anybody sees them and again whenever they are read, bounded in bytes. What is longest unused goes first; what is in use
// never goes. It does not know where bytes come from: whoever asks brings a way to fetch them.
import { createHash, type Hash } from "node:crypto"
import { createReadStream } from "node:fs"
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink, utimes } from "node:fs/promises"
import { join } from "node:path"
import { ignoreMissing, syncDirectory } from "../../common/disk.ts"
import { type Digest, digestOf, hexOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import { Failure } from "../core/ports.ts"

export type Fetch = (offsetBytes: number, signal: AbortSignal) => AsyncIterable<Uint8Array>

/** The right to read a blob that stays until it is given back. */
export interface Held {
  /** The verified bytes. Fails at the end, and throws the blob away, if the disk has lost some of them. */
  read(): AsyncIterable<Uint8Array>
  release(): void
}

export interface Cache {
  /**
   * Resolves once the blob is here, whole and verified. Rejects with Failure; what arrived of a broken transfer is kept for
   * the next try. Several askers share one fetch, done with the first one's `fetch`; if that asker gives up, the next one's takes over.
   */
  hold(blob: BlobRef, fetch: Fetch, signal: AbortSignal): Promise<Held>
  usage(): { bytes: number; maxBytes: number; blobs: number; fetchedBytes: number; sharedBytes: number }
}

interface Stored {
  readonly sizeBytes: number
  holders: number
}

interface Flight {
  readonly landed: Promise<void>
  readonly owner: AbortSignal
}

export async function openCache(directory: string, maxBytes: number): Promise<Cache> {
  const cache = new DiskCache(directory, maxBytes)
  await cache.load()
  return cache
}

class DiskCache implements Cache {
  readonly #blobs: string
  readonly #partials: string
  readonly #maxBytes: number
  /** Oldest use first: a Map remembers the order of insertion. */
  readonly #stored = new Map<Digest, Stored>()
  /** Broken-off transfers nobody is at. First to go when room is needed. */
  readonly #idlePartials = new Map<Digest, number>()
  readonly #flights = new Map<Digest, Flight>()
  /** Stored, promised to flights, and lying in idle partials. */
  #bytes = 0
  #fetchedBytes = 0
  #sharedBytes = 0

  constructor(directory: string, maxBytes: number) {
    this.#blobs = join(directory, "blobs")
    this.#partials = join(directory, "partial")
    this.#maxBytes = maxBytes
  }

  async load(): Promise<void> {
    for (const directory of [this.#blobs, this.#partials]) await mkdir(directory, { recursive: true, mode: 0o700 })
    const found = await Promise.all(
      (await readdir(this.#blobs)).map(async hex => ({ hex, stats: await stat(join(this.#blobs, hex)) })),
    )
    for (const { hex, stats } of found.sort((a, b) => a.stats.mtimeMs - b.stats.mtimeMs)) {
      this.#stored.set(`sha256:${hex}` as Digest, { sizeBytes: stats.size, holders: 0 })
      this.#bytes += stats.size
    }
    for (const hex of await readdir(this.#partials)) {
      const { size } = await stat(join(this.#partials, hex))
      this.#idlePartials.set(`sha256:${hex}` as Digest, size)
      this.#bytes += size
    }
    // The bound may have been lowered since.
    await this.#reserve(0)
  }

  usage(): ReturnType<Cache["usage"]> {
    return {
      bytes: this.#bytes,
      maxBytes: this.#maxBytes,
      blobs: this.#stored.size,
      fetchedBytes: this.#fetchedBytes,
      sharedBytes: this.#sharedBytes,
    }
  }

  async hold(blob: BlobRef, fetch: Fetch, signal: AbortSignal): Promise<Held> {
    let shared = true
    for (;;) {
      signal.throwIfAborted()
      const stored = this.#stored.get(blob.digest)
      if (stored !== undefined) {
        if (shared) this.#sharedBytes += stored.sizeBytes
        return this.#lend(blob.digest, stored)
      }
      const flight = this.#flights.get(blob.digest)
      if (flight === undefined) {
        shared = false
        await this.#launch(blob, fetch, signal)
        continue
      }
      try {
        await unlessAborted(flight.landed, signal)
      } catch (error) {
        // Its owner gave up, which says nothing about us: go round, and fetch it ourselves.
        if (signal.aborted || !flight.owner.aborted) throw error
      }
    }
  }

  #lend(digest: Digest, stored: Stored): Held {
    stored.holders++
    // To the young end; on disk too, so that the order survives a restart.
    this.#stored.delete(digest)
    this.#stored.set(digest, stored)
    const now = new Date()
    utimes(this.#fileOf(digest), now, now).catch(() => {
      // Only the order of eviction after a restart suffers.
    })
    let released = false
    return {
      read: () => this.#read(digest),
      release: () => {
        if (!released) stored.holders--
        released = true
      },
    }
  }

  async *#read(digest: Digest): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256")
    for await (const chunk of createReadStream(this.#fileOf(digest)) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      yield chunk
    }
    if (digestOf(hash.digest()) === digest) return
    const stored = this.#stored.get(digest)
    if (stored !== undefined) await this.#evict(digest, stored)
    throw new Failure(`${digest} was damaged on this node's disk; it will be fetched again`, { final: false })
  }

  /** Registered before anything is awaited, so that the next asker finds it. */
  #launch(blob: BlobRef, fetch: Fetch, signal: AbortSignal): Promise<void> {
    const landed = this.#fly(blob, fetch, signal).finally(() => this.#flights.delete(blob.digest))
    this.#flights.set(blob.digest, { landed, owner: signal })
    return landed
  }

  async #fly(blob: BlobRef, fetch: Fetch, signal: AbortSignal): Promise<void> {
    const { digest, sizeBytes } = blob
    const partial = join(this.#partials, hexOf(digest))
    // From here on its bytes count as promised, not as lying about.
    this.#bytes -= this.#idlePartials.get(digest) ?? 0
    this.#idlePartials.delete(digest)
    let stored = false
    let reserved = false
    try {
      await this.#reserve(sizeBytes)
      reserved = true
      await this.#transfer(blob, partial, fetch, signal)
      await rename(partial, this.#fileOf(digest))
      await syncDirectory(this.#blobs)
      this.#stored.set(digest, { sizeBytes, holders: 0 })
      stored = true
    } catch (error) {
      throw await explain(error, blob, this.#partials, partial, signal)
    } finally {
      if (!stored) {
        if (reserved) this.#bytes -= sizeBytes
        const left = await stat(partial).catch(() => null)
        if (left !== null) {
          this.#idlePartials.set(digest, left.size)
          this.#bytes += left.size
        }
      }
    }
  }

  async #transfer(blob: BlobRef, partial: string, fetch: Fetch, signal: AbortSignal): Promise<void> {
    const handle = await open(partial, "a+", 0o600)
    try {
      const hash = createHash("sha256")
      let offset = await rehash(handle, hash, signal)
      if (offset < blob.sizeBytes) {
        for await (const chunk of fetch(offset, signal)) {
          signal.throwIfAborted()
          offset += chunk.length
          if (offset > blob.sizeBytes) break
          hash.update(chunk)
          for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
          this.#fetchedBytes += chunk.length
        }
      }
      signal.throwIfAborted()
      if (offset < blob.sizeBytes) {
        throw new Failure(`the transfer of ${blob.digest} broke off at ${offset} of ${blob.sizeBytes} bytes`, {
          final: false,
        })
      }
      if (offset > blob.sizeBytes || digestOf(hash.digest()) !== blob.digest) throw new Mismatch(blob)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** Counts these bytes in, once there is room. Looking and counting happen in one turn, or two flights would share one room. */
  async #reserve(bytes: number): Promise<void> {
    if (bytes > this.#maxBytes) {
      const why = `the stagein has ${bytes} bytes and this node's cache holds ${this.#maxBytes}`
      throw new Failure(why, { final: false })
    }
    for (const [digest, size] of this.#idlePartials) {
      if (this.#bytes + bytes <= this.#maxBytes) break
      this.#idlePartials.delete(digest)
      this.#bytes -= size
      await unlink(join(this.#partials, hexOf(digest))).catch(ignoreMissing)
    }
    for (const [digest, stored] of this.#stored) {
      if (this.#bytes + bytes <= this.#maxBytes) break
      if (stored.holders === 0) await this.#evict(digest, stored)
    }
    if (this.#bytes + bytes > this.#maxBytes) {
      const why = `no room for ${bytes} bytes: all ${this.#bytes} bytes in this node's cache are in use`
      throw new Failure(why, { final: false })
    }
    this.#bytes += bytes
  }

  async #evict(digest: Digest, stored: Stored): Promise<void> {
    if (!this.#stored.delete(digest)) return
    this.#bytes -= stored.sizeBytes
    await unlink(this.#fileOf(digest)).catch(ignoreMissing)
  }

  #fileOf(digest: Digest): string {
    return join(this.#blobs, hexOf(digest))
  }
}

class Mismatch extends Error {
  constructor(blob: BlobRef) {
    super(`the bytes received for ${blob.digest} are others than its digest and size say`)
  }
}

/** What is to be told; and away with partials that cannot become anything. */
async function explain(
  error: unknown,
  blob: BlobRef,
  directory: string,
  partial: string,
  signal: AbortSignal,
): Promise<unknown> {
  if (signal.aborted || error instanceof Failure) return error
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof Mismatch) {
    await unlink(partial).catch(ignoreMissing)
    return new Failure(error.message, { final: false, cause: error })
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    await unlink(partial).catch(ignoreMissing)
    const why = `the disk of this node is full: a stagein of ${blob.sizeBytes} bytes did not fit`
    return new Failure(why, { final: false, cause: new Error(`writing to ${directory}`, { cause: error }) })
  }
  return new Failure(error instanceof Error ? error.message : String(error), { final: false, cause: error })
}

/** Feeds what is there already to the hash. Returns how much that was. */
async function rehash(handle: FileHandle, hash: Hash, signal: AbortSignal): Promise<number> {
  const buffer = Buffer.allocUnsafe(256 * 1024)
  let offset = 0
  for (;;) {
    signal.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
    if (bytesRead === 0) return offset
    hash.update(buffer.subarray(0, bytesRead))
    offset += bytesRead
  }
}

function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener("abort", onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort))
  })
}
