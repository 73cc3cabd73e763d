// What is ready to be offered, so that placing a job costs the same whatever the length of the queue. Campaigns that ask the
// same of nodes share one demand; within it each owner has a lane; within that each project has a line of campaigns, by
// priority, then age. A node is held against demands and never against campaigns, and only against those whose turn may be
// next. The order of lanes is that of fair shares: its keys are brought up to date when they are looked at, since use only
// grows with time.

import { FAIR_STALE_MS, USAGE_PLACED_SECONDS } from "../limits.ts"
import { Condition } from "./condition.ts"
import { Heap, type Ranked } from "./heap.ts"
import type { Campaign, CampaignId, Needs, Node, Rules, Shape, State } from "./model.ts"
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
  readonly condition: Condition
  readonly inside: CampaignId | null
  /** Of owners with something ready. */
  readonly lanes: Heap<Lane>
  /** Where it stands, by key and number of its first lane. Null while nothing of it is ready, and inside containers. */
  size: Size | null
  laneKey: number
  laneNumber: number
  /** Live campaigns that have it. */
  campaigns: number
}

/** Demands of one rank with something ready that ask for the same room: where there is less, all of them are passed over at once. */
export interface Size {
  readonly shapes: readonly Needs[]
  readonly demands: Sorted<Demand>
}

/** What one owner has ready for one demand. Its key is the owner's use, by share, as of keyAtMs. */
export interface Lane extends Ranked {
  readonly turn: Turn
  readonly demand: Demand
  readonly projects: Map<string, Sorted<Campaign>>
  /** Its first campaign while all are of one project; else null: which is first changes with what they use. */
  head: Campaign | null
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
  /** What was used up to a moment, and what a core-second weighs in keys made then: all lanes that are looked at in a tick have the same. */
  used: number
  weight: number
  usedAtMs: number
}

/** Least of all until it is looked at, which is when its key is made. */
const UNSEEN = Number.NEGATIVE_INFINITY

/** Judgements of nodes by as many different properties are kept: with 100,000 nodes 25 kB for each. */
const CONDITIONS_REMEMBERED = 4_000

type DemandsByKey = Map<string, Demand>

export class Queue {
  /** Every demand of a live campaign, by its key; and what they ask of nodes' properties. */
  readonly known: DemandsByKey = new Map()
  readonly conditions = new Map<string, Condition>()
  /** Those with something ready, outside of containers, by rank. */
  readonly ready: Readonly<Record<Rank, DemandsByKey>> = {
    reserved: new Map(),
    common: new Map(),
    bestEffort: new Map(),
  }
  /** The same by the room that they ask for. */
  readonly sizes: Readonly<Record<Rank, Map<string, Size>>> = {
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

  /** To look at; the same one for all that ask for the same while there are any. */
  conditionOf(property: string): Condition {
    return this.conditions.get(property) ?? new Condition(property, { remembers: true })
  }

  takeCondition(property: string): Condition {
    const known = this.conditions.get(property)
    const condition = known ?? new Condition(property, { remembers: this.conditions.size < CONDITIONS_REMEMBERED })
    this.conditions.set(property, condition)
    condition.demands++
    return condition
  }

  dropCondition(condition: Condition): void {
    if (--condition.demands === 0) this.conditions.delete(condition.text)
  }

  /** The node has other properties now. */
  forgetJudgements(node: Node): void {
    for (const condition of this.conditions.values()) condition.forget(node)
  }
}

/** The demand of a campaign with these wishes. Whoever takes it says dropDemand() when the campaign ends. */
export function takeDemand(queue: Queue, first: Shape, rules: Rules): Demand {
  const rank = rules.reservation !== null ? "reserved" : rules.bestEffort ? "bestEffort" : "common"
  const shapes = [first, ...rules.shapes].map(({ needs }) => needs)
  const { property, inside } = rules
  const key = JSON.stringify([rank, sizeKey(shapes), inside, property])
  const known = queue.known.get(key)
  if (known !== undefined) {
    known.campaigns++
    return known
  }
  const asked = { key, rank, shapes, condition: queue.takeCondition(property), inside } as const
  const demand = { ...asked, lanes: new Heap<Lane>(), size: null, laneKey: UNSEEN, laneNumber: 0, campaigns: 1 }
  queue.known.set(key, demand)
  return demand
}

function sizeKey(shapes: readonly Needs[]): string {
  return shapes.map(({ slots, memoryBytes, diskBytes }) => `${slots} ${memoryBytes} ${diskBytes}`).join()
}

export function dropDemand(queue: Queue, demand: Demand): void {
  if (--demand.campaigns > 0) return
  queue.known.delete(demand.key)
  queue.dropCondition(demand.condition)
}

/** The campaign has jobs that may be offered, and was not in the queue. */
export function enqueue({ queue }: State, campaign: Campaign): void {
  const { demand, account } = campaign
  const usageKey = ownerKey(account.owner, account.bestEffort)
  const turn = queue.turns.get(usageKey) ?? newTurn(account.owner, usageKey)
  queue.turns.set(usageKey, turn)
  const lane = turn.lanes.get(demand) ?? openLane(queue, turn, demand)
  const line = lane.projects.get(account.project) ?? new Sorted(compareCampaigns)
  lane.projects.set(account.project, line)
  line.add(campaign)
  lane.head = headOf(lane)
  queue.fresh.add(demand)
}

function newTurn(owner: string, usageKey: string): Turn {
  return { owner, usageKey, lanes: new Map(), placed: 0, used: 0, weight: 0, usedAtMs: UNSEEN }
}

function openLane(queue: Queue, turn: Turn, demand: Demand): Lane {
  const unseen = { key: UNSEEN, keyAtMs: UNSEEN, keyPlaced: 0, waitsSinceMs: null }
  const lane: Lane = { turn, demand, projects: new Map(), head: null, number: queue.numberLane(), at: -1, ...unseen }
  turn.lanes.set(demand, lane)
  demand.lanes.add(lane)
  if (demand.lanes.size === 1) openDemand(queue, demand, lane)
  else placeDemand(demand)
  return lane
}

function openDemand(queue: Queue, demand: Demand, { key, number }: Lane): void {
  const { rank, shapes, inside } = demand
  queue.demandsOf(demand).set(demand.key, demand)
  if (inside !== null) return
  const ofRank = queue.sizes[rank]
  demand.size = ofRank.get(sizeKey(shapes)) ?? { shapes, demands: new Sorted(compareDemands) }
  ofRank.set(sizeKey(shapes), demand.size)
  demand.laneKey = key
  demand.laneNumber = number
  demand.size.demands.add(demand)
}

function closeDemand(queue: Queue, demand: Demand): void {
  const { key, rank, shapes, inside, size } = demand
  queue.fresh.delete(demand)
  const demands = queue.demandsOf(demand)
  demands.delete(key)
  if (inside !== null && demands.size === 0) queue.inside.delete(inside)
  if (size === null) return
  size.demands.remove(demand)
  demand.size = null
  if (size.demands.isEmpty) queue.sizes[rank].delete(sizeKey(shapes))
}

/** It stands where the first of its lanes does. */
function placeDemand(demand: Demand): void {
  const { size, lanes } = demand
  const { key, number } = lanes.top!
  if (size === null || (demand.laneKey === key && demand.laneNumber === number)) return
  size.demands.remove(demand)
  demand.laneKey = key
  demand.laneNumber = number
  size.demands.add(demand)
}

function compareDemands(a: Demand, b: Demand): number {
  return a.laneKey === b.laneKey ? a.laneNumber - b.laneNumber : a.laneKey < b.laneKey ? -1 : 1
}

/** It was in the queue, and has none any more. */
export function dequeue({ queue }: State, campaign: Campaign): void {
  const { demand, account } = campaign
  const turn = queue.turns.get(ownerKey(account.owner, account.bestEffort))!
  const lane = turn.lanes.get(demand)!
  const line = lane.projects.get(account.project)!
  line.remove(campaign)
  if (line.isEmpty) lane.projects.delete(account.project)
  lane.head = headOf(lane)
  if (lane.projects.size > 0) return
  demand.lanes.remove(lane)
  turn.lanes.delete(demand)
  if (turn.lanes.size === 0) {
    queue.turns.delete(turn.usageKey)
    queue.placing.delete(turn)
  }
  if (demand.lanes.size > 0) placeDemand(demand)
  else closeDemand(queue, demand)
}

function headOf({ projects }: Lane): Campaign | null {
  if (projects.size !== 1) return null
  for (const line of projects.values()) return line.first ?? null
  return null
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
    if (isCurrent(lane, nowMs)) return lane
    renewKey(state, lane, nowMs)
  }
}

export function isCurrent({ turn, keyPlaced, keyAtMs }: Lane, nowMs: number): boolean {
  return keyPlaced === turn.placed && nowMs - keyAtMs < FAIR_STALE_MS
}

function renewKey(state: State, lane: Lane, nowMs: number): void {
  const { turn } = lane
  if (turn.usedAtMs !== nowMs) countUse(state, turn, nowMs)
  lane.key = (turn.used + turn.placed) * turn.weight
  lane.keyAtMs = nowMs
  lane.keyPlaced = turn.placed
  lane.demand.lanes.moved(lane)
  placeDemand(lane.demand)
}

function countUse(state: State, turn: Turn, nowMs: number): void {
  turn.used = usedBy(state, turn.usageKey, nowMs)
  turn.weight = weightAt(nowMs) / shareOf(state, turn.owner)
  turn.usedAtMs = nowMs
}

/**
 * The lane's campaign that is next, of those that are open: of the highest priority; of several projects the one that has used
 * least; the oldest. `other` is one of another lane of the owner, and the answer if it goes before them. Null: none is open.
 */
export function nextCampaign(
  state: State,
  lane: Lane,
  nowMs: number,
  isOpen: (campaign: Campaign) => boolean,
  other: Campaign | null = null,
): Campaign | null {
  let best = other
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
    if (turn === undefined) continue
    countUse(state, turn, nowMs)
    for (const lane of turn.lanes.values()) renewKey(state, lane, nowMs)
  }
}
