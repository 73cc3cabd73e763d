// How late the event loop is right now: what admission goes by. A timer that should fire every LAG_SAMPLE_MS tells by how
// much it did not; timers run before sockets are read, so an upgrade that waited is judged by the wait it had. What was
// late fades within a second: a pause of the garbage collector must not turn agents away for long, nor a slow start.
import { LAG_SAMPLE_MS } from "../limits.ts"

export class LoopLag {
  readonly #timer: NodeJS.Timeout
  readonly #nowMs: () => number
  #dueMs: number
  #lagMs = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#dueMs = nowMs() + LAG_SAMPLE_MS
    this.#timer = setInterval(() => this.#sample(), LAG_SAMPLE_MS)
    this.#timer.unref()
  }

  get ms(): number {
    return this.#lagMs
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    const nowMs = this.#nowMs()
    this.#lagMs = Math.max(nowMs - this.#dueMs, this.#lagMs * 0.7)
    this.#dueMs = nowMs + LAG_SAMPLE_MS
  }
}
