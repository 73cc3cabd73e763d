// Every task once, and none twice. Tasks are "job 0", "job 1" and so on, as the lines of our own jobs.
export class Counter {
  readonly #seen: Uint8Array
  #count = 0
  #resolve: () => void = () => {}
  readonly all: Promise<void>

  constructor(tasks: number) {
    this.#seen = new Uint8Array(tasks)
    this.all = new Promise(resolve => {
      this.#resolve = resolve
    })
  }

  static payload(number: number): string {
    return `job ${number}`
  }

  /** The task was taken, and its acknowledgement is sent, or done where the peer says so. */
  took(payload: string): void {
    const number = Number(payload.slice("job ".length))
    if (!(number >= 0 && number < this.#seen.length)) throw new Error(`a task "${payload}" that nobody submitted`)
    if (this.#seen[number] !== 0) throw new Error(`task "${payload}" was given twice`)
    this.#seen[number] = 1
    if (++this.#count === this.#seen.length) this.#resolve()
  }

  demandAll(): void {
    if (this.#count !== this.#seen.length) throw new Error(`of ${this.#seen.length} tasks ${this.#count} were taken`)
  }
}
