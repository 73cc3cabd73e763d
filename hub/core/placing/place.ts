// Places what can be placed, once a tick. After it nothing that is ready fits onto a node that has room, unless the room is
// kept for somebody. So at the next tick only nodes that got more room, and demands that became ready, need a look.
import { HELD_MAX } from "../../limits.ts"
import { jobAt, offer } from "../attempts.ts"
import { takeIndex, updateLane } from "../change.ts"
import { watchTail } from "../lease.ts"
import type { CampaignId, Node, NodeId, Ready } from "../model.ts"
import { shapeOf } from "../rules.ts"
import type { Stage } from "../stage.ts"
import { roomInside } from "./containers.ts"
import { makeRoom } from "./preempt.ts"
import { countPlaced, isEmpty, newcomers, settlePlaced } from "./queue.ts"
import { countCrossing } from "./reservations.ts"
import { freeRoom, readyJobs, take } from "./room.ts"
import { type Choice, choose, type Room } from "./schedule.ts"
import { watchQueue } from "./starvation.ts"

interface Open extends Room {
  places: number
}

export function placeWork(stage: Stage): void {
  const { queue, freed } = stage.state
  if (!isEmpty(queue)) {
    fill(stage, ofNodes(stage, freed, queue.ready))
    fill(stage, ofContainers(stage, freed))
    if (queue.fresh.size > 0) {
      fillWithNewcomers(stage)
      makeRoom(stage)
      // What was displaced may have a place elsewhere.
      if (queue.fresh.size > 0) fillWithNewcomers(stage)
    }
    settlePlaced(stage.state, stage.now.nowMs)
    watchQueue(stage)
  }
  freed.clear()
}

function fillWithNewcomers(stage: Stage): void {
  const { queue, room } = stage.state
  fill(stage, ofNodes(stage, room, newcomers(queue)))
  fill(stage, ofNewContents(stage))
  queue.fresh.clear()
}

/** Evenly: one job a round. */
function fill(stage: Stage, places: Iterable<Open>): void {
  let open: Open[] = []
  for (const one of places) {
    if (isEmpty(stage.state.queue)) return
    if (placeOne(stage, one)) open.push(one)
  }
  while (open.length > 0 && !isEmpty(stage.state.queue)) open = open.filter(one => placeOne(stage, one))
}

/** Whether there is room for another. */
function placeOne(stage: Stage, open: Open): boolean {
  const choice = choose(stage.state, open, stage.now.nowMs)
  if (choice === null) return false
  putOnto(stage, open, choice)
  return open.free.slots > 0 && open.places > 0
}

function putOnto(stage: Stage, open: Open, { lane, campaign, index, shape }: Choice): void {
  const { state, now } = stage
  const { node } = open
  const { needs } = shapeOf(campaign, shape)
  takeIndex(campaign, index)
  offer(stage, node, campaign, jobAt(campaign, index), shape)
  if (readyJobs(campaign) === 0) {
    updateLane(state, campaign)
    watchTail(stage, campaign)
  }
  take(open.free, needs)
  open.places--
  countPlaced(state, lane, needs.slots, now.nowMs)
  countCrossing(state, node, campaign, shape, now.nowMs)
  if (open.claim !== lane) return
  state.claims.delete(node.id)
  // What is left of it is anybody's.
  open.claim = null
  open.asked = state.queue.ready
}

function* ofNodes({ state }: Stage, ids: Iterable<NodeId>, asked: Ready): Generator<Open> {
  for (const id of ids) {
    if (!state.room.has(id)) continue
    const node = state.nodes.get(id)!
    const claim = state.claims.get(id) ?? null
    const places = node.quarantine === null ? HELD_MAX - node.held.size : 1
    yield { node, free: freeRoom(node), asked, claim, places }
  }
}

function* ofContainers({ state }: Stage, ids: Iterable<NodeId>): Generator<Open> {
  if (state.queue.inside.size === 0) return
  for (const id of ids) {
    const node = state.nodes.get(id)!
    const containers = new Set([...node.held.values()].flatMap(held => (held.container ? held.campaign : [])))
    for (const container of containers) yield* ofContainer(state, node, container)
  }
}

/** Demands inside containers that became ready: the nodes that have one of these. */
function* ofNewContents({ state }: Stage): Generator<Open> {
  const containers = new Set([...state.queue.fresh].flatMap(({ inside }) => inside ?? []))
  for (const container of containers) {
    for (const id of state.campaigns.get(container)?.onNodes.keys() ?? []) {
      yield* ofContainer(state, state.nodes.get(id)!, container)
    }
  }
}

function* ofContainer(state: Stage["state"], node: Node, container: CampaignId): Generator<Open> {
  const asked = state.queue.inside.get(container)
  const isOpen = node.link !== null && !node.revoked && node.quarantine === null && node.held.size < HELD_MAX
  if (asked === undefined || !isOpen) return
  yield { node, free: roomInside(state, node, container), asked, claim: null, places: HELD_MAX - node.held.size }
}
