// When to dial again: full jitter, so that ten thousand agents that lost the same hub do not come back at once, and steered
// by the hub, which knows best. Pure: chance is given, time is the caller's.
import { backoffMs } from "../../common/backoff.ts"
import { DIAL_FAILURES_AFTER_WELCOME, DIAL_MAX_MS, DIAL_MIN_MS, RETRY_AFTER_MAX_MS } from "../limits.ts"

export class Backoff {
  readonly #random: () => number
  #failures = 0

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random
  }

  /** A session has ended. A good one: forget what came before. A short one: the hub is there, but all may not be well. */
  sessionEnded(wasGood: boolean): void {
    this.#failures = wasGood ? 0 : Math.min(this.#failures, DIAL_FAILURES_AFTER_WELCOME)
  }

  /** How long to wait now. With a word from the hub: between that and twice that. */
  next(retryAfterMs: number | null): number {
    const ceilingMs = backoffMs(++this.#failures, DIAL_MIN_MS, DIAL_MAX_MS)
    if (retryAfterMs === null) return this.#random() * ceilingMs
    return Math.min(retryAfterMs, RETRY_AFTER_MAX_MS) * (1 + this.#random())
  }
}
