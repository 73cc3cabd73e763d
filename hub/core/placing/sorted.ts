// A set that is always in order, for lines of many campaigns: added to, taken from anywhere, and read at its front. Kept in
// chunks, so that a change moves a few hundred entries at most, whatever the length of the line.

/** A chunk is split at twice this. Moving so many pointers costs less than a comparison of two campaigns. */
const CHUNK = 64

export class Sorted<T> {
  private readonly chunks: T[][] = []
  private readonly compare: (a: T, b: T) => number

  /** `compare` gives 0 for the same entry only. */
  constructor(compare: (a: T, b: T) => number) {
    this.compare = compare
  }

  get first(): T | undefined {
    return this.chunks[0]?.[0]
  }

  get isEmpty(): boolean {
    return this.chunks.length === 0
  }

  /** Must not be in it. */
  add(entry: T): void {
    const { chunks } = this
    const at = this.chunkOf(entry)
    const chunk = chunks[at]
    if (chunk === undefined) {
      chunks.push([entry])
      return
    }
    chunk.splice(this.placeIn(chunk, entry), 0, entry)
    if (chunk.length >= 2 * CHUNK) chunks.splice(at + 1, 0, chunk.splice(CHUNK))
  }

  /** False: it was not in it. */
  remove(entry: T): boolean {
    const { chunks } = this
    const at = this.chunkOf(entry)
    const chunk = chunks[at]
    const place = chunk === undefined ? -1 : this.placeIn(chunk, entry)
    if (chunk?.[place] !== entry) return false
    chunk.splice(place, 1)
    if (chunk.length === 0) chunks.splice(at, 1)
    return true
  }

  *[Symbol.iterator](): Generator<T> {
    for (const chunk of this.chunks) yield* chunk
  }

  /**
   * In order, without the iterator's objects: for where each job is placed. `visit` may move the entry that it is given to a later
   * place, or leave it, and answer "again": then whatever stands at its place now is next. What it has passed must stay.
   */
  visit(visit: (entry: T) => "on" | "again" | "enough"): void {
    const { chunks } = this
    let [at, place] = [0, 0]
    while (at < chunks.length) {
      const chunk = chunks[at]!
      if (place >= chunk.length) {
        at++
        place = 0
        continue
      }
      const answer = visit(chunk[place]!)
      if (answer === "enough") return
      if (answer === "on") place++
    }
  }

  /** The first chunk whose last entry is not before this one; the last chunk if there is none. */
  private chunkOf(entry: T): number {
    const { chunks } = this
    let [low, high] = [0, Math.max(0, chunks.length - 1)]
    while (low < high) {
      const middle = (low + high) >> 1
      const chunk = chunks[middle]!
      if (this.compare(chunk[chunk.length - 1]!, entry) >= 0) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The first entry that is not before this one; the length if there is none. */
  private placeIn(chunk: readonly T[], entry: T): number {
    let [low, high] = [0, chunk.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.compare(chunk[middle]!, entry) >= 0) high = middle
      else low = middle + 1
    }
    return low
  }
}
