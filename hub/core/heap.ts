// A heap whose entries know where they are, so that one whose key changed is put right without looking for it.
// Of equal keys the earlier number goes first: the same events give the same order everywhere.

export interface Ranked {
  /** The least is at the top. Whoever changes it says moved(). */
  key: number
  readonly number: number
  /** Its place in the heap, kept by the heap; -1 outside. */
  at: number
}

export class Heap<T extends Ranked> {
  private readonly entries: T[] = []

  get top(): T | undefined {
    return this.entries[0]
  }

  get size(): number {
    return this.entries.length
  }

  /** In no order. */
  [Symbol.iterator](): Iterator<T> {
    return this.entries.values()
  }

  add(entry: T): void {
    this.entries.push(entry)
    this.rise(entry, this.entries.length - 1)
  }

  remove(entry: T): void {
    const last = this.entries.pop()!
    const { at } = entry
    entry.at = -1
    if (last === entry) return
    last.at = at
    this.entries[at] = last
    this.moved(last)
  }

  /** Its key has changed. */
  moved(entry: T): void {
    this.rise(entry, entry.at)
    this.sink(entry, entry.at)
  }

  private rise(entry: T, from: number): void {
    const { entries } = this
    let hole = from
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      const above = entries[parent]!
      if (before(above, entry)) break
      entries[hole] = above
      above.at = hole
      hole = parent
    }
    entries[hole] = entry
    entry.at = hole
  }

  private sink(entry: T, from: number): void {
    const { entries } = this
    let hole = from
    for (;;) {
      let child = 2 * hole + 1
      if (child >= entries.length) break
      if (child + 1 < entries.length && before(entries[child + 1]!, entries[child]!)) child++
      const below = entries[child]!
      if (before(entry, below)) break
      entries[hole] = below
      below.at = hole
      hole = child
    }
    entries[hole] = entry
    entry.at = hole
  }
}

function before(a: Ranked, b: Ranked): boolean {
  return a.key !== b.key ? a.key < b.key : a.number < b.number
}
