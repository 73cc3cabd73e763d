// Where things lie on the node's disk. One directory for each attempt, removed as a whole when the attempt is forgotten:
//
//     <state>/attempts/12.7-2/work/      the command's working directory
//     <state>/attempts/12.7-2/spool/     outputs by digest, until the hub has them
//     <state>/attempts/12.7-2/…          process record, node file, scratch
//
// A directory that no journal entry answers for was left by a crash and goes at start.
import { chmod, lstat, mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { type Digest, hexOf } from "../proto/wire/digest.ts"
import type { AttemptName } from "./core/model.ts"

/** "12.7-2": like an attempt's id, but without the "#" that shells and make stumble over. */
export function fileNameOf(name: AttemptName): string {
  return `${name.campaign}.${name.index}-${name.attempt}`
}

export interface Workplace {
  /** The directory of all attempts, absolute. */
  readonly root: string
  directory(name: AttemptName): string
  work(name: AttemptName): string
  spool(name: AttemptName): string
  spooled(name: AttemptName, digest: Digest): string
  /** An empty attempt directory with a spool; the working directory is still to be made. */
  prepare(name: AttemptName): Promise<void>
  remove(name: AttemptName): Promise<void>
  /** Only the working directory: its outputs are in the spool, and its room may be what the journal needs. */
  removeWork(name: AttemptName): Promise<void>
  /** Removes all but these. Returns what went. */
  sweep(keep: readonly AttemptName[]): Promise<string[]>
}

export async function openWorkplace(state: string): Promise<Workplace> {
  const root = join(state, "attempts")
  await mkdir(root, { recursive: true, mode: 0o700 })
  const directory = (name: AttemptName): string => join(root, fileNameOf(name))
  const spool = (name: AttemptName): string => join(directory(name), "spool")
  return {
    root,
    directory,
    work: name => join(directory(name), "work"),
    spool,
    spooled: (name, digest) => join(spool(name), hexOf(digest)),
    async prepare(name) {
      await removeTree(directory(name))
      await mkdir(spool(name), { recursive: true, mode: 0o700 })
    },
    remove: name => removeTree(directory(name)),
    removeWork: name => removeTree(join(directory(name), "work")),
    async sweep(keep) {
      const kept = new Set(keep.map(fileNameOf))
      const gone = (await readdir(root)).filter(entry => !kept.has(entry))
      for (const entry of gone) await removeTree(join(root, entry))
      return gone
    },
  }
}

/** Also what a job made unreadable: its directories belong to us, so their modes can be mended. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== "EACCES" && code !== "EPERM" && code !== "ENOTEMPTY") throw error
    await openUp(path)
    await rm(path, { recursive: true, force: true, maxRetries: 2 })
  }
}

async function openUp(path: string): Promise<void> {
  // lstat, so that a link in place of a directory never leads the change of mode elsewhere.
  if (!(await lstat(path)).isDirectory()) return
  await chmod(path, 0o700)
  for (const entry of await readdir(path)) await openUp(join(path, entry))
}
