// A copy of the database in one file, as it stood at one moment, and what a backup asks of such a copy. VACUUM INTO reads in one
// transaction: it never begins anew, however much the hub writes meanwhile, where SQLite's online copy does after each
// commit of another handle. It runs in a thread of its own, for it takes as long as the database is large.
import { open as openFile } from "node:fs/promises"
import { Worker } from "node:worker_threads"
import { digestOf } from "../../../proto/wire/digest.ts"
import { CahError } from "../../core/errors.ts"
import type { DatabaseCopy } from "../../core/ports.ts"
import { digestBytes } from "./encode.ts"
import { closeDb, type Db, messageOf, openDb } from "./open.ts"
import { LAST_CAMPAIGN } from "./reader.ts"

export interface SnapshotSettings {
  readonly file: string
  readonly to: string
  /** A hub may have it open; or it is a copy itself. */
  readonly role: "reader" | "copy"
}

/** Everything committed until now, in a new file `to`, on disk when it resolves. CahError when either side fails. */
export async function takeSnapshot(file: string, to: string, role: SnapshotSettings["role"]): Promise<void> {
  const workerData: SnapshotSettings = { file, to, role }
  const thread = new Worker(new URL("./snapshot-thread.mjs", import.meta.url), {
    name: "store snapshot",
    workerData,
    execArgv: [],
  })
  await new Promise<void>((resolve, reject) => {
    thread.once("error", thrown => reject(failed(to, thrown)))
    thread.once("exit", code => (code === 0 ? resolve() : reject(failed(to, new Error(`ended with ${code}`)))))
  })
  const written = await openFile(to, "r+")
  try {
    await written.chmod(0o600)
    await written.sync()
  } finally {
    await written.close()
  }
}

/** In the thread. */
export function vacuumInto({ file, to, role }: SnapshotSettings): void {
  const db = openDb(file, role)
  try {
    db.prepare("VACUUM INTO ?").run(to)
  } finally {
    closeDb(file, db)
  }
}

function failed(to: string, cause: unknown): CahError {
  const said = messageOf(cause)
  const isFull = (cause as { code?: unknown }).code === "SQLITE_FULL"
  return new CahError(
    isFull ? "resource_exhausted" : "unavailable",
    `the database could not be copied to ${to}: ${said}`,
    { cause },
  )
}

/** CahError data_loss when it is no database of a hub. */
export function readCopy(file: string): DatabaseCopy {
  const db = openDb(file, "copy")
  try {
    const count = (table: string) => db.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get() ?? 0
    const has = db.prepare<[Uint8Array], number>("SELECT 1 FROM blobs WHERE digest = ?").pluck()
    const hubId = db.prepare<[], string>("SELECT value FROM meta WHERE key = 'hub_id'").pluck().get() ?? ""
    return {
      hubId,
      schema: Number(db.pragma("user_version", { simple: true })),
      campaigns: count("campaigns"),
      blobCount: count("blobs"),
      *blobs() {
        const rows = db.prepare<[], { digest: Uint8Array; size_bytes: number }>(
          "SELECT digest, size_bytes FROM blobs ORDER BY digest",
        )
        for (const row of rows.iterate()) yield { digest: digestOf(row.digest), sizeBytes: row.size_bytes }
      },
      has: digest => has.get(digestBytes(digest)) !== undefined,
      close: () => closeDb(file, db),
    }
  } catch (cause) {
    closeDb(file, db)
    throw new CahError("data_loss", `${file} is no database of a hub: ${messageOf(cause)}`, { cause })
  }
}

/** What is wrong in the file, in SQLite's words; none: every page, index and reference is sound. */
export function faultsIn(file: string): string[] {
  const db = openDb(file, "copy")
  try {
    const faults = (db.pragma("integrity_check(10)") as { integrity_check: string }[]).map(row => row.integrity_check)
    const orphans = db.pragma("foreign_key_check") as { table: string; parent: string }[]
    return [
      ...faults.filter(line => line !== "ok"),
      ...orphans
        .slice(0, 10)
        .map(({ table, parent }) => `a row of ${table} names a row of ${parent} that is not there`),
    ]
  } catch (cause) {
    return [messageOf(cause)]
  } finally {
    closeDb(file, db)
  }
}

/** So many numbers of campaigns and a few more are given to none, up to the returned one: for a database that is older than what its agents have seen. */
export function skipCampaigns(file: string, skipped: number): number {
  const db: Db = openDb(file, "writer")
  try {
    const last = db.prepare<[], number>(LAST_CAMPAIGN).pluck().get() ?? 0
    const next = Math.ceil((last + skipped) / 1_000) * 1_000
    db.prepare("INSERT OR REPLACE INTO meta VALUES ('last_campaign', ?)").run(String(next))
    return next
  } finally {
    closeDb(file, db)
  }
}
