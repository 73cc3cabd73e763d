// Batches on their way to a disk that is not really one: when each gets there is for the caller to say, and a crash loses exactly
// what had not. What MemoryStore and DirectStore have in common; SqliteStore has a thread for it.
import { CahError } from "../core/errors.ts"
import type { Committed } from "../core/ports.ts"
import type { Write } from "../core/rows.ts"

interface Batch {
  readonly writes: readonly Write[]
  readonly apart: readonly (readonly Write[])[]
  readonly done: Committed
}

export interface BatchQueueParts {
  /** Called once for each batch with what puts the oldest waiting batch on "disk". */
  readonly defer: (run: () => void) => void
  /** All of it or nothing, and throws then; of `apart` each by itself, and says by its place which were refused. */
  readonly apply: (writes: readonly Write[], apart: Batch["apart"]) => ReadonlyMap<number, Error>
}

export class BatchQueue {
  readonly #parts: BatchQueueParts
  #waiting: Batch[] = []
  #broken: Error | null = null
  #cause: Error | null = null
  /** Raised by a crash: what was deferred before it does nothing. */
  #life = 0

  constructor(parts: BatchQueueParts) {
    this.#parts = parts
  }

  get length(): number {
    return this.#waiting.length
  }

  add(batch: Batch): void {
    this.#waiting.push(batch)
    const life = this.#life
    this.#parts.defer(() => {
      if (life === this.#life) this.#settleOldest()
    })
  }

  /** The process dies: batches that wait are lost, and nobody hears of them. The first `reached` of them got to disk. */
  crash(reached: number): void {
    this.#life++
    for (const { writes, apart } of this.#waiting.splice(0).slice(0, reached)) this.#parts.apply(writes, apart)
    this.#broken = null
  }

  /** From now on batches fail with this error and reopen() throws it, until it is called with null. */
  fail(cause: Error | null): void {
    this.#cause = cause
  }

  reopen(): void {
    if (this.#cause !== null) throw this.#cause
    this.#broken = null
  }

  settle(): void {
    while (this.#waiting.length > 0) this.#settleOldest()
  }

  #settleOldest(): void {
    const batch = this.#waiting.shift()
    // settle() has done it already.
    if (batch === undefined) return
    this.#broken ??= this.#cause
    let refused: ReadonlyMap<number, Error> = new Map()
    if (this.#broken === null) {
      try {
        refused = this.#parts.apply(batch.writes, batch.apart)
      } catch (thrown) {
        this.#broken = refusal(thrown as Error)
      }
    }
    batch.done(this.#broken, refused)
  }
}

/** A change that a rule of the tables stands against. */
export function refusal(cause: Error): CahError {
  return new CahError("internal", `the store refused a change (${cause.message})`, { cause })
}

/** Tries each by itself; those that throw are named by their place. */
export function refusedOf<T>(apart: readonly T[], apply: (one: T) => void): Map<number, Error> {
  const refused = new Map<number, Error>()
  apart.forEach((one, at) => {
    try {
      apply(one)
    } catch (thrown) {
      refused.set(at, refusal(thrown as Error))
    }
  })
  return refused
}
