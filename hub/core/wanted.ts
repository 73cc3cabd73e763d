// Jobs of a campaign that may be offered again, and how many attempts each wants beside those under way. Mostly that is one: the set
// says so, and only what is beyond one is counted, so that a million jobs after a power cut take the memory of a set. Untouched jobs
// are not here: they are the range from the cursor on, of which each wants one.

export class Wanted {
  private readonly indices = new Set<number>()
  /** Attempts beyond the first, of jobs that want more than one. */
  private readonly more = new Map<number, number>()
  private beyond = 0

  /** Attempts that are wanted, of all jobs together. */
  get total(): number {
    return this.indices.size + this.beyond
  }

  has(index: number): boolean {
    return this.indices.has(index)
  }

  /** How many attempts the job wants; 0: it is not here. */
  of(index: number): number {
    return this.indices.has(index) ? 1 + (this.more.get(index) ?? 0) : 0
  }

  /** The job wants so many from now on, however many it wanted; it keeps its place. */
  add(index: number, attempts = 1): void {
    this.indices.add(index)
    this.keep(index, attempts - 1)
  }

  /** One of the job's is given out. False: it wants none. */
  take(index: number): boolean {
    if (!this.indices.has(index)) return false
    const more = this.more.size === 0 ? 0 : (this.more.get(index) ?? 0)
    if (more === 0) this.indices.delete(index)
    else this.keep(index, more - 1)
    return true
  }

  /** It wants none any more. */
  delete(index: number): void {
    this.indices.delete(index)
    this.keep(index, 0)
  }

  /** By index, in the order in which they came. */
  [Symbol.iterator](): IterableIterator<number> {
    return this.indices.values()
  }

  private keep(index: number, more: number): void {
    if (more === 0 && this.more.size === 0) return
    this.beyond += more - (this.more.get(index) ?? 0)
    if (more === 0) this.more.delete(index)
    else this.more.set(index, more)
  }
}
