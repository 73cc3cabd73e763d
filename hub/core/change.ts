// The primitives of change: moving a job through the table with its counts and its story, keeping the ready lanes
// true. Everything in core that changes a job goes through move().
import { HELD_MAX, STORY_MAX } from "../limits.ts"
import type { Effects } from "./effects.ts"
import type { Campaign, CampaignId, Counts, Job, Needs, Node, Now, Outcome, State } from "./model.ts"
import { freeRoom, readyJobs } from "./schedule.ts"
import { after, type Trigger } from "./transitions.ts"

/** One event's view of the world: the state, the moment, and where its effects are gathered. */
export interface Stage {
  readonly state: State
  readonly now: Now
  readonly effects: Effects
}

/** Takes the job along the trigger. False: the table does not allow it, and nothing was changed. */
export function move(
  stage: Stage,
  campaign: Campaign,
  job: Job,
  trigger: Trigger,
  event: string,
  outcome: Outcome | null = null,
): boolean {
  const phase = after(job.phase, trigger)
  if (phase === null) return false
  const from = job.phase
  campaign.counts[countOf(job)]--
  job.phase = phase
  job.outcome = phase === "ended" ? outcome : null
  campaign.counts[countOf(job)]++
  const { wallMs } = stage.now
  const tookMs = wallMs - (job.story.at(-1)?.at ?? campaign.submittedAt)
  const line = { at: wallMs, event, phase, attempt: job.attempt, node: job.node }
  job.story = [...job.story.slice(-(STORY_MAX - 1)), line]
  const name = { campaign: campaign.id, index: job.index, attempt: job.attempt, node: job.node }
  stage.effects.moves.push({ ...name, event, from, to: job.outcome ?? phase, tookMs })
  touch(stage, campaign, job)
  if (phase === "ended") {
    campaign.jobs.delete(job.index)
    campaign.again.delete(job.index)
    stage.effects.speech.push({ kind: "JobEnded", campaign: campaign.id, index: job.index, outcome: outcome! })
    closeIfEnded(stage, campaign)
  }
  return true
}

export function touch(stage: Stage, campaign: Campaign, job: Job | null): void {
  stage.effects.campaigns.add(campaign)
  if (job !== null) stage.effects.jobs.add(job)
}

/** A campaign whose jobs have all ended leaves memory; its row says so. */
export function closeIfEnded(stage: Stage, campaign: Campaign): void {
  if (!allEnded(campaign.counts)) return
  const { state } = stage
  state.campaigns.delete(campaign.id)
  state.keys.delete(keyOf(campaign.owner, campaign.key))
  updateLane(state, campaign)
  touch(stage, campaign, null)
}

export function allEnded(counts: Counts): boolean {
  return liveCount(counts) === 0
}

export function liveCount(counts: Counts): number {
  return counts.queued + counts.held + counts.offered + counts.staging + counts.running + counts.returning
}

export function countOf(job: Job): keyof Counts {
  return job.phase === "ended" ? job.outcome! : job.phase
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

export function needsOf(row: { slots: number; memoryBytes: number; diskBytes: number }): Needs {
  return { slots: row.slots, memoryBytes: row.memoryBytes, diskBytes: row.diskBytes }
}

/** Puts the campaign into its owner's lane if it has ready jobs, takes it out if not. */
export function updateLane(state: State, campaign: Campaign): void {
  const lane = state.lanes.get(campaign.owner)
  const ready = state.campaigns.has(campaign.id) && readyJobs(campaign) > 0
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

function goesBefore(a: Campaign, b: Campaign): boolean {
  return a.priority !== b.priority ? a.priority > b.priority : a.id < b.id
}

/** The live job, or null: ended, untouched, or never was. */
export function liveJob(state: State, campaign: CampaignId, index: number): { campaign: Campaign; job: Job } | null {
  const found = state.campaigns.get(campaign)
  const job = found?.jobs.get(index)
  return found !== undefined && job !== undefined ? { campaign: found, job } : null
}

/** Puts the node among those that have room if it does, takes it out if not. Called when either may have changed. */
export function updateRoom(state: State, node: Node): void {
  const open = node.link !== null && !node.drained && !node.revoked && node.held.size < HELD_MAX
  if (open && freeRoom(node).slots > 0) state.room.add(node.id)
  else state.room.delete(node.id)
}
