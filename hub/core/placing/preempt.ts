// Best effort makes room: when a job that is in turn finds no place, attempts of best effort are stopped where that helps,
// the youngest first, and queued again. What is stopped counts as room on its way, so that no more is stopped than is needed.
import { displace } from "../attempts.ts"
import { liveJob, stopOn, tryOf } from "../change.ts"
import type { Demand, Held, Node, NodeId } from "../model.ts"
import { suits } from "../rules.ts"
import type { Stage } from "../stage.ts"
import { type Free, fittingShape, freeRoom, give, readyJobs, take, takesWork } from "./room.ts"

const event = "stopped: best effort made room for a job in turn"

export function makeRoom(stage: Stage): void {
  const { state } = stage
  if (state.lending.size === 0) return
  const coming = new Map<NodeId, Free>()
  for (const rank of ["reserved", "common"] as const) {
    for (const demand of [...state.queue.ready.demands[rank]]) makeRoomFor(stage, demand, coming)
  }
}

/** `coming` is the room that there will be on each node, less what was counted on before. */
function makeRoomFor(stage: Stage, demand: Demand, coming: Map<NodeId, Free>): void {
  const { state } = stage
  let wanted = waiting(demand)
  for (const id of state.lending) {
    if (wanted === 0) return
    const node = state.nodes.get(id)!
    const claim = state.claims.get(id)
    if (!takesWork(node) || node.quarantine !== null || !suits(node, demand)) continue
    if (claim !== undefined && claim.demand !== demand) continue
    const free = coming.get(id) ?? comingRoom(node)
    coming.set(id, free)
    while (wanted > 0 && clear(stage, node, demand, free)) wanted--
  }
}

/** Jobs that wait for a place. */
function waiting(demand: Demand): number {
  let jobs = 0
  for (const lane of demand.lanes) {
    for (const line of lane.projects.values()) for (const campaign of line) jobs += readyJobs(campaign)
  }
  return jobs
}

/** What the node will have once all that is told to stop has. */
function comingRoom(node: Node): Free {
  const free = freeRoom(node)
  for (const held of node.held.values()) if (held.stopping !== null && held.inside === null) give(free, held.needs)
  return free
}

/** Counts on room for one more job there; stops what must go for it. False: not even without best effort is there room. */
function clear(stage: Stage, node: Node, demand: Demand, free: Free): boolean {
  const guests = [...node.held.values()].filter(held => held.stopping === null && held.account?.bestEffort === true)
  const without = { ...free }
  for (const { needs } of guests) give(without, needs)
  if (fittingShape(demand, without) === null) return false
  while (fittingShape(demand, free) === null) {
    const guest = guests.pop()!
    stop(stage, node, guest)
    give(free, guest.needs)
  }
  take(free, demand.shapes[fittingShape(demand, free)!]!)
  return true
}

function stop(stage: Stage, node: Node, { campaign, index, attempt }: Held): void {
  const found = liveJob(stage.state, campaign, index)
  const one = found === null ? null : tryOf(found.job, attempt, node.id)
  if (found === null || one === null) return
  stopOn(stage, campaign, index, one, event)
  displace(stage, found.campaign, found.job, one, "preempted", event)
}
