// The primitives of change: a job, its counts and its story change together; lanes of ready campaigns and the list of
// nodes with room are kept true. Everything in core that changes a job says so to changed().
import { HELD_MAX } from "../limits.ts"
import {
  type Attempt,
  type Campaign,
  type CampaignId,
  type Counts,
  type Job,
  jobId,
  type Node,
  type NodeId,
  type Occasion,
  type Outcome,
  type Rules,
  type State,
  type StoryLine,
  type Totals,
} from "./model.ts"
import { dequeue, enqueue } from "./placing/queue.ts"
import { hasFreeSlot, readyJobs, takesWork } from "./placing/room.ts"
import { shapeOf } from "./rules.ts"
import type { Stage } from "./stage.ts"
import { lastTold, tell } from "./story.ts"
import { phaseOf } from "./transitions.ts"
import type { Why } from "./why.ts"

/** The attempt that something happened to, for the story. */
export type About = Pick<StoryLine, "attempt" | "node">

export const noTries: readonly Attempt[] = []
export const noNodes: readonly NodeId[] = []

/** A job to which nothing has happened yet. */
export function untouchedJob(campaign: CampaignId, index: number): Job {
  return {
    campaign,
    index,
    phase: "queued",
    outcome: null,
    verdict: "unchecked",
    attempt: 0,
    node: null,
    held: false,
    tries: noTries,
    failures: 0,
    losses: 0,
    failedOn: noNodes,
    elsewhere: false,
    story: [],
  }
}

/**
 * A job that had not ended was changed: everything that follows from it. `tries` are those that it had before. Said afterwards,
 * since a function that makes the change would be another object for each.
 */
export function changed(
  stage: Stage,
  campaign: Campaign,
  job: Job,
  tries: readonly Attempt[],
  why: Why,
  event: string,
  about: About,
  runMs: number | null = null,
): void {
  const from = job.phase
  campaign.counts[from as Exclude<typeof from, "ended">]--
  if (job.tries !== tries) countTries(stage, campaign, tries, job.tries)
  job.phase = phaseOf(job)
  campaign.counts[countOf(job)]++
  const { wallMs } = stage.now
  const { story } = job
  const tookMs = wallMs - (lastTold(story) ?? campaign.submittedAt)
  tell(story, wallMs, why, event, job.phase, about)
  const { attempt, node } = about
  const { id } = campaign
  const to = job.outcome ?? job.phase
  stage.effects.moves.push({ campaign: id, index: job.index, attempt, node, why, event, from, to, tookMs, runMs })
  touch(stage, campaign, job)
  if (campaign.rules.atOnceMax !== null) updateLane(stage.state, campaign)
  if (job.phase === "running") tellOf(stage, campaign, "running")
  if (job.phase !== "ended") return
  if (isError(job.outcome!)) tellOf(stage, campaign, "error")
  campaign.jobs.delete(job.index)
  campaign.again.delete(job.index)
  stage.effects.speech.push({ kind: "JobEnded", campaign: campaign.id, index: job.index, outcome: job.outcome! })
}

/** Which nodes have attempts of it, and what those used that are over. */
function countTries(stage: Stage, campaign: Campaign, before: readonly Attempt[], after: readonly Attempt[]): void {
  const { onNodes, totals } = campaign
  for (const one of before) {
    if (after.includes(one)) continue
    const left = onNodes.get(one.node)! - 1
    if (left === 0) onNodes.delete(one.node)
    else onNodes.set(one.node, left)
    totals.coreMs += shapeOf(campaign, one.shape).needs.slots * (stage.now.nowMs - one.sinceMs)
  }
  for (const one of after) if (!before.includes(one)) onNodes.set(one.node, (onNodes.get(one.node) ?? 0) + 1)
}

function isError(outcome: Outcome): boolean {
  return outcome === "failed" || outcome === "timedout" || outcome === "lost"
}

/** Whoever wants to hear of this occasion is told, once. */
export function tellOf({ effects, now }: Stage, campaign: Campaign, occasion: Occasion): void {
  if (campaign.rules.notices.length === 0 || campaign.told.has(occasion)) return
  campaign.told.add(occasion)
  effects.campaigns.add(campaign)
  campaign.rules.notices.forEach((notice, target) => {
    if (!notice.occasions.includes(occasion)) return
    const row = { campaign: campaign.id, occasion, target, at: now.wallMs, tries: 0, nextAt: now.wallMs, trouble: "" }
    effects.writes.push({ kind: "notice", row: { ...row, doneAt: null } })
    effects.speech.push({ kind: "Tell" })
  })
}

export function touch(stage: Stage, campaign: Campaign, job: Job | null): void {
  stage.effects.campaigns.add(campaign)
  if (job !== null) stage.effects.jobs.add(job)
}

export function allEnded(counts: Counts): boolean {
  return liveCount(counts) === 0
}

export function liveCount(counts: Counts): number {
  return counts.queued + counts.held + counts.offered + counts.staging + counts.running + counts.returning
}

export function countOf(job: Job): keyof Counts {
  return job.outcome ?? (job.phase as Exclude<typeof job.phase, "ended">)
}

export function noCounts(): Counts {
  return {
    queued: 0,
    held: 0,
    offered: 0,
    staging: 0,
    running: 0,
    returning: 0,
    finished: 0,
    failed: 0,
    timedout: 0,
    lost: 0,
    refused: 0,
    cancelled: 0,
  }
}

export function noTotals(): Totals {
  return { retries: 0, losses: 0, preemptions: 0, resubmissions: 0, stageinBytes: 0, stageoutBytes: 0, coreMs: 0 }
}

export function keyOf(owner: string, key: string): string {
  return `${owner}\n${key}`
}

/** Puts the campaign into the queue if it has jobs that may be offered, takes it out if not. */
export function updateLane(state: State, campaign: Campaign): void {
  const ready = isOpen(state, campaign) && readyJobs(campaign) > 0
  if (ready === campaign.queued) return
  campaign.queued = ready
  if (ready) enqueue(state, campaign)
  else dequeue(state, campaign)
}

/** A job of it may be offered again: also to nodes that were held against the campaign in vain, for want of this one. */
export function queueAgain(state: State, campaign: Campaign, index: number): void {
  campaign.again.add(index)
  if (campaign.queued) state.queue.fresh.add(campaign.demand)
  updateLane(state, campaign)
}

/** Whether anything of it may be offered at all. */
export function isOpen(state: State, campaign: Campaign): boolean {
  const { held, early, waitsFor } = campaign
  return !held && !early && waitsFor.length === 0 && mayBeginMore(campaign) && state.campaigns.has(campaign.id)
}

/** Fewer of its jobs are under way than its scientist allows at once. */
export function mayBeginMore({ rules: { atOnceMax }, counts }: Campaign): boolean {
  return atOnceMax === null || underWay(counts) < atOnceMax
}

/** Of those that ended: failed, ran into their walltime, or were given up. */
export function failedJobs({ failed, timedout, lost }: Counts): number {
  return failed + timedout + lost
}

/** Its scientist would rather look into it than have the others run. */
export function hasFailedTooOften(counts: Counts, { failMax }: Pick<Rules, "failMax">): boolean {
  return failMax !== null && failedJobs(counts) >= failMax
}

export function underWay(counts: Counts): number {
  return counts.offered + counts.staging + counts.running + counts.returning
}

/** The live job, or null: ended, untouched, or never was. */
export function liveJob(state: State, campaign: CampaignId, index: number): { campaign: Campaign; job: Job } | null {
  const found = state.campaigns.get(campaign)
  const job = found?.jobs.get(index)
  return found !== undefined && job !== undefined ? { campaign: found, job } : null
}

export function tryOf(job: Job, attempt: number, node: NodeId): Attempt | null {
  for (const one of job.tries) if (one.attempt === attempt && one.node === node) return one
  return null
}

/** Takes an index that indexFor() gave: it is ready no more. */
export function takeIndex(campaign: Campaign, index: number): void {
  if (campaign.again.take(index)) return
  while (campaign.skipped.length > 0 && campaign.skipped[0]!.last < index) campaign.skipped.shift()
  campaign.cursor = index + 1
}

/** Tells the node, if it holds this attempt, to stop it; until it says that it has, the attempt takes room there. */
export function stopOn(
  stage: Stage,
  campaign: CampaignId,
  index: number,
  { attempt, node: holder }: Pick<Attempt, "attempt" | "node">,
  reason: string,
): void {
  const node = stage.state.nodes.get(holder)
  const held = node?.held.get(jobId(campaign, index))
  if (node === undefined || held === undefined || held.attempt !== attempt) return
  held.stopping = reason
  if (node.link === null) return
  stage.effects.speech.push({ kind: "Kill", link: node.link, reason, campaign, index, attempt })
}

/** Puts the node among those that have room if it does, takes it out if not. Called when either may have changed. */
export function updateRoom(state: State, node: Node): void {
  const open = takesWork(node) && !node.revoked && node.held.size < HELD_MAX
  if (open && hasFreeSlot(node)) state.room.add(node.id)
  else state.room.delete(node.id)
}
