// Which campaign's next job goes to which node. Pure: looks at the state, changes nothing. The owners take turns;
// within an owner the higher priority goes first, then the older campaign. Nodes are filled evenly, one job a round.
import { HELD_MAX } from "../limits.ts"
import type { Campaign, Needs, Node, State } from "./model.ts"

export interface Assignment {
  readonly node: Node
  readonly campaign: Campaign
}

/** Jobs of a campaign that could be offered now. */
export function readyJobs(campaign: Campaign): number {
  let skipped = 0
  for (const range of campaign.skipped) skipped += range.last - range.first + 1
  return campaign.again.size + campaign.total - campaign.cursor - skipped
}

export function freeRoom(node: Node): { slots: number; memoryBytes: number; diskBytes: number } {
  const free = { slots: node.slots, memoryBytes: node.memoryBytes, diskBytes: node.diskBytes }
  for (const held of node.held.values()) take(free, held.needs)
  return free
}

export function plan(state: State): Assignment[] {
  const assignments: Assignment[] = []
  // The usual tick: everybody is busy, or nothing waits.
  if (state.lanes.size === 0 || state.room.size === 0) return assignments
  const lanes = [...state.lanes.values()].map(lane => lane.map(campaign => ({ campaign, ready: readyJobs(campaign) })))
  let turn = 0
  function place(entry: Open): boolean {
    const found = pick(lanes, turn, entry.free)
    if (found === null) return false
    assignments.push({ node: entry.node, campaign: found.campaign })
    take(entry.free, found.campaign.needs)
    entry.places--
    turn = found.turn
    return entry.free.slots > 0 && entry.places > 0
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

interface Open {
  readonly node: Node
  readonly free: { slots: number; memoryBytes: number; diskBytes: number }
  places: number
}

/** The next job that fits, beginning with the lane whose turn it is. Lanes that are used up are taken out. */
function pick(
  lanes: { campaign: Campaign; ready: number }[][],
  turn: number,
  free: Needs,
): { campaign: Campaign; turn: number } | null {
  for (let step = 0; step < lanes.length; step++) {
    const at = (turn + step) % lanes.length
    const lane = lanes[at]!
    const entry = lane.find(candidate => fits(candidate.campaign.needs, free))
    if (entry === undefined) continue
    if (--entry.ready > 0) return { campaign: entry.campaign, turn: at + 1 }
    lane.splice(lane.indexOf(entry), 1)
    if (lane.length > 0) return { campaign: entry.campaign, turn: at + 1 }
    lanes.splice(at, 1)
    return { campaign: entry.campaign, turn: at }
  }
  return null
}

function fits(needs: Needs, free: Needs): boolean {
  return needs.slots <= free.slots && needs.memoryBytes <= free.memoryBytes && needs.diskBytes <= free.diskBytes
}

function take(free: { slots: number; memoryBytes: number; diskBytes: number }, needs: Needs): void {
  free.slots -= needs.slots
  free.memoryBytes -= needs.memoryBytes
  free.diskBytes -= needs.diskBytes
}
