// Which campaign's next job goes to which node, and in which of its shapes. Pure: looks at the state, changes nothing. The
// owner who has used least goes first; within an owner the higher priority, then the older campaign. Nodes are filled
// evenly, one job a round.
import { HELD_MAX, USAGE_PLACED_SECONDS } from "../limits.ts"
import type { Campaign, Needs, Node, State } from "./model.ts"
import { shapeCount, shapeOf, suits } from "./rules.ts"
import { usedBy } from "./usage.ts"

export interface Assignment {
  readonly node: Node
  readonly campaign: Campaign
  readonly shape: number
}

/** Jobs of a campaign that could be offered now, were it open. */
export function readyJobs(campaign: Campaign): number {
  let skipped = 0
  for (const range of campaign.skipped) skipped += range.last - range.first + 1
  return campaign.again.size + campaign.total - campaign.cursor - skipped
}

type Free = { slots: number; memoryBytes: number; diskBytes: number }

export function freeRoom(node: Node): Free {
  const free = { slots: node.slots, memoryBytes: node.memoryBytes, diskBytes: node.diskBytes }
  for (const held of node.held.values()) take(free, held.needs)
  return free
}

interface Open {
  readonly node: Node
  readonly free: Free
  places: number
}

interface Lane {
  /** Core-seconds: what was used, and a guess for what this plan gives. */
  used: number
  readonly entries: { readonly campaign: Campaign; ready: number }[]
}

export function plan(state: State, nowMs: number): Assignment[] {
  const assignments: Assignment[] = []
  // The usual tick: everybody is busy, or nothing waits.
  if (state.lanes.size === 0 || state.room.size === 0) return assignments
  const lanes: Lane[] = [...state.lanes].map(([owner, lane]) => ({
    used: usedBy(state, owner, nowMs),
    entries: lane.map(campaign => ({ campaign, ready: readyJobs(campaign) })),
  }))
  function place(open: Open): boolean {
    const found = pick(lanes, open.node, open.free)
    if (found === null) return false
    const { needs } = shapeOf(found.campaign, found.shape)
    assignments.push({ node: open.node, ...found })
    take(open.free, needs)
    open.places--
    return open.free.slots > 0 && open.places > 0
  }
  let open: Open[] = []
  for (const id of state.room) {
    if (lanes.length === 0) break
    const node = state.nodes.get(id)!
    const entry = { node, free: freeRoom(node), places: HELD_MAX - node.held.size }
    if (place(entry)) open.push(entry)
  }
  while (open.length > 0 && lanes.length > 0) open = open.filter(place)
  return assignments
}

/** The job of the owner who has used least, among those that fit. What is used up is taken out. */
function pick(lanes: Lane[], node: Node, free: Needs): { campaign: Campaign; shape: number } | null {
  let best: { lane: Lane; entry: Lane["entries"][number]; shape: number } | null = null
  for (const lane of lanes) {
    if (best !== null && lane.used >= best.lane.used) continue
    for (const entry of lane.entries) {
      const shape = fittingShape(entry.campaign, free)
      if (shape === null || !suits(node, entry.campaign)) continue
      best = { lane, entry, shape }
      break
    }
  }
  if (best === null) return null
  const { lane, entry, shape } = best
  lane.used += shapeOf(entry.campaign, shape).needs.slots * USAGE_PLACED_SECONDS
  if (--entry.ready === 0) {
    lane.entries.splice(lane.entries.indexOf(entry), 1)
    if (lane.entries.length === 0) lanes.splice(lanes.indexOf(lane), 1)
  }
  return { campaign: entry.campaign, shape }
}

/** The first of the campaign's shapes for which there is room, or null. */
export function fittingShape(campaign: Campaign, free: Needs): number | null {
  for (let shape = 0; shape < shapeCount(campaign); shape++) {
    if (fits(shapeOf(campaign, shape).needs, free)) return shape
  }
  return null
}

function fits(needs: Needs, free: Needs): boolean {
  return needs.slots <= free.slots && needs.memoryBytes <= free.memoryBytes && needs.diskBytes <= free.diskBytes
}

function take(free: Free, needs: Needs): void {
  free.slots -= needs.slots
  free.memoryBytes -= needs.memoryBytes
  free.diskBytes -= needs.diskBytes
}
