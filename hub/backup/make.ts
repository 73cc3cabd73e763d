// Makes a backup while the hub works. First the database as it stands at one moment, then every blob that it names: blobs never
// change, and the caller sees to it that none is collected meanwhile. Each blob's digest is checked as it is read, so that a
// backup never holds a bad one under a good name. Last backup.json, then the name: half a backup is never taken for one.
import { copyFile, mkdir, open, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { syncDirectory } from "../../common/disk.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobStore, DatabaseCopy } from "../core/ports.ts"
import { Catalog, KEY_FILES, type Manifest, nameOf } from "./catalog.ts"

export interface BackupParts {
  /** The place for backups. */
  readonly directory: string
  /** The hub's data directory. */
  readonly data: string
  /** The hub's blobs. */
  readonly blobs: Pick<BlobStore, "read">
  /** Blobs of backups, in their directory. */
  openBlobs(directory: string): Promise<BlobStore>
  /** A copy of the database in one file, on disk when it resolves. */
  snapshot(to: string): Promise<void>
  readCopy(file: string): DatabaseCopy
  readonly wallMs: () => number
  readonly hubVersion: string
}

export interface Progress {
  readonly name: string
  readonly blobsDone: number
  readonly blobs: number
  readonly copiedBlobs: number
  readonly copiedBytes: number
}

export interface Backup extends Manifest {
  readonly name: string
  readonly path: string
  readonly copiedBlobs: number
  readonly copiedBytes: number
  /** Names of older backups that were not to be kept. */
  readonly removed: readonly string[]
}

export interface BackupWish {
  /** So many of the newest stay; null: all. */
  readonly keep: number | null
  readonly signal: AbortSignal
  told(progress: Progress): void
}

/** Throws CahError; the next backup then goes on with the blobs copied so far. */
export async function makeBackup(parts: BackupParts, wish: BackupWish): Promise<Backup> {
  await mkdir(parts.directory, { recursive: true, mode: 0o700 }).catch(cause => {
    const message = `${parts.directory} cannot be made: ${(cause as Error).message}`
    throw new CahError("failed_precondition", message, { cause })
  })
  const catalog = new Catalog(parts.directory)
  const name = nameOf(parts.wallMs())
  if ((await catalog.names()).includes(name)) {
    throw new CahError("aborted", `the backup ${name} was made in this very second`)
  }
  const partial = await catalog.begin(name)
  await parts.snapshot(join(partial, "hub.db"))
  const copy = parts.readCopy(join(partial, "hub.db"))
  try {
    const kept = await parts.openBlobs(catalog.blobs)
    const { copiedBlobs, copiedBytes, blobBytes, lostBlobs } = await copyBlobs(parts.blobs, kept, copy, name, wish)
    await copyKeys(parts.data, partial)
    const said: Manifest = {
      madeAt: new Date(parts.wallMs()).toISOString(),
      hubVersion: parts.hubVersion,
      hubId: copy.hubId,
      schema: copy.schema,
      campaigns: copy.campaigns,
      blobs: copy.blobCount,
      blobBytes,
      lostBlobs,
    }
    await writeFile(join(partial, "backup.json"), `${JSON.stringify(said, null, 2)}\n`, { mode: 0o600, flush: true })
    await syncDirectory(partial)
    await rename(partial, catalog.path(name))
    await syncDirectory(catalog.directory)
    const removed = wish.keep === null ? [] : await prune(parts, catalog, kept, wish.keep)
    return { ...said, name, path: catalog.path(name), copiedBlobs, copiedBytes, removed }
  } finally {
    copy.close()
  }
}

async function copyBlobs(
  from: Pick<BlobStore, "read">,
  to: BlobStore,
  copy: DatabaseCopy,
  name: string,
  { signal, told }: BackupWish,
) {
  let [blobsDone, copiedBlobs, copiedBytes, blobBytes] = [0, 0, 0, 0]
  const lostBlobs: string[] = []
  for (const blob of copy.blobs()) {
    if (signal.aborted) throw new CahError("aborted", "the backup was given up; the next one goes on with its blobs")
    if (!(await to.has(blob.digest))) {
      if (await copyBlob(from, to, blob)) {
        copiedBlobs++
        copiedBytes += blob.sizeBytes
      } else lostBlobs.push(blob.digest)
    }
    blobsDone++
    blobBytes += blob.sizeBytes
    told({ name, blobsDone, blobs: copy.blobCount, copiedBlobs, copiedBytes })
  }
  return { copiedBlobs, copiedBytes, blobBytes, lostBlobs }
}

/** Into the other store, which checks the digest again before it gives the name. False: it is lost or damaged where it was. */
export async function copyBlob(from: Pick<BlobStore, "read">, to: BlobStore, blob: BlobRef): Promise<boolean> {
  const writer = await to.openWriter("backup", blob)
  try {
    for await (const piece of from.read(blob.digest, writer.offsetBytes)) await writer.write(piece)
    await writer.finish()
    return true
  } catch (error) {
    await writer.suspend()
    if (error instanceof CahError && (error.code === "data_loss" || error.code === "not_found")) return false
    throw error
  }
}

/** Older backups go first, then the blobs that none of those that stay names. */
async function prune(parts: BackupParts, catalog: Catalog, blobs: BlobStore, keep: number): Promise<string[]> {
  const names = await catalog.names()
  const removed = names.slice(0, Math.max(0, names.length - keep))
  if (removed.length === 0) return []
  for (const name of removed) await catalog.remove(name)
  const left = names.slice(removed.length).map(name => parts.readCopy(catalog.database(name)))
  try {
    for await (const blob of blobs.list()) {
      if (!left.some(copy => copy.has(blob.digest))) await blobs.remove(blob.digest, 0)
    }
  } finally {
    for (const copy of left) copy.close()
  }
  return removed
}

/** Those of KEY_FILES that are there. */
export async function copyKeys(from: string, to: string): Promise<void> {
  for (const name of KEY_FILES) {
    const path = join(to, name)
    try {
      await copyFile(join(from, name), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue
      throw error
    }
    const file = await open(path, "r+")
    try {
      await file.chmod(0o600)
      await file.sync()
    } finally {
      await file.close()
    }
  }
}
