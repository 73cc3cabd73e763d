// A look, now and then, at what waits although it should not: jobs that are too large for the gaps that come by themselves,
// work behind best effort, reservations to come. Armed while there is any of it.
import { CLAIMS_SHARE, LOOK_EVERY_MS, PATIENCE_MS } from "../../limits.ts"
import type { Demand, Lane, Node, State } from "../model.ts"
import { suits } from "../rules.ts"
import type { Stage } from "../stage.ts"
import { makeRoom } from "./preempt.ts"
import { isCurrent, isEmpty, renewKey } from "./queue.ts"
import { lookAtBookings } from "./reservations.ts"
import { fittingShape, freeRoom, takesWork } from "./room.ts"

export function watchQueue({ state, now }: Pick<Stage, "state" | "now">): void {
  const isNeeded = !isEmpty(state.queue) || state.bookings.size > 0
  if (!isNeeded || state.lookArmed) return
  state.lookArmed = true
  state.deadlines.add(now.nowMs + LOOK_EVERY_MS, { kind: "look" })
}

export function onLookDue(stage: Stage): void {
  const { state } = stage
  state.lookArmed = false
  lookAtBookings(stage)
  dropClaims(state)
  claimNodes(stage)
  makeRoom(stage)
  watchQueue(stage)
}

/** Of lanes that have nothing left, and on nodes that can't serve them any more. */
function dropClaims(state: State): void {
  for (const [id, lane] of state.claims) {
    const node = state.nodes.get(id)!
    if (lane.projects.size > 0 && canServe(node, lane)) continue
    state.claims.delete(id)
    state.freed.add(id)
  }
}

function canServe(node: Node, { demand }: Lane): boolean {
  return takesWork(node) && node.quarantine === null && fittingShape(demand, node) !== null && suits(node, demand)
}

/**
 * Whose turn it is and who has been passed over for long, since nothing that came free was large enough, gets a node that
 * nobody else may fill. Who has used more waits for a turn and is not passed over.
 */
function claimNodes(stage: Stage): void {
  const { state, now } = stage
  const lanes = waitingLanes(stage)
  const isPatient = (lane: Lane) => now.nowMs - lane.waitsSinceMs! < PATIENCE_MS
  // Else all nodes would be looked at for each, and none of them kept.
  if (lanes.every(isPatient)) return
  let connected = 0
  for (const node of state.nodes.values()) if (node.link !== null) connected++
  const most = Math.max(1, Math.floor(connected * CLAIMS_SHARE))
  const claimed = new Set(state.claims.values())
  for (const lane of lanes) {
    if (state.claims.size >= most) return
    if (claimed.has(lane)) continue
    const node = emptiest(state, lane)
    // Nobody can serve it, or there is room that is kept for a reservation: it is not too large.
    if (node === null || fittingShape(lane.demand, freeRoom(node)) !== null) continue
    if (isPatient(lane)) return
    state.claims.set(node.id, lane)
  }
}

/** The first of each demand outside of containers and in turn, in the order of turns. */
function waitingLanes({ state, now }: Stage): Lane[] {
  const first = new Map<Demand, Lane>()
  for (const rank of ["reserved", "common"] as const) {
    const order = state.queue.ready.orders[rank]
    for (const seat of [...order]) if (!isCurrent(seat, now.nowMs)) renewKey(state, seat, now.nowMs)
    for (const { lanes } of order) for (const lane of lanes) if (!first.has(lane.demand)) first.set(lane.demand, lane)
  }
  for (const lane of first.values()) lane.waitsSinceMs ??= now.nowMs
  return [...first.values()]
}

/** Of the nodes that could serve it when empty the one that has most free. */
function emptiest(state: State, lane: Lane): Node | null {
  let best: { node: Node; slots: number } | null = null
  for (const node of state.nodes.values()) {
    if (state.claims.has(node.id) || !canServe(node, lane)) continue
    const { slots } = freeRoom(node)
    if (best === null || slots > best.slots) best = { node, slots }
  }
  return best?.node ?? null
}
