// A stream's bytes, cut into chunks by the sender and joined by the receiver. The receiver's end is an Inlet: it checks
// sequence and credit, holds at most one window, and grants more as its reader takes bytes. No I/O.
import { CHUNK_MAX_BYTES, FrameError, STREAM_WINDOW_BYTES, STREAM_WINDOW_WIDE_BYTES } from "./frame.ts"

/** Below this a queued chunk grows by the next one. Chosen so that a window is never more than some hundred pieces. */
const smallBytes = 4 * 1024

/** Pieces of at most CHUNK_MAX_BYTES, in order, sharing memory with the given bytes. Nothing for no bytes. */
export function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_MAX_BYTES) yield bytes.subarray(at, at + CHUNK_MAX_BYTES)
}

/** The window of one more stream where so many are open with it, so that all of them are about so many bytes. */
export function windowOf(streams: number, allBytes: number): number {
  return Math.min(Math.max(Math.floor(allBytes / streams), STREAM_WINDOW_BYTES), STREAM_WINDOW_WIDE_BYTES)
}

export interface InletOptions {
  /** Where the stream begins. */
  readonly offset: number
  /** Where it ends, exactly; null if nobody knows (a log). */
  readonly sizeBytes: number | null
  /** What the sender may have under way. Asked anew for each credit; less than before takes nothing back. */
  windowBytes(): number
  /** Granted anew at the latest when so much was taken. Half a window if not said: few frames, and the sender has the other half meanwhile. */
  readonly stepBytes?: number
  /** Tells the sender how far it may go from now on. */
  grant(creditOffset: number): void
}

/**
 * The receiving end. Frames are put in by the link, bytes are taken out by one reader. An Inlet that failed throws at its
 * reader, after the bytes that came before are taken.
 */
export class Inlet implements AsyncIterable<Uint8Array> {
  readonly #options: InletOptions
  readonly #queue: Uint8Array[] = []
  /** Of the next chunk. */
  #offset: number
  #creditOffset: number
  /** Bytes before here have been taken. */
  #takenOffset: number
  #end: "open" | "finished" | { readonly error: Error } = "open"
  #wake: (() => void) | null = null

  constructor(options: InletOptions) {
    this.#options = options
    this.#offset = options.offset
    this.#takenOffset = options.offset
    this.#creditOffset = this.#creditFor(options.offset)
  }

  /** How far the sender may go: what StreamOpened says at first. */
  get creditOffset(): number {
    return this.#creditOffset
  }

  /** Bytes before here have come. */
  get offset(): number {
    return this.#offset
  }

  /** A chunk came. FrameError when it is out of sequence, empty, or beyond the credit. */
  accept(offset: number, data: Uint8Array): void {
    if (this.#end !== "open") return
    if (data.length === 0) throw new FrameError("an empty chunk")
    if (data.length > CHUNK_MAX_BYTES) throw new FrameError(`a chunk of ${data.length} bytes`)
    if (offset !== this.#offset) throw new FrameError(`a chunk at offset ${offset} where ${this.#offset} was due`)
    const end = offset + data.length
    if (end > this.#creditOffset) {
      throw new FrameError(`a chunk up to offset ${end}, beyond the credit of ${this.#creditOffset}`)
    }
    this.#offset = end
    this.#enqueue(data)
    this.#wakeUp()
  }

  /** The sender has sent all. FrameError if that is not all that was announced. */
  finish(): void {
    if (this.#end !== "open") return
    const size = this.#options.sizeBytes
    if (size !== null && this.#offset !== size) {
      throw new FrameError(`a stream ended at offset ${this.#offset} of ${size}`)
    }
    this.#end = "finished"
    this.#wakeUp()
  }

  /** The stream is given up. The reader gets what came before, then this error. */
  fail(error: Error): void {
    if (this.#end !== "open") return
    this.#end = { error }
    this.#wakeUp()
  }

  /** One reader only: what it has done with is granted anew to the sender. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    for (let pieces = await this.#take(1); pieces !== null; pieces = await this.#take(1)) {
      yield pieces[0]!
      this.#grant()
    }
  }

  /**
   * For a reader to whom each piece costs the same, however short: all that waits, up to so many bytes or one piece. Granted anew when
   * they are taken, so that more comes while the reader is at work: it holds so much beyond the window.
   */
  async *batches(maxBytes: number): AsyncGenerator<Uint8Array[], void, void> {
    for (let pieces = await this.#take(maxBytes); pieces !== null; pieces = await this.#take(maxBytes)) {
      this.#grant()
      yield pieces
    }
  }

  /** Null: all has been taken. */
  async #take(maxBytes: number): Promise<Uint8Array[] | null> {
    while (this.#queue.length === 0) {
      if (this.#end === "finished") return null
      if (this.#end !== "open") throw this.#end.error
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    let [count, bytes] = [1, this.#queue[0]!.length]
    for (let next = this.#queue[1]; next !== undefined && bytes + next.length <= maxBytes; next = this.#queue[count]) {
      bytes += next.length
      count++
    }
    this.#takenOffset += bytes
    return this.#queue.splice(0, count)
  }

  /** Small chunks are put together: a window of single bytes would else cost a hundred times its size. */
  #enqueue(data: Uint8Array): void {
    const last = this.#queue.at(-1)
    if (last !== undefined && last.length < smallBytes && data.length < smallBytes) {
      this.#queue[this.#queue.length - 1] = Buffer.concat([last, data])
    } else {
      this.#queue.push(data)
    }
  }

  #grant(): void {
    if (this.#end !== "open") return
    const creditOffset = this.#creditFor(this.#takenOffset)
    const { windowBytes, stepBytes = windowBytes() / 2 } = this.#options
    const isWorth = creditOffset - this.#creditOffset >= stepBytes
    const isLast = creditOffset === this.#options.sizeBytes && creditOffset > this.#creditOffset
    if (!isWorth && !isLast) return
    this.#creditOffset = creditOffset
    this.#options.grant(creditOffset)
  }

  #creditFor(takenOffset: number): number {
    return Math.min(takenOffset + this.#options.windowBytes(), this.#options.sizeBytes ?? Number.MAX_SAFE_INTEGER)
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = null
  }
}
