// The streams of one link: blobs to the agent, blobs from it, and followed logs. Bytes go between the link and the blob store
// here and nowhere else; the engine hears only that a blob is whole. An agent gets and gives only what an attempt that it
// holds calls for, and everything else looks the same to it: denied. The frames' order is described in proto/wire/link.ts.
import { StreamError, StreamKind, type StreamOpen, type StreamOpened } from "../../proto/gen/cah/v1/link_pb.ts"
import { Inlet, windowOf } from "../../proto/wire/chunk.ts"
import type { Outbox } from "../../proto/wire/flow.ts"
import {
  FrameError,
  type HubBodyInit,
  LOG_STREAMS_MAX,
  STREAM_WINDOW_BYTES,
  STREAMS_MAX,
  safeInteger,
} from "../../proto/wire/frame.ts"
import type { AttemptName } from "../core/effects.ts"
import { CahError } from "../core/errors.ts"
import { type BlobRef, jobId, type NodeId } from "../core/model.ts"
import type { BlobStore, Clock, Log } from "../core/ports.ts"
import {
  DISK_RESERVE_BYTES,
  FOLLOW_OPEN_MS,
  LINKS_STREAMS_MAX,
  LINKS_WINDOWS_BYTES,
  STAGEOUT_BYTES_MAX,
} from "../limits.ts"
import type { Metrics } from "../metrics.ts"
import type { SparingLog } from "../sparing.ts"
import type { Budget } from "./budget.ts"
import { attemptOf, blobOf, streamErrorOf, wireAttempt } from "./convert.ts"
import type { Berth, Desk } from "./desk.ts"
import { Nearness } from "./near.ts"
import { type Follower, type Output, Tap } from "./taps.ts"

/** What all links share. */
export interface TransferWorld {
  readonly desk: Desk
  readonly blobs: BlobStore
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly budget: Budget
  /** Transfers over all links. */
  readonly open: { transfers: number }
  /** For lines that agents can cause. */
  readonly strangers: SparingLog
  readonly stuckMs: number
  /** Told of all bytes of streams, by direction as the hub sees it. */
  moved(node: NodeId, direction: "in" | "out", bytes: number): void
}

export interface TransferLink {
  readonly node: NodeId
  readonly outbox: Outbox
  /** From the challenge to the agent's hello, when the link was still empty. */
  readonly helloMs: number
  send(body: HubBodyInit): void
  /** So many bytes of a stream go to the agent. */
  sent(bytes: number): void
  /** Resolves when older links of this node have let go of their uploads. */
  settled(): Promise<void>
}

type Kind = "stagein" | "stageout" | Output

/** One open stream. Frames that its kind does not expect are a breach. */
interface Stream {
  readonly kind: Kind
  /** When bytes last moved; null while it is not for the agent to move them. */
  movedAtMs: number | null
  /** What the agent has yet to say before anything can move; null or none: it has. */
  awaited?: string | null
  opened?(frame: StreamOpened): void
  chunk?(offset: number, data: Uint8Array): void
  credit?(creditOffset: number): void
  /** The agent has sent all. */
  ended?(): void
  /** Given up, by either side. */
  dropped(error: CahError): void
}

const logKinds = { stdout: StreamKind.STDOUT, stderr: StreamKind.STDERR } as const

const kinds: Partial<Record<StreamKind, Kind>> = {
  [StreamKind.STAGEIN]: "stagein",
  [StreamKind.STAGEOUT]: "stageout",
  [StreamKind.STDOUT]: "stdout",
  [StreamKind.STDERR]: "stderr",
}

export class Transfers {
  readonly #world: TransferWorld
  readonly #link: TransferLink
  readonly #streams = new Map<number, Stream>()
  readonly #taps = new Map<string, Tap>()
  /** Pumps under way, until they have let go of their files. */
  readonly #pumps = new Set<Promise<void>>()
  readonly #nearness: Nearness
  #lastStream = 0
  #closed = false

  constructor(world: TransferWorld, link: TransferLink) {
    this.#world = world
    this.#link = link
    this.#nearness = new Nearness(link.helloMs, () => world.clock.nowMs())
  }

  get size(): number {
    return this.#streams.size
  }

  // ---- frames of the agent ----

  open(frame: StreamOpen): void {
    if (frame.stream <= this.#lastStream) {
      throw new FrameError(`stream ${frame.stream} opened after stream ${this.#lastStream}`)
    }
    this.#lastStream = frame.stream
    const kind = kinds[frame.kind]
    if (kind === undefined) throw new FrameError(`a stream of kind ${frame.kind}`)
    const alike = [...this.#streams.values()].filter(stream => isLog(stream.kind) === isLog(kind)).length
    const max = isLog(kind) ? LOG_STREAMS_MAX : STREAMS_MAX
    if (alike >= max) throw new FrameError(`more than ${max} streams open at once`)
    const name = attemptOf(frame.attempt)
    try {
      if (isLog(kind)) {
        this.#log(frame.stream, kind, name, safeInteger(frame.offset, "an offset"))
        return
      }
      const blob = blobOf(frame.blob)
      if (this.#world.open.transfers >= LINKS_STREAMS_MAX) {
        throw new CahError("unavailable", "the hub has too many transfers under way; try again")
      }
      if (kind === "stagein") this.#stagein(frame.stream, name, blob, safeInteger(frame.offset, "an offset"))
      else this.#stageout(frame.stream, name, blob)
    } catch (error) {
      if (!(error instanceof CahError)) throw error
      this.#sendEnd(frame.stream, error)
    }
  }

  opened(frame: StreamOpened): void {
    this.#present(frame.stream, stream => expected(stream.opened, "stream_opened", stream).call(stream, frame))
  }

  /** False: the chunk belongs to a stream of the past. */
  chunk(id: number, offset: bigint, data: Uint8Array): boolean {
    return this.#present(id, stream => {
      expected(stream.chunk, "chunk", stream).call(stream, safeInteger(offset, "a chunk's offset"), data)
      this.#moved(stream)
      this.#world.metrics.streamBytes.inc({ dir: "in", kind: stream.kind }, data.length)
      this.#world.moved(this.#link.node, "in", data.length)
    })
  }

  credit(id: number, creditOffset: bigint): void {
    this.#present(id, stream => {
      expected(stream.credit, "credit", stream).call(stream, safeInteger(creditOffset, "a credit"))
      this.#moved(stream)
    })
  }

  end(id: number, error: StreamError, message: string): void {
    this.#present(id, stream => {
      if (error === StreamError.UNSPECIFIED) return expected(stream.ended, "stream_end", stream).call(stream)
      this.#drop(id, new CahError("aborted", `the agent gave up its ${stream.kind}: ${message}`))
    })
  }

  // ---- of the hub ----

  /** As LogTap.follow, on this link. */
  follow(name: AttemptName, output: Output, follower: Follower, offset: number): { stop(): void } {
    const key = tapKey(name, output)
    let tap = this.#taps.get(key)
    if (tap === undefined) {
      // A tap each for stdout and stderr: so many can be served.
      if (this.#taps.size >= LOG_STREAMS_MAX) {
        throw new CahError("resource_exhausted", "too many logs of this node are followed already; try again later")
      }
      tap = new Tap(this.#world.clock.nowMs())
      this.#taps.set(key, tap)
      this.#link.send({
        case: "followLog",
        value: { attempt: wireAttempt(name), on: true, kind: logKinds[output], offset: BigInt(offset) },
      })
    }
    tap.add(follower)
    return { stop: () => this.#unfollow(name, output, follower) }
  }

  /** Looks for streams on which nothing moves. Called about once a second. */
  watch(nowMs: number): void {
    for (const [id, stream] of [...this.#streams]) {
      if (stream.movedAtMs === null || nowMs - stream.movedAtMs < this.#world.stuckMs) continue
      this.#world.metrics.streamStalls.inc()
      const awaited = stream.awaited == null ? "" : `; the hub waits for the agent's ${stream.awaited}`
      const why = `nothing moved for ${Math.round(this.#world.stuckMs / 1_000)} s${awaited}`
      this.#giveUp(id, new CahError("aborted", why))
    }
    for (const [key, tap] of [...this.#taps]) {
      if (tap.stream !== null || nowMs - tap.sinceMs < FOLLOW_OPEN_MS) continue
      this.#taps.delete(key)
      // The agent has no such attempt any more.
      tap.end(false)
    }
  }

  /** The link is over. Resolves when every file is closed and every unfinished upload is safe for a later resume. */
  async close(): Promise<void> {
    this.#closed = true
    for (const id of [...this.#streams.keys()]) this.#drop(id, new CahError("aborted", "the link was closed"))
    for (const tap of this.#taps.values()) tap.end(true)
    this.#taps.clear()
    await Promise.all(this.#pumps)
  }

  // ---- stagein ----

  #stagein(id: number, name: AttemptName, blob: BlobRef, offset: number): void {
    if (offset > blob.sizeBytes) throw new FrameError(`a stagein from ${offset} of ${blob.sizeBytes} bytes on`)
    const timer = this.#nearness.timer()
    const outlet = this.#link.outbox.open(id, offset, {
      endOffset: blob.sizeBytes,
      shareBytes: () => this.#shareBytes(1),
      sent: sentOffset => timer.start(sentOffset),
      taken: takenOffset => timer.reached(takenOffset),
    })
    const stream: Stream = {
      kind: "stagein",
      // Until the hub has answered it is our turn.
      movedAtMs: null,
      awaited: "StreamOpened",
      opened: frame => {
        stream.awaited = null
        if (safeInteger(frame.offset, "an offset") !== offset) {
          throw new FrameError(`a stagein asked for at ${offset} and opened at ${frame.offset}`)
        }
        outlet.credit(safeInteger(frame.creditOffset, "a credit"))
      },
      credit: creditOffset => outlet.credit(creditOffset),
      dropped: error => outlet.drop(error),
    }
    let sent = 0
    const move = (bytes: number) => {
      sent += bytes
      this.#moved(stream)
      this.#world.metrics.streamBytes.inc({ dir: "out", kind: "stagein" }, bytes)
      this.#world.moved(this.#link.node, "out", bytes)
      this.#link.sent(bytes)
    }
    this.#add(id, stream, async () => {
      // What the agent says of the stream meanwhile is taken in: nothing of it leads to a byte.
      await this.#world.desk.mayFetch(this.#link.node, name, blob.digest)
      if (this.#streams.get(id) !== stream) return
      stream.movedAtMs = this.#world.clock.nowMs()
      const bytes = promised(blob, this.#world.blobs.read(blob.digest, offset))
      try {
        await outlet.send(passing(bytes, move), () => this.#world.budget.room())
      } finally {
        if (sent > 0) this.#world.desk.post({ kind: "StageinSent", campaign: name.campaign, bytes: sent })
      }
      // The end is queued behind the last chunk: it needs no answer, so this side is done.
      this.#remove(id)
    })
  }

  // ---- stageout ----

  #stageout(id: number, name: AttemptName, blob: BlobRef): void {
    if (blob.sizeBytes > STAGEOUT_BYTES_MAX) {
      const max = `${STAGEOUT_BYTES_MAX / 2 ** 30} GiB`
      throw new CahError("invalid_argument", `a stageout of ${blob.sizeBytes} bytes; at most ${max} are taken`)
    }
    // The inlet comes with the store's word on where to go on. Until then it is our turn, and frames are out of order.
    let inlet: Inlet | null = null
    let error: CahError | null = null
    const timer = this.#nearness.timer()
    let granted = 0
    const stream: Stream = {
      kind: "stageout",
      movedAtMs: null,
      chunk: (offset, data) => {
        expectedInlet(inlet).accept(offset, data)
        timer.reached(offset + data.length)
      },
      ended: () => {
        expectedInlet(inlet).finish()
        stream.ended = () => {
          throw new FrameError("a stageout that ended twice")
        }
      },
      dropped: reason => {
        error = reason
        inlet?.fail(reason)
      },
    }
    const begin = (offset: number): Inlet => {
      if (error !== null) throw error
      const widest = windowOf(this.#world.open.transfers, LINKS_WINDOWS_BYTES)
      inlet = new Inlet({
        offset,
        sizeBytes: blob.sizeBytes,
        // One is on its way while the disk has the other.
        windowBytes: () => Math.min(widest, this.#shareBytes(2)),
        grant: creditOffset => {
          timer.start(granted + 1)
          granted = creditOffset
          this.#sendCredit(id, creditOffset)
        },
      })
      timer.start(offset + 1)
      granted = inlet.creditOffset
      stream.movedAtMs = this.#world.clock.nowMs()
      this.#sendOpened(id, inlet.offset, inlet.creditOffset)
      return inlet
    }
    this.#add(id, stream, async () => {
      const berth = await this.#world.desk.mayGive(this.#link.node, name, blob)
      if (this.#streams.get(id) !== stream) return
      await this.#store(name, blob, berth, begin, stream)
      // A stream that was dropped after its last byte has nobody to tell; the blob is safe all the same.
      if (this.#streams.get(id) !== stream) return
      this.#remove(id)
      this.#link.send({ case: "streamStored", value: { stream: id } })
    })
  }

  /** Bytes into the store, then the row, then (by the caller) the answer. */
  async #store(
    name: AttemptName,
    blob: BlobRef,
    { owner, has }: Berth,
    begin: (offset: number) => Inlet,
    stream: Stream,
  ): Promise<void> {
    const { blobs, desk, metrics } = this.#world
    // The owner has it: the agent says the end at once, and hears that it is stored.
    if (has) {
      for await (const data of begin(blob.sizeBytes)) throw new FrameError(`${data.length} bytes that nobody asked for`)
      metrics.dedupSavedBytes.inc({ where: "hub" }, blob.sizeBytes)
      return
    }
    await this.#link.settled()
    if ((await blobs.freeBytes()) - blob.sizeBytes < DISK_RESERVE_BYTES) {
      throw new CahError("resource_exhausted", "the hub's disk is nearly full; try again later")
    }
    // One name per attempt and node: nobody can spoil, or go on with, another's upload.
    const upload = `${this.#link.node}.${jobId(name.campaign, name.index)}.${name.attempt}`
    const writer = await blobs.openWriter(upload, blob)
    try {
      for await (const pieces of begin(writer.offsetBytes).batches(STREAM_WINDOW_BYTES)) {
        await writer.write(...pieces)
        this.#moved(stream)
      }
      stream.movedAtMs = null
      await writer.finish()
    } catch (error) {
      await writer.suspend()
      throw error
    }
    await desk.stored(owner, blob)
  }

  // ---- logs ----

  #log(id: number, output: Output, name: AttemptName, from: number): void {
    const tap = this.#taps.get(tapKey(name, output))
    if (tap === undefined || tap.stream !== null) throw new CahError("aborted", "nobody follows this output")
    tap.open(id, from)
    const inlet = new Inlet({
      offset: 0,
      sizeBytes: null,
      windowBytes: () => STREAM_WINDOW_BYTES,
      grant: credit => this.#sendCredit(id, credit),
    })
    const stream: Stream = {
      kind: output,
      // A log may be silent for hours: nothing to watch for.
      movedAtMs: null,
      chunk: (offset, data) => inlet.accept(offset, data),
      ended: () => inlet.finish(),
      dropped: error => inlet.fail(error),
    }
    this.#add(id, stream, async () => {
      let isCut = true
      try {
        for await (const data of inlet) tap.push(data)
        isCut = false
        this.#remove(id)
      } finally {
        if (this.#taps.get(tapKey(name, output)) === tap) this.#taps.delete(tapKey(name, output))
        tap.end(isCut)
      }
    })
    this.#sendOpened(id, 0, inlet.creditOffset)
  }

  #unfollow(name: AttemptName, output: Output, follower: Follower): void {
    const key = tapKey(name, output)
    const tap = this.#taps.get(key)
    if (tap === undefined) return
    tap.remove(follower)
    if (tap.isFollowed) return
    this.#taps.delete(key)
    if (tap.stream !== null) this.#giveUp(tap.stream, new CahError("aborted", "nobody follows this output any more"))
    if (this.#taps.has(tapKey(name, output === "stdout" ? "stderr" : "stdout"))) return
    this.#link.send({ case: "followLog", value: { attempt: wireAttempt(name), on: false } })
  }

  // ---- the register of streams ----

  #add(id: number, stream: Stream, pump?: () => Promise<void>): void {
    this.#streams.set(id, stream)
    this.#count(stream, 1)
    if (pump === undefined) return
    const task = pump()
      .catch(thrown => this.#failed(id, stream, thrown))
      .finally(() => this.#pumps.delete(task))
    this.#pumps.add(task)
  }

  /** A pump ended by an error: its own, or the one that the stream was dropped with, which everybody has heard of. */
  #failed(id: number, stream: Stream, thrown: unknown): void {
    const isKnown = this.#streams.get(id) !== stream
    const error = CahError.from(thrown)
    if (error.code === "internal" || error.code === "data_loss") {
      // Bytes with another digest are what the agent sent, which it may do as often as it likes; lost ones of ours are a fault here.
      const level = error.code === "data_loss" && stream.kind === "stageout" ? "info" : "error"
      const fields = { node: this.#link.node, stream: id, reason: error.message, error: error.cause ?? error }
      this.#world.strangers.say(level, this.#link.node, `${stream.kind} failed`, fields)
    }
    if (!isKnown) this.#giveUp(id, error)
  }

  #remove(id: number): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#streams.delete(id)
    this.#count(stream, -1)
  }

  #drop(id: number, error: CahError): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#remove(id)
    stream.dropped(error)
  }

  /** Drops it and tells the agent. */
  #giveUp(id: number, error: CahError): void {
    this.#drop(id, error)
    this.#sendEnd(id, error)
  }

  #moved(stream: Stream): void {
    if (stream.movedAtMs !== null) stream.movedAtMs = this.#world.clock.nowMs()
  }

  #shareBytes(chunksMin: number): number {
    return this.#nearness.shareBytes(this.#world.open.transfers, chunksMin)
  }

  #count(stream: Stream, by: 1 | -1): void {
    if (!isLog(stream.kind)) this.#world.open.transfers += by
    this.#world.metrics.streamsOpen.inc({ kind: stream.kind }, by)
  }

  /** False, and nothing done, for a stream of the past: the agent had not heard yet that it was over. */
  #present(id: number, act: (stream: Stream) => void): boolean {
    const stream = this.#streams.get(id)
    if (stream !== undefined) {
      act(stream)
      return true
    }
    if (id > this.#lastStream || id === 0) throw new FrameError(`a frame of stream ${id}, which was never opened`)
    return false
  }

  #sendOpened(stream: number, offset: number, creditOffset: number): void {
    const value = { stream, offset: BigInt(offset), creditOffset: BigInt(creditOffset) }
    this.#link.send({ case: "streamOpened", value })
  }

  #sendCredit(stream: number, creditOffset: number): void {
    this.#link.send({ case: "credit", value: { stream, creditOffset: BigInt(creditOffset) } })
  }

  #sendEnd(stream: number, error: CahError): void {
    if (this.#closed) return
    this.#link.send({ case: "streamEnd", value: { stream, error: streamErrorOf(error), message: error.message } })
  }
}

function isLog(kind: Kind): kind is Output {
  return kind === "stdout" || kind === "stderr"
}

function tapKey(name: AttemptName, output: Output): string {
  return `${name.campaign}.${name.index}#${name.attempt} ${output}`
}

function expected<T>(handler: T | undefined, frame: string, stream: Stream): T {
  if (handler === undefined) throw new FrameError(`${frame} on a ${stream.kind} stream`)
  return handler
}

function expectedInlet(inlet: Inlet | null): Inlet {
  if (inlet === null) throw new FrameError("a stageout that began before it was opened")
  return inlet
}

/**
 * A campaign names it, so it must be there. That it is gone is the hub's fault: as "not found" agents would take it for the job's,
 * and fail a whole campaign within minutes; as lost data they try again, and the operator has time to bring it back.
 */
async function* promised(blob: BlobRef, bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* bytes
  } catch (thrown) {
    if (!(thrown instanceof CahError) || thrown.code !== "not_found") throw thrown
    throw new CahError("data_loss", `the hub has lost blob ${blob.digest}: its operator may have a backup`, {
      cause: thrown,
    })
  }
}

/** The same bytes, told as they pass. */
async function* passing(bytes: AsyncIterable<Uint8Array>, tell: (bytes: number) => void): AsyncIterable<Uint8Array> {
  for await (const piece of bytes) {
    tell(piece.length)
    yield piece
  }
}
