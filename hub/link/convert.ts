// Between the wire's words and the core's, in tables: translated here once, so that the wire can grow without touching a
// decision. Whatever comes from an agent is a stranger's: each field is checked for sense, and what makes none is a
// FrameError. Lengths and counts were checked by proto/wire/frame.ts before.
import { createPublicKey, verify } from "node:crypto"
import { promisify } from "node:util"
import type { Duration } from "@bufbuild/protobuf/wkt"
import {
  type AttemptId as WireAttempt,
  type Blob as WireBlob,
  type Log as WireLog,
  Outcome as WireOutcome,
  Phase as WirePhase,
  type Result as WireResult,
} from "../../proto/gen/cah/v1/job_pb.ts"
import { Answer, type Hello, Reconcile, type Report, StreamError } from "../../proto/gen/cah/v1/link_pb.ts"
import { parseDigest } from "../../proto/wire/digest.ts"
import { FrameError, type HubBodyInit, safeInteger } from "../../proto/wire/frame.ts"
import type { AttemptName, FullOffer, LinkSpeech, ReconcileAnswer, ReportAnswer } from "../core/effects.ts"
import type { CahError, ErrorCode } from "../core/errors.ts"
import type { AttemptReported, NodeHello, ReportPhase } from "../core/events.ts"
import type { BlobRef, CampaignId, LogRef, Result, Shape } from "../core/model.ts"
import { NODE_BYTES_MAX, NODE_SLOTS_MAX, RESULT_TIME_MAX_MS, STAGEOUT_BYTES_MAX } from "../limits.ts"
import type { GatherPage } from "./desk.ts"

// ---- tables ----------------------------------------------------------------------------------------------------

const phases: Partial<Record<WirePhase, ReportPhase>> = {
  [WirePhase.STAGING]: "staging",
  [WirePhase.RUNNING]: "running",
  [WirePhase.RETURNING]: "returning",
  [WirePhase.ENDED]: "ended",
}

const wirePhases: Record<ReportPhase, WirePhase> = {
  staging: WirePhase.STAGING,
  running: WirePhase.RUNNING,
  returning: WirePhase.RETURNING,
  ended: WirePhase.ENDED,
}

const outcomes: Partial<Record<WireOutcome, Result["outcome"]>> = {
  [WireOutcome.FINISHED]: "finished",
  [WireOutcome.FAILED]: "failed",
  [WireOutcome.TIMEDOUT]: "timedout",
  [WireOutcome.LOST]: "lost",
  [WireOutcome.REFUSED]: "refused",
}

const reconciles: Record<ReconcileAnswer, Reconcile> = {
  continue: Reconcile.CONTINUE,
  kill: Reconcile.KILL,
  discard: Reconcile.DISCARD,
  accepted: Reconcile.ACCEPTED,
}

const answers: Record<ReportAnswer | "blobMissing", Answer> = {
  accepted: Answer.ACCEPTED,
  already: Answer.ALREADY,
  stale: Answer.STALE,
  blobMissing: Answer.BLOB_MISSING,
}

const streamErrors: Partial<Record<ErrorCode, StreamError>> = {
  not_found: StreamError.NOT_FOUND,
  permission_denied: StreamError.DENIED,
  data_loss: StreamError.DIGEST_MISMATCH,
  invalid_argument: StreamError.TOO_LARGE,
  resource_exhausted: StreamError.DISK_FULL,
  aborted: StreamError.CANCELLED,
  unavailable: StreamError.CANCELLED,
}

export function streamErrorOf(error: CahError): StreamError {
  return streamErrors[error.code] ?? StreamError.INTERNAL
}

// ---- from agents -----------------------------------------------------------------------------------------------

export type HelloWords = Pick<
  NodeHello,
  "agentVersion" | "bootId" | "name" | "slots" | "memoryBytes" | "diskBytes" | "properties" | "holding"
>

export function helloOf(hello: Hello, nodeId: string): HelloWords {
  const node = hello.node
  if (node === undefined) throw new FrameError("a hello that does not say what the node gives")
  if (hello.bootId === "") throw new FrameError("a hello without a boot id")
  const properties = node.properties.map(({ name, value }) => {
    // A letter first: `__proto__` is no name of a property.
    if (!/^[A-Za-z][A-Za-z0-9_.-]*$/.test(name)) throw new FrameError(`a property named ${JSON.stringify(name)}`)
    return [name, printable(value, `property ${name}`)] as const
  })
  return {
    agentVersion: printable(hello.agentVersion, "agent_version"),
    bootId: printable(hello.bootId, "boot_id"),
    name: node.name === "" ? nodeId : printable(node.name, "the node's name"),
    slots: within(node.slots, 1, NODE_SLOTS_MAX, "slots"),
    memoryBytes: within(safeInteger(node.memoryBytes, "memory_bytes"), 0, NODE_BYTES_MAX, "memory_bytes"),
    diskBytes: within(safeInteger(node.diskBytes, "disk_bytes"), 0, NODE_BYTES_MAX, "disk_bytes"),
    properties: Object.fromEntries(properties),
    holding: hello.holding.map(held => {
      const phase = phases[held.phase]
      if (phase === undefined) throw new FrameError(`an attempt held in phase ${held.phase}`)
      return { ...attemptOf(held.attempt), phase }
    }),
  }
}

export function attemptOf(attempt: WireAttempt | undefined): AttemptName {
  if (attempt === undefined || attempt.attempt === 0 || attempt.campaign === 0n) {
    throw new FrameError("a frame that does not say which attempt it is about")
  }
  const campaign = safeInteger(attempt.campaign, "a campaign's number") as CampaignId
  return { campaign, index: attempt.index, attempt: attempt.attempt }
}

export function reportOf(report: Report): AttemptName & Pick<AttemptReported, "phase" | "result"> {
  const phase = phases[report.phase]
  if (phase === undefined) throw new FrameError(`a report of phase ${report.phase}`)
  if ((phase === "ended") !== (report.result !== undefined)) {
    throw new FrameError(`a report of phase ${phase} ${report.result === undefined ? "without" : "with"} a result`)
  }
  const result = report.result === undefined ? null : resultOf(report.result)
  return { ...attemptOf(report.attempt), phase, result }
}

export function blobOf(blob: WireBlob | undefined): BlobRef {
  const digest = parseDigest(blob?.digest ?? "")
  if (blob === undefined || digest === null) throw new FrameError("a blob without a digest (sha256:<64 hex digits>)")
  return { digest, sizeBytes: safeInteger(blob.sizeBytes, "a blob's size") }
}

function resultOf(result: WireResult): Result {
  const outcome = outcomes[result.outcome]
  if (outcome === undefined) throw new FrameError(`a result with outcome ${result.outcome}`)
  const exitCode = within(result.exitCode, 0, 255, "exit_code")
  if (outcome === "finished" && exitCode !== 0) throw new FrameError(`a finished result with exit code ${exitCode}`)
  return {
    outcome,
    exitCode,
    message: sentence(result.message),
    warnings: result.warnings.split("\n").map(sentence).join("\n"),
    stageout: result.stageout === undefined ? null : resultBlob(result.stageout),
    stdout: logOf(result.stdout),
    stderr: logOf(result.stderr),
    runMs: milliseconds(result.runTime, "run_time"),
    cpuMs: milliseconds(result.cpuTime, "cpu_time"),
    peakMemoryBytes: within(safeInteger(result.peakMemoryBytes, "peak_memory_bytes"), 0, NODE_BYTES_MAX, "memory"),
  }
}

function resultBlob(blob: WireBlob): BlobRef {
  const ref = blobOf(blob)
  within(ref.sizeBytes, 0, STAGEOUT_BYTES_MAX, "a blob's size")
  return ref
}

function logOf(log: WireLog | undefined): LogRef {
  if (log === undefined) return { inline: null, blob: null, droppedBytes: 0 }
  if (log.inline.length > 0 && log.blob !== undefined) throw new FrameError("a log both inline and as a blob")
  return {
    // A copy: the frame's own memory is many times larger, and the result lives until it is on disk.
    inline: log.inline.length === 0 ? null : Uint8Array.from(log.inline),
    blob: log.blob === undefined ? null : resultBlob(log.blob),
    droppedBytes: safeInteger(log.droppedBytes, "dropped_bytes"),
  }
}

function milliseconds(duration: Duration | undefined, what: string): number {
  if (duration === undefined) return 0
  const ms = Number(duration.seconds) * 1_000 + duration.nanos / 1e6
  return Math.round(within(ms, 0, RESULT_TIME_MAX_MS, what))
}

function within(value: number, min: number, max: number, what: string): number {
  // Written so that NaN fails too.
  if (!(value >= min && value <= max)) throw new FrameError(`${what} is ${value}; it must be from ${min} to ${max}`)
  return value
}

function printable(value: string, what: string): string {
  if (/\p{Cc}/u.test(value)) throw new FrameError(`${what} with control characters`)
  return value
}

/** A stranger's words on a terminal: no control characters, which could move the cursor or worse. */
function sentence(value: string): string {
  return value.replace(/\p{Cc}+/gu, " ")
}

// ---- to agents -------------------------------------------------------------------------------------------------

export function wireAttempt(name: AttemptName): { campaign: bigint; index: number; attempt: number } {
  return { campaign: BigInt(name.campaign), index: name.index, attempt: name.attempt }
}

export function wireDuration(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.max(0, Math.round(ms))
  return { seconds: BigInt(Math.floor(whole / 1_000)), nanos: (whole % 1_000) * 1_000_000 }
}

export function gatherBody(name: AttemptName, fromIndex: number, page: GatherPage): HubBodyInit {
  return {
    case: "gatherPage",
    value: {
      attempt: wireAttempt(name),
      fromIndex,
      entries: page.entries.map(({ index, blob }) => ({
        index,
        blob: { digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) },
      })),
      arraySize: page.total,
      ...(page.next === null ? {} : { nextIndex: page.next }),
    },
  }
}

export function noGatherBody(name: AttemptName, fromIndex: number, error: CahError): HubBodyInit {
  const value = { attempt: wireAttempt(name), fromIndex, error: streamErrorOf(error), message: error.message }
  return { case: "gatherPage", value }
}

function wireShape({ needs, walltimeMs }: Shape) {
  const { slots, memoryBytes, diskBytes } = needs
  return {
    needs: { slots, memoryBytes: BigInt(memoryBytes), diskBytes: BigInt(diskBytes) },
    walltime: wireDuration(walltimeMs),
  }
}

export function offerBody(offer: FullOffer): HubBodyInit {
  return {
    case: "offer",
    value: {
      attempt: wireAttempt(offer),
      owner: offer.owner,
      spec: offer.spec,
      ...(offer.line === null ? {} : { parameters: { line: offer.line } }),
      arraySize: offer.total,
      ...(offer.shape === null ? {} : { shape: wireShape(offer.shape) }),
      inside: offer.inside,
    },
  }
}

export function answerBody(name: AttemptName, phase: ReportPhase, answer: ReportAnswer | "blobMissing"): HubBodyInit {
  return {
    case: "reportAnswer",
    value: { attempt: wireAttempt(name), phase: wirePhases[phase], answer: answers[answer] },
  }
}

/** What a link says by a frame. Closing is more than a frame: the session does it. */
export function speechBody(
  speech: Exclude<LinkSpeech, { kind: "CloseLink" }>,
  welcome: { readonly wallMs: number; readonly protocol: number },
): HubBodyInit {
  switch (speech.kind) {
    case "Welcome":
      return {
        case: "welcome",
        value: {
          nodeId: speech.node,
          sessionEpoch: BigInt(speech.epoch),
          hubTime: wireDuration(welcome.wallMs),
          lease: wireDuration(speech.leaseMs),
          heartbeat: wireDuration(speech.heartbeatMs),
          reconciled: speech.reconciled.map(one => ({ attempt: wireAttempt(one), what: reconciles[one.answer] })),
          protocol: welcome.protocol,
        },
      }
    case "Kill":
      return { case: "kill", value: { attempt: wireAttempt(speech), reason: speech.reason } }
    case "AnswerReport":
      return answerBody(speech, speech.phase, speech.answer)
    case "AnswerHeartbeat":
      return {
        case: "heartbeatAnswer",
        value: { sequence: BigInt(speech.sequence), lease: wireDuration(speech.leaseMs) },
      }
    default:
      return speech satisfies never
  }
}

// ---- signatures ------------------------------------------------------------------------------------------------

const verifyInPool = promisify<string | null, Uint8Array, Parameters<typeof verify>[2], Uint8Array, boolean>(verify)
/** What precedes the 32 bytes of an ed25519 key in its SubjectPublicKeyInfo (RFC 8410 §4). */
const ed25519Prefix = Buffer.from("302a300506032b6570032100", "hex")

/** Whether the raw ed25519 key made the signature. In the thread pool: a storm of hellos must not hold the loop. */
export async function isSignedBy(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  try {
    const key = createPublicKey({
      key: Buffer.concat([ed25519Prefix, publicKey]),
      format: "der",
      type: "spki",
    })
    return await verifyInPool(null, message, key, signature)
  } catch {
    // Bytes that are no key: the same to us as a signature that does not fit.
    return false
  }
}
