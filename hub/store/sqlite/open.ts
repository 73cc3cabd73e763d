// The one place where better-sqlite3 is loaded and a database is opened. The settings on which every acknowledgement
// rests are made here and read back: better-sqlite3 is compiled to fall to synchronous=NORMAL once a database is in
// WAL mode, and NORMAL loses acknowledged commits when the power goes (measured: up to 817 of them).
// Nothing else may require better-sqlite3, and nobody may change these pragmas later.
import { closeSync, existsSync, openSync } from "node:fs"
import { createRequire } from "node:module"
import type Sqlite from "better-sqlite3"
import { CahError } from "../../core/errors.ts"
import { SQLITE_BUSY_MS, SQLITE_CACHE_KIB, WAL_CHECKPOINT_PAGES, WAL_KEPT_BYTES } from "../../limits.ts"
import { prepareSpace } from "./space.ts"

export type Db = Sqlite.Database

/** The database's file, in the data directory. */
export const DATABASE = "hub.db"

/** The only thread that writes; those that read; those that read a copy, which no hub has open; and the lock that keeps a second hub out. */
export type DbRole = "writer" | "reader" | "copy" | "lock"

/** How many handles this thread has open, by file. The writer's thread counts its own. */
const open = new Map<string, number>()

export function openHandles(file: string): number {
  return open.get(file) ?? 0
}

const require = createRequire(import.meta.url)

/** better-sqlite3 from 13 on kills a Node older than 22 with a segmentation fault, which nobody can catch: look before. */
export function checkDriver(driverVersion: string, nodeVersion: string): void {
  if (Number.parseInt(driverVersion, 10) >= 13 && Number.parseInt(nodeVersion, 10) < 22) {
    throw new CahError(
      "failed_precondition",
      `better-sqlite3 ${driverVersion} needs Node 22 or newer and this is Node ${nodeVersion}: ` +
        `run "npm ci" to get the version that package-lock.json names, or a newer Node`,
    )
  }
}

function driver(): typeof Sqlite {
  const { version } = require("better-sqlite3/package.json") as { version: string }
  checkDriver(version, process.versions.node)
  try {
    return require("better-sqlite3") as typeof Sqlite
  } catch (cause) {
    throw new CahError(
      "failed_precondition",
      `better-sqlite3 ${version} cannot be loaded: its native part is missing or was built for another Node. ` +
        `Run "npm rebuild better-sqlite3"; without a prebuilt binary that takes g++, make and python3`,
      { cause },
    )
  }
}

export function openDb(file: string, role: DbRole): Db {
  const Database = driver()
  if (role === "writer" || role === "lock") makePrivate(file)
  let db: Db
  try {
    db = new Database(file, {
      readonly: role === "reader" || role === "copy",
      fileMustExist: role === "reader" || role === "copy",
      timeout: role === "lock" ? 0 : SQLITE_BUSY_MS,
    })
  } catch (cause) {
    throw new CahError("failed_precondition", `the database ${file} cannot be opened: ${messageOf(cause)}`, { cause })
  }
  open.set(file, openHandles(file) + 1)
  if (role === "lock" || role === "copy") return db
  try {
    if (role === "writer") setUpWriter(db)
    demand(db, "journal_mode", "wal")
    db.pragma(`cache_size = ${-SQLITE_CACHE_KIB}`)
    return db
  } catch (thrown) {
    closeDb(file, db)
    throw thrown
  }
}

/** A new file is its user's alone, whatever the umask: SQLite gives the log and its index the mode of their database. */
function makePrivate(file: string): void {
  if (file === ":memory:" || existsSync(file)) return
  try {
    closeSync(openSync(file, "wx", 0o600))
  } catch (cause) {
    throw new CahError("failed_precondition", `the database ${file} cannot be made: ${messageOf(cause)}`, { cause })
  }
}

export function closeDb(file: string, db: Db): void {
  if (!db.open) return
  db.close()
  open.set(file, openHandles(file) - 1)
}

function setUpWriter(db: Db): void {
  prepareSpace(db)
  db.pragma("journal_mode = WAL")
  // After WAL, never before: entering WAL mode is what resets it.
  db.pragma("synchronous = FULL")
  // On macOS a plain fsync leaves the bytes in the drive's cache. No effect elsewhere.
  db.pragma("fullfsync = ON")
  db.pragma("foreign_keys = ON")
  db.pragma(`wal_autocheckpoint = ${WAL_CHECKPOINT_PAGES}`)
  db.pragma(`journal_size_limit = ${WAL_KEPT_BYTES}`)
  demand(db, "synchronous", 2)
  demand(db, "foreign_keys", 1)
  demand(db, "wal_autocheckpoint", WAL_CHECKPOINT_PAGES)
}

function demand(db: Db, pragma: string, wanted: string | number): void {
  const found: unknown = db.pragma(pragma, { simple: true })
  if (found === wanted) return
  throw new CahError(
    "failed_precondition",
    `SQLite answers ${pragma}=${String(found)} for ${db.name} where the hub needs ${wanted}: without it an ` +
      `acknowledged job could be lost. A file system without shared memory (NFS, for one) is the usual reason`,
  )
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
