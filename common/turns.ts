// Who is next. Turns: one at a time for each name, in order of asking, for what must not interleave with itself across awaits.
// FairTurns: one at a time for all, the names in turn, so that who asks often waits behind nobody but themselves.

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve()
    // The one before has told its own caller how it went.
    const turn = before.then(work, work)
    this.#last.set(name, turn)
    const forget = () => {
      if (this.#last.get(name) === turn) this.#last.delete(name)
    }
    turn.then(forget, forget)
    return turn
  }
}

interface Waiting {
  start(): void
  giveUp(): void
}

export class FairTurns {
  readonly #max: number
  readonly #tooMany: () => Error
  /** By name, the next one first. */
  readonly #waiting = new Map<string, Waiting[]>()
  #count = 0
  #isBusy = false

  /** So many may wait; `tooMany` is what one of the name that has most is told, when there are more. */
  constructor(max: number, tooMany: () => Error) {
    this.#max = max
    this.#tooMany = tooMany
  }

  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const start = () => {
        work()
          .then(resolve, reject)
          .finally(() => this.#next())
      }
      const giveUp = () => reject(this.#tooMany())
      if (!this.#isBusy) {
        this.#isBusy = true
        start()
        return
      }
      this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), { start, giveUp }])
      this.#count++
      if (this.#count > this.#max) this.#sendAway()
    })
  }

  /** The last of the name that has most. */
  #sendAway(): void {
    const [name, most] = [...this.#waiting].reduce((a, b) => (b[1].length > a[1].length ? b : a))
    this.#count--
    most.pop()!.giveUp()
    if (most.length === 0) this.#waiting.delete(name)
  }

  #next(): void {
    const [first] = this.#waiting
    if (first === undefined) {
      this.#isBusy = false
      return
    }
    const [name, [next, ...rest]] = first
    // Behind all others.
    this.#waiting.delete(name)
    if (rest.length > 0) this.#waiting.set(name, rest)
    this.#count--
    next!.start()
  }
}
