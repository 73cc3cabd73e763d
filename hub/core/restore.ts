// The state as it must be after a start: what the store holds, with all nodes away. Every lease gets its full length
// anew, so that no restart, however long it took, takes work from a node that is on its way back.

import { awaitOthers } from "./campaigns.ts"
import { keyOf, type Stage, updateLane } from "./change.ts"
import { Deadlines } from "./deadlines.ts"
import { noEffects } from "./effects.ts"
import { arm, renew, watchDeadline, watchTail } from "./lease.ts"
import { type Job, jobId, type Now, type State } from "./model.ts"
import type { JobRow, StoreReader } from "./ports.ts"
import { factsOf, shapeOf, wantsOf } from "./rules.ts"
import { readyJobs } from "./schedule.ts"
import { restoreUsage, useSlots } from "./usage.ts"

export function emptyState(): State {
  return {
    campaigns: new Map(),
    keys: new Map(),
    lastCampaign: 0,
    nodes: new Map(),
    room: new Set(),
    lanes: new Map(),
    usage: new Map(),
    waiters: new Map(),
    deadlines: new Deadlines(),
  }
}

export function restore(
  store: Pick<StoreReader, "lastCampaign" | "liveCampaigns" | "liveJobs" | "nodes" | "cancelledRanges" | "usages">,
  now: Now,
): State {
  const state = emptyState()
  state.lastCampaign = store.lastCampaign()
  for (const [owner, usage] of restoreUsage(store.usages(), now)) state.usage.set(owner, usage)
  for (const { lastSeenAt: _seen, ...row } of store.nodes()) {
    const fresh = { link: null, leaseUntilMs: 0, leaseArmed: false, held: new Map(), judged: new Map() }
    state.nodes.set(row.id, { ...row, ...fresh, facts: factsOf(row) })
  }
  for (const { endedAt: _ended, slots, memoryBytes, diskBytes, ...row } of store.liveCampaigns()) {
    const skipped = store.cancelledRanges(row.id).filter(range => range.last >= row.cursor)
    const needs = { slots, memoryBytes, diskBytes }
    const took = { attempts: 0, sumMs: 0 }
    const wants = wantsOf(row.rules)
    const fresh = { again: new Set<number>(), jobs: new Map<number, Job>(), took, tailWatched: false }
    state.campaigns.set(row.id, { ...row, ...fresh, needs, skipped, wants })
    state.keys.set(keyOf(row.owner, row.key), row.id)
  }
  const stage = { state, now, effects: noEffects() }
  for (const job of store.liveJobs()) restoreJob(stage, job)
  for (const campaign of state.campaigns.values()) {
    awaitOthers(state, campaign)
    watchDeadline(stage, campaign)
    updateLane(state, campaign)
    if (readyJobs(campaign) === 0) watchTail(stage, campaign)
  }
  return state
}

function restoreJob(stage: Stage, row: JobRow): void {
  const { state, now } = stage
  const id = jobId(row.campaign, row.index)
  const campaign = state.campaigns.get(row.campaign)
  if (campaign === undefined) throw new Error(`the store has live job ${id} of a campaign that has ended`)
  const tries = row.tries.map(one => {
    // Between two lives of the hub there is no other clock.
    const startedMs = one.startedAt === null ? null : now.nowMs - Math.max(0, now.wallMs - one.startedAt)
    return { ...one, sinceMs: now.nowMs, startedMs }
  })
  const job: Job = { ...row, tries }
  campaign.jobs.set(job.index, job)
  // A back-off that was under way is forgotten: the restart was one.
  if (job.phase === "queued") campaign.again.add(job.index)
  for (const one of job.tries) {
    const node = state.nodes.get(one.node)
    if (node === undefined) throw new Error(`the store has job ${id} on node ${one.node}, which it does not know`)
    const { needs } = shapeOf(campaign, one.shape)
    const { owner } = campaign
    node.held.set(id, { campaign: campaign.id, index: job.index, attempt: one.attempt, needs, owner, stopping: null })
    useSlots(stage, owner, needs.slots)
    renew(node, now.nowMs)
    arm(state, node)
  }
}
