// Tokens that come at a rate, in steps: whoever wants to send so many bytes waits until there are as many. Those who wait are served in the
// order in which they came, so that one connection cannot starve another. The timer runs only while somebody waits.
import { REFILL_MS } from "../limits.ts"

interface Waiter {
  leftBytes: number
  readonly go: () => void
}

export class Bucket {
  /** Null: no limit. */
  #perStep: number | null
  #tokens: number
  readonly #waiters: Waiter[] = []
  #timer: NodeJS.Timeout | null = null

  constructor(bytesPerSecond: number | null) {
    this.#perStep = perStepOf(bytesPerSecond)
    this.#tokens = this.#perStep ?? 0
  }

  /** From the next step on. */
  setRate(bytesPerSecond: number | null): void {
    this.#perStep = perStepOf(bytesPerSecond)
    this.#tokens = Math.min(this.#tokens, this.#perStep ?? 0)
    if (this.#perStep === null) this.#serve(Number.POSITIVE_INFINITY)
  }

  /** Resolves when so many bytes may go. */
  take(bytes: number): Promise<void> | undefined {
    if (this.#perStep === null) return undefined
    if (this.#waiters.length === 0 && this.#tokens >= bytes) {
      this.#tokens -= bytes
      return undefined
    }
    return new Promise(resolve => {
      this.#waiters.push({ leftBytes: bytes, go: resolve })
      this.#timer ??= setInterval(() => this.#step(), REFILL_MS)
      this.#serve(this.#tokens)
    })
  }

  #step(): void {
    // One step's worth at most is kept: after a silence there is no burst beyond it.
    this.#serve(
      Math.min(this.#tokens + (this.#perStep ?? Number.POSITIVE_INFINITY), this.#perStep ?? Number.POSITIVE_INFINITY),
    )
  }

  #serve(tokens: number): void {
    let left = tokens
    for (let first = this.#waiters[0]; first !== undefined && left > 0; first = this.#waiters[0]) {
      const taken = Math.min(left, first.leftBytes)
      left -= taken
      first.leftBytes -= taken
      if (first.leftBytes > 0) break
      this.#waiters.shift()
      first.go()
    }
    this.#tokens = this.#perStep === null ? 0 : left
    if (this.#waiters.length > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}

function perStepOf(bytesPerSecond: number | null): number | null {
  return bytesPerSecond === null ? null : Math.max(1, (bytesPerSecond * REFILL_MS) / 1_000)
}
