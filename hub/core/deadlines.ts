// Moments at which something is due, for the engine's one timer. Of what is due at one moment, the first added
// comes first. Entries are never removed early; whoever takes a due one checks whether it still means anything.
// That keeps renewing a lease free of charge.
import { Heap, type Ranked } from "./heap.ts"

/** Its key is the moment, ms. */
interface Entry<T> extends Ranked {
  readonly value: T
}

export class Deadlines<T> {
  private readonly heap = new Heap<Entry<T>>()
  private added = 0

  get size(): number {
    return this.heap.size
  }

  add(atMs: number, value: T): void {
    this.heap.add({ key: atMs, number: this.added++, at: -1, value })
  }

  /** The earliest moment, or null if there is none. */
  next(): number | null {
    return this.heap.top?.key ?? null
  }

  /** Takes the earliest entry that is due, or null. */
  take(nowMs: number): T | null {
    const first = this.heap.top
    if (first === undefined || first.key > nowMs) return null
    this.heap.remove(first)
    return first.value
  }
}
