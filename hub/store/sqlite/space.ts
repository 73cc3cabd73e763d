// Space that deleted rows left in the database's file, given back to the disk. A database made by this hub keeps free pages ready to
// be cut off (auto_vacuum), which is done a little at a time between transactions. One of an older hub is written anew once,
// when more than half of it is free: that takes as long as writing what is left, in the writer's thread, and transactions wait.
import type { Database as Db } from "better-sqlite3"
import { FREE_PAGES_KEPT, VACUUM_PAGES } from "../../limits.ts"

const INCREMENTAL = 2

/** For a file in which nothing is yet; before WAL, which makes the first page. */
export function prepareSpace(db: Db): void {
  if (number(db, "page_count") === 0) db.pragma("auto_vacuum = INCREMENTAL")
}

/** One step. True: there is more. */
export function giveBack(db: Db): boolean {
  const free = number(db, "freelist_count")
  if (free <= FREE_PAGES_KEPT) return false
  if (number(db, "auto_vacuum") === INCREMENTAL) {
    db.pragma(`incremental_vacuum(${Math.min(VACUUM_PAGES, free - FREE_PAGES_KEPT)})`)
  } else {
    if (free * 2 < number(db, "page_count")) return false
    db.pragma("auto_vacuum = INCREMENTAL")
    db.exec("VACUUM")
  }
  const left = number(db, "freelist_count")
  // The file itself is cut when the log goes into it.
  if (left <= FREE_PAGES_KEPT) db.pragma("wal_checkpoint(PASSIVE)")
  return left > FREE_PAGES_KEPT && left < free
}

function number(db: Db, pragma: string): number {
  return Number(db.pragma(pragma, { simple: true }))
}
