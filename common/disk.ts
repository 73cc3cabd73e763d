// Habits of whoever keeps things on a disk: names made durable, removals that may come twice, and how much room is left.
import { closeSync, existsSync, fsyncSync, openSync, statfsSync } from "node:fs"
import { open } from "node:fs/promises"
import { dirname } from "node:path"

/** A file that was made, renamed or removed is so after a power cut only once its directory was synchronised: when this resolves. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** The same, for code that must not let anything else happen in between. */
export function syncDirectoryNow(path: string): void {
  const directory = openSync(path, "r")
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/** For removals: what is gone already is as good as removed. */
export function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error
}

/** Bytes on the file system where the directory is, or will be. */
export function freeBytes(directory: string): number {
  let path = directory
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path)
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}
