// What jobs left behind, on its way out: stageouts and logs of ended jobs, and the output of running ones as it is written.
import type { Caller } from "../auth/tokens.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef, CampaignId, LogRef, NodeId } from "../core/model.ts"
import type { BlobStore } from "../core/ports.ts"
import type { ResultRow } from "../core/rows.ts"
import { FOLLOW_PENDING_BYTES_MAX, KEEP_ALIVE_MS } from "../limits.ts"
import { blobOfBytes } from "./inline.ts"
import { type CaseParts, campaignOf, type JobName } from "./parts.ts"
import { Signal } from "./signal.ts"

export type LogName = "stdout" | "stderr"
export type OutputName = "stageout" | LogName

export interface Output {
  readonly blob: BlobRef
  /** From the offset on. */
  readonly pieces: AsyncIterable<Uint8Array>
}

/** Some output of an attempt; without data a sign of life, or where the caller stands. */
export interface LogPiece {
  readonly data?: Uint8Array
  readonly attempt?: number
  readonly offset?: number
  /** When it came, wall time (ms), of a job that runs. */
  readonly at?: number
}

/** How much of which attempt's output a caller has. */
export interface Seen {
  readonly attempt: number
  readonly offset: number
}

type Parts = Pick<CaseParts, "engine" | "store" | "blobs" | "logTap" | "clock" | "metrics" | "quotas">

export class Outputs {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Of the attempt that the job ended with (0), or of one that failed and was tried again. */
  read(caller: Caller, job: JobName, name: OutputName, { attempt, offset }: Seen): Output {
    const { store } = this.#parts
    campaignOf(store, caller, job)
    const { campaign, index } = job
    const result = attempt === 0 ? this.#resultOf(campaign, index) : this.#earlier(campaign, index, attempt)
    if (result === null) {
      const phase = store.job(campaign, index)?.phase ?? "queued"
      throw new CahError("failed_precondition", `job ${campaign}.${index} is ${phase}: wait until it has ended`)
    }
    const bytes = name === "stageout" ? stageoutOf(result) : contentOf(result[name])
    const blob = bytes instanceof Uint8Array ? blobOfBytes(bytes) : bytes
    if (offset > blob.sizeBytes) {
      throw new CahError("invalid_argument", `offset ${offset} is beyond the end, at ${blob.sizeBytes}`)
    }
    return { blob, pieces: this.#counted(bytes, offset, name) }
  }

  /** As it is written, from where the caller stands; until the attempt ends that runs, or the job does. When `signal` is aborted its reason is thrown. */
  async *follow(
    caller: Caller,
    job: JobName,
    name: LogName,
    from: Seen,
    signal: AbortSignal,
  ): AsyncGenerator<LogPiece, void, undefined> {
    const { engine, store, quotas } = this.#parts
    campaignOf(store, caller, job)
    const { campaign, index } = job
    const seen = { ...from }
    const of = (attempt: number) => {
      if (attempt !== seen.attempt) Object.assign(seen, { attempt, offset: 0 })
      return seen
    }
    const news = new Signal(signal)
    const watch = quotas.watch(caller.principal)
    const stopWatching = engine.watch(campaign, () => news.raise())
    /** The attempt whose node had nothing more to tell. */
    let silent = 0
    try {
      for (;;) {
        // A call cut short must not look like output that ended.
        signal.throwIfAborted()
        const result = this.#resultOf(campaign, index)
        if (result !== null) {
          yield* this.#rest(contentOf(result[name]), of(result.attempt))
          return
        }
        const running = engine.job(campaign, index)
        if (running !== null && running.node !== null && running.phase === "running" && running.attempt !== silent) {
          let isTold = false
          for await (const piece of this.#live(running.node, job, of(running.attempt), name, signal)) {
            isTold ||= piece.data !== undefined
            yield piece
          }
          if (isTold) return
          // It was over on its node before the node was asked, or wrote nothing: its result says which.
          silent = running.attempt
          continue
        }
        // Its news will say when. An empty piece keeps proxies from closing a silent call.
        await news.wait(KEEP_ALIVE_MS)
        yield {}
      }
    } finally {
      stopWatching()
      watch.end()
    }
  }

  /** Null: it has not ended with a result yet. */
  #resultOf(campaign: CampaignId, index: number): ResultRow | null {
    const { store } = this.#parts
    const result = store.result(campaign, index)
    if (result !== null) return result
    const job = store.job(campaign, index)
    if (job?.phase === "ended") {
      throw new CahError("not_found", `job ${campaign}.${index} ended as ${job.outcome} and left nothing behind`)
    }
    return null
  }

  #earlier(campaign: CampaignId, index: number, attempt: number): ResultRow {
    const { store } = this.#parts
    const kept = [...store.attempts(campaign, index), store.result(campaign, index)]
    const found = kept.find(row => row?.attempt === attempt) ?? null
    if (found !== null) return found
    const numbers = kept.flatMap(row => row?.attempt ?? [])
    const known = numbers.length === 0 ? "none is" : `kept are those of ${numbers.join(", ")}`
    const message = `of attempt ${attempt} at job ${campaign}.${index} no output is kept (one that was lost leaves none); ${known}`
    throw new CahError("not_found", message)
  }

  /** A stored output from an offset on. Beyond its end there is nothing: more was seen than was kept. */
  async *#rest(content: Uint8Array | BlobRef, { attempt, offset: from }: Seen): AsyncGenerator<LogPiece> {
    const size = content instanceof Uint8Array ? content.byteLength : content.sizeBytes
    let offset = Math.min(from, size)
    // Also of an empty rest: the caller learns how much there is.
    yield { attempt, offset }
    for await (const data of this.#piecesOf(content, offset)) {
      yield { data, attempt, offset }
      offset += data.byteLength
    }
  }

  async *#live(
    node: NodeId,
    { campaign, index }: JobName,
    { attempt, offset: from }: Seen,
    name: LogName,
    signal: AbortSignal,
  ): AsyncGenerator<LogPiece> {
    const { logTap, clock, metrics } = this.#parts
    const news = new Signal(signal)
    let pending: { data: Uint8Array; offset: number }[] = []
    let pendingBytes = 0
    let ended = "no" as "no" | "whole" | "cut"
    const on = {
      data(bytes: Uint8Array, offset: number) {
        // Beyond the bound nothing is kept: the loop below ends the call.
        if (pendingBytes > FOLLOW_PENDING_BYTES_MAX) return
        const data = bytes.subarray(Math.max(0, from - offset))
        if (data.byteLength === 0) return
        pending.push({ data, offset: Math.max(from, offset) })
        pendingBytes += data.byteLength
        news.raise()
      },
      end(isCut: boolean) {
        ended = isCut ? "cut" : "whole"
        news.raise()
      },
    }
    const follower = logTap.follow(node, { campaign, index, attempt }, name, on, from)
    try {
      for (;;) {
        signal.throwIfAborted()
        if (pendingBytes > FOLLOW_PENDING_BYTES_MAX) {
          throw new CahError(
            "resource_exhausted",
            "you read more slowly than the job writes: get its log when it has ended",
          )
        }
        const ready = pending
        pending = []
        pendingBytes = 0
        const at = clock.wallMs()
        for (const { data, offset } of ready) {
          yield { data, offset, at, attempt }
          metrics.streamBytes.inc({ dir: "out", kind: name }, data.byteLength)
        }
        if (pending.length > 0) continue
        // Not its end: the caller asks again, from where it is.
        if (ended === "cut") throw new CahError("unavailable", "the link of its node was cut; go on when it is back")
        if (ended === "whole") return
        if (ready.length === 0) yield {}
        await news.wait(KEEP_ALIVE_MS)
      }
    } finally {
      follower.stop()
    }
  }

  /** As promised(), and counted, in one: a layer of generators on the way of bytes is seen. */
  async *#counted(bytes: Uint8Array | BlobRef, offset: number, kind: OutputName): AsyncGenerator<Uint8Array> {
    const { metrics, blobs } = this.#parts
    metrics.streamsOpen.inc({ kind })
    try {
      const isInline = bytes instanceof Uint8Array
      for await (const data of isInline ? restOf(bytes, offset) : blobs.read(bytes.digest, offset)) {
        yield data
        metrics.streamBytes.inc({ dir: "out", kind }, data.byteLength)
      }
    } catch (thrown) {
      throw bytes instanceof Uint8Array ? thrown : asLost(thrown, bytes)
    } finally {
      metrics.streamsOpen.dec({ kind })
    }
  }

  #piecesOf(bytes: Uint8Array | BlobRef, offset: number): AsyncIterable<Uint8Array> | Uint8Array[] {
    if (!(bytes instanceof Uint8Array)) return promised(this.#parts.blobs, bytes, offset)
    return restOf(bytes, offset)
  }
}

function restOf(bytes: Uint8Array, offset: number): Uint8Array[] {
  return offset === bytes.byteLength ? [] : [bytes.subarray(offset)]
}

async function* promised(blobs: BlobStore, blob: BlobRef, offset: number): AsyncGenerator<Uint8Array> {
  try {
    yield* blobs.read(blob.digest, offset)
  } catch (thrown) {
    throw asLost(thrown, blob)
  }
}

/** A result names the blob, so it must be there: if it is not, that is lost data and not a wrong question. */
function asLost(thrown: unknown, blob: BlobRef): unknown {
  if (!(thrown instanceof CahError) || thrown.code !== "not_found") return thrown
  const why = "it is gone from its disk, or was moved aside because it had gone bad; its operator may have a backup"
  return new CahError("data_loss", `the hub has lost blob ${blob.digest}: ${why}`, { cause: thrown })
}

function stageoutOf(result: ResultRow): BlobRef {
  if (result.stageout !== null) return result.stageout
  throw new CahError("not_found", `job ${result.campaign}.${result.index} returned no files`)
}

function contentOf(log: LogRef): Uint8Array | BlobRef {
  return log.blob ?? log.inline ?? new Uint8Array()
}
