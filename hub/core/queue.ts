// What is ready to be offered, so that placing a job costs the same whatever the length of the queue. Campaigns that ask the
// same of nodes share one demand; within it each owner has a lane; within that each project has a line of campaigns, by
// priority, then age. A node is held against demands, of which there are few, and never against campaigns. The order of
// lanes is that of fair shares: its keys are brought up to date when they are looked at, since use only grows with time.

import type { Property } from "../../proto/wire/property.ts"
import { FAIR_STALE_MS, USAGE_PLACED_SECONDS } from "../limits.ts"
import { Heap, type Ranked } from "./heap.ts"
import type { Campaign, CampaignId, Needs, Rules, Shape, State } from "./model.ts"
import { Sorted } from "./sorted.ts"
import { ownerKey, projectKey, shareOf, usedBy, weightAt } from "./usage.ts"

/** Who goes before whom: the first with something that fits is served. */
export const ranks = ["reserved", "common", "bestEffort"] as const
export type Rank = (typeof ranks)[number]

/** What jobs ask of a node: the same value for every campaign that asks for the same. */
export interface Demand {
  readonly key: string
  readonly rank: Rank
  /** By preference. */
  readonly shapes: readonly Needs[]
  /** As text and read; "" and null: any node. */
  readonly property: string
  readonly wants: Property | null
  readonly inside: CampaignId | null
  /** Of owners with something ready. */
  readonly lanes: Heap<Lane>
  /** Live campaigns that have it. */
  campaigns: number
}

/** What one owner has ready for one demand. Its key is the owner's use, by share, as of keyAtMs. */
export interface Lane extends Ranked {
  readonly turn: Turn
  readonly demand: Demand
  readonly projects: Map<string, Sorted<Campaign>>
  keyAtMs: number
  keyPlaced: number
  /** When something of it was placed for the last time, or it came into being. Null: not looked at yet. */
  waitsSinceMs: number | null
}

/** One owner's place among all. */
export interface Turn {
  readonly owner: string
  /** Of the owner's usage: in turn and as best effort are two. */
  readonly usageKey: string
  readonly lanes: Map<Demand, Lane>
  /** Core-seconds that stand for what was placed since use was last counted. */
  placed: number
}

type DemandsByKey = Map<string, Demand>

export class Queue {
  /** Every demand of a live campaign. */
  readonly known: DemandsByKey = new Map()
  /** Those with something ready, outside of containers, by rank. */
  readonly ready: Readonly<Record<Rank, DemandsByKey>> = {
    reserved: new Map(),
    common: new Map(),
    bestEffort: new Map(),
  }
  /** Those with something ready, by the container that they are inside. */
  readonly inside = new Map<CampaignId, DemandsByKey>()
  /** Demands that became ready since all nodes were held against them. */
  readonly fresh = new Set<Demand>()
  /** Owners with something ready, by usageKey. */
  readonly turns = new Map<string, Turn>()
  /** Those of them for whom something was placed since use was last counted. */
  readonly placing = new Set<Turn>()
  private lanes = 0

  get isEmpty(): boolean {
    return this.turns.size === 0
  }

  /** Lanes are numbered, so that of two owners alike the same goes first at every run. */
  numberLane(): number {
    return ++this.lanes
  }

  demandsOf({ rank, inside }: Demand): DemandsByKey {
    if (inside === null) return this.ready[rank]
    const found = this.inside.get(inside)
    if (found !== undefined) return found
    const made: DemandsByKey = new Map()
    this.inside.set(inside, made)
    return made
  }
}

/** The demand of a campaign with these wishes. Whoever takes it says dropDemand() when the campaign ends. */
export function takeDemand(queue: Queue, first: Shape, rules: Rules, wants: Property | null): Demand {
  const rank = rules.reservation !== null ? "reserved" : rules.bestEffort ? "bestEffort" : "common"
  const shapes = [first, ...rules.shapes].map(({ needs }) => needs)
  const { property, inside } = rules
  const sizes = shapes.map(({ slots, memoryBytes, diskBytes }) => [slots, memoryBytes, diskBytes])
  const key = JSON.stringify([rank, sizes, inside, property])
  const known = queue.known.get(key)
  if (known !== undefined) {
    known.campaigns++
    return known
  }
  const demand = { key, rank, shapes, property, wants, inside, lanes: new Heap<Lane>(), campaigns: 1 } as const
  queue.known.set(key, demand)
  return demand
}

export function dropDemand(queue: Queue, demand: Demand): void {
  if (--demand.campaigns === 0) queue.known.delete(demand.key)
}

/** The campaign has jobs that may be offered, and was not in the queue. */
export function enqueue({ queue }: State, campaign: Campaign): void {
  const { demand, account } = campaign
  const usageKey = ownerKey(account.owner, account.bestEffort)
  const turn = queue.turns.get(usageKey) ?? { owner: account.owner, usageKey, lanes: new Map(), placed: 0 }
  queue.turns.set(usageKey, turn)
  const lane = turn.lanes.get(demand) ?? openLane(queue, turn, demand)
  const line = lane.projects.get(account.project) ?? new Sorted(compareCampaigns)
  lane.projects.set(account.project, line)
  line.add(campaign)
  queue.fresh.add(demand)
}

function openLane(queue: Queue, turn: Turn, demand: Demand): Lane {
  // Least of all until it is looked at, which is when its key is made.
  const fresh = { key: Number.NEGATIVE_INFINITY, keyAtMs: Number.NEGATIVE_INFINITY, keyPlaced: 0, waitsSinceMs: null }
  const lane: Lane = { turn, demand, projects: new Map(), number: queue.numberLane(), at: -1, ...fresh }
  turn.lanes.set(demand, lane)
  if (demand.lanes.size === 0) queue.demandsOf(demand).set(demand.key, demand)
  demand.lanes.add(lane)
  return lane
}

/** It was in the queue, and has none any more. */
export function dequeue({ queue }: State, campaign: Campaign): void {
  const { demand, account } = campaign
  const turn = queue.turns.get(ownerKey(account.owner, account.bestEffort))!
  const lane = turn.lanes.get(demand)!
  const line = lane.projects.get(account.project)!
  line.remove(campaign)
  if (!line.isEmpty) return
  lane.projects.delete(account.project)
  if (lane.projects.size > 0) return
  demand.lanes.remove(lane)
  turn.lanes.delete(demand)
  if (turn.lanes.size === 0) {
    queue.turns.delete(turn.usageKey)
    queue.placing.delete(turn)
  }
  if (demand.lanes.size > 0) return
  queue.fresh.delete(demand)
  const demands = queue.demandsOf(demand)
  demands.delete(demand.key)
  if (demand.inside !== null && demands.size === 0) queue.inside.delete(demand.inside)
}

/** By priority, then age. */
function compareCampaigns(a: Campaign, b: Campaign): number {
  return b.priority - a.priority || a.id - b.id
}

// ---- whose turn it is --------------------------------------------------------------------------------------------

/** The lane that is next of those with this demand, which has some. */
export function nextLane(state: State, demand: Demand, nowMs: number): Lane {
  const { lanes } = demand
  for (;;) {
    const lane = lanes.top!
    if (lane.keyPlaced === lane.turn.placed && nowMs - lane.keyAtMs < FAIR_STALE_MS) return lane
    renewKey(state, lane, nowMs)
  }
}

function renewKey(state: State, lane: Lane, nowMs: number): void {
  const { owner, usageKey, placed } = lane.turn
  lane.key = ((usedBy(state, usageKey, nowMs) + placed) * weightAt(nowMs)) / shareOf(state, owner)
  lane.keyAtMs = nowMs
  lane.keyPlaced = placed
  lane.demand.lanes.moved(lane)
}

/**
 * The lane's campaign that is next, of those that are open: of the highest priority; of several projects the one that has used
 * least; the oldest. Null: none is open.
 */
export function nextCampaign(
  state: State,
  lane: Lane,
  nowMs: number,
  isOpen: (campaign: Campaign) => boolean,
): Campaign | null {
  let best: Campaign | null = null
  for (const line of lane.projects.values()) {
    line.visit(campaign => {
      if (best !== null && !goesBefore(state, campaign, best, nowMs)) return false
      if (!isOpen(campaign)) return true
      best = campaign
      return false
    })
  }
  return best
}

/** Of two campaigns of one owner. */
export function goesBefore(state: State, a: Campaign, b: Campaign, nowMs: number): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority
  if (a.project !== b.project) {
    const usedByA = usedBy(state, projectKey(a.account), nowMs)
    const usedByB = usedBy(state, projectKey(b.account), nowMs)
    if (usedByA !== usedByB) return usedByA < usedByB
  }
  return a.id < b.id
}

/** A job of the lane was placed: until it has used something, a guess stands for it, so that others get their turn at once. */
export function countPlaced({ queue }: State, lane: Lane, slots: number, nowMs: number): void {
  lane.waitsSinceMs = nowMs
  // The lane may be gone with its last job.
  if (!queue.turns.has(lane.turn.usageKey)) return
  lane.turn.placed += slots * USAGE_PLACED_SECONDS
  queue.placing.add(lane.turn)
}

/** All that can be placed was: from here on use itself counts. */
export function settlePlaced(state: State, nowMs: number): void {
  for (const turn of state.queue.placing) {
    turn.placed = 0
    // A key may only be too low where lanes are compared, and these are too high now.
    for (const lane of turn.lanes.values()) if (lane.keyPlaced > 0) renewKey(state, lane, nowMs)
  }
  state.queue.placing.clear()
}

/** The owner's share is another one now. */
export function renewOwner(state: State, owner: string, nowMs: number): void {
  for (const bestEffort of [false, true]) {
    const turn = state.queue.turns.get(ownerKey(owner, bestEffort))
    for (const lane of turn?.lanes.values() ?? []) renewKey(state, lane, nowMs)
  }
}
