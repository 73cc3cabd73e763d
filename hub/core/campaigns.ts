// Submit and cancel. A campaign of a million jobs is one entry with a cursor; its jobs get entries of their own when
// something happens to them.
import { PARAMETER_PAGE_LINES } from "../limits.ts"
import {
  allEnded,
  closeIfEnded,
  keyOf,
  liveCount,
  move,
  needsOf,
  noCounts,
  type Stage,
  touch,
  updateLane,
} from "./change.ts"
import { CahError } from "./errors.ts"
import type { CampaignSubmitted, JobsCancelled } from "./events.ts"
import type { Campaign, CampaignId, IndexRange, Job, NodeId } from "./model.ts"
import { jobId } from "./model.ts"
import type { CampaignRow } from "./ports.ts"

export function onCampaignSubmitted(stage: Stage, event: CampaignSubmitted): void {
  const { state, effects, now } = stage
  const { request } = event
  const key = keyOf(event.owner, event.key)
  const earlier = state.campaigns.get(state.keys.get(key) ?? (0 as CampaignId))
  if (earlier !== undefined) {
    if (earlier.specDigest === event.specDigest) {
      const reply = { kind: "submitted", campaign: earlier.id, jobs: earlier.total, existed: true } as const
      effects.speech.push({ kind: "Reply", request, reply })
    } else {
      const error = keyTaken(event.key, earlier.id)
      effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    }
    return
  }
  const id = ++state.lastCampaign as CampaignId
  const campaign: Campaign = {
    id,
    owner: event.owner,
    key: event.key,
    specDigest: event.specDigest,
    name: event.name,
    spec: event.spec,
    stagein: event.stagein,
    needs: event.needs,
    walltimeMs: event.walltimeMs,
    priority: event.priority,
    total: event.total,
    hasParameters: event.lines !== null,
    cursor: 0,
    skipped: [],
    again: new Set(),
    jobs: new Map(),
    counts: { ...noCounts(), queued: event.total },
    submittedAt: now.wallMs,
  }
  state.campaigns.set(id, campaign)
  state.keys.set(key, id)
  updateLane(state, campaign)
  touch(stage, campaign, null)
  for (let first = 0; event.lines !== null && first < event.lines.length; first += PARAMETER_PAGE_LINES) {
    const lines = event.lines.slice(first, first + PARAMETER_PAGE_LINES)
    effects.writes.push({ kind: "parameters", campaign: id, first, lines })
  }
  const reply = { kind: "submitted", campaign: id, jobs: event.total, existed: false } as const
  effects.speech.push({ kind: "Reply", request, reply })
}

/** The idempotency key was used for another campaign. Also for the front, which sees those that have ended. */
export function keyTaken(key: string, campaign: CampaignId): CahError {
  const message = `the idempotency key "${key}" was used for campaign ${campaign}, which is a different one: use a new key`
  return new CahError("already_exists", message)
}

export function onJobsCancelled(stage: Stage, event: JobsCancelled): void {
  const { state, effects } = stage
  const campaign = state.campaigns.get(event.campaign)
  let jobs = 0
  if (campaign !== undefined) {
    const before = liveCount(campaign.counts)
    for (const { first, last } of event.ranges) {
      cancelStarted(stage, campaign, first, Math.min(last, campaign.cursor - 1))
      cancelUntouched(stage, campaign, Math.max(first, campaign.cursor), Math.min(last, campaign.total - 1))
    }
    jobs = before - liveCount(campaign.counts)
    if (jobs > 0) {
      updateLane(state, campaign)
      touch(stage, campaign, null)
      if (allEnded(campaign.counts)) closeIfEnded(stage, campaign)
    }
  }
  effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "cancelled", jobs } })
}

function cancelStarted(stage: Stage, campaign: Campaign, first: number, last: number): void {
  if (last < first) return
  for (const job of [...campaign.jobs.values()]) {
    if (job.index < first || job.index > last) continue
    const { node: holder } = job
    move(stage, campaign, job, "cancel", "cancelled by its owner", "cancelled")
    stopOn(stage, holder, campaign.id, job, "cancelled by its owner")
  }
}

/** Tells the node, if it holds this attempt, to stop it; until it says it has, the attempt takes room there. */
export function stopOn(stage: Stage, holder: NodeId | null, campaign: CampaignId, job: Job, reason: string): void {
  const node = holder === null ? undefined : stage.state.nodes.get(holder)
  const held = node?.held.get(jobId(campaign, job.index))
  if (node === undefined || held === undefined || held.attempt !== job.attempt) return
  held.stopping = reason
  if (node.link === null) return
  stage.effects.speech.push({
    kind: "Kill",
    link: node.link,
    reason,
    campaign,
    index: job.index,
    attempt: job.attempt,
  })
}

function cancelUntouched(stage: Stage, campaign: Campaign, first: number, last: number): void {
  for (const range of gaps(campaign.skipped, first, last)) {
    const count = range.last - range.first + 1
    campaign.counts.queued -= count
    campaign.counts.cancelled += count
    campaign.skipped.push(range)
    stage.effects.writes.push({ kind: "cancelledRange", campaign: campaign.id, range })
  }
  campaign.skipped.sort((a, b) => a.first - b.first)
}

/** The parts of first … last that lie in none of the ranges (sorted, disjoint). */
function gaps(ranges: readonly IndexRange[], first: number, last: number): IndexRange[] {
  const found: IndexRange[] = []
  let from = first
  for (const range of ranges) {
    if (range.last < from) continue
    if (range.first > last) break
    if (range.first > from) found.push({ first: from, last: range.first - 1 })
    from = range.last + 1
  }
  if (from <= last) found.push({ first: from, last })
  return found
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

export function campaignRow(campaign: Campaign, wallMs: number): CampaignRow {
  const { again: _again, jobs: _jobs, skipped: _skipped, needs, counts, ...row } = campaign
  return { ...row, ...needsOf(needs), counts: { ...counts }, endedAt: allEnded(counts) ? wallMs : null }
}
