// Two habits of whoever keeps things on the node's disk.
import { open } from "node:fs/promises"

/** A rename is on disk once the directory is. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** For removals: what is gone already is as good as removed. */
export function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error
}
