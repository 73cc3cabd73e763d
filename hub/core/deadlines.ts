// A binary heap of moments: what is due next, for the engine's one timer. Entries are never removed early; whoever takes
// a due one checks whether it still means anything. That keeps renewing a lease free of charge.

export class Deadlines<T> {
  private readonly heap: { readonly atMs: number; readonly value: T }[] = []

  get size(): number {
    return this.heap.length
  }

  add(atMs: number, value: T): void {
    const heap = this.heap
    const entry = { atMs, value }
    let hole = heap.length
    heap.push(entry)
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      const above = heap[parent]!
      if (above.atMs <= atMs) break
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

  private sink(entry: { readonly atMs: number; readonly value: T }): void {
    const heap = this.heap
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.atMs < heap[child]!.atMs) child++
      if (heap[child]!.atMs >= entry.atMs) break
      heap[hole] = heap[child]!
      hole = child
    }
    heap[hole] = entry
  }
}
