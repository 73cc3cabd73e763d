// Between the wire's words and the agent's core, in tables. A hub is trusted with what is run, not with this process: a
// specification that makes no sense becomes a Failure in words (the attempt is refused), a frame that makes none a FrameError
// (the link is closed).

import { fromBinary } from "@bufbuild/protobuf"
import { type Duration, timestampMs } from "@bufbuild/protobuf/wkt"
import {
  CampaignSpecSchema,
  type AttemptId as WireAttempt,
  type Blob as WireBlob,
  Outcome as WireOutcome,
  Phase as WirePhase,
} from "../../proto/gen/cah/v1/job_pb.ts"
import {
  Answer,
  type Offer,
  Reconcile,
  type ReportAnswer,
  StreamError,
  type Welcome,
  type GatherPage as WireGatherPage,
} from "../../proto/gen/cah/v1/link_pb.ts"
import { CommandSize, GRACE_MAX_MS } from "../../proto/wire/command.ts"
import { parseDigest } from "../../proto/wire/digest.ts"
import { type AgentBodyInit, FrameError, SENTENCE_MAX_CHARACTERS, safeInteger } from "../../proto/wire/frame.ts"
import { noLog } from "../../proto/wire/log.ts"
import { readValues } from "../../proto/wire/parameters.ts"
import type { Event, ReconcileAnswer, ReportPhase } from "../core/events.ts"
import type { AttemptName, BlobRef, LogRef, Outcome, Result, RunSpec } from "../core/model.ts"
import { Failure, type GatherPage } from "../core/ports.ts"
import { STAGEOUT_GLOBS_MAX, WALLTIME_DEFAULT_MS, WALLTIME_GRACE_MS, WALLTIME_MAX_MS } from "../limits.ts"

// ---- tables ----------------------------------------------------------------------------------------------------

export const wirePhases: Record<ReportPhase, WirePhase> = {
  staging: WirePhase.STAGING,
  running: WirePhase.RUNNING,
  returning: WirePhase.RETURNING,
  ended: WirePhase.ENDED,
}

const phases = new Map(Object.entries(wirePhases).map(([phase, wire]) => [wire, phase as ReportPhase]))

const wireOutcomes: Record<Outcome, WireOutcome> = {
  finished: WireOutcome.FINISHED,
  failed: WireOutcome.FAILED,
  timedout: WireOutcome.TIMEDOUT,
  lost: WireOutcome.LOST,
  refused: WireOutcome.REFUSED,
}

const reconciles: Partial<Record<Reconcile, ReconcileAnswer>> = {
  [Reconcile.CONTINUE]: "continue",
  [Reconcile.KILL]: "kill",
  [Reconcile.DISCARD]: "discard",
  [Reconcile.ACCEPTED]: "accepted",
}

type ReportAnswered = Extract<Event, { kind: "ReportAnswered" }>

const answers: Partial<Record<Answer, ReportAnswered["answer"]>> = {
  [Answer.ACCEPTED]: "accepted",
  [Answer.ALREADY]: "already",
  [Answer.STALE]: "stale",
  [Answer.BLOB_MISSING]: "blobMissing",
}

/** Errors of a stream that another try does not help. */
const finalErrors = new Set<StreamError>([StreamError.NOT_FOUND, StreamError.DENIED, StreamError.TOO_LARGE])

export function failureOf(error: StreamError, message: string): Failure {
  return new Failure(message === "" ? `the hub gave the stream up (error ${error})` : message, {
    final: finalErrors.has(error),
  })
}

// ---- from the hub ----------------------------------------------------------------------------------------------

export function attemptOf(attempt: WireAttempt | undefined): AttemptName {
  if (attempt === undefined || attempt.attempt === 0) throw new FrameError("a frame that does not name its attempt")
  const campaign = safeInteger(attempt.campaign, "a campaign's number")
  return { campaign, index: attempt.index, attempt: attempt.attempt }
}

export function welcomedOf(welcome: Welcome): Extract<Event, { kind: "Welcomed" }> {
  const heartbeatMs = millisecondsOf(welcome.heartbeat)
  if (!(heartbeatMs >= 1_000)) throw new FrameError(`a welcome that asks for a heartbeat every ${heartbeatMs} ms`)
  const reconciled = welcome.reconciled.map(one => {
    const answer = reconciles[one.what]
    if (answer === undefined) throw new FrameError(`a welcome with answer ${one.what}`)
    return { ...attemptOf(one.attempt), answer }
  })
  return { kind: "Welcomed", heartbeatMs, reconciled }
}

/** For setting a clock: ms since 1970. Null if the hub did not say. */
export function hubTimeOf({ hubTime }: Welcome): number | null {
  return hubTime === undefined ? null : timestampMs(hubTime)
}

export function reportAnsweredOf(frame: ReportAnswer): ReportAnswered {
  const phase = phases.get(frame.phase)
  const answer = answers[frame.answer]
  if (phase === undefined || answer === undefined) {
    throw new FrameError(`an answer ${frame.answer} to a report of phase ${frame.phase}`)
  }
  return { kind: "ReportAnswered", name: attemptOf(frame.attempt), phase, answer }
}

/** What to run. Failure, in words for the scientist, when that cannot be made out. */
export function runSpecOf(offer: Offer): RunSpec {
  const spec = decodeSpec(offer.spec)
  refuseIf(spec.command.length === 0 || spec.command[0] === "", "the job has no command")
  const environment = Object.entries(spec.env)
  // The hub's own bound: it takes nothing that is refused here.
  const trouble = new CommandSize(spec).trouble(offer.parameters?.line ?? null)
  refuseIf(trouble !== null, trouble ?? "")
  refuseIf(spec.stageout.length > STAGEOUT_GLOBS_MAX, `the job has more than ${STAGEOUT_GLOBS_MAX} stageout patterns`)
  const line = offer.parameters?.line ?? null
  const named = spec.parameterNames.length === 0 ? null : namedParameters(spec.parameterNames, line)
  environment.push(...(named ?? []))
  for (const [name] of environment) {
    refuseIf(!/^[^=\0]+$/.test(name), `${JSON.stringify(name)} is no name of an environment variable`)
  }
  const texts = [...spec.command, ...environment.map(([, value]) => value), offer.parameters?.line ?? ""]
  refuseIf(
    texts.some(text => text.includes("\0")),
    "the command, its environment or its parameters hold a NUL character",
  )
  // The shape that the hub chose, where the scientist gave several.
  const walltime = offer.shape?.walltime ?? spec.walltime
  const needs = offer.shape?.needs ?? spec.needs
  const walltimeMs = walltime === undefined ? WALLTIME_DEFAULT_MS : millisecondsOf(walltime)
  refuseIf(!(walltimeMs > 0 && walltimeMs <= WALLTIME_MAX_MS), `a walltime of ${walltimeMs} ms`)
  return {
    owner: offer.owner,
    campaignName: spec.name,
    project: spec.project,
    command: spec.command,
    env: Object.fromEntries(environment),
    stagein: spec.stagein === undefined ? null : blobOf(spec.stagein),
    gather: spec.gather !== 0n,
    stageout: spec.stageout,
    requireStageout: spec.requireStageout,
    walltimeMs,
    // A hub says what it took; anything else is a hub's mistake, and no reason to refuse the job.
    graceMs: Math.min(spec.grace === undefined ? WALLTIME_GRACE_MS : millisecondsOf(spec.grace), GRACE_MAX_MS),
    property: spec.property,
    needs: {
      slots: Math.max(1, needs?.slots ?? 1),
      memoryBytes: Number(needs?.memoryBytes ?? 0n),
      diskBytes: Number(needs?.diskBytes ?? 0n),
    },
    line: named === null ? line : null,
    arraySize: offer.arraySize,
    inside: offer.inside,
  }
}

/** The line of a job whose parameters have names is a JSON array of as many strings; each becomes a variable. */
function namedParameters(names: readonly string[], line: string | null): [string, string][] {
  const values = readValues(line ?? "", names.length)
  if (values === null) {
    throw new Failure(`the job's parameters are not ${names.length} values in a JSON array`, { final: true })
  }
  return names.map((name, i) => [`CAH_P_${name}`, values[i]!])
}

export function millisecondsOf(duration: Duration | undefined): number {
  return duration === undefined ? Number.NaN : Number(duration.seconds) * 1_000 + Math.round(duration.nanos / 1e6)
}

function decodeSpec(bytes: Uint8Array) {
  try {
    return fromBinary(CampaignSpecSchema, bytes, { readUnknownFields: false })
  } catch (cause) {
    throw new Failure("the job's specification cannot be read; is the agent older than the client?", {
      final: true,
      cause,
    })
  }
}

function blobOf(blob: WireBlob): BlobRef {
  const digest = parseDigest(blob.digest)
  if (digest === null || blob.sizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new Failure("the job's stagein is not named by a digest and a size", { final: true })
  }
  return { digest, sizeBytes: Number(blob.sizeBytes) }
}

export function gatherPageOf(page: WireGatherPage): GatherPage {
  return {
    entries: page.entries.map(({ index, blob }) => ({ index, blob: gatheredBlob(blob) })),
    nextIndex: page.nextIndex ?? null,
    arraySize: page.arraySize,
  }
}

function gatheredBlob(blob: WireBlob | undefined): BlobRef {
  if (blob === undefined) throw new FrameError("a gather names no blob")
  return blobOf(blob)
}

function refuseIf(isWrong: boolean, message: string): void {
  if (isWrong) throw new Failure(message, { final: true })
}

// ---- to the hub ------------------------------------------------------------------------------------------------

export function wireAttempt(name: AttemptName): { campaign: bigint; index: number; attempt: number } {
  return { campaign: BigInt(name.campaign), index: name.index, attempt: name.attempt }
}

export function wireBlob(blob: BlobRef): { digest: string; sizeBytes: bigint } {
  return { digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) }
}

export function reportBody(name: AttemptName, phase: ReportPhase, result: Result | null): AgentBodyInit {
  const ended = result === null ? {} : { result: wireResult(result) }
  return { case: "report", value: { attempt: wireAttempt(name), phase: wirePhases[phase], ...ended } }
}

/** An offer that could not be made out, answered without the core, which has no word for it. */
export function refusalBody(name: AttemptName, message: string): AgentBodyInit {
  return reportBody(name, "ended", {
    outcome: "refused",
    exitCode: 0,
    message,
    warnings: "",
    stageout: null,
    stdout: noLog,
    stderr: noLog,
    runMs: 0,
    cpuMs: 0,
    peakMemoryBytes: 0,
  })
}

function wireResult(result: Result) {
  return {
    outcome: wireOutcomes[result.outcome],
    exitCode: result.exitCode,
    message: result.message.slice(0, SENTENCE_MAX_CHARACTERS),
    warnings: result.warnings.slice(0, SENTENCE_MAX_CHARACTERS),
    ...(result.stageout === null ? {} : { stageout: wireBlob(result.stageout) }),
    stdout: wireLog(result.stdout),
    stderr: wireLog(result.stderr),
    runTime: wireDuration(result.runMs),
    cpuTime: wireDuration(result.cpuMs),
    peakMemoryBytes: BigInt(Math.max(0, Math.round(result.peakMemoryBytes))),
  }
}

function wireLog(log: LogRef) {
  return {
    ...(log.inline === null ? {} : { inline: Uint8Array.from(Buffer.from(log.inline, "base64")) }),
    ...(log.blob === null ? {} : { blob: wireBlob(log.blob) }),
    droppedBytes: BigInt(log.droppedBytes),
  }
}

function wireDuration(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.max(0, Math.round(ms))
  return { seconds: BigInt(Math.floor(whole / 1_000)), nanos: (whole % 1_000) * 1_000_000 }
}
