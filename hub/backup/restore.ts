// From a backup to a data directory that a hub can start with, or a look at whether that would succeed. Reads every page of the
// database and every byte of every blob either way: a backup that was never read is a hope. Writes nothing into a directory that
// holds something, and gives the database its name last, so that no hub starts with half of it.
import { mkdir, open, readdir, rename } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { syncDirectory } from "../../common/disk.ts"
import { CahError } from "../core/errors.ts"
import type { BlobStore, DatabaseCopy } from "../core/ports.ts"
import { Catalog, isName, type Manifest } from "./catalog.ts"
import { copyBlob, copyKeys } from "./make.ts"

export interface RestoreParts {
  openBlobs(directory: string): Promise<BlobStore>
  /** A copy of a database that nobody writes, on disk when it resolves. */
  snapshot(from: string, to: string): Promise<void>
  readCopy(file: string): DatabaseCopy
  /** In words; none: all is sound. */
  faultsIn(file: string): string[]
  /** New campaigns get numbers from the returned one on. */
  skipCampaigns(file: string, atLeast: number): number
}

export interface Verified extends Manifest {
  readonly name: string
  readonly path: string
  /** What is wrong, in words; none: all is sound. */
  readonly faults: readonly string[]
}

export interface Restored extends Verified {
  readonly data: string
  /** The first campaign submitted from now on has this number or a higher one. */
  readonly firstCampaign: number
}

/**
 * Numbers of campaigns that may have been given between the backup and the loss. Agents may still hold jobs of those: a new campaign
 * with such a number would be given their results.
 */
const CAMPAIGNS_SKIPPED = 10_000

/** `from`: a place for backups (its newest is taken), or one backup in it. */
export async function verifyBackup(parts: RestoreParts, from: string): Promise<Verified> {
  const { catalog, name } = await find(from)
  const said = await catalog.manifest(name)
  const file = catalog.database(name)
  const faults = parts.faultsIn(file)
  if (faults.length === 0) faults.push(...(await blobFaults(parts, catalog, file, said)))
  return { ...said, name, path: catalog.path(name), faults }
}

/** CahError when the directory is in use, or anything of the backup is not sound: nothing can be started with then. */
export async function restoreBackup(parts: RestoreParts, from: string, data: string): Promise<Restored> {
  const { catalog, name } = await find(from)
  const said = await catalog.manifest(name)
  await demandEmpty(data)
  const file = catalog.database(name)
  const faults = parts.faultsIn(file)
  if (faults.length > 0) throw new CahError("data_loss", `${file} is damaged: ${faults[0]}; take another backup`)
  const copy = parts.readCopy(file)
  try {
    const kept = await parts.openBlobs(catalog.blobs)
    const blobs = await parts.openBlobs(join(data, "blobs"))
    for (const blob of copy.blobs()) {
      if ((await copyBlob(kept, blobs, blob)) || said.lostBlobs.includes(blob.digest)) continue
      throw new CahError("data_loss", `${blob.digest} is damaged or missing in ${catalog.blobs}; take another backup`)
    }
  } finally {
    copy.close()
  }
  await copyKeys(catalog.path(name), data)
  const temporary = join(data, "hub.db.restored")
  await parts.snapshot(file, temporary)
  const firstCampaign = parts.skipCampaigns(temporary, CAMPAIGNS_SKIPPED) + 1
  const written = await open(temporary, "r+")
  await written.sync().finally(() => written.close())
  await rename(temporary, join(data, "hub.db"))
  await syncDirectory(data)
  return { ...said, name, path: catalog.path(name), faults: [], data, firstCampaign }
}

async function find(from: string): Promise<{ catalog: Catalog; name: string }> {
  const path = resolve(from)
  if (isName(basename(path))) return { catalog: new Catalog(dirname(path)), name: basename(path) }
  const catalog = new Catalog(path)
  const name = (await catalog.names()).at(-1)
  if (name !== undefined) return { catalog, name }
  throw new CahError(
    "not_found",
    `there is no backup in ${path}: \`cah admin backup\` makes one where the hub's --backups says`,
  )
}

async function demandEmpty(data: string): Promise<void> {
  await mkdir(data, { recursive: true, mode: 0o700 }).catch(cause => {
    throw new CahError("failed_precondition", `${data} cannot be made: ${(cause as Error).message}`, { cause })
  })
  const [found] = await readdir(data)
  if (found === undefined) return
  const message = `${data} is not empty (${found} is in it): move it away, or name another directory with --data`
  throw new CahError("failed_precondition", message)
}

/** Reads each blob, whose digest the store checks. */
async function blobFaults(parts: RestoreParts, catalog: Catalog, file: string, said: Manifest): Promise<string[]> {
  const faults: string[] = []
  const copy = parts.readCopy(file)
  try {
    const kept = await parts.openBlobs(catalog.blobs)
    for (const { digest } of copy.blobs()) {
      if (said.lostBlobs.includes(digest)) continue
      try {
        for await (const _ of kept.read(digest, 0));
      } catch (error) {
        if (!(error instanceof CahError)) throw error
        faults.push(error.message)
      }
    }
  } finally {
    copy.close()
  }
  return faults
}
