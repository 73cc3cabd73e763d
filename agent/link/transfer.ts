// The streams of one link, on the agent's side: stageins it fetches, stageouts it uploads, logs it serves while somebody
// watches. Only the agent opens streams. Whatever a stream ends by, its caller gets bytes, success or a Failure; a frame that
// no honest hub sends is a FrameError. The frames' order is described in proto/wire/link.ts.
import type { AttemptId as WireAttempt, Blob as WireBlob } from "../../proto/gen/cah/v1/job_pb.ts"
import { type FollowLog, StreamError, StreamKind, type StreamOpened } from "../../proto/gen/cah/v1/link_pb.ts"
import { Inlet, windowOf } from "../../proto/wire/chunk.ts"
import type { Outbox, Outlet } from "../../proto/wire/flow.ts"
import {
  type AgentBodyInit,
  CHUNK_MAX_BYTES,
  FrameError,
  LOG_STREAMS_MAX,
  STREAMS_MAX,
  safeInteger,
} from "../../proto/wire/frame.ts"
import type { AttemptName, BlobRef } from "../core/model.ts"
import { type Clock, Failure, type LogSource, type OutputName } from "../core/ports.ts"
import { STUCK_MS, WINDOWS_BYTES } from "../limits.ts"
import { failureOf, wireAttempt, wireBlob } from "./convert.ts"

export interface TransferLink {
  readonly outbox: Outbox
  readonly clock: Clock
  readonly logSource: LogSource
  send(body: AgentBodyInit): void
  /** Something broke that is nobody's frame: said to the log. */
  warn(message: string, error: unknown): void
}

/** One open stream. Frames that its kind does not expect are a breach by the hub. */
interface Stream {
  readonly kind: "stagein" | "stageout" | OutputName
  /** When bytes last moved; null while it may be silent for long. */
  movedAtMs: number | null
  opened?(frame: StreamOpened): void
  chunk?(offset: number, data: Uint8Array): void
  credit?(creditOffset: number): void
  /** The hub has sent all. */
  ended?(): void
  stored?(): void
  /** Given up, by either side or with the link. */
  dropped(failure: Failure): void
}

const streamKinds = { stdout: StreamKind.STDOUT, stderr: StreamKind.STDERR } as const

export class Transfers {
  readonly #link: TransferLink
  readonly #streams = new Map<number, Stream>()
  /** Callers that wait for one of the STREAMS_MAX places. */
  readonly #waiting = new Set<() => void>()
  #transfers = 0
  #lastStream = 0
  #closed: Failure | null = null

  constructor(link: TransferLink) {
    this.#link = link
  }

  // ---- for the engine ----

  async *fetch(name: AttemptName, blob: BlobRef, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    await this.#place(signal)
    const id = ++this.#lastStream
    const windowBytes = windowOf(this.#transfers, WINDOWS_BYTES)
    const inlet = new Inlet({
      offset,
      sizeBytes: blob.sizeBytes,
      windowBytes: () => windowBytes,
      // A hub that keeps less under way than it may goes by what it hears.
      stepBytes: CHUNK_MAX_BYTES,
      grant: creditOffset => {
        this.#moved(id)
        this.#link.send({ case: "credit", value: { stream: id, creditOffset: BigInt(creditOffset) } })
      },
    })
    this.#add(id, {
      kind: "stagein",
      movedAtMs: this.#link.clock.nowMs(),
      chunk: (at, data) => inlet.accept(at, data),
      ended: () => {
        inlet.finish()
        this.#remove(id)
      },
      dropped: failure => inlet.fail(failure),
    })
    const abort = () => this.#giveUp(id, new Failure("the stagein was given up", { final: false }))
    signal.addEventListener("abort", abort, { once: true })
    try {
      this.#sendOpen(id, StreamKind.STAGEIN, wireAttempt(name), wireBlob(blob), offset)
      const value = { stream: id, offset: BigInt(offset), creditOffset: BigInt(inlet.creditOffset) }
      this.#link.send({ case: "streamOpened", value })
      if (signal.aborted) abort()
      yield* inlet
    } finally {
      signal.removeEventListener("abort", abort)
      // Our reader may have had enough before the end.
      abort()
    }
  }

  async upload(
    name: AttemptName,
    blob: BlobRef,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#place(signal)
    const id = ++this.#lastStream
    const abort = () => this.#giveUp(id, new Failure("the upload was given up", { final: false }))
    signal.addEventListener("abort", abort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#add(id, this.#stageout(id, blob, open, resolve, reject))
        this.#sendOpen(id, StreamKind.STAGEOUT, wireAttempt(name), wireBlob(blob), 0)
        if (signal.aborted) abort()
      })
    } finally {
      signal.removeEventListener("abort", abort)
    }
  }

  // ---- frames of the hub ----

  /** Somebody watches this attempt, or nobody does any more. */
  follow(name: AttemptName, { on, kind, offset }: Pick<FollowLog, "on" | "kind" | "offset">): void {
    const from = safeInteger(offset, "an offset")
    for (const output of ["stdout", "stderr"] as const) {
      if (on && kind !== StreamKind.UNSPECIFIED && kind !== streamKinds[output]) continue
      const key = logKey(name, output)
      const served = [...this.#streams].find(([, stream]) => "key" in stream && stream.key === key)
      if (on && served === undefined) this.#serve(name, output, key, from)
      if (!on && served !== undefined) this.#giveUp(served[0], new Failure("nobody watches", { final: false }))
    }
  }

  opened(frame: StreamOpened): void {
    this.#present(frame.stream, stream => expected(stream.opened, "stream_opened", stream).call(stream, frame))
  }

  chunk(id: number, offset: bigint, data: Uint8Array): void {
    this.#present(id, stream => {
      expected(stream.chunk, "chunk", stream).call(stream, safeInteger(offset, "a chunk's offset"), data)
      this.#moved(id)
    })
  }

  credit(id: number, creditOffset: bigint): void {
    this.#present(id, stream => {
      expected(stream.credit, "credit", stream).call(stream, safeInteger(creditOffset, "a credit"))
      this.#moved(id)
    })
  }

  end(id: number, error: StreamError, message: string): void {
    this.#present(id, stream => {
      if (error === StreamError.UNSPECIFIED) expected(stream.ended, "stream_end", stream).call(stream)
      else this.#drop(id, failureOf(error, message))
    })
  }

  stored(id: number): void {
    this.#present(id, stream => expected(stream.stored, "stream_stored", stream).call(stream))
  }

  // ---- the link ----

  watch(nowMs: number): void {
    for (const [id, stream] of [...this.#streams]) {
      if (stream.movedAtMs === null || nowMs - stream.movedAtMs < STUCK_MS) continue
      this.#giveUp(id, new Failure(`nothing moved for ${STUCK_MS / 1_000} s`, { final: false }))
    }
  }

  /** The link has gone: whoever waits gets a Failure that is worth another try. */
  close(): void {
    const failure = new Failure("the link to the hub was lost", { final: false })
    this.#closed = failure
    for (const id of [...this.#streams.keys()]) this.#drop(id, failure)
    for (const wake of [...this.#waiting]) wake()
  }

  // ---- stageout ----

  #stageout(
    id: number,
    blob: BlobRef,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    resolve: () => void,
    reject: (failure: unknown) => void,
  ): Stream {
    let outlet: Outlet | null = null
    let isSent = false
    const send = async (offset: number, to: Outlet) => {
      try {
        await to.send(exactly(offset === blob.sizeBytes ? nothing() : open(offset), blob.sizeBytes - offset))
        isSent = true
      } catch (error) {
        // Not ours to read, or changed since it was packed: the hub need not wait for the rest.
        if (this.#streams.get(id) === stream) this.#giveUp(id, asFailure(error))
      }
    }
    const stream: Stream = {
      kind: "stageout",
      movedAtMs: this.#link.clock.nowMs(),
      opened: frame => {
        if (outlet !== null) throw new FrameError("a stageout opened twice")
        const offset = safeInteger(frame.offset, "an offset")
        if (offset > blob.sizeBytes)
          throw new FrameError(`a stageout of ${blob.sizeBytes} bytes wanted from ${offset} on`)
        outlet = this.#link.outbox.open(id, offset)
        outlet.credit(safeInteger(frame.creditOffset, "a credit"))
        this.#moved(id)
        void send(offset, outlet)
      },
      credit: creditOffset => expectedOutlet(outlet).credit(creditOffset),
      stored: () => {
        if (!isSent) throw new FrameError("a stageout stored before it was sent")
        this.#remove(id)
        resolve()
      },
      dropped: failure => {
        outlet?.drop(failure)
        reject(failure)
      },
    }
    return stream
  }

  // ---- logs ----

  #serve(name: AttemptName, output: OutputName, key: string, from: number): void {
    if ([...this.#streams.values()].filter(isLog).length >= LOG_STREAMS_MAX) return
    const id = ++this.#lastStream
    const over = new AbortController()
    let outlet: Outlet | null = null
    const pump = async (to: Outlet) => {
      const source = this.#link.logSource(name, output, from)
      if (source !== null) await to.send(until(over.signal, source))
      else await to.send(nothing())
      this.#remove(id)
    }
    const stream: Stream & { readonly key: string } = {
      key,
      kind: output,
      movedAtMs: null,
      opened: frame => {
        if (outlet !== null || frame.offset !== 0n) throw new FrameError("a log opened twice, or not from its start")
        outlet = this.#link.outbox.open(id, 0)
        outlet.credit(safeInteger(frame.creditOffset, "a credit"))
        pump(outlet).catch(error => {
          if (this.#streams.get(id) !== stream) return
          this.#link.warn(`${output} of ${key} could not be served`, error)
          this.#giveUp(id, asFailure(error))
        })
      },
      credit: creditOffset => expectedOutlet(outlet).credit(creditOffset),
      dropped: failure => {
        over.abort()
        outlet?.drop(failure)
      },
    }
    this.#add(id, stream)
    this.#sendOpen(id, streamKinds[output], wireAttempt(name), null, from)
  }

  // ---- the register of streams ----

  /** Waits until one more transfer may be opened, and takes that place. */
  async #place(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (this.#closed !== null) throw this.#closed
      if (signal.aborted) throw new Failure("given up before it began", { final: false })
      if (this.#transfers < STREAMS_MAX) break
      await new Promise<void>(resolve => {
        const wake = () => {
          this.#waiting.delete(wake)
          signal.removeEventListener("abort", wake)
          resolve()
        }
        this.#waiting.add(wake)
        signal.addEventListener("abort", wake, { once: true })
      })
    }
    this.#transfers++
  }

  #add(id: number, stream: Stream): void {
    this.#streams.set(id, stream)
  }

  #remove(id: number): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#streams.delete(id)
    if (isLog(stream)) return
    this.#transfers--
    const [next] = this.#waiting
    next?.()
  }

  #drop(id: number, failure: Failure): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#remove(id)
    stream.dropped(failure)
  }

  /** Drops it and tells the hub. Nothing for a stream that is over. */
  #giveUp(id: number, failure: Failure): void {
    if (!this.#streams.has(id)) return
    this.#drop(id, failure)
    this.#link.send({
      case: "streamEnd",
      value: { stream: id, error: StreamError.CANCELLED, message: failure.message.slice(0, 200) },
    })
  }

  /** Frames of a stream of the past are ignored: the hub had not heard yet that it was over. */
  #present(id: number, act: (stream: Stream) => void): void {
    const stream = this.#streams.get(id)
    if (stream !== undefined) act(stream)
    else if (id > this.#lastStream || id === 0) throw new FrameError(`a frame of stream ${id}, which was never opened`)
  }

  #moved(id: number): void {
    const stream = this.#streams.get(id)
    if (stream !== undefined && stream.movedAtMs !== null) stream.movedAtMs = this.#link.clock.nowMs()
  }

  #sendOpen(
    stream: number,
    kind: StreamKind,
    attempt: Pick<WireAttempt, "campaign" | "index" | "attempt">,
    blob: Pick<WireBlob, "digest" | "sizeBytes"> | null,
    offset: number,
  ): void {
    const rest = blob === null ? {} : { blob }
    this.#link.send({ case: "streamOpen", value: { stream, kind, attempt, offset: BigInt(offset), ...rest } })
  }
}

function isLog(stream: Stream): boolean {
  return stream.kind === "stdout" || stream.kind === "stderr"
}

function logKey(name: AttemptName, output: OutputName): string {
  return `${name.campaign}.${name.index}#${name.attempt} ${output}`
}

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  const message = error instanceof Error ? error.message : String(error)
  return new Failure(message, { final: false, cause: error })
}

function expected<T>(handler: T | undefined, frame: string, stream: Stream): T {
  if (handler === undefined) throw new FrameError(`${frame} on a ${stream.kind} stream`)
  return handler
}

function expectedOutlet(outlet: Outlet | null): Outlet {
  if (outlet === null) throw new FrameError("a credit before the stream was opened")
  return outlet
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** The same bytes, if they are as many as were promised: the hub takes anything else for a breach. */
async function* exactly(bytes: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Uint8Array> {
  const changed = () => new Failure("the output changed after it was packed", { final: true })
  let rest = sizeBytes
  for await (const piece of bytes) {
    if (piece.length > rest) throw changed()
    rest -= piece.length
    yield piece
  }
  if (rest > 0) throw changed()
}

/** The same bytes until the signal comes, also while the source is silent. */
async function* until(signal: AbortSignal, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  const aborted = new Promise<null>(resolve => signal.addEventListener("abort", () => resolve(null), { once: true }))
  try {
    while (!signal.aborted) {
      const next = await Promise.race([iterator.next(), aborted])
      if (next === null || next.done === true) return
      yield next.value
    }
  } finally {
    // Not awaited: a silent generator ends only with its next byte.
    void iterator.return?.()?.catch(() => {})
  }
}
