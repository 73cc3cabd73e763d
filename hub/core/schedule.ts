// Which job a node gets, and in which of its shapes. Looks at the state and changes nothing but the order of lanes. Reserved
// jobs go first and best effort last; in between the owner who has used least by share, within an owner the higher priority,
// then the project that has used least, then the older campaign.
import type { Campaign, Needs, Node, State } from "./model.ts"
import {
  type Demand,
  goesBefore,
  isCurrent,
  type Lane,
  nextCampaign,
  nextLane,
  type Queue,
  type Rank,
  ranks,
  type Turn,
} from "./queue.ts"
import { isKeptBack } from "./reservations.ts"
import { type Free, fittingShape, indexFor } from "./room.ts"
import { suits } from "./rules.ts"

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
  asked: Asked
  /** The lane that it is kept for; a lane that has nothing left keeps nothing. */
  claim: Lane | null
}

/** The demands of a rank that are asked. Null: all outside of containers. */
export type Asked = ((rank: Rank) => Iterable<Demand>) | null

/** Of that what became ready since all nodes were held against the queue. */
export function newcomers({ fresh }: Queue): Asked {
  const all = [...fresh].filter(demand => demand.inside === null)
  const byRank = Object.fromEntries(ranks.map(rank => [rank, all.filter(demand => demand.rank === rank)]))
  return rank => byRank[rank]!
}

/** The job for this much room on this node, or null. A claimed node serves what is reserved, and then that lane alone. */
export function choose(state: State, { node, free, asked, claim }: Room, nowMs: number): Choice | null {
  for (const rank of ranks) {
    const best =
      asked === null ? ofRank(state, node, free, rank, nowMs) : ofDemands(state, node, free, asked(rank), nowMs)
    if (best !== null) return best
    if (claim !== null) return chooseOf(state, node, free, claim, nowMs)
  }
  return null
}

/** Of all that is ready outside of containers. Looks at those few demands that stand before the one that is served. */
function ofRank(state: State, node: Node, free: Needs, rank: Rank, nowMs: number): Choice | null {
  const demand = nextDemand(state, node, free, rank, nowMs)
  if (demand === null) return null
  const best = ofTurn(state, node, free, rank, demand.lanes.top!.turn, nowMs)
  // Seldom: all that this owner has is still being stopped here, or would run into a reservation. Then whoever comes next.
  return best ?? ofDemands(state, node, free, state.queue.ready[rank].values(), nowMs)
}

/** The demand for which there is room, which the node suits, and whose next lane is before all others'; or null. */
function nextDemand(state: State, node: Node, free: Needs, rank: Rank, nowMs: number): Demand | null {
  for (;;) {
    let next: Demand | null = null
    for (const size of state.queue.sizes[rank].values()) {
      if (fittingShape(size, free) !== null) next = size.demands.find(demand => suits(node, demand), next)
    }
    // Keys are never too high. So none is before this one if its own is not too low; else another may be, once it is right.
    if (next === null || isCurrent(next.lanes.top!, nowMs)) return next
    nextLane(state, next, nowMs)
  }
}

/** Of what one owner has outside of containers. */
function ofTurn(state: State, node: Node, free: Needs, rank: Rank, turn: Turn, nowMs: number): Choice | null {
  let best: Choice | null = null
  for (const [demand, lane] of turn.lanes) {
    if (demand.rank !== rank || demand.inside !== null || !suits(node, demand)) continue
    best = chooseOf(state, node, free, lane, nowMs, best) ?? best
  }
  return best
}

function ofDemands(state: State, node: Node, free: Needs, demands: Iterable<Demand>, nowMs: number): Choice | null {
  let best: Choice | null = null
  for (const demand of demands) {
    // One that was ready when this began may be used up by now.
    if (demand.lanes.size === 0 || fittingShape(demand, free) === null || !suits(node, demand)) continue
    const one = ofDemand(state, node, free, demand, nowMs)
    if (one !== null && (best === null || isNext(state, one, best, nowMs))) best = one
  }
  return best
}

function ofDemand(state: State, node: Node, free: Needs, demand: Demand, nowMs: number): Choice | null {
  const next = nextLane(state, demand, nowMs)
  const one = chooseOf(state, node, free, next, nowMs)
  if (one !== null) return one
  // Seldom: all that it has is still being stopped here, or would run into a reservation. Then whoever comes after it.
  let best: Choice | null = null
  for (const lane of demand.lanes) {
    const other = lane === next ? null : chooseOf(state, node, free, lane, nowMs)
    if (other !== null && (best === null || isNext(state, other, best, nowMs))) best = other
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
  const shape = lane.at < 0 ? null : fittingShape(lane.demand, free)
  if (shape === null) return null
  const { head } = lane
  if (head !== null) {
    // Nearly always. Without a look at the line itself, which is seldom in a cache.
    if (other !== null && !goesBefore(state, head, other.campaign, nowMs)) return null
    const index = offeredIndex(state, node, head, shape, nowMs)
    if (index !== null) return { lane, campaign: head, index, shape }
  }
  const before = other === null ? null : other.campaign
  const campaign = nextCampaign(
    state,
    lane,
    nowMs,
    one => offeredIndex(state, node, one, shape, nowMs) !== null,
    before,
  )
  return campaign === before || campaign === null ? null : { lane, campaign, index: indexFor(campaign, node)!, shape }
}

/** Null: its jobs are still being stopped here, or would run into a reservation. */
function offeredIndex(state: State, node: Node, campaign: Campaign, shape: number, nowMs: number): number | null {
  const index = indexFor(campaign, node)
  return index === null || isKeptBack(state, node, campaign, shape, nowMs) ? null : index
}

function isNext(state: State, a: Choice, b: Choice, nowMs: number): boolean {
  // One owner's lanes have the same use, whenever their keys were made.
  if (a.lane.turn === b.lane.turn) return goesBefore(state, a.campaign, b.campaign, nowMs)
  return a.lane.key !== b.lane.key ? a.lane.key < b.lane.key : a.lane.number < b.lane.number
}
