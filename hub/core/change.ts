// The primitives of change: a job, its counts and its story change together; lanes of ready campaigns and the list of
// nodes with room are kept true. Everything in core that changes a job goes through change().
import { HELD_MAX, STORY_MAX } from "../limits.ts"
import type { Effects } from "./effects.ts"
import {
  type Campaign,
  type CampaignId,
  type Counts,
  type Job,
  jobId,
  type Node,
  type NodeId,
  type Now,
  type State,
  type Try,
} from "./model.ts"
import { freeRoom, readyJobs } from "./schedule.ts"
import { phaseOf } from "./transitions.ts"

/** One event's view of the world: the state, the moment, and where its effects are gathered. */
export interface Stage {
  readonly state: State
  readonly now: Now
  readonly effects: Effects
}

/** What happened to a job, for its story; `about` is the attempt that it happened to. */
export interface Happening {
  readonly event: string
  readonly about: { readonly attempt: number; readonly node: NodeId | null }
}

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
    tries: [],
    failures: 0,
    losses: 0,
    story: [],
  }
}

/** Changes a job that has not ended by `mutate`, and everything that follows from it. */
export function change(
  stage: Stage,
  campaign: Campaign,
  job: Job,
  { event, about }: Happening,
  mutate: () => void,
): void {
  const from = job.phase
  campaign.counts[countOf(job)]--
  mutate()
  job.phase = phaseOf(job)
  campaign.counts[countOf(job)]++
  const { wallMs } = stage.now
  const tookMs = wallMs - (job.story.at(-1)?.at ?? campaign.submittedAt)
  const { attempt, node } = about
  const line = { at: wallMs, event, phase: job.phase, attempt, node }
  job.story = [...job.story.slice(-(STORY_MAX - 1)), line]
  const name = { campaign: campaign.id, index: job.index, attempt, node }
  stage.effects.moves.push({ ...name, event, from, to: job.outcome ?? job.phase, tookMs })
  touch(stage, campaign, job)
  if (job.phase !== "ended") return
  campaign.jobs.delete(job.index)
  campaign.again.delete(job.index)
  stage.effects.speech.push({ kind: "JobEnded", campaign: campaign.id, index: job.index, outcome: job.outcome! })
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

export function keyOf(owner: string, key: string): string {
  return `${owner}\n${key}`
}

/** Puts the campaign into its owner's lane if it has jobs that may be offered, takes it out if not. */
export function updateLane(state: State, campaign: Campaign): void {
  const lane = state.lanes.get(campaign.owner)
  const ready = isOpen(state, campaign) && readyJobs(campaign) > 0
  const at = lane?.indexOf(campaign) ?? -1
  if (ready === at >= 0) return
  if (!ready) {
    lane!.splice(at, 1)
    if (lane!.length === 0) state.lanes.delete(campaign.owner)
  } else if (lane === undefined) {
    state.lanes.set(campaign.owner, [campaign])
  } else {
    const before = lane.findIndex(other => goesBefore(campaign, other))
    lane.splice(before < 0 ? lane.length : before, 0, campaign)
  }
}

/** Whether anything of it may be offered at all. */
export function isOpen(state: State, campaign: Campaign): boolean {
  return state.campaigns.has(campaign.id) && !campaign.held && campaign.waitsFor.length === 0
}

function goesBefore(a: Campaign, b: Campaign): boolean {
  return a.priority !== b.priority ? a.priority > b.priority : a.id < b.id
}

/** The live job, or null: ended, untouched, or never was. */
export function liveJob(state: State, campaign: CampaignId, index: number): { campaign: Campaign; job: Job } | null {
  const found = state.campaigns.get(campaign)
  const job = found?.jobs.get(index)
  return found !== undefined && job !== undefined ? { campaign: found, job } : null
}

export function tryOf(job: Job, attempt: number, node: NodeId): Try | null {
  return job.tries.find(one => one.attempt === attempt && one.node === node) ?? null
}

/** Takes the next ready index: a job that is queued again first, then the untouched range. Null: none. */
export function takeIndex(campaign: Campaign): number | null {
  for (const index of campaign.again) {
    campaign.again.delete(index)
    return index
  }
  while (campaign.skipped.length > 0 && campaign.skipped[0]!.first <= campaign.cursor) {
    campaign.cursor = campaign.skipped.shift()!.last + 1
  }
  return campaign.cursor < campaign.total ? campaign.cursor++ : null
}

/** Tells the node, if it holds this attempt, to stop it; until it says that it has, the attempt takes room there. */
export function stopOn(
  stage: Stage,
  campaign: CampaignId,
  index: number,
  { attempt, node: holder }: Pick<Try, "attempt" | "node">,
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
  const open = node.link !== null && !node.drained && !node.revoked && node.held.size < HELD_MAX
  if (open && freeRoom(node).slots > 0) state.room.add(node.id)
  else state.room.delete(node.id)
}
