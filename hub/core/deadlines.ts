// A binary heap of moments: what is due next, for the engine's one timer. Of what is due at one moment, the first added
// comes first. Entries are never removed early; whoever takes a due one checks whether it still means anything.
// That keeps renewing a lease free of charge.

interface Entry<T> {
  readonly atMs: number
  readonly number: number
  readonly value: T
}

export class Deadlines<T> {
  private readonly heap: Entry<T>[] = []
  private added = 0

  get size(): number {
    return this.heap.length
  }

  add(atMs: number, value: T): void {
    const heap = this.heap
    const entry = { atMs, number: this.added++, value }
    let hole = heap.length
    heap.push(entry)
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      const above = heap[parent]!
      if (before(above, entry)) break
      heap[hole] = above
      hole = parent
    }
    heap[hole] = entry
  }

  /** The earliest moment, or null if there is none. */
  next(): number | null {
    return this.heap[0]?.atMs ?? null
  }

  /** Takes the earliest entry that is due, or null. */
  take(nowMs: number): T | null {
    const heap = this.heap
    const first = heap[0]
    if (first === undefined || first.atMs > nowMs) return null
    const last = heap.pop()!
    if (heap.length > 0) this.sink(last)
    return first.value
  }

  private sink(entry: Entry<T>): void {
    const heap = this.heap
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (before(entry, heap[child]!)) break
      heap[hole] = heap[child]!
      hole = child
    }
    heap[hole] = entry
  }
}

function before<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.number < b.number
}
