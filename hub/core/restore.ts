// The state as it must be after a start: what the store holds, with all nodes away. Every lease gets its full length
// anew, so that no restart, however long it took, takes work from a node that is on its way back.

import { keyOf, needsOf, updateLane } from "./change.ts"
import { Deadlines } from "./deadlines.ts"
import { arm, renew, watchAge } from "./lease.ts"
import { type CampaignId, jobId, type Now, type State } from "./model.ts"
import type { StoreReader } from "./ports.ts"
import { onNode } from "./transitions.ts"

export function emptyState(): State {
  return {
    campaigns: new Map(),
    keys: new Map(),
    lastCampaign: 0,
    nodes: new Map(),
    room: new Set(),
    lanes: new Map(),
    deadlines: new Deadlines(),
  }
}

export function restore(
  store: Pick<StoreReader, "lastCampaign" | "liveCampaigns" | "liveJobs" | "nodes" | "cancelledRanges">,
  now: Now,
): State {
  const state = emptyState()
  state.lastCampaign = store.lastCampaign()
  for (const { lastSeenAt: _seen, ...row } of store.nodes()) {
    state.nodes.set(row.id, { ...row, link: null, leaseUntilMs: 0, leaseArmed: false, held: new Map() })
  }
  for (const { endedAt: _ended, slots, memoryBytes, diskBytes, ...row } of store.liveCampaigns()) {
    const skipped = store.cancelledRanges(row.id).filter(range => range.last >= row.cursor)
    const needs = needsOf({ slots, memoryBytes, diskBytes })
    state.campaigns.set(row.id, { ...row, needs, skipped, again: new Set(), jobs: new Map() })
    state.keys.set(keyOf(row.owner, row.key), row.id)
  }
  for (const job of store.liveJobs()) restoreJob(state, job.campaign, job, now)
  for (const campaign of state.campaigns.values()) updateLane(state, campaign)
  return state
}

function restoreJob(state: State, id: CampaignId, job: ReturnType<StoreReader["liveJobs"]>[number], now: Now): void {
  const campaign = state.campaigns.get(id)
  if (campaign === undefined) throw new Error(`the store has live job ${id}.${job.index} of a campaign that has ended`)
  campaign.jobs.set(job.index, job)
  // A back-off that was under way is forgotten: the restart was one.
  if (job.phase === "queued") campaign.again.add(job.index)
  if (!onNode(job.phase)) return
  const node = state.nodes.get(job.node!)
  if (node === undefined)
    throw new Error(`the store has job ${id}.${job.index} on node ${job.node}, which it does not know`)
  const held = { campaign: id, index: job.index, attempt: job.attempt, needs: campaign.needs, stopping: null }
  node.held.set(jobId(id, job.index), held)
  renew(node, now.nowMs)
  arm(state, node)
  watchAge(state, campaign, job, now.nowMs)
}
