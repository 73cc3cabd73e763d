// What an operator wants to know of all the work at once: which of it no node can run as things stand, and whose it is. Looks at
// the state only. Costs a look at each live campaign and at each kind of demand, not at each job.
import { liveCount } from "../change.ts"
import type { CampaignId, State } from "../model.ts"
import { readyJobs } from "../placing/room.ts"
import { ownerKey, usedBy } from "../placing/usage.ts"
import { unservable } from "./feasible.ts"

/** Work of one demand that waits although nothing of its owner's holds it up. */
export interface Stuck {
  /** The oldest campaign of it. */
  readonly campaign: CampaignId
  readonly name: string
  readonly owner: string
  readonly campaigns: number
  readonly jobs: number
  /** For people: what nodes lack, or that those which could run it are away. */
  readonly why: string
  /** No node that the hub knows could ever run it. */
  readonly isFinal: boolean
}

export interface OwnerWork {
  readonly owner: string
  readonly campaigns: number
  /** Jobs that have not ended, by what they do. Held ones wait for their owner, not for nodes. */
  readonly onNodes: number
  readonly waiting: number
  readonly held: number
  /** Core-seconds, older ones counting less, best effort not at all. */
  readonly usedCoreSeconds: number
}

export interface Outlook {
  /** The most jobs first. */
  readonly stuck: readonly Stuck[]
  /** The most jobs that have not ended first. */
  readonly owners: readonly OwnerWork[]
  /** Jobs that have not ended and are not held. */
  readonly due: number
}

/** `max`: so many of each list at the most, and so many demands are looked at. */
export function outlook(
  state: State,
  nowMs: number,
  max: { readonly shown: number; readonly demands: number },
): Outlook {
  const owners = ownersOf(state, nowMs)
  let due = 0
  for (const { onNodes, waiting } of owners) due += onNodes + waiting
  return { stuck: stuckOf(state, max.demands).slice(0, max.shown), owners: owners.slice(0, max.shown), due }
}

function stuckOf(state: State, demandsMax: number): Stuck[] {
  const found: Stuck[] = []
  let looked = 0
  for (const demands of Object.values(state.queue.ready.demands)) {
    for (const demand of demands) {
      if (++looked > demandsMax) return found.sort(byJobs)
      const trouble = unservable(state, demand)
      if (trouble === null) continue
      let first: { id: CampaignId; name: string; owner: string } | null = null
      let [campaigns, jobs] = [0, 0]
      for (const lane of demand.lanes) {
        for (const line of lane.projects.values()) {
          for (const campaign of line) {
            campaigns++
            jobs += readyJobs(campaign)
            if (first === null || campaign.id < first.id) first = campaign
          }
        }
      }
      if (first === null) continue
      const { id, name, owner } = first
      found.push({ campaign: id, name, owner, campaigns, jobs, why: trouble.message, isFinal: trouble.isFinal })
    }
  }
  return found.sort(byJobs)
}

function byJobs(a: { jobs: number }, b: { jobs: number }): number {
  return b.jobs - a.jobs
}

function ownersOf(state: State, nowMs: number): OwnerWork[] {
  const found = new Map<string, { owner: string; campaigns: number; onNodes: number; waiting: number; held: number }>()
  for (const campaign of state.campaigns.values()) {
    const { owner, counts } = campaign
    const sums = found.get(owner) ?? { owner, campaigns: 0, onNodes: 0, waiting: 0, held: 0 }
    found.set(owner, sums)
    const waiting = campaign.held ? 0 : counts.queued
    const held = counts.queued + counts.held - waiting
    sums.campaigns++
    sums.waiting += waiting
    sums.held += held
    sums.onNodes += liveCount(counts) - waiting - held
  }
  return [...found.values()]
    .map(sums => ({ ...sums, usedCoreSeconds: usedBy(state, ownerKey(sums.owner, false), nowMs) }))
    .sort((a, b) => b.onNodes + b.waiting + b.held - (a.onNodes + a.waiting + a.held))
}
