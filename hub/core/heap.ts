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
  /** Theirs. Beside them, so that most comparisons touch no entry: those of a large heap are all over the memory. */
  private readonly keys: number[] = []

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
    this.keys.push(entry.key)
    this.rise(entry, this.entries.length - 1)
  }

  remove(entry: T): void {
    const last = this.entries.pop()!
    this.keys.pop()
    const { at } = entry
    entry.at = -1
    if (last === entry) return
    this.put(last, at)
    this.moved(last)
  }

  /** Its key has changed. */
  moved(entry: T): void {
    this.rise(entry, entry.at)
    this.sink(entry, entry.at)
  }

  private rise(entry: T, from: number): void {
    let hole = from
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      if (this.isBefore(parent, entry)) break
      this.put(this.entries[parent]!, hole, this.keys[parent])
      hole = parent
    }
    this.put(entry, hole)
  }

  private sink(entry: T, from: number): void {
    const { entries, keys } = this
    let hole = from
    for (;;) {
      let child = 2 * hole + 1
      if (child >= entries.length) break
      if (child + 1 < entries.length && this.isBefore(child + 1, entries[child]!, keys[child])) child++
      if (!this.isBefore(child, entry)) break
      this.put(entries[child]!, hole, keys[child])
      hole = child
    }
    this.put(entry, hole)
  }

  private put(entry: T, at: number, key = entry.key): void {
    this.entries[at] = entry
    this.keys[at] = key
    entry.at = at
  }

  /** Whether what is there is before the other. */
  private isBefore(at: number, other: T, otherKey = other.key): boolean {
    const key = this.keys[at]!
    return key !== otherKey ? key < otherKey : this.entries[at]!.number < other.number
  }
}
