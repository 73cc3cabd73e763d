// Virtual time: what is due next happens next, at once. Hours pass in seconds, and nothing depends on the machine.
import { Deadlines } from "../core/deadlines.ts"
import type { Timer } from "../core/ports.ts"

export class VirtualTime {
  nowMs = 0
  private readonly due = new Deadlines<() => void>()
  /** Promises under way: the loop lets them settle before time goes on. */
  private promises = 0

  /** Whole milliseconds: fractions would make "now" depend on the order of additions. */
  after(delayMs: number, run: () => void): void {
    this.due.add(this.nowMs + Math.ceil(delayMs), run)
  }

  /** Follows a promise of the code under test, so that its outcome comes before the next event. */
  follow<T>(promise: Promise<T>, then: (value: T) => void, failed: (error: unknown) => void): void {
    this.promises++
    promise.then(
      value => {
        this.promises--
        then(value)
      },
      (error: unknown) => {
        this.promises--
        failed(error)
      },
    )
  }

  /** A promise nobody will settle (its engine has crashed) is no longer waited for. */
  abandon(): void {
    this.promises = 0
  }

  /** Until `over` says so, nothing is left to happen, or the limit is reached. */
  async run(limitMs: number, over: () => boolean): Promise<void> {
    while (!over()) {
      const next = this.due.next()
      if (next === null || next > limitMs) return
      this.nowMs = next
      this.due.take(next)!()
      if (this.promises > 0) await new Promise(resolve => setImmediate(resolve))
    }
  }
}

/** The engine's timer in virtual time. Dead after a crash: what the old engine had planned never happens. */
export class VirtualTimer implements Timer {
  private dead = false
  private armed: { readonly atMs: number; readonly run: () => void } | null = null
  private readonly pending = new Set<number>()
  private readonly time: VirtualTime

  constructor(time: VirtualTime) {
    this.time = time
  }

  soon(run: () => void): void {
    // One millisecond, so that what arrives together is decided together, as in the real loop.
    this.time.after(1, () => {
      if (!this.dead) run()
    })
  }

  at(nowMs: number, run: () => void): () => void {
    const armed = { atMs: nowMs, run }
    this.armed = armed
    // The engine sets its timer anew after every tick, mostly to the same moment: that costs one entry, not thousands.
    if (!this.pending.has(nowMs)) {
      this.pending.add(nowMs)
      this.time.after(Math.max(0, nowMs - this.time.nowMs), () => {
        this.pending.delete(nowMs)
        const due = this.armed
        if (this.dead || due === null || due.atMs !== nowMs) return
        this.armed = null
        due.run()
      })
    }
    return () => {
      if (this.armed === armed) this.armed = null
    }
  }

  kill(): void {
    this.dead = true
  }
}
