// The thread that owns the one writing handle, so that a slow fsync or checkpoint never holds the hub's loop. A batch is
// one IMMEDIATE transaction, and is answered after COMMIT has returned. After any failure nothing more is written until
// the database has been opened anew: after a failed fsync the kernel may have dropped the pages, and asking it again
// would be answered yes. It decides nothing and knows no job.
import { parentPort, workerData } from "node:worker_threads"
import { faded } from "../core/credit.ts"
import { CahError, type ErrorCode } from "../core/errors.ts"
import type { CreditRow } from "../core/volunteers.ts"
import { REOPEN_PROBE_BYTES } from "../limits.ts"
import { CHAIN_START, chained } from "./chain.ts"
import { type StatementName, type Step, statements } from "./encode.ts"
import { CHAINED, FADED } from "./encode-volunteers.ts"
import { migrate, readMigrations } from "./migrate.ts"
import { closeDb, type Db, messageOf, openDb, openHandles } from "./open.ts"

export interface WriterSettings {
  readonly file: string
}

/** Answered one by one, in order. */
export type Request =
  | { readonly kind: "open"; readonly wallMs: number; readonly probe: boolean }
  | { readonly kind: "commit"; readonly steps: readonly Step[] }
  | { readonly kind: "close" }

export interface Answer {
  readonly failure: Failure | null
  /** Writing handles open now. */
  readonly handles: number
}

/** An error as it crosses threads: classes do not. */
export interface Failure {
  readonly message: string
  /** Of a CahError, else null. */
  readonly code: ErrorCode | null
  /** "SQLITE_FULL" and the like. */
  readonly sqlite: string | null
}

interface Opened {
  readonly db: Db
  readonly run: (steps: readonly Step[]) => void
}

const { file } = workerData as WriterSettings
const port = parentPort!
let opened: Opened | null = null
let broken: Failure | null = null

port.on("message", (request: Request) => {
  let failure: Failure | null = null
  try {
    carryOut(request)
  } catch (thrown) {
    failure = failureOf(thrown)
    broken ??= failure
  }
  const answer: Answer = { failure, handles: openHandles(file) }
  port.postMessage(answer)
  if (request.kind === "close") port.close()
})

function carryOut(request: Request): void {
  switch (request.kind) {
    case "open":
      shut()
      opened = openWriter(request.wallMs)
      if (request.probe) probe(opened.db)
      broken = null
      return
    case "commit":
      if (broken !== null) throw asError(broken)
      opened!.run(request.steps)
      return
    case "close":
      shut()
      return
  }
}

function openWriter(wallMs: number): Opened {
  const db = openDb(file, "writer")
  try {
    refuseDamaged(db)
    giveFunctions(db)
    migrate(db, readMigrations(), wallMs)
    const prepared = new Map(
      Object.entries(statements).map(([name, sql]) => [name as StatementName, db.prepare(sql)] as const),
    )
    const inTransaction = db.transaction((steps: readonly Step[]) => {
      for (const [statement, values] of steps) prepared.get(statement)!.run(...values)
    })
    return { db, run: inTransaction.immediate }
  } catch (thrown) {
    closeDb(file, db)
    throw thrown
  }
}

/** What statements about credit count with. In no schema, so that any SQLite can read the database. */
function giveFunctions(db: Db): void {
  db.function(FADED, { deterministic: true }, (average, passedMs) => faded(Number(average), Number(passedMs)))
  db.function(CHAINED, { deterministic: true }, (before, campaign, index, attempt, account, node, slotMs, at) => {
    const line = { campaign, index, attempt, account, node, slotMs, at } as CreditRow
    return Buffer.from(chained((before as Uint8Array | null) ?? CHAIN_START, line))
  })
}

/**
 * Every page, so that a hub never serves half a database: found at the start, damage costs a restore; found later, an
 * answer here and there. 0.16 s for 100,000 jobs, 1 s for a million (measured, cache warm).
 */
function refuseDamaged(db: Db): void {
  const verdict: unknown = db.pragma("quick_check(1)", { simple: true })
  if (verdict === "ok") return
  throw new CahError("data_loss", `${file} is damaged (${String(verdict)}); restore it from a backup`)
}

function shut(): void {
  if (opened !== null) closeDb(file, opened.db)
  opened = null
}

/** Is there room again? The WAL is emptied first: within its old length a write needs no new block and proves nothing. */
function probe(db: Db): void {
  db.pragma("wal_checkpoint(TRUNCATE)")
  db.transaction(() => {
    db.prepare("INSERT OR REPLACE INTO meta VALUES ('probe', ?)").run("x".repeat(REOPEN_PROBE_BYTES))
  }).immediate()
  db.prepare("DELETE FROM meta WHERE key = 'probe'").run()
}

function failureOf(thrown: unknown): Failure {
  const sqlite = (thrown as { code?: unknown }).code
  return {
    message: messageOf(thrown),
    code: thrown instanceof CahError ? thrown.code : null,
    sqlite: typeof sqlite === "string" && sqlite.startsWith("SQLITE_") ? sqlite : null,
  }
}

function asError(failure: Failure): Error {
  if (failure.code !== null) return new CahError(failure.code, failure.message)
  return Object.assign(new Error(failure.message), failure.sqlite === null ? {} : { code: failure.sqlite })
}
