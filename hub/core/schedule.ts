// Which job a node gets, and in which of its shapes. Looks at the state and changes nothing but the order of lanes. Reserved
// jobs go first and best effort last; in between the owner who has used least by share, within an owner the higher priority,
// then the project that has used least, then the older campaign.
import type { Campaign, Needs, Node, State } from "./model.ts"
import { type Demand, goesBefore, type Lane, nextCampaign, nextLane, type Queue, type Rank, ranks } from "./queue.ts"
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

/** The demands of a rank that are asked. */
export type Asked = (rank: Rank) => Iterable<Demand>

/** All that is ready outside of containers. */
export function everything({ ready }: Queue): Asked {
  return rank => ready[rank].values()
}

/** Of that what became ready since all nodes were held against the queue. */
export function newcomers({ fresh }: Queue): Asked {
  const all = [...fresh].filter(demand => demand.inside === null)
  const byRank = Object.fromEntries(ranks.map(rank => [rank, all.filter(demand => demand.rank === rank)]))
  return rank => byRank[rank]!
}

/** The job for this much room on this node, or null. A claimed node serves what is reserved, and then that lane alone. */
export function choose(state: State, { node, free, asked, claim }: Room, nowMs: number): Choice | null {
  for (const rank of ranks) {
    let best: Choice | null = null
    for (const demand of asked(rank)) {
      // One that was ready when this began may be used up by now.
      if (demand.lanes.size === 0 || fittingShape(demand, free) === null || !suits(node, demand)) continue
      const one = ofDemand(state, node, free, demand, nowMs)
      if (one !== null && (best === null || isNext(state, one, best, nowMs))) best = one
    }
    if (best !== null) return best
    if (claim !== null) return chooseOf(state, node, free, claim, nowMs)
  }
  return null
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

function chooseOf(state: State, node: Node, free: Needs, lane: Lane, nowMs: number): Choice | null {
  const shape = lane.at < 0 ? null : fittingShape(lane.demand, free)
  if (shape === null) return null
  const campaign = nextCampaign(
    state,
    lane,
    nowMs,
    one => indexFor(one, node) !== null && !isKeptBack(state, node, one, shape, nowMs),
  )
  return campaign === null ? null : { lane, campaign, index: indexFor(campaign, node)!, shape }
}

function isNext(state: State, a: Choice, b: Choice, nowMs: number): boolean {
  // One owner's lanes have the same use, whenever their keys were made.
  if (a.lane.turn === b.lane.turn) return goesBefore(state, a.campaign, b.campaign, nowMs)
  return a.lane.key !== b.lane.key ? a.lane.key < b.lane.key : a.lane.number < b.lane.number
}
