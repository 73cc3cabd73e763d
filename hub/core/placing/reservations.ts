// Reservations on machines that come and go: what may be expected of them at a moment, so that the answer is honest, and what
// is kept back before it, so that the answer comes true. Jobs that would still run at the start are not put onto nodes that
// the reservation will need; best effort may, since it makes room.
import { CLOCK_JUMP_MS } from "../../limits.ts"
import { liveJob, tryOf } from "../change.ts"
import type { Booking, Campaign, Demand, Needs, Node, Now, Shape, State } from "../model.ts"
import { shapeOf, suits } from "../rules.ts"
import type { Stage } from "../stage.ts"
import { likelihood } from "./presence.ts"
import { type Free, take, takesWork } from "./room.ts"

export interface Expectation {
  /** Jobs that will find a place at once, on average. */
  readonly jobs: number
  /** That all of them will, 0 to 1. */
  readonly confidence: number
  /** Nodes that it is judged from. */
  readonly nodes: number
}

/** Of jobs like this on the nodes that the hub knows, less what others have reserved. */
export function expectation(
  state: State,
  wanted: { readonly demand: Pick<Demand, "shapes" | "condition">; readonly total: number },
  window: { readonly startAt: number; readonly endAt: number },
  now: Now,
): Expectation {
  const { demand, total } = wanted
  let [mean, variance, nodes] = [0, 0, 0]
  for (const node of state.nodes.values()) {
    if (node.revoked || node.drained || node.quarantine !== null || !suits(node, demand)) continue
    const jobs = jobsIn(node, demand.shapes[0]!)
    if (jobs === 0) continue
    const likely = likelihood(node, window.startAt, now)
    nodes++
    mean += jobs * likely
    variance += jobs * jobs * likely * (1 - likely)
  }
  mean = Math.max(0, mean - bookedJobs(state, demand.shapes[0]!, window))
  return { jobs: mean, confidence: above(total, mean, Math.sqrt(variance)), nodes }
}

/** What others have reserved for the same time, counted in jobs of this size. */
function bookedJobs(state: State, needs: Needs, { startAt, endAt }: { startAt: number; endAt: number }): number {
  let jobs = 0
  for (const { rules, needs: theirs, walltimeMs, total } of state.campaigns.values()) {
    if (rules.reservation === null) continue
    const { startAt: from, endAt: to } = rules.reservation
    if (from < endAt && (to ?? from + walltimeMs) > startAt) jobs += (total * theirs.slots) / needs.slots
  }
  return jobs
}

/** The probability that a normal variable reaches the number. */
function above(number: number, mean: number, deviation: number): number {
  if (deviation === 0) return mean >= number ? 1 : 0
  const x = (mean - number + 0.5) / deviation / Math.SQRT2
  // The error function to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
  const t = 1 / (1 + 0.3275911 * Math.abs(x))
  const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
  const erf = 1 - tail * Math.exp(-x * x)
  return (1 + (x < 0 ? -erf : erf)) / 2
}

/** Jobs of that size that fit into so much room. */
export function jobsIn(room: Needs, { slots, memoryBytes, diskBytes }: Needs): number {
  const parts = [room.slots / slots]
  if (memoryBytes > 0) parts.push(room.memoryBytes / memoryBytes)
  if (diskBytes > 0) parts.push(room.diskBytes / diskBytes)
  return Math.max(0, Math.floor(Math.min(...parts)))
}

// ---- before the start ------------------------------------------------------------------------------------------

export function book({ state, now }: Pick<Stage, "state" | "now">, campaign: Campaign): void {
  const booking = { campaign, startMs: startOf(campaign, now), spare: 0, refused: false }
  state.bookings.set(campaign.id, booking)
  state.deadlines.add(booking.startMs, { kind: "start", campaign: campaign.id })
  recount(state, booking, now)
}

function startOf({ rules }: Campaign, now: Now): number {
  return now.nowMs + Math.max(0, rules.reservation!.startAt - now.wallMs)
}

/** It begins, or will not: what was kept back for it may be used. */
export function unbook(state: State, campaign: Campaign): void {
  if (state.bookings.delete(campaign.id)) for (const id of state.room) state.freed.add(id)
}

/** Whether the node is needed for a reservation that begins before a job in this shape would have to be over. */
export function isKeptBack(state: State, node: Node, campaign: Campaign, shape: number, nowMs: number): boolean {
  const booking = keptFor(state, node, campaign, shape, nowMs)
  if (booking !== null) booking.refused = true
  return booking !== null
}

/** The same without a trace: which reservation needs it, or null. */
export function keptFor(state: State, node: Node, campaign: Campaign, shape: number, nowMs: number): Booking | null {
  if (state.bookings.size === 0 || !isInTheWay(campaign)) return null
  for (const booking of crossed(state, node, shapeOf(campaign, shape), nowMs)) if (booking.spare <= 0) return booking
  return null
}

/** Best effort makes room when it must, and what is inside a container takes none. */
function isInTheWay({ demand }: Campaign): boolean {
  return demand.rank === "common" && demand.inside === null
}

/** A job was placed: it may take from what reservations have to spare. */
export function countCrossing(state: State, node: Node, campaign: Campaign, shape: number, nowMs: number): void {
  if (state.bookings.size === 0 || !isInTheWay(campaign)) return
  const { needs } = shapeOf(campaign, shape)
  for (const booking of crossed(state, node, shapeOf(campaign, shape), nowMs)) {
    booking.spare -= Math.max(1, needs.slots / booking.campaign.needs.slots)
  }
}

function* crossed(state: State, node: Node, { walltimeMs }: Shape, nowMs: number): Generator<Booking> {
  for (const booking of state.bookings.values()) {
    if (nowMs + walltimeMs > booking.startMs && suits(node, booking.campaign.demand)) yield booking
  }
}

/**
 * Counts anew what is to spare, and when they begin. Nodes that were kept back are looked at again if they need not be any more.
 */
export function lookAtBookings({ state, now }: Stage): void {
  for (const booking of state.bookings.values()) {
    const startMs = startOf(booking.campaign, now)
    if (Math.abs(startMs - booking.startMs) > CLOCK_JUMP_MS) {
      booking.startMs = startMs
      state.deadlines.add(startMs, { kind: "start", campaign: booking.campaign.id })
    }
    recount(state, booking, now)
    if (booking.refused && booking.spare > 0) for (const id of state.room) state.freed.add(id)
    booking.refused = false
  }
}

function recount(state: State, booking: Booking, now: Now): void {
  const { needs, total, demand, rules } = booking.campaign
  let [capacity, likely, nodes] = [0, 0, 0]
  for (const node of state.nodes.values()) {
    if (!takesWork(node) || node.quarantine !== null || !suits(node, demand)) continue
    capacity += jobsIn(roomAt(state, node, booking.startMs), needs)
    likely += likelihood(node, rules.reservation!.startAt, now)
    nodes++
  }
  // Some of what is there now will be away by then. Never more than four times what is asked for.
  const share = nodes === 0 ? 1 : Math.max(0.25, likely / nodes)
  booking.spare = capacity - total / share
}

/** What the node will have left when all that must be over by then is. */
function roomAt(state: State, node: Node, atMs: number): Free {
  const free = { slots: node.slots, memoryBytes: node.memoryBytes, diskBytes: node.diskBytes }
  for (const { campaign, index, attempt, needs, account, inside } of node.held.values()) {
    if (inside !== null || account?.bestEffort === true) continue
    const found = liveJob(state, campaign, index)
    const one = found === null ? null : tryOf(found.job, attempt, node.id)
    const isOver = found === null || one === null || one.sinceMs + shapeOf(found.campaign, one.shape).walltimeMs <= atMs
    if (!isOver) take(free, needs)
  }
  return free
}
