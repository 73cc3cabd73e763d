// What may be expected of an order before it is taken: whether any node can ever run it, what a reservation may hope for, and
// how it would go as things stand. Looks at the state only; submit and the dry run ask the same questions.

import { failing, printValue } from "../../../proto/wire/property.ts"
import { RESERVATION_CONFIDENCE_MIN } from "../../limits.ts"
import type { Reason } from "../errors.ts"
import type { CampaignId, Needs, Node, Now, Rules, Shape, State } from "../model.ts"
import { type Demand, type Lane, type Rank, ranks } from "../model.ts"
import { conditionOf, goesBefore, nextCampaign } from "../placing/queue.ts"
import { type Expectation, expectation, jobsIn } from "../placing/reservations.ts"
import { fittingShape, freeRoom, readyJobs, takesWork } from "../placing/room.ts"
import { ownerKey, shareOf, usedBy, weightAt } from "../placing/usage.ts"
import { suits } from "../rules.ts"

/** The part of an order that matters here. */
export interface Wish extends Shape {
  readonly owner: string
  readonly rules: Rules
  readonly priority: number
  readonly total: number
  readonly held: boolean
}

export interface Judgement {
  /** Why it is refused; null: it is not. */
  readonly refusal: { readonly reason: Reason; readonly message: string } | null
  /** Sentences: what is taken all the same and may not go as hoped. */
  readonly warnings: readonly string[]
  /** With a reservation only. */
  readonly expectation: Expectation | null
}

export function judge(state: State, wish: Wish, now: Now): Judgement {
  const { rules } = wish
  const demand = demandOf(state, wish)
  const trouble = rules.inside === null ? unservable(state, demand) : misplaced(state, rules.inside, demand)
  const warnings: string[] = []
  let refusal: Judgement["refusal"] = null
  if (trouble?.isFinal === true && !wish.held) {
    const reason = rules.inside === null ? "no_node" : "container"
    refusal = { reason, message: `${trouble.message}; ask for less, or hold it until there is one` }
  } else if (trouble !== null) warnings.push(trouble.message)
  const expected = expectationOf(state, wish, demand, now)
  if (expected !== null && expected.confidence < RESERVATION_CONFIDENCE_MIN)
    refusal ??= { reason: "reservation", message: notExpected(wish, expected, now) }
  return { refusal, warnings, expectation: expected }
}

type AskedOfNodes = Pick<Demand, "shapes" | "condition">

function demandOf({ queue }: State, { needs, rules }: Wish): AskedOfNodes {
  const shapes = [needs, ...rules.shapes.map(shape => shape.needs)]
  return { shapes, condition: conditionOf(queue, rules.property) }
}

/** Whether the node could run it when empty, connected or not. */
function isCapable(node: Node, demand: AskedOfNodes): boolean {
  return !node.revoked && suits(node, demand) && fittingShape(demand, node) !== null
}

/** Final: it would wait for a node that nobody has. */
export function unservable(state: State, demand: AskedOfNodes): { message: string; isFinal: boolean } | null {
  // Nearly always the first that is asked.
  for (const node of state.nodes.values()) if (node.link !== null && isCapable(node, demand)) return null
  const nodes = [...state.nodes.values()].filter(node => !node.revoked)
  if (nodes.length === 0) return { message: "no node has joined this hub yet: it waits for the first", isFinal: false }
  const capable = nodes.filter(node => isCapable(node, demand))
  if (capable.length === 0) return { message: `no node can ever run it: ${nearest(nodes, demand)}`, isFinal: true }
  const are = capable.length === 1 ? "one node that can run it is" : `${capable.length} nodes that can run it are`
  return { message: `the ${are} away: it waits for one to come back`, isFinal: false }
}

/** What the most nodes lack first, and how near the best comes. */
function nearest(nodes: readonly Node[], demand: AskedOfNodes): string {
  const suited = nodes.filter(node => suits(node, demand))
  const all = nodes.length === 1 ? "the one node there is" : `of ${nodes.length} nodes`
  if (suited.length === 0) {
    const lacks = new Map<string, number>()
    for (const { facts } of nodes) {
      for (const part of failing(demand.condition.wants!, facts)) lacks.set(part, (lacks.get(part) ?? 0) + 1)
    }
    const [part, count] = [...lacks].sort((a, b) => b[1] - a[1])[0]!
    return nodes.length === 1
      ? `${all} has not ${part}`
      : `${all} ${count === nodes.length ? "none" : `${nodes.length - count}`} has ${part}`
  }
  const [first] = demand.shapes as [Needs]
  const parts = sizes(first).filter(({ key, need }) => suited.every(node => sizeOf(node, key) < need))
  const shown = parts.map(({ key, need, name }) => {
    const most = Math.max(...suited.map(node => sizeOf(node, key)))
    return `it needs ${name} ${printSize(key, need)}, and the largest has ${printSize(key, most)}`
  })
  return shown.length > 0 ? shown.join("; ") : "none has as much of all that it needs together"
}

type Size = keyof Needs

const sizeNames: readonly (readonly [Size, string])[] = [
  ["slots", "core"],
  ["memoryBytes", "mem"],
  ["diskBytes", "disk"],
]

function sizes(needs: Needs): { key: Size; name: string; need: number }[] {
  return sizeNames.map(([key, name]) => ({ key, name, need: needs[key] }))
}

function sizeOf(node: Node, key: Size): number {
  return node[key]
}

function printSize(key: Size, value: number): string {
  return key === "slots" ? `${value}` : printValue("mem", value)
}

function misplaced(
  state: State,
  inside: CampaignId,
  { shapes }: AskedOfNodes,
): { message: string; isFinal: boolean } | null {
  const container = state.campaigns.get(inside)
  if (container === undefined)
    return { message: `container ${inside} has ended: nothing can run inside it`, isFinal: true }
  if (!container.rules.container)
    return { message: `campaign ${inside} is no container: submit it with -t container`, isFinal: true }
  if (shapes.some(needs => fittingShape({ shapes: [needs] }, container.needs) !== null)) return null
  return {
    message: `no job of it fits into container ${inside}, which has ${container.needs.slots} slots a job`,
    isFinal: true,
  }
}

function expectationOf(state: State, wish: Wish, demand: AskedOfNodes, now: Now): Expectation | null {
  const { rules, total, walltimeMs } = wish
  if (rules.reservation === null) return null
  const { startAt, endAt } = rules.reservation
  return expectation(state, { demand, total }, { startAt, endAt: endAt ?? startAt + walltimeMs }, now)
}

function notExpected({ total, rules }: Wish, { jobs, confidence, nodes }: Expectation, now: Now): string {
  const inWords = durationInWords(rules.reservation!.startAt - now.wallMs)
  const places = `about ${Math.floor(jobs)} of the ${total} places that it asks for`
  const sure = `${Math.round(confidence * 100)} %`
  return `the reservation can't be promised: in ${inWords} ${places} are to be expected, on ${nodes} nodes that come and go (${sure} sure of all)`
}

/** "2 h 5 min", "3 d 4 h": the two largest parts. */
export function durationInWords(ms: number): string {
  const minutes = Math.max(0, Math.round(ms / 60_000))
  const parts = [
    [Math.floor(minutes / 1_440), "d"],
    [Math.floor(minutes / 60) % 24, "h"],
    [minutes % 60, "min"],
  ] as const
  const shown = parts.filter(([count]) => count > 0).slice(0, 2)
  return shown.length === 0 ? "less than a minute" : shown.map(([count, unit]) => `${count} ${unit}`).join(" ")
}

// ---- the dry run -----------------------------------------------------------------------------------------------

export interface Prospect extends Judgement {
  readonly nodesOnline: number
  readonly nodesAway: number
  /** Jobs that would be placed at once if nobody went first, and that fit when all nodes that are connected are empty. */
  readonly jobsNow: number
  readonly jobsAtOnce: number
  /** Of anybody, ready, and going first as things stand. */
  readonly jobsAhead: number
  /** If every job took its whole walltime; null: no node is connected. */
  readonly atMostMs: number | null
}

export function prospect(state: State, wish: Wish, now: Now): Prospect {
  const demand = demandOf(state, wish)
  const [first] = demand.shapes as [Needs]
  let [nodesOnline, nodesAway, jobsNow, jobsAtOnce] = [0, 0, 0, 0]
  for (const node of state.nodes.values()) {
    if (!isCapable(node, demand)) continue
    if (node.link === null) nodesAway++
    else {
      nodesOnline++
      jobsAtOnce += jobsIn(node, first)
      if (takesWork(node) && node.quarantine === null && !state.claims.has(node.id))
        jobsNow += jobsIn(freeRoom(node), first)
    }
  }
  const { atOnceMax } = wish.rules
  jobsAtOnce = Math.min(jobsAtOnce, atOnceMax ?? jobsAtOnce)
  jobsNow = Math.min(jobsNow, jobsAtOnce)
  const atMostMs = jobsAtOnce === 0 ? null : Math.ceil(wish.total / jobsAtOnce) * wish.walltimeMs
  const jobsAhead = ahead(state, wish, now.nowMs)
  const counts = { nodesOnline, nodesAway, jobsNow: Math.min(jobsNow, wish.total), jobsAtOnce, jobsAhead, atMostMs }
  return { ...judge(state, wish, now), ...counts }
}

/** Jobs that are ready and would be placed before a new one of this owner. */
function ahead(state: State, { owner, rules, priority }: Wish, nowMs: number): number {
  const rank: Rank = rules.reservation !== null ? "reserved" : rules.bestEffort ? "bestEffort" : "common"
  const used = weightedUse(state, owner, rules.bestEffort, nowMs)
  let jobs = 0
  for (const lane of lanesUpTo(state, rank)) {
    const isBefore = lane.demand.rank !== rank || laneUse(state, lane, nowMs) < used
    for (const line of lane.projects.values()) {
      for (const campaign of line) {
        const isOwn = lane.turn.owner === owner && lane.demand.rank === rank
        if (isOwn ? campaign.priority >= priority : isBefore) jobs += readyJobs(campaign)
      }
    }
  }
  return jobs
}

/** Jobs that are ready and are placed before the next one of this lane. */
export function aheadOf(state: State, own: Lane, nowMs: number): number {
  const used = laneUse(state, own, nowMs)
  const next = nextCampaign(own, nowMs, () => true)!
  let jobs = 0
  for (const lane of lanesUpTo(state, own.demand.rank)) {
    const isBefore = lane.demand.rank !== own.demand.rank || laneUse(state, lane, nowMs) < used
    for (const line of lane.projects.values()) {
      for (const campaign of line) {
        if (lane.turn === own.turn ? campaign !== next && goesBefore(campaign, next, nowMs) : isBefore) {
          jobs += readyJobs(campaign)
        }
      }
    }
  }
  return jobs
}

function* lanesUpTo(state: State, rank: Rank): Generator<Lane> {
  for (const one of ranks.slice(0, ranks.indexOf(rank) + 1)) {
    for (const demand of state.queue.ready.demands[one]) yield* demand.lanes
  }
}

function laneUse(state: State, { turn, demand }: Lane, nowMs: number): number {
  return weightedUse(state, turn.owner, demand.rank === "bestEffort", nowMs)
}

function weightedUse(state: State, owner: string, bestEffort: boolean, nowMs: number): number {
  return (usedBy(state, ownerKey(owner, bestEffort), nowMs) * weightAt(nowMs)) / shareOf(state, owner)
}
