// The state as it must be after a start: what the store holds, with all nodes away. Every lease gets its full length
// anew, so that no restart, however long it took, takes work from a node that is on its way back.

import { factsOf } from "../../proto/wire/property.ts"
import { MISSED_AT_START_MS } from "../limits.ts"
import { heldOf } from "./attempts.ts"
import { awaitOthers, awaitStart, countOwned, merged } from "./campaigns.ts"
import { keyOf, updateLane } from "./change.ts"
import { Deadlines } from "./deadlines.ts"
import { noEffects } from "./effects.ts"
import { arm, renew, watchDeadline, watchTail } from "./lease.ts"
import { type Campaign, type IndexRange, type Job, jobId, type NodeId, type Now, type State } from "./model.ts"
import { presenceOf } from "./placing/presence.ts"
import { newQueue, takeDemand } from "./placing/queue.ts"
import { readyJobs } from "./placing/room.ts"
import { accountOf, restoreUsage, useSlots } from "./placing/usage.ts"
import type { StoreReader } from "./ports.ts"
import { awaitProbe } from "./quarantine.ts"
import type { CampaignRow, JobRow } from "./rows.ts"
import type { Stage } from "./stage.ts"
import { Wanted } from "./wanted.ts"

export function emptyState(): State {
  return {
    campaigns: new Map(),
    ownerJobs: new Map(),
    keys: new Map(),
    lastCampaign: 0,
    nodes: new Map(),
    freeNumbers: [],
    room: new Set(),
    freed: new Set(),
    queue: newQueue(),
    claims: new Map(),
    bookings: new Map(),
    lending: new Set(),
    shrunk: new Set(),
    lookArmed: false,
    usage: new Map(),
    accounts: new Map(),
    shares: new Map(),
    waiters: new Map(),
    deadlines: new Deadlines(),
  }
}

export function restore(
  store: Pick<
    StoreReader,
    | "lastCampaign"
    | "liveCampaigns"
    | "liveJobs"
    | "attempts"
    | "indicesFrom"
    | "nodes"
    | "cancelledRanges"
    | "usages"
    | "shares"
  >,
  now: Now,
): State {
  const state = emptyState()
  state.lastCampaign = store.lastCampaign()
  restoreUsage(state, store.usages(), now)
  for (const { owner, share } of store.shares()) state.shares.set(owner, share)
  for (const { lastSeenAt: _seen, ...row } of store.nodes()) {
    const presence = presenceOf(row.presence, now.wallMs)
    const missedFromMs = now.nowMs + MISSED_AT_START_MS
    const fresh = { link: null, missedFromMs, leaseUntilMs: 0, leaseArmed: false, held: new Map() }
    const quarantine = row.quarantine === null ? null : { ...row.quarantine, probeMs: 0 }
    const number = state.nodes.size
    const node = { ...row, ...fresh, quarantine, quarantines: 0, number, presence, facts: factsOf(row) }
    state.nodes.set(row.id, node)
    if (quarantine !== null) awaitProbe({ state, now }, node, quarantine)
  }
  for (const row of store.liveCampaigns()) {
    takeUp(
      state,
      row,
      store.cancelledRanges(row.id).filter(range => range.last >= row.cursor),
      now,
    )
  }
  const stage = { state, now, effects: noEffects() }
  for (const job of store.liveJobs()) restoreJob(stage, job, failedOn(store, job))
  for (const campaign of state.campaigns.values()) {
    awaitOthers(state, campaign)
    watchDeadline(stage, campaign)
    if (campaign.early) awaitStart(stage, campaign)
    // Jobs that were held before they began have a row beyond the cursor, also when they have ended since.
    const rows = store.indicesFrom(campaign.id, campaign.cursor)
    campaign.skipped = merged([...campaign.skipped, ...rows.map(index => ({ first: index, last: index }))])
    updateLane(state, campaign)
    if (readyJobs(campaign) === 0) watchTail(stage, campaign)
  }
  return state
}

/** A stored campaign among the live ones, with none of its jobs yet. */
export function takeUp(state: State, stored: CampaignRow, skipped: IndexRange[], now: Now): Campaign {
  const { endedAt: _ended, slots, memoryBytes, diskBytes, ...row } = stored
  const { owner, project, rules, walltimeMs } = row
  const needs = { slots, memoryBytes, diskBytes }
  const campaign: Campaign = {
    ...row,
    needs,
    skipped,
    account: accountOf(state, { owner, project, bestEffort: rules.bestEffort }, now.nowMs),
    demand: takeDemand(state.queue, { needs, walltimeMs }, rules),
    early: rules.reservation !== null && rules.reservation.startAt > now.wallMs,
    told: new Set(row.told),
    queued: false,
    again: new Wanted(),
    jobs: new Map(),
    onNodes: new Map(),
    took: { attempts: 0, sumMs: 0 },
    failures: 0,
    strikes: null,
    excess: 0,
    tailLookMs: Number.POSITIVE_INFINITY,
  }
  state.campaigns.set(row.id, campaign)
  state.keys.set(keyOf(row.owner, row.key), row.id)
  countOwned(state, row.owner, row.total)
  return campaign
}

/** Where it failed, as far as that is kept. */
function failedOn(store: Pick<StoreReader, "attempts">, { campaign, index, failures }: JobRow): NodeId[] {
  if (failures === 0) return []
  return [...new Set(store.attempts(campaign, index).map(({ node }) => node))]
}

function restoreJob(stage: Stage, row: JobRow, failed: readonly NodeId[]): void {
  const { state, now } = stage
  const id = jobId(row.campaign, row.index)
  const campaign = state.campaigns.get(row.campaign)
  if (campaign === undefined) throw new Error(`the store has live job ${id} of a campaign that has ended`)
  const tries = row.tries.map(one => {
    // Between two lives of the hub there is no other clock.
    const startedMs = one.startedAt === null ? null : now.nowMs - Math.max(0, now.wallMs - one.startedAt)
    return { ...one, sinceMs: now.nowMs, startedMs }
  })
  const job: Job = {
    ...row,
    tries,
    held: row.phase === "held",
    failedOn: failed,
    elsewhere: false,
    story: row.story.slice(),
  }
  campaign.jobs.set(job.index, job)
  // A back-off that was under way is forgotten: the restart was one.
  if (job.phase === "queued") campaign.again.add(job.index)
  for (const one of job.tries) {
    const node = state.nodes.get(one.node)
    if (node === undefined) throw new Error(`the store has job ${id} on node ${one.node}, which it does not know`)
    const held = heldOf(campaign, job.index, one)
    node.held.set(id, held)
    campaign.onNodes.set(node.id, (campaign.onNodes.get(node.id) ?? 0) + 1)
    if (held.account !== null) useSlots(stage, held.account, held.needs.slots)
    if (held.account?.bestEffort === true) state.lending.add(node.id)
    renew(node, now.nowMs)
    arm(state, node)
  }
}
