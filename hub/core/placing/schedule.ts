// Which job a node gets, and in which of its shapes. Looks at the state and changes nothing but the order of lanes. Reserved
// jobs go first and best effort last; in between the owner who has used least by share, within an owner the higher priority,
// then the project that has used least, then the older campaign.
import type { Campaign, Needs, Node, State } from "../model.ts"
import { type Demand, type Lane, type Rank, type Ready, ranks, type Seat } from "../model.ts"
import { suits } from "../rules.ts"
import { headGoesBefore, isCurrent, nextCampaign, renewKey } from "./queue.ts"
import { isKeptBack } from "./reservations.ts"
import { type Free, fittingShape, indexFor } from "./room.ts"

export interface Choice {
  readonly lane: Lane
  readonly campaign: Campaign
  readonly index: number
  readonly shape: number
}

/** A place where jobs fit: a node, or the containers of one campaign on it. */
export interface Room {
  readonly node: Node
  readonly free: Free
  asked: Ready
  /** The lane that it is kept for; a lane that has nothing left keeps nothing. */
  claim: Lane | null
}

/** The job for this much room on this node, or null. A claimed node serves what is reserved, and then that lane alone. */
export function choose(state: State, { node, free, asked, claim }: Room, nowMs: number): Choice | null {
  for (const rank of ranks) {
    const best = ofRank(state, node, free, asked, rank, nowMs)
    if (best !== null) return best
    if (claim !== null) return chooseOf(state, node, free, claim, nowMs)
  }
  return null
}

/** Of the first owner in turn who has something for it. */
function ofRank(state: State, node: Node, free: Needs, asked: Ready, rank: Rank, nowMs: number): Choice | null {
  // Without this look a node with nothing for it would be held against all owners.
  if (!isWanted(node, free, asked.demands[rank])) return null
  let best: Choice | null = null
  asked.orders[rank].visit(seat => {
    if (!isCurrent(seat, nowMs)) {
      // Keys are never too high: whoever stood behind still does not go before it, if it is still here.
      renewKey(state, seat, nowMs)
      return "again"
    }
    // Seldom null although it has something for it: all of that is still being stopped here, or would run into a reservation.
    best = ofSeat(state, node, free, seat, nowMs)
    return best === null ? "on" : "enough"
  })
  return best
}

function isWanted(node: Node, free: Needs, demands: Iterable<Demand>): boolean {
  for (const demand of demands) if (fittingShape(demand, free) !== null && suits(node, demand)) return true
  return false
}

/** Of what one owner has. */
function ofSeat(state: State, node: Node, free: Needs, seat: Seat, nowMs: number): Choice | null {
  const { lanes, demands } = seat
  let first: Lane | null = null
  for (let at = 0; at < lanes.length; at++) {
    const demand = demands[at]!
    if (fittingShape(demand, free) === null || !suits(node, demand)) continue
    const lane = lanes[at]!
    // Seldom: which of several projects goes first is a matter of what they have used.
    if (lane.head === null || (first !== null && lane.headProject !== first.headProject))
      return ofLanes(state, node, free, seat, nowMs)
    if (first === null || headGoesBefore(lane, first)) first = lane
  }
  if (first === null) return null
  const shape = fittingShape(first.demand, free)!
  const index = offeredIndex(state, node, first.head!, shape, nowMs)
  if (index !== null) return { lane: first, campaign: first.head!, index, shape }
  return ofLanes(state, node, free, seat, nowMs)
}

function ofLanes(state: State, node: Node, free: Needs, { lanes }: Seat, nowMs: number): Choice | null {
  let best: Choice | null = null
  for (const lane of lanes) {
    if (!suits(node, lane.demand)) continue
    best = chooseOf(state, node, free, lane, nowMs, best) ?? best
  }
  return best
}

/** `other` is of another lane of the owner. Null: the lane has nothing that goes before it. */
function chooseOf(
  state: State,
  node: Node,
  free: Needs,
  lane: Lane,
  nowMs: number,
  other: Choice | null = null,
): Choice | null {
  const shape = fittingShape(lane.demand, free)
  if (shape === null) return null
  const before = other === null ? null : other.campaign
  const campaign = nextCampaign(lane, nowMs, one => offeredIndex(state, node, one, shape, nowMs) !== null, before)
  return campaign === before || campaign === null ? null : { lane, campaign, index: indexFor(campaign, node)!, shape }
}

/** Null: its jobs are still being stopped here, or would run into a reservation. */
function offeredIndex(state: State, node: Node, campaign: Campaign, shape: number, nowMs: number): number | null {
  const index = indexFor(campaign, node)
  return index === null || isKeptBack(state, node, campaign, shape, nowMs) ? null : index
}
