// The agent's decisions: (state, event, nowMs) in, effects out. No I/O, clock, chance or logger inside; the same code
// runs on nodes and in the hub's simulator. The hub may vanish at any moment: work goes on, and what is not
// acknowledged is said again.

import { backoffMs } from "../../common/backoff.ts"
import { noLog } from "../../proto/wire/log.ts"
import { matches, type NodeProperties, namesOf } from "../../proto/wire/property.ts"
import { parseRequirement, RequirementError } from "../../proto/wire/where.ts"
import { CANCEL_GRACE_MS, REPORT_REPEAT_MS, RETRY_MAX_MS, RETRY_MIN_MS, STAGE_TRIES_MAX } from "../limits.ts"
import type { Effect } from "./effects.ts"
import type { Event, Packed, ReportPhase } from "./events.ts"
import {
  type Attempt,
  type AttemptName,
  attemptId,
  type BlobRef,
  type Capacity,
  type Exit,
  type Outcome,
  type Result,
  type RunSpec,
  type State,
  type Step,
} from "./model.ts"

export function emptyState(capacity: Capacity, facts: NodeProperties | null = null): State {
  return {
    capacity,
    facts,
    attempts: new Map(),
    connected: false,
    heartbeatMs: 0,
    nextHeartbeatMs: 0,
    sequence: 0,
    leaving: false,
  }
}

/** Applies one event and returns what is to be done, in this order. */
export function step(state: State, event: Event, nowMs: number): Effect[] {
  const effects: Effect[] = []
  const say = (effect: Effect) => effects.push(effect)
  const turn: Turn = { state, nowMs, say }
  switch (event.kind) {
    case "Welcomed":
      onWelcomed(turn, event)
      break
    case "LinkLost":
      state.connected = false
      break
    case "Offered":
      onOffered(turn, event.name, event.spec)
      break
    case "KillAsked":
      onKillAsked(turn, event.name, event.reason)
      break
    case "Recovered":
      onRecovered(turn, event.name, event.spec, event.result)
      break
    case "Leaving":
      state.leaving = true
      for (const attempt of [...state.attempts.values()]) {
        if (isWorking(attempt.step)) stop(turn, attempt, "the agent is stopping")
      }
      break
    case "Ticked":
      onTicked(turn)
      break
    default:
      onProgress(turn, event)
  }
  return effects
}

interface Turn {
  readonly state: State
  readonly nowMs: number
  readonly say: (effect: Effect) => void
}

/** The earliest moment at which a Ticked event has something to do, or null. */
export function nextDeadlineMs(state: State): number | null {
  let next = state.connected ? state.nextHeartbeatMs : Number.POSITIVE_INFINITY
  for (const attempt of state.attempts.values()) {
    if (attempt.deadlineMs !== null && !attempt.overtime) next = Math.min(next, attempt.deadlineMs)
    if (attempt.retryAtMs !== null && state.connected) next = Math.min(next, attempt.retryAtMs)
    if (repeats(state, attempt)) next = Math.min(next, attempt.repeatAtMs)
  }
  return next === Number.POSITIVE_INFINITY ? null : next
}

// ---- what the hub says ------------------------------------------------------------------------------------------

function onWelcomed(turn: Turn, event: Extract<Event, { kind: "Welcomed" }>): void {
  const { state, nowMs } = turn
  state.connected = true
  state.heartbeatMs = event.heartbeatMs
  state.nextHeartbeatMs = nowMs + event.heartbeatMs
  for (const { answer, ...name } of event.reconciled) {
    const attempt = state.attempts.get(attemptId(name))
    if (attempt === undefined) continue
    if (answer === "kill") stop(turn, attempt, "the hub wants it no more")
    else if (answer !== "continue") forget(turn, attempt)
  }
  // What waited for the link goes on, and every report is said again: the last ones may never have arrived.
  for (const attempt of state.attempts.values()) {
    attempt.acknowledged = false
    report(turn, attempt)
    if (!attempt.underway) again(turn, attempt)
  }
}

function onOffered(turn: Turn, name: AttemptName, spec: RunSpec): void {
  const { state, nowMs } = turn
  const known = state.attempts.get(attemptId(name))
  if (known !== undefined) return report(turn, known)
  const why = state.leaving ? "the agent is stopping" : (foreign(state, spec) ?? lacking(state, spec))
  if (why !== null) {
    turn.say({ kind: "SendReport", name, phase: "ended", result: ended("refused", why) })
    return
  }
  const attempt = newAttempt(name, spec, "staging", nowMs)
  state.attempts.set(attemptId(name), attempt)
  turn.say({ kind: "Journal", name, spec, result: null })
  report(turn, attempt)
  again(turn, attempt)
}

/** Which need the node can't meet now, in words; null if it can. The hub counts too: this is for when it errs. */
function lacking(state: State, spec: RunSpec): string | null {
  // Whether the container has room the hub knows alone.
  if (spec.inside) return null
  const free = { ...state.capacity }
  for (const attempt of state.attempts.values()) {
    if (attempt.spec.inside || (!isWorking(attempt.step) && attempt.step !== "stopping")) continue
    free.slots -= attempt.spec.needs.slots
    free.memoryBytes -= attempt.spec.needs.memoryBytes
    free.diskBytes -= attempt.spec.needs.diskBytes
  }
  const { slots, memoryBytes, diskBytes } = spec.needs
  if (slots > free.slots) return `no room: it needs ${slots} slots and ${free.slots} are free`
  if (memoryBytes > free.memoryBytes)
    return `no room: it needs ${memoryBytes} bytes of memory, ${free.memoryBytes} are free`
  if (diskBytes > free.diskBytes) return `no room: it needs ${diskBytes} bytes of disk, ${free.diskBytes} are free`
  return null
}

/**
 * Why a job that names an appliance is not for this one, in words; null if it is, or names none. The hub has judged by what it was told at
 * a hello; which image runs is known better here. What a newer hub writes in a way unknown here is taken on its word.
 */
function foreign({ facts }: State, { property }: RunSpec): string | null {
  if (facts === null || property === "") return null
  try {
    const wanted = parseRequirement(property)
    if (!namesOf(wanted).some(name => imageProperties.includes(name)) || matches(wanted, facts)) return null
  } catch (error) {
    if (error instanceof RequirementError) return null
    throw error
  }
  return `this node runs the appliance ${facts.image_name} ${facts.image_version}, and the job wants ${property}`
}

const imageProperties = ["image", "image_name", "image_version"]

function onKillAsked(turn: Turn, name: AttemptName, reason: string): void {
  const attempt = turn.state.attempts.get(attemptId(name))
  if (attempt !== undefined) return stop(turn, attempt, reason)
  // Never had it, or have forgotten it: the hub waits for a word that its room is free.
  turn.say({ kind: "SendReport", name, phase: "ended", result: ended("lost", "this node does not have it") })
}

function onReportAnswered(turn: Turn, attempt: Attempt, event: Extract<Event, { kind: "ReportAnswered" }>): void {
  if (event.phase === "ended") {
    if (attempt.step !== "reporting") return
    if (event.answer !== "blobMissing") return forget(turn, attempt)
    attempt.tries = 0
    enter(turn, attempt, "uploading")
    return
  }
  if (event.answer === "stale") return stop(turn, attempt, "the hub wants it no more")
  if (event.phase === reportOf(attempt)) attempt.acknowledged = true
}

// ---- what the node does -----------------------------------------------------------------------------------------

function onProgress(turn: Turn, event: Exclude<Event, { kind: OtherKinds }>): void {
  const attempt = turn.state.attempts.get(attemptId(event.name))
  if (attempt === undefined) return
  switch (event.kind) {
    case "ReportAnswered":
      return onReportAnswered(turn, attempt, event)
    case "StageinReady":
      if (attempt.step === "staging") start(turn, attempt)
      return
    case "StageinFailed":
      if (attempt.step === "staging") onStageinFailed(turn, attempt, event.message, event.final)
      return
    case "CommandBegan":
      if (attempt.step === "running") attempt.deadlineMs ??= turn.nowMs + attempt.spec.walltimeMs
      return
    case "CommandEnded":
      return onCommandEnded(turn, attempt, event.exit)
    case "ResultPacked":
      if (attempt.step === "packing") onResultPacked(turn, attempt, event.packed)
      return
    case "Uploaded":
      if (attempt.step === "uploading") enter(turn, attempt, "reporting")
      return
    case "UploadFailed":
      if (attempt.step === "uploading") onUploadFailed(turn, attempt, event.message, event.final)
      return
    default:
      return event satisfies never
  }
}

type OtherKinds = "Welcomed" | "LinkLost" | "Offered" | "KillAsked" | "Recovered" | "Leaving" | "Ticked"

function start(turn: Turn, attempt: Attempt): void {
  attempt.tries = 0
  enter(turn, attempt, "running")
}

function onStageinFailed(turn: Turn, attempt: Attempt, message: string, final: boolean): void {
  attempt.underway = false
  if (final) return finish(turn, attempt, ended("failed", `stagein: ${message}`))
  if (++attempt.tries >= STAGE_TRIES_MAX) {
    return finish(turn, attempt, ended("lost", `stagein failed ${attempt.tries} times, the last time: ${message}`))
  }
  attempt.retryAtMs = turn.nowMs + backoffMs(attempt.tries, RETRY_MIN_MS, RETRY_MAX_MS)
}

function onCommandEnded(turn: Turn, attempt: Attempt, exit: Exit): void {
  attempt.deadlineMs = null
  if (attempt.step === "stopping") return finish(turn, attempt, ended("lost", `stopped: ${attempt.stopReason}`))
  if (attempt.step !== "running") return
  attempt.exit = exit
  enter(turn, attempt, "packing")
}

function onResultPacked(turn: Turn, attempt: Attempt, packed: Packed): void {
  const exit = attempt.exit!
  const { message: trouble, ...outputs } = packed
  let outcome: Outcome = exit.exitCode === 0 ? "finished" : "failed"
  if (attempt.overtime) outcome = "timedout"
  // The command did well, but what it made can't be given back: that is no success.
  else if (trouble !== "") outcome = "failed"
  const message = [attempt.overtime ? overtimeInWords(attempt.spec, exit) : exit.message, trouble]
    .filter(part => part !== "")
    .join("; ")
  attempt.result = { ...outputs, ...exit, outcome, message }
  turn.say({ kind: "Journal", name: attempt.name, spec: attempt.spec, result: attempt.result })
  enter(turn, attempt, "uploading")
}

/** KILL's exit code alone would be taken for want of memory. */
function overtimeInWords({ walltimeMs, graceMs }: RunSpec, exit: Exit): string {
  const how = exit.exitCode === 137 ? `, and killed ${graceMs / 1_000} s later, for it had not ended` : ""
  return `asked to end at its walltime of ${walltimeMs / 1_000} s${how}`
}

function onUploadFailed(turn: Turn, attempt: Attempt, message: string, final: boolean): void {
  attempt.underway = false
  if (!final) {
    attempt.tries++
    attempt.retryAtMs = turn.nowMs + backoffMs(attempt.tries, RETRY_MIN_MS, RETRY_MAX_MS)
    return
  }
  const result = attempt.result!
  const text = [result.message, `the hub did not take the outputs: ${message}`].filter(part => part !== "").join("; ")
  const outcome = result.outcome === "finished" ? "failed" : result.outcome
  const stdout = result.stdout.blob === null ? result.stdout : noLog
  const stderr = result.stderr.blob === null ? result.stderr : noLog
  finish(turn, attempt, { ...result, outcome, message: text, stageout: null, stdout, stderr })
}

function onRecovered(turn: Turn, name: AttemptName, spec: RunSpec, result: Result | null): void {
  const attempt = newAttempt(name, spec, result === null ? "running" : "packing", turn.nowMs)
  turn.state.attempts.set(attemptId(name), attempt)
  if (result === null) return finish(turn, attempt, ended("lost", "the agent was restarted while it ran"))
  attempt.result = result
  enter(turn, attempt, "uploading")
}

// ---- time -------------------------------------------------------------------------------------------------------

function onTicked(turn: Turn): void {
  const { state, nowMs } = turn
  if (state.connected && state.nextHeartbeatMs <= nowMs) {
    turn.say({ kind: "SendHeartbeat", sequence: ++state.sequence })
    state.nextHeartbeatMs = nowMs + state.heartbeatMs
  }
  for (const attempt of state.attempts.values()) {
    if (attempt.deadlineMs !== null && attempt.deadlineMs <= nowMs && !attempt.overtime) {
      attempt.overtime = true
      turn.say({ kind: "Stop", name: attempt.name, reason: "its walltime is over", graceMs: attempt.spec.graceMs })
    }
    if (state.connected && attempt.retryAtMs !== null && attempt.retryAtMs <= nowMs) again(turn, attempt)
    if (repeats(state, attempt) && attempt.repeatAtMs <= nowMs) report(turn, attempt)
  }
}

function repeats(state: State, attempt: Attempt): boolean {
  return state.connected && !attempt.acknowledged && reportOf(attempt) !== null
}

// ---- changes ----------------------------------------------------------------------------------------------------

/** Takes the attempt to a step, tells the hub if that is news to it, and begins what the step does. */
function enter(turn: Turn, attempt: Attempt, next: Step): void {
  if (next === "uploading" && blobsOf(attempt.result!).length === 0) return enter(turn, attempt, "reporting")
  const before = reportOf(attempt)
  attempt.step = next
  const news = reportOf(attempt) !== before
  attempt.underway = false
  attempt.retryAtMs = null
  if (news) {
    attempt.acknowledged = false
    report(turn, attempt)
  }
  again(turn, attempt)
}

/** Begins the work of the present step, or tries it again. */
function again(turn: Turn, attempt: Attempt): void {
  const { name, spec } = attempt
  attempt.retryAtMs = null
  switch (attempt.step) {
    case "staging":
      turn.say({ kind: "Stage", name, spec })
      break
    case "running":
      turn.say({ kind: "Run", name, spec })
      break
    case "packing":
      turn.say({ kind: "Pack", name, spec, exit: attempt.exit! })
      break
    case "uploading":
      if (!turn.state.connected) return
      turn.say({ kind: "Upload", name, blobs: blobsOf(attempt.result!) })
      break
    case "stopping":
    case "reporting":
      return
    default:
      attempt.step satisfies never
  }
  attempt.underway = true
}

/** Ends the attempt with this result: only the hub's answer is missing. */
function finish(turn: Turn, attempt: Attempt, result: Result): void {
  attempt.result = result
  attempt.deadlineMs = null
  turn.say({ kind: "Journal", name: attempt.name, spec: attempt.spec, result })
  enter(turn, attempt, "reporting")
}

/** Somebody wants it no more. What is reported then is only for the hub's count of our room. */
function stop(turn: Turn, attempt: Attempt, reason: string): void {
  if (attempt.step === "stopping" || attempt.step === "reporting") return
  turn.say({ kind: "Stop", name: attempt.name, reason, graceMs: CANCEL_GRACE_MS })
  if (attempt.step !== "running") return finish(turn, attempt, ended("lost", `stopped: ${reason}`))
  attempt.step = "stopping"
  attempt.stopReason = reason
}

function forget(turn: Turn, attempt: Attempt): void {
  turn.state.attempts.delete(attemptId(attempt.name))
  turn.say({ kind: "Forget", name: attempt.name })
}

function report(turn: Turn, attempt: Attempt): void {
  const phase = reportOf(attempt)
  if (phase === null) return
  attempt.repeatAtMs = turn.nowMs + REPORT_REPEAT_MS
  turn.say({ kind: "SendReport", name: attempt.name, phase, result: phase === "ended" ? attempt.result : null })
}

/**
 * What the hub is told. A step that is over in a moment is not worth a frame each way: with nothing to fetch an attempt counts as
 * running from the start, and until something is sent back as running still. Null: nothing until it is over.
 */
export function reportOf({ step, spec }: Pick<Attempt, "step" | "spec">): ReportPhase | null {
  switch (step) {
    case "staging":
      return spec.stagein !== null || spec.gather ? "staging" : "running"
    case "running":
    case "packing":
      return "running"
    case "uploading":
      return "returning"
    case "reporting":
      return "ended"
    case "stopping":
      return null
    default:
      return step satisfies never
  }
}

/** How a hello names an attempt. */
export function holdingOf(attempt: Pick<Attempt, "step" | "spec">): ReportPhase {
  return reportOf(attempt) ?? "running"
}

/** Whether it uses the processor and the memory that it was given. */
function isWorking(step: Step): boolean {
  return step === "staging" || step === "running" || step === "packing"
}

function newAttempt(name: AttemptName, spec: RunSpec, step: Step, nowMs: number): Attempt {
  return {
    name,
    spec,
    step,
    underway: false,
    overtime: false,
    stopReason: "",
    exit: null,
    result: null,
    deadlineMs: null,
    acknowledged: false,
    repeatAtMs: nowMs + REPORT_REPEAT_MS,
    tries: 0,
    retryAtMs: null,
  }
}

export function blobsOf(result: Result): BlobRef[] {
  return [result.stageout, result.stdout.blob, result.stderr.blob].filter(blob => blob !== null)
}

/** A result without outputs. */
function ended(outcome: Outcome, message: string): Result {
  return {
    outcome,
    exitCode: 0,
    message,
    warnings: "",
    stageout: null,
    stdout: noLog,
    stderr: noLog,
    runMs: 0,
    cpuMs: 0,
    peakMemoryBytes: 0,
  }
}
