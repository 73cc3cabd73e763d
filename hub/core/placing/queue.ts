// What is ready to be offered, so that placing a job costs the same whatever the length of the queue. Campaigns that ask the
// same of nodes share one demand; within it each owner has a lane; within that each project has a line of campaigns, by
// priority, then age. Owners stand in the order of fair shares, each with its lanes, so that a node is held against the lanes
// of the few owners whose turn may be next, and never against campaigns. Keys of that order are brought up to date when they
// are looked at, since use only grows with time.

import { FAIR_STALE_MS, USAGE_PLACED_SECONDS } from "../../limits.ts"
import {
  type Campaign,
  type Demand,
  type Lane,
  type Needs,
  type Node,
  type Order,
  type Queue,
  type Ready,
  type Rules,
  ranks,
  type Seat,
  type Shape,
  type State,
  type Turn,
} from "../model.ts"
import { Condition } from "./condition.ts"
import { Sorted } from "./sorted.ts"
import { grown, ownerKey, shareOf, usedBy, weightAt } from "./usage.ts"

/** Least of all until it is looked at, which is when its key is made. */
const UNSEEN = Number.NEGATIVE_INFINITY

/** Judgements of nodes by as many different properties are kept: with 100,000 nodes 25 kB for each. */
const CONDITIONS_REMEMBERED = 4_000

export function newQueue(): Queue {
  return {
    known: new Map(),
    conditions: new Map(),
    ready: noneReady(),
    inside: new Map(),
    fresh: new Set(),
    turns: new Map(),
    placing: new Set(),
    seats: 0,
  }
}

export function isEmpty({ turns }: Queue): boolean {
  return turns.size === 0
}

/** To look at; the same one for all that ask for the same while there are any. */
export function conditionOf({ conditions }: Queue, property: string): Condition {
  return conditions.get(property) ?? new Condition(property, { remembers: true })
}

function takeCondition({ conditions }: Queue, property: string): Condition {
  const known = conditions.get(property)
  const condition = known ?? new Condition(property, { remembers: conditions.size < CONDITIONS_REMEMBERED })
  conditions.set(property, condition)
  condition.demands++
  return condition
}

/** The node has other properties now. */
export function forgetJudgements({ conditions }: Queue, node: Node): void {
  for (const condition of conditions.values()) condition.forget(node)
}

/** The demand of a campaign with these wishes. Whoever takes it says dropDemand() when the campaign ends. */
export function takeDemand(queue: Queue, first: Shape, rules: Rules): Demand {
  const rank = rules.reservation !== null ? "reserved" : rules.bestEffort ? "bestEffort" : "common"
  const shapes = [first, ...rules.shapes].map(({ needs }) => needs)
  const { property, inside } = rules
  const key = JSON.stringify([rank, shapes.map(sizeKey).join(), inside, property])
  const known = queue.known.get(key)
  if (known !== undefined) {
    known.campaigns++
    return known
  }
  const condition = takeCondition(queue, property)
  const demand: Demand = { key, rank, shapes, condition, inside, lanes: new Set(), campaigns: 1 }
  queue.known.set(key, demand)
  return demand
}

function sizeKey({ slots, memoryBytes, diskBytes }: Needs): string {
  return `${slots} ${memoryBytes} ${diskBytes}`
}

export function dropDemand(queue: Queue, demand: Demand): void {
  if (--demand.campaigns > 0) return
  queue.known.delete(demand.key)
  if (--demand.condition.demands === 0) queue.conditions.delete(demand.condition.text)
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
  setHead(lane)
  queue.fresh.add(demand)
}

function newTurn(owner: string, usageKey: string): Turn {
  return { owner, usageKey, lanes: new Map(), seats: [], placed: 0, used: 0, weight: 0, usedAtMs: UNSEEN }
}

function openLane(queue: Queue, turn: Turn, demand: Demand): Lane {
  const noHead = { head: null, headPriority: 0, headId: 0, headProject: "" }
  const lane: Lane = { turn, demand, projects: new Map(), ...noHead, waitsSinceMs: null }
  const { demands, orders } = readyBeside(queue, demand)
  const order = orders[demand.rank]
  addLane(seatIn(queue, turn, order, turn.seats), lane)
  turn.lanes.set(demand, lane)
  demand.lanes.add(lane)
  demands[demand.rank].add(demand)
  return lane
}

function addLane({ lanes, demands }: Seat, lane: Lane): void {
  lanes.push(lane)
  demands.push(lane.demand)
}

function closeLane(queue: Queue, lane: Lane): void {
  const { turn, demand } = lane
  const { rank, inside } = demand
  const { demands, orders } = readyBeside(queue, demand)
  const seat = turn.seats.find(({ order }) => order === orders[rank])!
  const at = seat.lanes.indexOf(lane)
  seat.lanes.splice(at, 1)
  seat.demands.splice(at, 1)
  if (seat.lanes.length === 0) {
    seat.order.remove(seat)
    turn.seats.splice(turn.seats.indexOf(seat), 1)
  }
  turn.lanes.delete(demand)
  if (turn.lanes.size === 0) {
    queue.turns.delete(turn.usageKey)
    queue.placing.delete(turn)
  }
  demand.lanes.delete(lane)
  if (demand.lanes.size > 0) return
  queue.fresh.delete(demand)
  demands[rank].delete(demand)
  if (inside !== null && ranks.every(one => demands[one].size === 0)) queue.inside.delete(inside)
}

/** All that is served side by side with this demand. */
function readyBeside(queue: Queue, { inside }: Demand): Ready {
  if (inside === null) return queue.ready
  const found = queue.inside.get(inside)
  if (found !== undefined) return found
  const made = noneReady()
  queue.inside.set(inside, made)
  return made
}

function noneReady(): Ready {
  const order = () => new Sorted(compareSeats)
  return {
    demands: { reserved: new Set(), common: new Set(), bestEffort: new Set() },
    orders: { reserved: order(), common: order(), bestEffort: order() },
  }
}

function compareSeats(a: Seat, b: Seat): number {
  return a.key === b.key ? a.number - b.number : a.key < b.key ? -1 : 1
}

/** The owner's seat in this order, of those that it has; a new one is before all others until it is looked at. */
function seatIn(queue: Queue, turn: Turn, order: Order, seats: Seat[]): Seat {
  const found = seats.find(seat => seat.order === order)
  if (found !== undefined) return found
  const unseen = { key: UNSEEN, keyAtMs: UNSEEN, keyPlaced: 0 }
  const seat: Seat = { turn, order, lanes: [], demands: [], number: ++queue.seats, ...unseen }
  order.add(seat)
  seats.push(seat)
  return seat
}

/** Of what became ready since all nodes were held against the queue, outside of containers. Holds for one look at the nodes. */
export function newcomers(queue: Queue): Ready {
  const ready = noneReady()
  const seats = new Map<Turn, Seat[]>()
  for (const demand of queue.fresh) {
    const { rank, inside, lanes } = demand
    if (inside !== null) continue
    ready.demands[rank].add(demand)
    for (const lane of lanes) {
      const { turn } = lane
      const ofTurn = seats.get(turn) ?? []
      seats.set(turn, ofTurn)
      addLane(seatIn(queue, turn, ready.orders[rank], ofTurn), lane)
    }
  }
  return ready
}

/** It was in the queue, and has none any more. */
export function dequeue({ queue }: State, campaign: Campaign): void {
  const { demand, account } = campaign
  const turn = queue.turns.get(ownerKey(account.owner, account.bestEffort))!
  const lane = turn.lanes.get(demand)!
  const line = lane.projects.get(account.project)!
  line.remove(campaign)
  if (line.isEmpty) lane.projects.delete(account.project)
  setHead(lane)
  if (lane.projects.size === 0) closeLane(queue, lane)
}

function setHead(lane: Lane): void {
  lane.head = headOf(lane)
  if (lane.head === null) return
  lane.headPriority = lane.head.priority
  lane.headId = lane.head.id
  lane.headProject = lane.head.project
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

export function isCurrent({ turn, keyPlaced, keyAtMs }: Seat, nowMs: number): boolean {
  return keyPlaced === turn.placed && nowMs - keyAtMs < FAIR_STALE_MS
}

/** Brings its key up to date. It may stand further behind then, and not further in front, whatever rounding takes off a key. */
export function renewKey(state: State, seat: Seat, nowMs: number): void {
  setKey(seat, Math.max(seat.key, keyOf(state, seat.turn, nowMs)), nowMs)
}

function keyOf(state: State, turn: Turn, nowMs: number): number {
  if (turn.usedAtMs !== nowMs) countUse(state, turn, nowMs)
  return (turn.used + turn.placed) * turn.weight
}

function setKey(seat: Seat, key: number, nowMs: number): void {
  seat.keyAtMs = nowMs
  seat.keyPlaced = seat.turn.placed
  if (key === seat.key) return
  seat.order.remove(seat)
  seat.key = key
  seat.order.add(seat)
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
  lane: Lane,
  nowMs: number,
  isOpen: (campaign: Campaign) => boolean,
  other: Campaign | null = null,
): Campaign | null {
  let best = other
  for (const line of lane.projects.values()) {
    line.visit(campaign => {
      if (best !== null && !goesBefore(campaign, best, nowMs)) return "enough"
      if (!isOpen(campaign)) return "on"
      best = campaign
      return "enough"
    })
  }
  return best
}

/** Of two campaigns of one owner. */
export function goesBefore(a: Campaign, b: Campaign, nowMs: number): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority
  if (a.project !== b.project) {
    const usedByA = grown(a.account.projectUsage, nowMs)
    const usedByB = grown(b.account.projectUsage, nowMs)
    if (usedByA !== usedByB) return usedByA < usedByB
  }
  return a.id < b.id
}

/** The same of the heads of two lanes of one project. */
export function headGoesBefore(a: Lane, b: Lane): boolean {
  return a.headPriority !== b.headPriority ? a.headPriority > b.headPriority : a.headId < b.headId
}

/** A job of the lane was placed: until it has used something, a guess stands for it, so that others get their turn at once. */
export function countPlaced({ queue }: State, lane: Lane, slots: number, nowMs: number): void {
  lane.waitsSinceMs = nowMs
  // The lane may be gone with its last job.
  if (lane.turn.lanes.size === 0) return
  lane.turn.placed += slots * USAGE_PLACED_SECONDS
  queue.placing.add(lane.turn)
}

/** All that can be placed was: from here on use itself counts. */
export function settlePlaced(state: State, nowMs: number): void {
  for (const turn of state.queue.placing) {
    turn.placed = 0
    // A key may only be too low where seats are compared, and these are too high now.
    for (const seat of turn.seats) if (seat.keyPlaced > 0) setKey(seat, keyOf(state, turn, nowMs), nowMs)
  }
  state.queue.placing.clear()
}

/** The owner's share is another one now. */
export function renewOwner(state: State, owner: string, nowMs: number): void {
  for (const bestEffort of [false, true]) {
    const turn = state.queue.turns.get(ownerKey(owner, bestEffort))
    if (turn === undefined) continue
    countUse(state, turn, nowMs)
    for (const seat of turn.seats) setKey(seat, keyOf(state, turn, nowMs), nowMs)
  }
}
