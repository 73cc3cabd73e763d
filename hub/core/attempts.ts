// The life of an attempt: offered, reported, lost. The number is the fence: what is said about an attempt that is not
// under way changes nothing and is answered "stale", so that the agent cleans up.
import {
  ATTEMPT_LOG_BYTES_MAX,
  ATTEMPT_SLACK_MS,
  ATTEMPTS_PER_CAMPAIGN_MAX,
  ELSEWHERE_MS,
  OFFER_MS,
} from "../limits.ts"
import { changed, liveJob, noTries, queueAgain, stopOn, tryOf, untouchedJob, updateLane, updateRoom } from "./change.ts"
import { giveCredit } from "./credit.ts"
import type { AttemptName, ReportAnswer } from "./effects.ts"
import type { AttemptReported } from "./events.ts"
import { arm, renew, retryMs } from "./lease.ts"
import {
  type Attempt,
  type Campaign,
  type CampaignId,
  type Deadline,
  type Held,
  type Job,
  type JobId,
  jobId,
  type LogRef,
  type Node,
  type NodeId,
  type Result,
} from "./model.ts"
import { useSlots } from "./placing/usage.ts"
import { onProbed } from "./quarantine.ts"
import type { ResultRow } from "./rows.ts"
import { isRetried, shapeOf } from "./rules.ts"
import type { Stage } from "./stage.ts"
import { hasOther, onFailed, onTimedOut, onWell } from "./strikes.ts"
import { isForward } from "./transitions.ts"
import type { Why } from "./why.ts"

/** The job at this index, which has not ended; a new one if nothing has happened to it yet. */
export function jobAt(campaign: Campaign, index: number): Job {
  return campaign.jobs.get(index) ?? newJob(campaign, index)
}

function newJob(campaign: Campaign, index: number): Job {
  const job = untouchedJob(campaign.id, index)
  campaign.jobs.set(index, job)
  return job
}

/** A new attempt at the job, on this node; beside those under way, if there are any. */
export function offer(
  stage: Stage,
  node: Node,
  campaign: Campaign,
  job: Job,
  shape: number,
  why: Why = "offered",
  event: string = why,
): void {
  const attempt = job.attempt + 1
  const { tries } = job
  const { id } = node
  job.attempt = attempt
  job.node = id
  if (job.elsewhere) job.elsewhere = false
  const { nowMs } = stage.now
  const one: Attempt = { attempt, node: id, phase: "offered", shape, sinceMs: nowMs, startedMs: null, startedAt: null }
  const held = begin(stage, node, campaign, job, one)
  changed(stage, campaign, job, tries, why, event, one)
  speakOffer(stage, node, campaign, held, shape)
}

/** The try is under way on the node, and everybody who counts knows. */
function begin(stage: Stage, node: Node, campaign: Campaign, job: Job, one: Attempt): Held {
  job.tries = job.tries.length === 0 ? [one] : [...job.tries, one]
  const held = heldOf(campaign, job.index, one)
  hold(stage, node, held)
  // It may have come back to a container that is gone.
  if (campaign.rules.inside !== null) stage.state.shrunk.add(node.id)
  return held
}

/** What a node holds of a job while this try of it is under way. */
export function heldOf(
  campaign: Campaign,
  index: number,
  { attempt, shape }: Pick<Attempt, "attempt" | "shape">,
): Held {
  const { id, rules, account } = campaign
  const { container, inside } = rules
  const { needs } = shapeOf(campaign, shape)
  // What is inside a container was counted with the container.
  return {
    campaign: id,
    index,
    attempt,
    needs,
    account: inside === null ? account : null,
    container,
    inside,
    stopping: null,
  }
}

function hold(stage: Stage, node: Node, held: Held): void {
  // An older attempt at the same job may still be stopping here; its place is the new one's.
  const id = jobId(held.campaign, held.index)
  release(stage, node, id)
  node.held.set(id, held)
  if (held.account !== null) useSlots(stage, held.account, held.needs.slots)
  if (held.account?.bestEffort === true) stage.state.lending.add(node.id)
  updateRoom(stage.state, node)
  arm(stage.state, node)
}

/** Also said again after a hello that does not name it: the first may never have arrived. */
export function speakOffer(stage: Stage, node: Node, of: Campaign, held: Held, shape: number): void {
  const { campaign, index, attempt } = held
  const { owner, spec, total, rules, hasParameters: hasLine } = of
  stage.effects.speech.push({
    kind: "Offer",
    link: node.link!,
    campaign,
    index,
    attempt,
    shape: shape === 0 ? null : shapeOf(of, shape),
    owner,
    spec,
    total,
    inside: rules.inside !== null,
    hasLine,
    line: null,
  })
}

export function onAttemptReported(stage: Stage, event: AttemptReported): void {
  const { state, effects, now } = stage
  const node = state.nodes.get(event.node)
  if (node === undefined || node.link === null || node.epoch !== event.epoch) return
  renew(node, now.nowMs)
  const answer = applyReport(stage, node, event)
  const { campaign, index, attempt, phase } = event
  effects.speech.push({ kind: "AnswerReport", link: node.link, campaign, index, attempt, phase, answer })
}

function applyReport(stage: Stage, node: Node, event: AttemptReported): ReportAnswer {
  const { state } = stage
  if (event.phase === "ended") {
    const id = jobId(event.campaign, event.index)
    if (node.held.get(id)?.attempt === event.attempt) release(stage, node, id)
  }
  const found = currentAttempt(stage, node, event.campaign, event.index, event.attempt)
  if (found === null) {
    if (event.phase !== "ended") expectStop(stage, node, event)
    return "stale"
  }
  const { campaign, job, one } = found
  if (event.phase === "ended") return applyResult(stage, node, found, event.result!)
  // A container that runs is room for others.
  if (event.phase === "running" && campaign.rules.container) state.freed.add(node.id)
  if (one === null) revive(stage, node, campaign, job, event.phase, event.phase)
  else if (!isForward(one.phase, event.phase)) return "already"
  else advance(stage, campaign, job, one, event.phase, "progressed", event.phase)
  return "accepted"
}

export function advance(
  stage: Stage,
  campaign: Campaign,
  job: Job,
  one: Attempt,
  phase: Attempt["phase"],
  why: Why,
  event: string,
): void {
  one.phase = phase
  if (one.startedMs === null && hasStarted(phase)) {
    one.startedMs = stage.now.nowMs
    one.startedAt = stage.now.wallMs
  }
  changed(stage, campaign, job, job.tries, why, event, one)
}

/** When it was offered; of one that an earlier life of the hub heard to run, when it began to. */
export function beganMs({ sinceMs, startedMs }: Attempt): number {
  return Math.min(sinceMs, startedMs ?? sinceMs)
}

function hasStarted(phase: Attempt["phase"]): boolean {
  return phase === "running" || phase === "returning"
}

/** The node holds what nobody wants: it takes room there until the node says that it has stopped. */
export function expectStop(stage: Stage, node: Node, name: AttemptName): void {
  const { campaign, index, attempt } = name
  const held = node.held.get(jobId(campaign, index))
  if (held === undefined) {
    const needs = { slots: 1, memoryBytes: 0, diskBytes: 0 }
    const stopping = "no longer wanted"
    hold(stage, node, { campaign, index, attempt, needs, account: null, container: false, inside: null, stopping })
  } else if (held.attempt === attempt) {
    held.stopping ??= "no longer wanted"
  }
}

export interface Found {
  readonly campaign: Campaign
  readonly job: Job
  /** Null: it was lost, but nobody else has got the job since. It may come back. */
  readonly one: Attempt | null
}

/** The attempt, if it is under way on this node or may come back to it. */
export function currentAttempt(
  stage: Stage,
  node: Node,
  campaign: CampaignId,
  index: number,
  attempt: number,
): Found | null {
  const found = liveJob(stage.state, campaign, index)
  if (found === null) return null
  const { job } = found
  const one = tryOf(job, attempt, node.id)
  const mayComeBack = job.tries.length === 0 && job.attempt === attempt && job.node === node.id
  return one !== null || mayComeBack ? { campaign: found.campaign, job, one } : null
}

function applyResult(stage: Stage, node: Node, { campaign, job, one }: Found, result: Result): ReportAnswer {
  const about = { attempt: one?.attempt ?? job.attempt, node: node.id }
  const { outcome } = result
  const isGivenUp = outcome === "lost" || outcome === "refused"
  if (node.quarantine !== null && !isGivenUp) onProbed(stage, node, node.quarantine, outcome === "finished")
  if (isGivenUp || (node.quarantine !== null && outcome !== "finished")) {
    if (isGivenUp) {
      const why = outcome === "refused" ? "refused" : "given_up"
      lose(stage, campaign, job, one, why, `${outcome}: ${result.message || "the node gave it up"}`)
    } else {
      const event = `${eventOf(result)} on a node in quarantine, which is not held against the job`
      lose(stage, campaign, job, one, "quarantine", event, result.runMs)
    }
    // Given up by the node itself: it cannot come back.
    if (job.node === node.id) job.node = null
    return "accepted"
  }
  if (one !== null) {
    campaign.took.attempts++
    campaign.took.sumMs += stage.now.nowMs - beganMs(one)
  }
  if (result.outcome === "finished") onWell(stage, campaign, node)
  else {
    job.failures++
    if (result.outcome === "timedout") onTimedOut(campaign, node)
    else if (one !== null) onFailed(stage, campaign, node, job, stage.now.nowMs - (one.startedMs ?? one.sinceMs))
    if (isRetried(campaign, job, result)) {
      keepAttempt(stage, campaign, resultRow(campaign.id, job.index, about.attempt, node.id, result, false))
      campaign.totals.retries++
      const event = `${eventOf(result)}; further tries: ${campaign.rules.retryMax - job.failures + 1}`
      const { tries } = job
      job.tries = triesBut(job, one)
      job.node = job.tries[0]?.node ?? null
      changed(stage, campaign, job, tries, whyOfResult(result), event, about, result.runMs)
      if (job.tries.length === 0) queueLater(stage, campaign, job, retryMs(job.failures))
      return "accepted"
    }
  }
  const isRuled = result.outcome !== "finished" && job.failures <= campaign.rules.retryMax
  const others = triesBut(job, one)
  const { index, tries } = job
  campaign.totals.stageoutBytes += bytesOf(result)
  const row = resultRow(campaign.id, index, about.attempt, node.id, result, true)
  stage.effects.writes.push({ kind: "result", row })
  giveCredit(stage, campaign, one, row)
  job.outcome = result.outcome
  job.node = node.id
  job.tries = noTries
  if (isRuled) {
    const event = `${eventOf(result)}, after which it asks for no further try`
    changed(stage, campaign, job, tries, "exit_code_rule", event, about, result.runMs)
  } else changed(stage, campaign, job, tries, whyOfResult(result), eventOf(result), about, result.runMs)
  updateLane(stage.state, campaign)
  for (const other of others) stopOn(stage, campaign.id, index, other, "another node was first")
  return "accepted"
}

/** Mostly there is one try, and none but it. */
function triesBut({ tries }: Job, one: Attempt | null): readonly Attempt[] {
  if (tries.length === 1 && tries[0] === one) return noTries
  return tries.filter(other => other !== one)
}

/** Name by name: a spread of a result costs more than all that is decided about it. */
function resultRow(
  campaign: CampaignId,
  index: number,
  attempt: number,
  node: NodeId,
  result: Result,
  accepted: boolean,
): ResultRow {
  const { outcome, exitCode, message, warnings, stageout, stdout, stderr, runMs, cpuMs, peakMemoryBytes } = result
  return {
    campaign,
    index,
    attempt,
    node,
    accepted,
    outcome,
    exitCode,
    message,
    warnings,
    stageout,
    stdout,
    stderr,
    runMs,
    cpuMs,
    peakMemoryBytes,
  }
}

/** For whoever asks why it was tried again. Bounded, since a job may fail a hundred times, and a million jobs may. */
function keepAttempt({ effects }: Stage, { totals }: Campaign, row: ResultRow): void {
  if (totals.retries >= ATTEMPTS_PER_CAMPAIGN_MAX) return
  const kept = { ...row, stageout: null, stdout: keptLog(row.stdout), stderr: keptLog(row.stderr) }
  effects.writes.push({ kind: "result", row: kept })
}

function keptLog(log: LogRef): LogRef {
  const sizeBytes = logBytes(log)
  return sizeBytes <= ATTEMPT_LOG_BYTES_MAX
    ? log
    : { inline: null, blob: null, droppedBytes: log.droppedBytes + sizeBytes }
}

function bytesOf({ stageout, stdout, stderr }: Result): number {
  return (stageout?.sizeBytes ?? 0) + logBytes(stdout) + logBytes(stderr)
}

function logBytes({ inline, blob }: LogRef): number {
  return inline?.byteLength ?? blob?.sizeBytes ?? 0
}

function eventOf(result: Result): string {
  if (result.outcome === "failed") return `failed with exit code ${result.exitCode}`
  return result.outcome === "timedout" ? "killed at its walltime" : "finished"
}

function whyOfResult({ outcome }: Result): Why {
  return outcome === "failed" ? "failed" : outcome === "timedout" ? "walltime" : "finished"
}

/** A lost attempt that nobody else has got meanwhile comes back: its work still counts. */
export function revive(
  stage: Stage,
  node: Node,
  campaign: Campaign,
  job: Job,
  phase: Attempt["phase"],
  event: string,
): void {
  // Its time begins anew: what it did while it was given up for lost, the hub has not measured.
  const { nowMs, wallMs } = stage.now
  const started = hasStarted(phase) ? { startedMs: nowMs, startedAt: wallMs } : { startedMs: null, startedAt: null }
  const one: Attempt = { attempt: job.attempt, node: node.id, phase, shape: 0, sinceMs: nowMs, ...started }
  campaign.again.delete(job.index)
  const { tries } = job
  begin(stage, node, campaign, job, one)
  changed(stage, campaign, job, tries, "came_back", event, one)
  updateLane(stage.state, campaign)
}

/** The node has it no more. Its room is free, and somebody should look whether something fits. */
export function release(stage: Stage, node: Node, id: JobId): void {
  const held = node.held.get(id)
  if (held === undefined) return
  const { state } = stage
  if (held.account !== null) useSlots(stage, held.account, -held.needs.slots)
  node.held.delete(id)
  if (held.account?.bestEffort === true && !lends(node)) state.lending.delete(node.id)
  if (held.container) state.shrunk.add(node.id)
  state.freed.add(node.id)
  updateRoom(state, node)
}

function lends(node: Node): boolean {
  for (const { account } of node.held.values()) if (account?.bestEffort === true) return true
  return false
}

/**
 * A try is gone. If it was the only one the job waits and is queued again, or ends as lost when its budget is spent.
 * Null: it was gone already.
 */
export function lose(
  stage: Stage,
  campaign: Campaign,
  job: Job,
  one: Attempt | null,
  why: Why,
  event: string,
  runMs: number | null = null,
): void {
  if (one === null) return
  job.losses++
  campaign.totals.losses++
  const others = triesBut(job, one)
  const spent = others.length === 0 && job.losses > campaign.rules.lossMax
  const more = spent ? `; given up after ${job.losses} lost attempts` : others.length > 0 ? "; another goes on" : ""
  const { tries } = job
  job.tries = others
  if (spent) job.outcome = "lost"
  changed(stage, campaign, job, tries, why, `${event}${more}`, one, runMs)
  if (others.length === 0 && !spent) queueLater(stage, campaign, job, retryMs(job.losses))
  updateLane(stage.state, campaign)
}

/**
 * A try is stopped so that others have its room: neither a failure nor a loss. If it was the only one the job is queued
 * again at once, and what the stopped one still says is stale.
 */
export function displace(stage: Stage, campaign: Campaign, job: Job, one: Attempt, why: Why, event: string): void {
  campaign.totals.preemptions++
  const { tries } = job
  job.tries = triesBut(job, one)
  if (job.node === one.node) job.node = job.tries[0]?.node ?? null
  changed(stage, campaign, job, tries, why, event, one)
  if (job.phase === "queued") queueAgain(stage.state, campaign, job.index)
}

function queueLater(stage: Stage, campaign: Campaign, job: Job, waitMs: number): void {
  const { index, attempt } = job
  const due = { kind: "again", campaign: campaign.id, index, attempt } as const
  stage.state.deadlines.add(stage.now.nowMs + waitMs, due)
}

/**
 * A back-off is over: the job may be offered again, unless it came back by itself. One that failed goes to another node first;
 * later, if none of these took it, to any.
 */
export function onAgainDue(stage: Stage, due: Extract<Deadline, { kind: "again" }>): void {
  const { state, now } = stage
  const found = liveJob(state, due.campaign, due.index)
  if (found === null || found.job.phase !== "queued" || found.job.attempt !== due.attempt) return
  const { campaign, job } = found
  const isFirst = !campaign.again.has(due.index)
  job.elsewhere = isFirst && job.failedOn.length > 0 && hasOther(state, campaign, job.failedOn)
  if (job.elsewhere) state.deadlines.add(now.nowMs + ELSEWHERE_MS, due)
  queueAgain(state, campaign, due.index)
}

/** Takes back what the node was offered and did not answer. Asked when it is heard, so that silence is left to its lease. */
export function takeBackUnanswered(stage: Stage, node: Node): void {
  takeBack(stage, node, "offer_unanswered", "lost: the node did not answer the offer", one => {
    return one.phase === "offered" && stage.now.nowMs - one.sinceMs >= OFFER_MS
  })
}

/** Takes back what has outlived its walltime and all slack, however well its node heartbeats. Asked once a lease. */
export function takeBackOverdue(stage: Stage, node: Node): void {
  takeBack(stage, node, "overdue", "lost: older than its walltime and all slack", (one, campaign) => {
    return stage.now.nowMs - one.sinceMs >= shapeOf(campaign, one.shape).walltimeMs + ATTEMPT_SLACK_MS
  })
}

function takeBack(
  stage: Stage,
  node: Node,
  why: Why,
  event: string,
  isDue: (one: Attempt, campaign: Campaign) => boolean,
): void {
  for (const held of [...node.held.values()]) {
    const found = liveJob(stage.state, held.campaign, held.index)
    const one = found === null ? null : tryOf(found.job, held.attempt, node.id)
    if (found === null || one === null || !isDue(one, found.campaign)) continue
    stopOn(stage, held.campaign, held.index, one, event)
    lose(stage, found.campaign, found.job, one, why, event)
  }
}
