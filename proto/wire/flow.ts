// What goes out on a link, and in which order: control frames first, then chunks, the streams taking turns, each within its
// credit. One write is under way at a time and holds all that was ready, so a tick's frames leave together and nothing
// piles up in the socket, where no order could be kept any more. Bounded everywhere. No I/O: the pipe is given.
import type { Frame } from "./bulk.ts"
import { cut } from "./chunk.ts"
import { CHUNK_MAX_BYTES } from "./frame.ts"

/** Chunks in one write: four, so that a control frame that comes now waits for a window's worth at most. */
export const WRITE_CHUNK_BYTES = 4 * CHUNK_MAX_BYTES
/** Control frames in one write. */
export const WRITE_CONTROL_BYTES = 1024 * 1024
/**
 * Control frames waiting. Beyond it the other side does not keep up, and the link is closed. Offers are the large ones: a
 * node of 64 slots whose jobs have 200 KiB of specification each must fit.
 */
export const CONTROL_QUEUE_MAX_BYTES = 16 * 1024 * 1024
/** Read ahead of one stream, so that reading and writing overlap. */
const STREAM_QUEUE_BYTES = 4 * CHUNK_MAX_BYTES

/** A WebSocket, as far as sending goes. */
export interface Pipe {
  /** Sends the frames, in one write if it can. `done` follows once the operating system has them. */
  write(frames: readonly Frame[], done: () => void): void
}

export interface OutboxOptions {
  readonly pipe: Pipe
  chunkFrame(stream: number, offset: number, data: Uint8Array): Frame
  /** The end of a stream that went well. */
  endFrame(stream: number): Uint8Array
  /** Runs it once what runs now is over, at the latest with its turn of the event loop, so that its frames leave together. */
  later(run: () => void): void
  /** The control queue is full: close the link. Called once. */
  overflow(): void
  /** Told by how much the bytes held here have changed. For a bound over all links. */
  account?(bytes: number): void
}

/** Of every outbox that has had no stream yet, as most have not: nothing is ever put into it. */
const noOutlets = new Set<Outlet>()

/** All that one link still has to send. */
export class Outbox {
  readonly #options: OutboxOptions
  #control: Uint8Array[] = []
  #controlBytes = 0
  /** Streams with something to send, in the order of their turns. */
  #turns = noOutlets
  #outlets = noOutlets
  #bufferedBytes = 0
  #writing = false
  #scheduled = false
  #closed = false
  #writes = 0
  #whenEmpty: (() => void)[] = []

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Bytes accepted here that the operating system has not taken. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Writes that were taken. While `isBlocked`, a number that stands still means a stuck peer. */
  get writes(): number {
    return this.#writes
  }

  /** A write is under way. */
  get isBlocked(): boolean {
    return this.#writing
  }

  /** A control frame, ready encoded. It overtakes all chunks that are not on their way yet. */
  control(frame: Uint8Array): void {
    if (this.#closed) return
    if (this.#controlBytes + frame.length > CONTROL_QUEUE_MAX_BYTES) {
      this.close(new Error("the other side does not take what is sent"))
      this.#options.overflow()
      return
    }
    this.#control.push(frame)
    this.#controlBytes += frame.length
    this.#account(frame.length)
    this.#schedule()
  }

  /** A new stream to send on. It has no credit at first. */
  open(stream: number, offset: number, restraint?: Restraint): Outlet {
    if (this.#outlets === noOutlets) {
      this.#turns = new Set()
      this.#outlets = new Set()
    }
    const outlet: Outlet = new Outlet(stream, offset, restraint ?? null, {
      ready: bytes => {
        this.#account(bytes)
        this.#turns.add(outlet)
        this.#schedule()
      },
      dropped: bytes => {
        this.#account(-bytes)
        this.#turns.delete(outlet)
        this.#outlets.delete(outlet)
      },
    })
    if (this.#closed) outlet.drop(new Error("the link is closed"))
    else this.#outlets.add(outlet)
    return outlet
  }

  /** Resolves when nothing is left to send, or the outbox is closed. */
  empty(): Promise<void> {
    if (this.#closed || this.#isEmpty()) return Promise.resolve()
    return new Promise(resolve => this.#whenEmpty.push(resolve))
  }

  /** The link has gone, or must: nothing more is sent, and whoever waits to send gets the error. */
  close(error: Error): void {
    if (this.#closed) return
    this.#closed = true
    for (const outlet of [...this.#outlets]) outlet.drop(error)
    this.#control = []
    this.#controlBytes = 0
    this.#account(-this.#bufferedBytes)
    this.#resolveEmpty()
  }

  #isEmpty(): boolean {
    return !this.#writing && this.#control.length === 0 && this.#turns.size === 0
  }

  #account(bytes: number): void {
    this.#bufferedBytes += bytes
    this.#options.account?.(bytes)
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing || this.#closed) return
    this.#scheduled = true
    this.#options.later(() => {
      this.#scheduled = false
      this.#write()
    })
  }

  #write(): void {
    if (this.#closed || this.#writing) return
    const { frames, bytes } = this.#next()
    if (frames.length === 0) {
      this.#resolveEmpty()
      return
    }
    this.#writing = true
    this.#options.pipe.write(frames, () => {
      this.#writing = false
      if (this.#closed) return
      this.#writes++
      this.#account(-bytes)
      this.#write()
    })
  }

  /** What the next write holds, and how many of the accounted bytes that is. */
  #next(): { frames: Frame[]; bytes: number } {
    let taken = 0
    let bytes = 0
    while (taken < this.#control.length && bytes < WRITE_CONTROL_BYTES) bytes += this.#control[taken++]!.length
    const frames: Frame[] = this.#control.splice(0, taken)
    this.#controlBytes -= bytes
    let chunkBytes = 0
    while (chunkBytes < WRITE_CHUNK_BYTES) {
      const [outlet] = this.#turns
      if (outlet === undefined) break
      this.#turns.delete(outlet)
      const chunk = outlet.take()
      if (chunk !== null) {
        frames.push(this.#options.chunkFrame(outlet.stream, chunk.offset, chunk.data))
        chunkBytes += chunk.data.length
      }
      if (outlet.isOver) {
        frames.push(this.#options.endFrame(outlet.stream))
        this.#outlets.delete(outlet)
      } else if (outlet.hasChunk) {
        this.#turns.add(outlet)
      }
    }
    return { frames, bytes: bytes + chunkBytes }
  }

  #resolveEmpty(): void {
    if (!this.#closed && !this.#isEmpty()) return
    for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }
}

/** Of a sender that has its own reasons to have less under way than its receiver lets it. */
export interface Restraint {
  /** Where the stream ends. */
  readonly endOffset: number
  /** What may be under way. Asked before each chunk. */
  shareBytes(): number
  /** Bytes before here were queued. */
  sent(offset: number): void
  /** Bytes before here were taken by the receiver, as far as one knows. */
  taken(offset: number): void
}

interface OutletHooks {
  /** Something more is to be sent: this many bytes, or (0) the end. */
  ready(bytes: number): void
  /** Given up with this many bytes unsent. */
  dropped(bytes: number): void
}

/** The sending end of one stream. */
export class Outlet {
  readonly stream: number
  readonly #hooks: OutletHooks
  readonly #restraint: Restraint | null
  #queue: { readonly offset: number; readonly data: Uint8Array }[] = []
  #queuedBytes = 0
  /** Of the next byte that is given to us. */
  #offset: number
  #creditOffset: number
  /** Of the receiver: what it let us have under way at first. */
  #windowBytes: number | null = null
  /** The least by which a credit went beyond the one before: the receiver may keep taking for so long without a word. */
  #stepBytes = Number.POSITIVE_INFINITY
  #finished = false
  #error: Error | null = null
  #wake: (() => void) | null = null

  constructor(stream: number, offset: number, restraint: Restraint | null, hooks: OutletHooks) {
    this.stream = stream
    this.#restraint = restraint
    this.#offset = offset
    this.#creditOffset = offset
    this.#hooks = hooks
  }

  /** Bytes before here were given to us. */
  get offset(): number {
    return this.#offset
  }

  get hasChunk(): boolean {
    return this.#queue.length > 0
  }

  /** All was taken, and the end is due. */
  get isOver(): boolean {
    return this.#finished && this.#queue.length === 0
  }

  /** The receiver has room up to here. An older or repeated credit changes nothing. */
  credit(creditOffset: number): void {
    if (creditOffset <= this.#creditOffset) return
    if (this.#windowBytes === null) this.#windowBytes = creditOffset - this.#creditOffset
    else this.#stepBytes = Math.min(this.#stepBytes, creditOffset - this.#creditOffset)
    this.#creditOffset = creditOffset
    this.#restraint?.taken(creditOffset - this.#windowBytes)
    this.#wakeUp()
  }

  /**
   * Sends all of it and then the end of the stream, waiting for credit and for the link as needed. Rejects with the error of
   * drop(). Resolves when the last byte is queued. `gate` may hold it back before each piece.
   */
  async send(bytes: AsyncIterable<Uint8Array>, gate?: () => Promise<void> | null): Promise<void> {
    for await (const piece of bytes) {
      for (const part of cut(piece)) {
        let rest = part
        while (rest.length > 0) {
          const held = gate?.() ?? null
          if (held !== null) await held
          const room = await this.#room()
          this.#push(rest.subarray(0, room))
          rest = rest.subarray(room)
        }
      }
    }
    if (this.#error !== null) throw this.#error
    this.#finished = true
    this.#hooks.ready(0)
  }

  /** Gives the stream up: what is queued is thrown away, send() rejects. */
  drop(error: Error): void {
    if (this.#error !== null) return
    this.#error = error
    this.#hooks.dropped(this.#queuedBytes)
    this.#queue = []
    this.#queuedBytes = 0
    this.#wakeUp()
  }

  /** For the outbox: the next chunk. */
  take(): { readonly offset: number; readonly data: Uint8Array } | null {
    const chunk = this.#queue.shift()
    if (chunk === undefined) return null
    this.#queuedBytes -= chunk.data.length
    this.#wakeUp()
    return chunk
  }

  /** How many bytes may be pushed now: at least one, waiting for it if need be. */
  async #room(): Promise<number> {
    for (;;) {
      if (this.#error !== null) throw this.#error
      const room = Math.min(this.#endOfRoom() - this.#offset, STREAM_QUEUE_BYTES - this.#queuedBytes, CHUNK_MAX_BYTES)
      if (room > 0) return room
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  #endOfRoom(): number {
    const [restraint, credit] = [this.#restraint, this.#creditOffset]
    // With its last credit the receiver has said all that it will ever say.
    if (restraint === null || this.#windowBytes === null || credit >= restraint.endOffset) return credit
    const underWay = Math.max(restraint.shareBytes(), this.#stepBytes)
    return Math.min(credit, credit - this.#windowBytes + underWay)
  }

  #push(data: Uint8Array): void {
    this.#queue.push({ offset: this.#offset, data })
    this.#offset += data.length
    this.#queuedBytes += data.length
    this.#restraint?.sent(this.#offset)
    this.#hooks.ready(data.length)
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = null
  }
}
