// When one volunteer's machine is on, from a seed: asked twice it says the same. Pure.
import type { Random } from "../hub/sim/random.ts"

export interface Span {
  readonly fromMs: number
  /** Infinity: it stays. */
  readonly untilMs: number
}

/** On for four hours and off for one, on average: as in hub/sim/faults.ts, where such days are called "churn". */
const ON_MEAN_MS = 4 * 3_600_000
const OFF_MEAN_MS = 3_600_000
const FIRST_MAX_MS = 60_000

export class Presence {
  readonly #random: Random
  readonly #comesAndGoes: boolean
  #afterMs = 0
  #isFirst = true

  constructor(random: Random, comesAndGoes: boolean) {
    this.#random = random
    this.#comesAndGoes = comesAndGoes
  }

  /** Spans in order. Whole milliseconds, as virtual time has them. */
  next(): Span {
    const awayMs = this.#isFirst ? this.#random.between(0, FIRST_MAX_MS) : this.#random.exponential(OFF_MEAN_MS)
    this.#isFirst = false
    const fromMs = Math.ceil(this.#afterMs + awayMs)
    const untilMs = this.#comesAndGoes
      ? Math.ceil(fromMs + 1 + this.#random.exponential(ON_MEAN_MS))
      : Number.POSITIVE_INFINITY
    this.#afterMs = untilMs
    return { fromMs, untilMs }
  }
}
