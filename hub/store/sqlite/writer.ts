// The thread that owns the one writing handle, so that a slow fsync or checkpoint never holds the hub's loop. A batch is
// one IMMEDIATE transaction, and is answered after COMMIT has returned. After any failure nothing more is written until
// the database has been opened anew: after a failed fsync the kernel may have dropped the pages, and asking it again
// would be answered yes. It decides nothing and knows no job.
import { parentPort, workerData } from "node:worker_threads"
import { CahError, type ErrorCode } from "../../core/errors.ts"
import { REOPEN_PROBE_BYTES } from "../../limits.ts"
import { type Opened, openForWriting } from "./apply.ts"
import type { Step } from "./encode.ts"
import { closeDb, type Db, messageOf, openHandles } from "./open.ts"
import { demandThere, placeOf } from "./place.ts"
import { giveBack } from "./space.ts"

export interface WriterSettings {
  readonly file: string
}

/** Answered one by one, in order. */
export type Request =
  /** `again`: the hub whose database it must be, which must be there and take a write. Null: it is made if it is not there. */
  | { readonly kind: "open"; readonly wallMs: number; readonly again: string | null }
  | { readonly kind: "giveBack" }
  | { readonly kind: "commit"; readonly steps: readonly Step[]; readonly apart: readonly (readonly Step[])[] }
  | { readonly kind: "close" }

export interface Answer {
  readonly failure: Failure | null
  /** Of `apart`, by their place. */
  readonly refused: ReadonlyMap<number, Failure>
  /** Of "giveBack": whether there is more. */
  readonly more: boolean
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

const { file } = workerData as WriterSettings
const port = parentPort!
let opened: Opened | null = null
let broken: Failure | null = null
let place: string | null = null
const none: ReadonlyMap<number, Failure> = new Map()

port.on("message", (request: Request) => {
  let failure: Failure | null = null
  let refused: ReadonlyMap<number, Failure> = none
  let more = false
  try {
    if (request.kind === "giveBack") more = opened !== null && broken === null && giveBack(opened.db)
    else refused = carryOut(request)
  } catch (thrown) {
    failure = failureOf(thrown)
    // Space that was not given back is in nobody's way.
    if (request.kind !== "giveBack") broken ??= failure
  }
  const answer: Answer = { failure, refused, more, handles: openHandles(file) }
  port.postMessage(answer)
  if (request.kind === "close") port.close()
})

function carryOut(request: Exclude<Request, { kind: "giveBack" }>): ReadonlyMap<number, Failure> {
  switch (request.kind) {
    case "open":
      shut()
      if (request.again !== null) demandThere(file, null)
      opened = openForWriting(file, request.wallMs)
      place = placeOf(file)
      if (request.again !== null) {
        demandSame(opened.db, request.again)
        probe(opened.db)
      }
      broken = null
      return none
    case "commit": {
      if (broken !== null) throw asError(broken)
      // A file without a name takes every write, and is gone with the process.
      demandThere(file, place)
      const refused = opened!.run(request.steps, request.apart)
      return refused.size === 0 ? none : new Map([...refused].map(([at, thrown]) => [at, failureOf(thrown)]))
    }
    case "close":
      shut()
      return none
  }
}

function shut(): void {
  if (opened !== null) closeDb(file, opened.db)
  opened = null
}

/** Another database in its place (an empty folder where a disk was mounted, say) would be a hub that has forgotten everything. */
function demandSame(db: Db, hubId: string): void {
  const found: unknown = db.prepare("SELECT value FROM meta WHERE key = 'hub_id'").pluck().get()
  if (found === hubId) return
  const message = `${file} is another hub's (${String(found)}, not ${hubId}): bring back the data directory, or stop the hub`
  throw new CahError("failed_precondition", message)
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
