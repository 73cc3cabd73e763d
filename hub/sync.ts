// Makes names durable: a file that was renamed or made is found after a power cut only once its directory was synchronised.
import { constants } from "node:fs"
import { open } from "node:fs/promises"

/** The names in it are on disk when it resolves. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
