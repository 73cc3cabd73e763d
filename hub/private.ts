// What the hub keeps is for its own user alone: webhooks' secrets, sealed keys, addresses. New files are made so (umask), and what
// an older hub left readable in a folder that anybody may enter is closed.
import { chmodSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { CahError } from "./core/errors.ts"

/** Permissions that new files of this process do not get. */
export const PRIVATE_UMASK = 0o077

/** The hub's own, by name: an operator may keep other things beside them. Within the folders theirs is enough. */
const own = /^(hub\.(db|db-wal|db-shm|lock|pid|json)|admin\.token|boinc\.key|blobs|launch-logs|backups)$/

/** CahError failed_precondition when something in the data directory is readable by others and cannot be closed. */
export function closeToOthers(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (!own.test(name)) continue
    const path = join(directory, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined || (stat.mode & PRIVATE_UMASK) === 0) continue
    try {
      // By path: closing a descriptor of hub.lock would drop its lock.
      chmodSync(path, stat.isDirectory() ? 0o700 : 0o600)
    } catch (cause) {
      const message = `others can read ${path}, and its permissions cannot be changed: ${(cause as Error).message}`
      throw new CahError("failed_precondition", `${message}; give it to the hub's user`, { cause })
    }
  }
}
