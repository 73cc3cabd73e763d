// A token bucket: a rate with a burst. Holds two numbers and no timer; the caller brings the time.

export class Bucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #atMs: number

  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1_000
    this.#burst = burst
    this.#tokens = burst
    this.#atMs = nowMs
  }

  /** Whether there are so many tokens. */
  has(tokens: number, nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs)
    this.#atMs = nowMs
    return tokens <= this.#tokens
  }

  /** Takes so many tokens; false, and nothing taken, if there are not that many. */
  take(tokens: number, nowMs: number): boolean {
    if (!this.has(tokens, nowMs)) return false
    this.#tokens -= tokens
    return true
  }

  /** So many more may be taken, up to the burst. */
  give(tokens: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + tokens)
  }
}
