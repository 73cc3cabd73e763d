// The database of SqliteStore without its thread, for the simulator and tests: the same schema, journal and start, but a batch is
// on disk when the caller says so, and a crash starts it anew as a killed hub would start.
import { join } from "node:path"
import { CahError } from "../../core/errors.ts"
import type { Committed, Store, StoreHealth } from "../../core/ports.ts"
import type { CampaignRow, RowWrite, Write } from "../../core/rows.ts"
import { BatchQueue, refusal } from "../queue.ts"
import { type Opened, openForWriting } from "./apply.ts"
import { Batches, type JournalLimits, journalLimits } from "./batches.ts"
import { rowSteps } from "./encode.ts"
import { closeDb, DATABASE, messageOf } from "./open.ts"
import { SqliteReader } from "./reader.ts"
import { giveBack } from "./space.ts"

export interface DirectStoreOptions {
  /** Is there. Nothing keeps a second one out. */
  readonly directory: string
  readonly wallMs: () => number
  readonly journal?: JournalLimits
  /** Called once for each batch with what puts the oldest waiting batch on disk. Default: a microtask. */
  readonly defer?: (run: () => void) => void
}

export class DirectStore extends SqliteReader implements Store {
  readonly #options: DirectStoreOptions
  readonly #queue: BatchQueue
  #opened: Opened
  #batches: Batches

  constructor(options: DirectStoreOptions) {
    const { opened, batches } = start(options)
    super(opened.db, batches.live)
    this.#options = options
    this.#opened = opened
    this.#batches = batches
    this.#queue = new BatchQueue({
      defer: options.defer ?? queueMicrotask,
      apply: (writes, apart) => this.#apply(writes, apart as readonly (readonly RowWrite[])[]),
    })
  }

  commit(writes: readonly Write[], done: Committed, apart: readonly (readonly RowWrite[])[] = []): void {
    this.#queue.add({ writes: structuredClone(writes), apart: structuredClone(apart), done })
  }

  /** The process dies, and another starts on what it left: batches that wait are lost, but for the first `reached`. */
  crash(reached = 0): void {
    this.#queue.crash(reached)
    this.#startAnew()
  }

  fail(cause: Error | null): void {
    this.#queue.fail(cause)
  }

  async reopen(): Promise<void> {
    this.#queue.reopen()
    this.#startAnew()
  }

  health(): StoreHealth {
    return { handles: 1, walBytes: 0, queued: this.#queue.length, trouble: null }
  }

  async giveBack(): Promise<boolean> {
    return giveBack(this.#opened.db)
  }

  async close(): Promise<void> {
    this.#queue.settle()
    closeDb(this.#opened.db.name, this.#opened.db)
  }

  #startAnew(): void {
    const old = this.#opened.db
    const { opened, batches } = start(this.#options)
    closeDb(old.name, old)
    this.#opened = opened
    this.#batches = batches
    this.readFrom(opened.db, batches.live)
  }

  #apply(writes: readonly Write[], apart: readonly (readonly RowWrite[])[]): Map<number, Error> {
    const wallMs = this.#options.wallMs()
    const isKnown = (id: CampaignRow["id"]) => this.campaign(id) !== null
    const { steps, landed } = this.#batches.batch(writes, wallMs, { isStored: row => isKnown(row.id), isKnown })
    const refused = this.#opened.run(
      steps,
      apart.map(list => rowSteps(list, wallMs)),
    )
    landed()
    return new Map([...refused].map(([at, thrown]) => [at, refusal(new CahError("internal", messageOf(thrown)))]))
  }
}

function start({ directory, wallMs, journal = journalLimits }: DirectStoreOptions) {
  const opened = openForWriting(join(directory, DATABASE), wallMs())
  const batches = Batches.of(opened.db, journal)
  const first = batches.putAway()
  if (first !== null) {
    opened.run(first.steps, [])
    first.landed()
  }
  return { opened, batches }
}
