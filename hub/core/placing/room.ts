// What nodes have left and what fits into it; how many jobs a campaign has for it.

import type { Demand } from "../model.ts"
import { type Campaign, jobId, type Needs, type Node } from "../model.ts"

/** Attempts at a campaign's jobs that could be offered now, were it open. */
export function readyJobs(campaign: Campaign): number {
  return campaign.again.total + untouchedJobs(campaign)
}

/** Jobs of the range from the cursor on, which want one attempt each. */
export function untouchedJobs(campaign: Campaign): number {
  let skipped = 0
  for (const range of campaign.skipped) skipped += range.last - range.first + 1
  return campaign.total - campaign.cursor - skipped
}

/**
 * The index of the campaign's job that is next for this node: one that is queued again first, then the untouched range. An older
 * attempt that the node is still stopping has its room there: its job goes elsewhere, or waits, and so does one that failed there.
 * Null: none.
 */
export function indexFor(campaign: Campaign, node: Node): number | null {
  // Mostly there is none, and nothing is made to find that out: this is asked for every job that is placed.
  if (campaign.strikes !== null && isPaused(campaign, node)) return null
  if (campaign.again.total > 0)
    for (const index of campaign.again)
      if (!node.held.has(jobId(campaign.id, index)) && !isKeptFrom(campaign, index, node)) return index
  let { cursor } = campaign
  for (const { first, last } of campaign.skipped) {
    if (first > cursor) break
    cursor = last + 1
  }
  return cursor < campaign.total ? cursor : null
}

/** The campaign's last jobs on the node failed, and it is not known yet whose fault that is. */
export function isPaused({ strikes }: Campaign, { id }: Node): boolean {
  return (strikes?.get(id)?.pausedUntilMs ?? 0) > 0
}

/** The job failed on the node, and has its next try on another. */
export function isKeptFrom({ jobs }: Campaign, index: number, { id }: Node): boolean {
  const job = jobs.get(index)!
  return job.elsewhere && job.failedOn.includes(id)
}

/** Whether the node gets new work, if it has room: one in quarantine only for a try, and when it has nothing else. */
export function takesWork({ link, drained, quarantine, held }: Node): boolean {
  return link !== null && !drained && (quarantine === null || (quarantine.probeMs === 0 && held.size === 0))
}

export type Free = { slots: number; memoryBytes: number; diskBytes: number }

/** What the node itself has left: what runs inside a container has its room there. */
export function freeRoom(node: Node): Free {
  const free = { slots: node.slots, memoryBytes: node.memoryBytes, diskBytes: node.diskBytes }
  for (const held of node.held.values()) if (held.inside === null) take(free, held.needs)
  return free
}

/** The same of slots alone, asked whenever a node gets or loses a job. */
export function hasFreeSlot(node: Node): boolean {
  let { slots } = node
  for (const held of node.held.values()) if (held.inside === null) slots -= held.needs.slots
  return slots > 0
}

/** The first of the demand's shapes for which there is room, or null. */
export function fittingShape({ shapes }: Pick<Demand, "shapes">, free: Needs): number | null {
  for (let shape = 0; shape < shapes.length; shape++) if (fits(shapes[shape]!, free)) return shape
  return null
}

export function fits(needs: Needs, free: Needs): boolean {
  return needs.slots <= free.slots && needs.memoryBytes <= free.memoryBytes && needs.diskBytes <= free.diskBytes
}

export function take(free: Free, needs: Needs): void {
  free.slots -= needs.slots
  free.memoryBytes -= needs.memoryBytes
  free.diskBytes -= needs.diskBytes
}

export function give(free: Free, needs: Needs): void {
  free.slots += needs.slots
  free.memoryBytes += needs.memoryBytes
  free.diskBytes += needs.diskBytes
}
