// Keeps a second hub out of a data directory: two of them would hand out the same work. The lock is SQLite's own file lock
// on a file of its own, held as an open transaction: the kernel drops it with the process, so nothing stale is ever left
// behind. The number of the process lies beside it, only for the message. No code may open hub.lock by other means: with
// POSIX locks, closing any descriptor of a file drops all of them.
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { CahError } from "../../core/errors.ts"
import { closeDb, messageOf, openDb } from "./open.ts"

export interface Lock {
  release(): void
}

export function lockDirectory(directory: string): Lock {
  const file = join(directory, "hub.lock")
  const pidFile = join(directory, "hub.pid")
  const db = openDb(file, "lock")
  try {
    db.exec("BEGIN EXCLUSIVE")
  } catch (cause) {
    closeDb(file, db)
    if ((cause as { code?: string }).code !== "SQLITE_BUSY") {
      throw new CahError("failed_precondition", `${file} cannot be locked: ${messageOf(cause)}`, { cause })
    }
    throw new CahError(
      "failed_precondition",
      `another hub (${holder(pidFile)}) is using ${directory}: stop it, or give this one another data directory`,
      { cause },
    )
  }
  try {
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  } catch (cause) {
    closeDb(file, db)
    throw new CahError("failed_precondition", `${pidFile} cannot be written: ${messageOf(cause)}`, { cause })
  }
  return {
    release() {
      rmSync(pidFile, { force: true })
      closeDb(file, db)
    },
  }
}

function holder(pidFile: string): string {
  try {
    return `pid ${readFileSync(pidFile, "utf8").trim()}`
  } catch {
    // It holds the lock and has not written its number yet.
    return "pid not known yet"
  }
}
