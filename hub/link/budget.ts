// Bytes waiting to be sent over all links, and who waits for them to become fewer. Keeps a thousand agents that do not read
// from filling the memory with blobs. Control frames are counted but never held back: each link bounds its own.

export class Budget {
  readonly #maxBytes: number
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The bytes waiting have changed by so many. */
  account(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#maxBytes || this.#waiting.length === 0) return
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Null: go on. Else what to wait for before more is read. */
  room(): Promise<void> | null {
    if (this.#bytes <= this.#maxBytes) return null
    return new Promise(resolve => this.#waiting.push(resolve))
  }
}
