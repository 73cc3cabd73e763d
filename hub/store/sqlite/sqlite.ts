// The store on SQLite: questions on this thread's read-only handle, changes sent to the writer's thread. Two handles and
// a lock, whatever the number of agents. It keeps the order of batches and says "done" for none that COMMIT has not
// returned for; what they mean is the core's business.
import { existsSync, statSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { CahError, type ErrorCode } from "../../core/errors.ts"
import type { Committed, Store, StoreHealth } from "../../core/ports.ts"
import type { CampaignRow, RowWrite, Write } from "../../core/rows.ts"
import { Batches, type JournalLimits, journalLimits } from "./batches.ts"
import { rowSteps } from "./encode.ts"
import { type Lock, lockDirectory } from "./lock.ts"
import { closeDb, DATABASE, type Db, messageOf, openDb, openHandles } from "./open.ts"
import { demandThere, placeOf } from "./place.ts"
import { SqliteReader } from "./reader.ts"
import type { Answer, Failure, Request, WriterSettings } from "./writer.ts"

export interface SqliteStoreOptions {
  /** Made if it is not there. Holds hub.db, its WAL, hub.lock and hub.pid. */
  readonly directory: string
  /** Wall time in ms, for rows that the store itself stamps. */
  readonly wallMs: () => number
  /** False: a directory without a database is refused. */
  readonly create?: boolean
  /** Other bounds than those of limits.ts, in tests. */
  readonly journal?: JournalLimits
}

/** CahError failed_precondition when another hub holds the directory, or the database is newer than this hub. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  if (options.create === false && !existsSync(join(options.directory, DATABASE))) {
    const message = `there is no hub's database in ${options.directory}: name its data directory with --data`
    throw new CahError("failed_precondition", message)
  }
  await mkdir(options.directory, { recursive: true, mode: 0o700 }).catch(cause => {
    const message = `the data directory ${options.directory} cannot be made: ${messageOf(cause)}`
    throw new CahError("failed_precondition", message, { cause })
  })
  const lock = lockDirectory(options.directory)
  const file = join(options.directory, DATABASE)
  const writer = new Writer(file)
  try {
    await writer.ask({ kind: "open", wallMs: options.wallMs(), again: null })
    const reader = openDb(file, "reader")
    return new SqliteStore({ ...options, file, reader, writer, lock }, await batchesOf(reader, writer, options.journal))
  } catch (thrown) {
    await writer.stop()
    lock.release()
    throw thrown
  }
}

/** Of a database whose journal is put away first: a start must not depend on how long it has grown. */
async function batchesOf(reader: Db, writer: Writer, limits = journalLimits): Promise<Batches> {
  const batches = Batches.of(reader, limits)
  const first = batches.putAway()
  if (first !== null) {
    await writer.ask({ kind: "commit", steps: first.steps, apart: [] })
    first.landed()
  }
  return batches
}

interface Parts {
  readonly file: string
  readonly reader: Db
  readonly writer: Writer
  readonly lock: Lock
  readonly wallMs: () => number
  readonly journal?: JournalLimits
}

export class SqliteStore extends SqliteReader implements Store {
  readonly #file: string
  readonly #writer: Writer
  readonly #lock: Lock
  readonly #wallMs: () => number
  #reader: Db
  /** Live campaigns that have their row, so that a tick which only counts does not carry their specification. */
  readonly #stored = new Set<number>()
  /** No campaign above it is in the database or on its way there: most submits need not ask. */
  #lastSent: number
  readonly #limits: JournalLimits
  #batches: Batches
  readonly #hubId: string
  readonly #place: string | null
  #closing: Promise<void> | null = null

  constructor({ file, reader, writer, lock, wallMs, journal }: Parts, batches: Batches) {
    super(reader, batches.live)
    this.#batches = batches
    this.#limits = journal ?? journalLimits
    this.#file = file
    this.#reader = reader
    this.#writer = writer
    this.#lock = lock
    this.#wallMs = wallMs
    this.#lastSent = this.lastCampaign()
    this.#hubId = this.hubId()
    this.#place = placeOf(file)
  }

  commit(writes: readonly Write[], done: Committed, apart: readonly (readonly RowWrite[])[] = []): void {
    const wallMs = this.#wallMs()
    const { steps, landed } = this.#batches.batch(writes, wallMs, {
      isStored: row => this.#isStored(row),
      isKnown: id => this.#stored.has(id) || this.campaign(id) !== null,
    })
    const request = { kind: "commit", steps, apart: apart.map(list => rowSteps(list, wallMs)) } as const
    this.#writer.send(request, (error, refused) => {
      // Nothing of a failed batch is there, nor of those after it: ask the database again.
      if (error === null) landed()
      else this.#stored.clear()
      done(error, refused)
    })
  }

  async reopen(): Promise<void> {
    await this.#writer.ask({ kind: "open", wallMs: this.#wallMs(), again: this.#hubId })
    const fresh = openDb(this.#file, "reader")
    const old = this.#reader
    this.#reader = fresh
    this.#batches = await batchesOf(fresh, this.#writer, this.#limits)
    this.readFrom(fresh, this.#batches.live)
    this.#stored.clear()
    this.#lastSent = this.lastCampaign()
    closeDb(this.#file, old)
  }

  health(): StoreHealth {
    return {
      handles: openHandles(this.#file) + this.#writer.handles,
      walBytes: statSync(`${this.#file}-wal`, { throwIfNoEntry: false })?.size ?? 0,
      queued: this.#writer.queued,
      trouble: this.#trouble(),
    }
  }

  /** Also between transactions, which would find it out themselves. */
  #trouble(): string | null {
    try {
      demandThere(this.#file, this.#place)
      return null
    } catch (thrown) {
      return messageOf(thrown)
    }
  }

  giveBack(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#writer.send({ kind: "giveBack" }, (error, _refused, more) =>
        error === null ? resolve(more) : reject(error),
      )
    })
  }

  /** After all batches given so far. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // Readers first: the last handle to close moves the WAL into the database, and a read-only one cannot.
    closeDb(this.#file, this.#reader)
    try {
      await this.#writer.stop()
    } finally {
      this.#lock.release()
    }
  }

  #isStored(row: CampaignRow): boolean {
    const isNew = row.id > this.#lastSent
    const stored = !isNew && (this.#stored.has(row.id) || this.campaign(row.id) !== null)
    if (isNew) this.#lastSent = row.id
    if (row.endedAt === null) this.#stored.add(row.id)
    else this.#stored.delete(row.id)
    return stored
  }
}

type Answered = (error: Error | null, refused: ReadonlyMap<number, Error>, more: boolean) => void
type Waiting = { readonly kind: Request["kind"]; readonly answered: Answered }
const none: ReadonlyMap<number, Error> = new Map()

/** The writer's thread as seen from here: requests go in order, answers come in the same. */
class Writer {
  readonly #file: string
  readonly #waiting: Waiting[] = []
  #thread: Worker | null = null
  #gone: Promise<void> = Promise.resolve()
  #handles = 0

  constructor(file: string) {
    this.#file = file
  }

  get handles(): number {
    return this.#handles
  }

  get queued(): number {
    return this.#waiting.filter(waiting => waiting.kind === "commit").length
  }

  send(request: Request, answered: Answered): void {
    const thread = this.#thread ?? (request.kind === "open" ? this.#start() : null)
    if (thread === null) {
      queueMicrotask(() => answered(new CahError("unavailable", "the store is closed"), none, false))
      return
    }
    this.#waiting.push({ kind: request.kind, answered })
    thread.postMessage(request)
  }

  ask(request: Request): Promise<void> {
    return new Promise((resolve, reject) => {
      this.send(request, error => (error === null ? resolve() : reject(error)))
    })
  }

  async stop(): Promise<void> {
    try {
      if (this.#thread !== null) await this.ask({ kind: "close" })
    } finally {
      await this.#gone
    }
  }

  #start(): Worker {
    const workerData: WriterSettings = { file: this.#file }
    const thread = new Worker(new URL("./writer-thread.mjs", import.meta.url), {
      name: "store writer",
      workerData,
      // The flags of this process (a loader given by a relative name, a watcher) are not meant for the writer.
      execArgv: [],
    })
    let why: unknown = null
    thread.on("message", (answer: Answer) => {
      this.#handles = answer.handles
      const { failure, refused, more } = answer
      this.#waiting
        .shift()!
        .answered(
          failure === null ? null : errorOf(failure, this.#file),
          refused.size === 0 ? none : new Map([...refused].map(([at, why]) => [at, errorOf(why, this.#file)])),
          more,
        )
    })
    thread.on("error", thrown => {
      why = thrown
    })
    this.#gone = new Promise(resolve => {
      thread.once("exit", () => {
        this.#thread = null
        this.#handles = 0
        const left = this.#waiting.splice(0)
        const error = new CahError(
          "unavailable",
          `the store's writer stopped${why === null ? "" : `: ${messageOf(why)}`}`,
          { cause: why },
        )
        for (const { answered } of left) answered(error, none, false)
        resolve()
      })
    })
    this.#thread = thread
    return thread
  }
}

/** What SQLite's result codes mean to whoever runs the hub, by their beginning: longer ones say where it happened. */
const meanings: readonly (readonly [prefix: string, code: ErrorCode, say: (file: string) => string])[] = [
  ["SQLITE_FULL", "resource_exhausted", file => `the hub's disk is full: ${file} cannot grow; free some space`],
  ["SQLITE_IOERR", "unavailable", file => `the hub's disk failed under ${file}; the system's log says how`],
  ["SQLITE_BUSY", "unavailable", file => `another program (a backup, a shell) has kept ${file} locked for too long`],
  ["SQLITE_CORRUPT", "data_loss", file => `${file} is damaged; restore it from a backup`],
  ["SQLITE_NOTADB", "data_loss", file => `${file} is damaged, or no database at all; restore it from a backup`],
  ["SQLITE_READONLY", "failed_precondition", file => `${file} cannot be written by this user`],
  ["SQLITE_CANTOPEN", "failed_precondition", file => `${file} cannot be opened by this user`],
]

function errorOf(failure: Failure, file: string): CahError {
  if (failure.code !== null) return new CahError(failure.code, failure.message)
  const cause = Object.assign(new Error(failure.message), { code: failure.sqlite })
  const said = `(${failure.message}, ${failure.sqlite ?? "no SQLite code"})`
  const meaning = meanings.find(([prefix]) => failure.sqlite?.startsWith(prefix))
  if (meaning === undefined) return new CahError("internal", `the store refused a change ${said}`, { cause })
  return new CahError(meaning[1], `${meaning[2](file)} ${said}`, { cause })
}
