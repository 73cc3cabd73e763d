// The life of an attempt: offered, reported, lost. The number is the fence: what is said about another attempt than
// the current one changes nothing and is answered "stale", so that the agent cleans up.
import { LOSS_MAX, OFFER_MS } from "../limits.ts"
import { stopOn, takeIndex } from "./campaigns.ts"
import { liveJob, move, type Stage, updateLane, updateRoom } from "./change.ts"
import type { AttemptName, ReportAnswer } from "./effects.ts"
import type { AttemptReported } from "./events.ts"
import { arm, backoffMs, renew, watchAge } from "./lease.ts"
import {
  type Campaign,
  type Deadline,
  type Held,
  type Job,
  type JobId,
  jobId,
  type Node,
  type Result,
} from "./model.ts"
import { plan } from "./schedule.ts"
import { after, onNode } from "./transitions.ts"

/** Places what can be placed. Called once a tick. */
export function placeWork(stage: Stage): void {
  const { state } = stage
  for (const { node, campaign } of plan(state)) {
    const index = takeIndex(campaign)
    if (index === null) continue
    offer(stage, node, campaign, campaign.jobs.get(index) ?? newJob(campaign, index))
    // Who was served goes to the end of the queue of owners.
    const lane = state.lanes.get(campaign.owner)
    if (lane !== undefined) {
      state.lanes.delete(campaign.owner)
      state.lanes.set(campaign.owner, lane)
    }
    updateLane(state, campaign)
  }
}

function newJob(campaign: Campaign, index: number): Job {
  const job: Job = {
    campaign: campaign.id,
    index,
    phase: "queued",
    outcome: null,
    verdict: "unchecked",
    attempt: 0,
    node: null,
    failures: 0,
    losses: 0,
    story: [],
  }
  campaign.jobs.set(index, job)
  return job
}

function offer(stage: Stage, node: Node, campaign: Campaign, job: Job): void {
  job.attempt++
  job.node = node.id
  move(stage, campaign, job, "offer", "offered")
  const held = { campaign: campaign.id, index: job.index, attempt: job.attempt, needs: campaign.needs, stopping: null }
  node.held.set(jobId(campaign.id, job.index), held)
  updateRoom(stage.state, node)
  arm(stage.state, node)
  watchAge(stage.state, campaign, job, stage.now.nowMs)
  speakOffer(stage, node, held)
}

/** Also said again after a hello that does not name it: the first may never have arrived. */
export function speakOffer(stage: Stage, node: Node, held: Held): void {
  const { campaign, index, attempt } = held
  stage.state.deadlines.add(stage.now.nowMs + OFFER_MS, { kind: "offer", campaign, index, attempt })
  stage.effects.speech.push({ kind: "Offer", link: node.link!, campaign, index, attempt })
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
  const id = jobId(event.campaign, event.index)
  const held = node.held.get(id)
  if (event.phase === "ended" && held?.attempt === event.attempt) release(stage, node, id)
  const found = currentAttempt(stage, node, event.campaign, event.index, event.attempt)
  if (found === null) {
    if (event.phase !== "ended") expectStop(stage, node, event)
    return "stale"
  }
  const { campaign, job } = found
  if (event.phase === "ended") return applyResult(stage, node, campaign, job, event.result!)
  if (after(job.phase, event.phase) === null) return "already"
  if (job.phase === "queued") revive(stage, node, campaign, job)
  move(stage, campaign, job, event.phase, event.phase)
  return "accepted"
}

/** The node holds what nobody wants: it takes room there until the node says that it has stopped. */
export function expectStop(stage: Stage, node: Node, name: AttemptName): void {
  const { campaign, index, attempt } = name
  const id = jobId(campaign, index)
  const held = node.held.get(id)
  if (held === undefined) {
    const needs = { slots: 1, memoryBytes: 0, diskBytes: 0 }
    node.held.set(id, { campaign, index, attempt, needs, stopping: "no longer wanted" })
    arm(stage.state, node)
  } else if (held.attempt === attempt) {
    held.stopping ??= "no longer wanted"
  }
  updateRoom(stage.state, node)
}

/** The job, if this node has or last had its current attempt. */
export function currentAttempt(
  stage: Stage,
  node: Node,
  campaign: AttemptReported["campaign"],
  index: number,
  attempt: number,
): { campaign: Campaign; job: Job } | null {
  const found = liveJob(stage.state, campaign, index)
  if (found === null || found.job.attempt !== attempt || found.job.node !== node.id) return null
  return found
}

function applyResult(stage: Stage, node: Node, campaign: Campaign, job: Job, result: Result): ReportAnswer {
  if (result.outcome === "lost" || result.outcome === "refused") {
    lose(stage, campaign, job, `${result.outcome}: ${result.message || "the node gave it up"}`)
    return "accepted"
  }
  if (result.outcome !== "finished") job.failures++
  const { index, attempt } = job
  stage.effects.writes.push({
    kind: "result",
    row: { ...result, campaign: campaign.id, index, attempt, node: node.id },
  })
  move(stage, campaign, job, "result", storyOf(result), result.outcome)
  updateLane(stage.state, campaign)
  return "accepted"
}

function storyOf(result: Result): string {
  if (result.outcome === "failed") return `failed with exit code ${result.exitCode}`
  return result.outcome === "timedout" ? "killed at its walltime" : "finished"
}

/** A lost attempt that nobody else has got meanwhile comes back: its work still counts. */
export function revive(stage: Stage, node: Node, campaign: Campaign, job: Job): void {
  campaign.again.delete(job.index)
  const held = { campaign: campaign.id, index: job.index, attempt: job.attempt, needs: campaign.needs, stopping: null }
  node.held.set(jobId(campaign.id, job.index), held)
  updateRoom(stage.state, node)
  arm(stage.state, node)
  watchAge(stage.state, campaign, job, stage.now.nowMs)
  updateLane(stage.state, campaign)
}

/** The node has it no more. Its room is free, and somebody should look whether something fits. */
export function release(stage: Stage, node: Node, id: JobId): void {
  node.held.delete(id)
  updateRoom(stage.state, node)
}

/** The current attempt is gone. The job waits and is queued again, or ends as lost when its budget is spent. */
export function lose(stage: Stage, campaign: Campaign, job: Job, event: string): void {
  const { state, now } = stage
  if (job.phase === "queued") return
  job.losses++
  if (job.losses > LOSS_MAX) {
    const why = `${event}; given up after ${job.losses} lost attempts`
    move(stage, campaign, job, "giveUp", why, "lost")
  } else {
    move(stage, campaign, job, "requeue", event)
    const { index, attempt } = job
    state.deadlines.add(now.nowMs + backoffMs(job.losses), { kind: "again", campaign: campaign.id, index, attempt })
  }
  updateLane(state, campaign)
}

/** An offer nobody answered, an attempt that outlived its time, a back-off that is over. */
export function onAttemptDue(stage: Stage, due: Exclude<Deadline, { kind: "lease" }>): void {
  const found = liveJob(stage.state, due.campaign, due.index)
  if (found === null || found.job.attempt !== due.attempt) return
  const { campaign, job } = found
  if (due.kind === "again") {
    if (job.phase !== "queued") return
    campaign.again.add(job.index)
    updateLane(stage.state, campaign)
    return
  }
  if (due.kind === "offer" ? !unanswered(stage, job) : !onNode(job.phase)) return
  const event =
    due.kind === "offer" ? "lost: the node did not answer the offer" : "lost: older than its walltime and all slack"
  stopOn(stage, job.node, campaign.id, job, event)
  lose(stage, campaign, job, event)
}

/** While the node is away its lease decides; when it comes back the offer is said again. */
function unanswered(stage: Stage, job: Job): boolean {
  return job.phase === "offered" && stage.state.nodes.get(job.node!)?.link !== null
}
