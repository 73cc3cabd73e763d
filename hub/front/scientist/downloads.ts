// What jobs left behind, on its way out: stageouts and logs of ended jobs, and the output of running ones as it is written.
import { timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import { Output, type ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { blobOfBytes } from "../../cases/inline.ts"
import { Signal } from "../../cases/signal.ts"
import { CahError } from "../../core/errors.ts"
import type { BlobRef, CampaignId, LogRef } from "../../core/model.ts"
import type { BlobStore } from "../../core/ports.ts"
import type { ResultRow } from "../../core/rows.ts"
import { FOLLOW_PENDING_BYTES_MAX, KEEP_ALIVE_MS } from "../../limits.ts"
import { jobOf, numberOf, wireBlob } from "../values.ts"
import { callerOf, campaignFor, checkIndex, type ScientistParts } from "./parts.ts"

type Service = ServiceImpl<typeof ScientistService>
type OutputName = "stageout" | "stdout" | "stderr"

/** How much of which attempt's output a caller has. */
interface Seen {
  readonly attempt: number
  readonly offset: number
}

const outputs: Partial<Record<Output, OutputName>> = {
  [Output.STAGEOUT]: "stageout",
  [Output.STDOUT]: "stdout",
  [Output.STDERR]: "stderr",
}

export function downloadMethods(parts: ScientistParts): Pick<Service, "download" | "followLog"> {
  const { engine, store, logTap, clock, metrics, quotas } = parts

  /** Null: it has not ended with a result yet. */
  function resultOf(campaign: CampaignId, index: number): ResultRow | null {
    const result = store.result(campaign, index)
    if (result !== null) return result
    const job = store.job(campaign, index)
    if (job?.phase === "ended") {
      throw new CahError("not_found", `job ${campaign}.${index} ended as ${job.outcome} and left nothing behind`)
    }
    return null
  }

  /** Of an attempt that failed and was tried again, or of the one that the job ended with. */
  function earlier(campaign: CampaignId, index: number, attempt: number): ResultRow {
    const kept = [...store.attempts(campaign, index), store.result(campaign, index)]
    const found = kept.find(row => row?.attempt === attempt) ?? null
    if (found !== null) return found
    const numbers = kept.flatMap(row => row?.attempt ?? [])
    const known = numbers.length === 0 ? "none is" : `kept are those of ${numbers.join(", ")}`
    const message = `of attempt ${attempt} at job ${campaign}.${index} no output is kept (one that was lost leaves none); ${known}`
    throw new CahError("not_found", message)
  }

  return {
    async *download({ job: wire, output, offset: wireOffset, attempt }, context) {
      const { campaign, index } = jobOf(wire)
      checkIndex(campaignFor(store, callerOf(context), campaign), index)
      const name = outputOf(output)
      const result = attempt === 0 ? resultOf(campaign, index) : earlier(campaign, index, attempt)
      if (result === null) {
        const phase = store.job(campaign, index)?.phase ?? "queued"
        throw new CahError("failed_precondition", `job ${campaign}.${index} is ${phase}: wait until it has ended`)
      }
      const bytes = name === "stageout" ? stageoutOf(result) : contentOf(result[name])
      const blob = bytes instanceof Uint8Array ? blobOfBytes(bytes) : bytes
      const offset = numberOf(wireOffset, "offset")
      if (offset > blob.sizeBytes) {
        throw new CahError("invalid_argument", `offset ${offset} is beyond the end, at ${blob.sizeBytes}`)
      }
      yield { blob: wireBlob(blob), offset: BigInt(offset) }
      metrics.streamsOpen.inc({ kind: name })
      try {
        for await (const data of piecesOf(bytes, offset)) {
          yield { data }
          metrics.streamBytes.inc({ dir: "out", kind: name }, data.byteLength)
        }
      } finally {
        metrics.streamsOpen.dec({ kind: name })
      }
    },

    async *followLog({ job: wire, output, offset: wireOffset, attempt: wireAttempt }, context) {
      const { campaign, index } = jobOf(wire)
      checkIndex(campaignFor(store, callerOf(context), campaign), index)
      const name = outputOf(output)
      if (name === "stageout") throw new CahError("invalid_argument", "only stdout and stderr can be followed")
      /** What the caller has of which attempt's output. */
      const seen = { attempt: wireAttempt, offset: numberOf(wireOffset, "offset") }
      const of = (attempt: number) => {
        if (attempt !== seen.attempt) Object.assign(seen, { attempt, offset: 0 })
        return seen
      }
      const news = new Signal(context.signal)
      const watch = quotas.watch(callerOf(context).principal)
      const stopWatching = engine.watch(campaign, () => news.raise())
      /** The attempt whose node had nothing more to tell. */
      let silent = 0
      try {
        for (;;) {
          // A call cut short must not look like output that ended.
          context.signal.throwIfAborted()
          const result = resultOf(campaign, index)
          if (result !== null) {
            yield* rest(contentOf(result[name]), of(result.attempt))
            return
          }
          const job = engine.job(campaign, index)
          if (job !== null && job.node !== null && job.phase === "running" && job.attempt !== silent) {
            let isTold = false
            const from = of(job.attempt)
            for await (const piece of live(job.node, { campaign, index, ...from }, name, context.signal)) {
              isTold ||= "data" in piece
              yield piece
            }
            if (isTold) return
            // It was over on its node before the node was asked, or wrote nothing: its result says which.
            silent = job.attempt
            continue
          }
          // Its news will say when. An empty message keeps proxies from closing a silent call.
          await news.wait(KEEP_ALIVE_MS)
          yield {}
        }
      } finally {
        stopWatching()
        watch.end()
      }
    },
  }

  /** A stored output from an offset on. Beyond its end there is nothing: more was seen than was kept. */
  async function* rest(content: Uint8Array | BlobRef, { attempt, offset: from }: Seen) {
    const size = content instanceof Uint8Array ? content.byteLength : content.sizeBytes
    let offset = Math.min(from, size)
    // Also of an empty rest: the caller learns how much there is.
    yield { attempt, offset: BigInt(offset) }
    for await (const data of piecesOf(content, offset)) {
      yield { data, attempt, offset: BigInt(offset) }
      offset += data.byteLength
    }
  }

  async function* live(
    node: Parameters<typeof logTap.follow>[0],
    { attempt, offset: from, ...job }: Seen & { campaign: CampaignId; index: number },
    name: "stdout" | "stderr",
    signal: AbortSignal,
  ) {
    const news = new Signal(signal)
    let pending: { data: Uint8Array; offset: bigint }[] = []
    let pendingBytes = 0
    let ended = "no" as "no" | "whole" | "cut"
    const on = {
      data(bytes: Uint8Array, offset: number) {
        // Beyond the bound nothing is kept: the loop below ends the call.
        if (pendingBytes > FOLLOW_PENDING_BYTES_MAX) return
        const data = bytes.subarray(Math.max(0, from - offset))
        if (data.byteLength === 0) return
        pending.push({ data, offset: BigInt(Math.max(from, offset)) })
        pendingBytes += data.byteLength
        news.raise()
      },
      end(isCut: boolean) {
        ended = isCut ? "cut" : "whole"
        news.raise()
      },
    }
    const follower = logTap.follow(node, { ...job, attempt }, name, on, from)
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
        const at = timestampFromMs(clock.wallMs())
        for (const piece of ready) {
          yield { ...piece, at, attempt }
          metrics.streamBytes.inc({ dir: "out", kind: name }, piece.data.byteLength)
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

  function piecesOf(bytes: Uint8Array | BlobRef, offset: number): AsyncIterable<Uint8Array> | Uint8Array[] {
    if (!(bytes instanceof Uint8Array)) return promised(parts.blobs, bytes, offset)
    return offset === bytes.byteLength ? [] : [bytes.subarray(offset)]
  }
}

/** A result names it, so it must be there: if it is not, that is lost data and not a wrong question. */
async function* promised(blobs: BlobStore, blob: BlobRef, offset: number): AsyncGenerator<Uint8Array> {
  try {
    yield* blobs.read(blob.digest, offset)
  } catch (thrown) {
    if (!(thrown instanceof CahError) || thrown.code !== "not_found") throw thrown
    const why = "it is gone from its disk, or was moved aside because it had gone bad; its operator may have a backup"
    throw new CahError("data_loss", `the hub has lost blob ${blob.digest}: ${why}`, { cause: thrown })
  }
}

function outputOf(wire: Output): OutputName {
  const name = outputs[wire]
  if (name === undefined) throw new CahError("invalid_argument", "say which output: stageout, stdout or stderr")
  return name
}

function stageoutOf(result: ResultRow): BlobRef {
  if (result.stageout !== null) return result.stageout
  throw new CahError("not_found", `job ${result.campaign}.${result.index} returned no files`)
}

function contentOf(log: LogRef): Uint8Array | BlobRef {
  return log.blob ?? log.inline ?? new Uint8Array()
}
