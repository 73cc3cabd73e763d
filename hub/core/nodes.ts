// Nodes come, go, and fall silent. The hello is the whole recovery protocol: hub and node compare what each believes
// the node holds, and every difference has one answer. It survives a crash of either side at any moment.

import { factsOf } from "../../proto/wire/property.ts"
import { HEARTBEAT_MS, HELD_MAX, LEASE_MS, MISSED_MS } from "../limits.ts"
import {
  advance,
  currentAttempt,
  expectStop,
  lose,
  release,
  revive,
  speakOffer,
  takeBackOverdue,
  takeBackUnanswered,
} from "./attempts.ts"
import { updateRoom } from "./change.ts"
import type { ReconcileAnswer } from "./effects.ts"
import { CahError } from "./errors.ts"
import type { HeartbeatReceived, NodeDrained, NodeForgotten, NodeGone, NodeHello, NodeRevoked } from "./events.ts"
import { arm, isTailWatched, renew, watchTail } from "./lease.ts"
import { type Campaign, type Held, jobId, type Node, type NodeId } from "./model.ts"
import { noPresence, notePresence, presenceBytes } from "./placing/presence.ts"
import { forgetJudgements } from "./placing/queue.ts"
import type { NodeRow } from "./rows.ts"
import type { Stage } from "./stage.ts"
import { isForward } from "./transitions.ts"
import type { Why } from "./why.ts"

export function onNodeHello(stage: Stage, event: NodeHello): void {
  const { state, effects, now } = stage
  const node = state.nodes.get(event.node) ?? newNode(stage, event)
  if (node.revoked) {
    effects.speech.push({ kind: "CloseLink", link: event.link, why: "revoked" })
    return
  }
  if (node.link !== null) effects.speech.push({ kind: "CloseLink", link: node.link, why: "superseded" })
  node.epoch++
  // Until now it was there or not; from here on it is.
  notePresence(node.presence, now.wallMs, node.link !== null)
  node.link = event.link
  node.network = event.network
  node.name = event.name
  node.agentVersion = event.agentVersion
  node.slots = event.slots
  node.memoryBytes = event.memoryBytes
  node.diskBytes = event.diskBytes
  node.properties = event.properties
  node.facts = factsOf(node)
  forgetJudgements(state.queue, node)
  renew(node, now.nowMs)
  effects.nodes.add(node)

  const unanswered = settleHeld(stage, node, event)
  node.bootId = event.bootId
  const reconciled = event.holding.slice(0, HELD_MAX).map(holding => {
    const { campaign, index, attempt } = holding
    return { campaign, index, attempt, answer: reconcile(stage, node, holding) }
  })
  if (node.held.size > 0) arm(state, node)
  state.freed.add(node.id)
  updateRoom(state, node)
  effects.speech.push({
    kind: "Welcome",
    link: event.link,
    node: node.id,
    epoch: node.epoch,
    leaseMs: LEASE_MS,
    heartbeatMs: HEARTBEAT_MS,
    reconciled,
  })
  for (const { campaign, held, shape } of unanswered) speakOffer(stage, node, campaign, held, shape)
}

interface Unanswered {
  readonly campaign: Campaign
  readonly held: Held
  readonly shape: number
}

/** What we believe it holds and it does not name: an offer that never arrived is said again, anything else is lost. */
function settleHeld(stage: Stage, node: Node, event: NodeHello): Unanswered[] {
  const named = new Map(event.holding.map(holding => [jobId(holding.campaign, holding.index), holding.attempt]))
  const unanswered: Unanswered[] = []
  for (const [id, held] of [...node.held]) {
    if (named.get(id) === held.attempt) continue
    const found = currentAttempt(stage, node, held.campaign, held.index, held.attempt)
    const one = found?.one ?? null
    if (found !== null && one?.phase === "offered" && held.stopping === null) {
      one.sinceMs = stage.now.nowMs
      unanswered.push({ campaign: found.campaign, held, shape: one.shape })
      continue
    }
    release(stage, node, id)
    if (found === null || one === null) continue
    if (node.bootId === event.bootId)
      lose(stage, found.campaign, found.job, one, "node_forgot", "lost: the node no longer has it")
    else lose(stage, found.campaign, found.job, one, "node_restarted", "lost: the node started anew")
  }
  return unanswered
}

function reconcile(stage: Stage, node: Node, holding: NodeHello["holding"][number]): ReconcileAnswer {
  const { campaign, index, attempt, phase } = holding
  const id = jobId(campaign, index)
  const found = currentAttempt(stage, node, campaign, index, attempt)
  if (found !== null && node.held.get(id)?.stopping == null) {
    const { campaign: of, job, one } = found
    const at = phase === "ended" ? "returning" : phase
    const event = `${at}; the node came back with it`
    if (one === null) revive(stage, node, of, job, at, event)
    else if (isForward(one.phase, at)) advance(stage, of, job, one, at, "came_back", event)
    return "continue"
  }
  if (phase === "staging" || phase === "running") {
    expectStop(stage, node, holding)
    return "kill"
  }
  if (node.held.get(id)?.attempt === attempt) release(stage, node, id)
  return "discard"
}

function newNode({ state, now }: Stage, event: NodeHello): Node {
  const node: Node = {
    id: event.node,
    number: state.freeNumbers.pop() ?? state.nodes.size,
    account: event.account,
    host: event.host,
    network: event.network,
    name: event.name,
    publicKey: event.publicKey,
    agentVersion: event.agentVersion,
    bootId: event.bootId,
    epoch: 0,
    link: null,
    missedFromMs: 0,
    slots: 0,
    memoryBytes: 0,
    diskBytes: 0,
    properties: {},
    facts: {},
    presence: noPresence(now.wallMs),
    drained: false,
    revoked: false,
    quarantine: null,
    quarantines: 0,
    leaseUntilMs: 0,
    leaseArmed: false,
    held: new Map(),
  }
  state.nodes.set(node.id, node)
  return node
}

export function onNodeGone(stage: Stage, event: NodeGone): void {
  const node = stage.state.nodes.get(event.node)
  if (node === undefined || node.epoch !== event.epoch) return
  leave(stage, node)
  for (const { campaign: id } of node.held.values()) {
    const campaign = stage.state.campaigns.get(id)
    // Its last jobs: somebody looks at once when the node is missed.
    if (campaign !== undefined && isTailWatched(campaign)) watchTail(stage, campaign, MISSED_MS)
  }
}

function leave({ state, effects, now }: Stage, node: Node): void {
  notePresence(node.presence, now.wallMs, true)
  node.link = null
  node.missedFromMs = now.nowMs + MISSED_MS
  updateRoom(state, node)
  effects.nodes.add(node)
}

export function onHeartbeat(stage: Stage, event: HeartbeatReceived): void {
  const { state, effects, now } = stage
  const node = state.nodes.get(event.node)
  if (node === undefined || node.link === null || node.epoch !== event.epoch) return
  renew(node, now.nowMs)
  if (notePresence(node.presence, now.wallMs, true)) effects.nodes.add(node)
  const { link } = node
  effects.speech.push({ kind: "AnswerHeartbeat", link, sequence: event.sequence, leaseMs: LEASE_MS })
  // A kill is repeated until the node says that the attempt has ended.
  for (const { campaign, index, attempt, stopping } of node.held.values()) {
    if (stopping !== null) effects.speech.push({ kind: "Kill", link, reason: stopping, campaign, index, attempt })
  }
  takeBackUnanswered(stage, node)
}

/** The lease deadline came. If the node was heard since, look again later; else all it holds is lost. */
export function onLeaseDue(stage: Stage, id: NodeId): void {
  const { state, effects, now } = stage
  const node = state.nodes.get(id)
  if (node === undefined) return
  node.leaseArmed = false
  if (node.held.size === 0) return
  if (node.leaseUntilMs > now.nowMs) {
    takeBackOverdue(stage, node)
    arm(state, node)
    return
  }
  loseAll(stage, node, "lease_expired", "lost: the node fell silent and its lease ran out")
  if (node.link === null) return
  effects.speech.push({ kind: "CloseLink", link: node.link, why: "silent" })
  leave(stage, node)
}

function loseAll(stage: Stage, node: Node, why: Why, event: string): void {
  for (const [id, held] of [...node.held]) {
    release(stage, node, id)
    const found = currentAttempt(stage, node, held.campaign, held.index, held.attempt)
    if (found !== null) lose(stage, found.campaign, found.job, found.one, why, event)
  }
}

export function onNodeDrained(stage: Stage, event: NodeDrained): void {
  const node = stage.state.nodes.get(event.node)
  if (node === undefined) return notFound(stage, event)
  if (node.revoked && !event.drained) return refuseRevoked(stage, event)
  node.drained = event.drained
  stage.state.freed.add(node.id)
  updateRoom(stage.state, node)
  stage.effects.nodes.add(node)
  stage.effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "done" } })
}

export function onNodeRevoked(stage: Stage, event: NodeRevoked): void {
  const { state, effects } = stage
  const node = state.nodes.get(event.node)
  if (node === undefined) return notFound(stage, event)
  node.revoked = true
  // It comes no more, and may be a volunteer's who wants to be forgotten.
  node.network = ""
  node.epoch++
  loseAll(stage, node, "node_revoked", "lost: the node was revoked")
  if (node.link !== null) effects.speech.push({ kind: "CloseLink", link: node.link, why: "revoked" })
  node.link = null
  updateRoom(state, node)
  effects.nodes.add(node)
  effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "done" } })
}

/** It would stay away all the same. */
function refuseRevoked(stage: Stage, event: NodeDrained): void {
  const message = `node ${event.node} is revoked, for good: it comes back only as a new node, with an enrolment of its own`
  const error = new CahError("failed_precondition", message)
  stage.effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "error", error } })
}

/** Refused while anything of it is still to be settled. Its key is a stranger's from now on. */
export function onNodeForgotten(stage: Stage, event: NodeForgotten): void {
  const { state, effects } = stage
  const node = state.nodes.get(event.node)
  if (node === undefined) return notFound(stage, event)
  const why =
    node.link !== null
      ? "is connected: end its agent, or revoke it first"
      : node.held.size > 0
        ? `has ${node.held.size} of the hub's jobs still: revoke it first, or wait until its lease runs out`
        : null
  if (why !== null) {
    const error = new CahError("failed_precondition", `node ${node.id} ${why}`)
    effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "error", error } })
    return
  }
  state.nodes.delete(node.id)
  for (const nodes of [state.room, state.freed, state.lending, state.shrunk]) nodes.delete(node.id)
  state.claims.delete(node.id)
  // Judgements are kept by number, and the next node that joins gets this one.
  forgetJudgements(state.queue, node)
  state.freeNumbers.push(node.number)
  effects.nodes.delete(node)
  effects.writes.push({ kind: "forgetNode", node: node.id })
  effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "done" } })
}

function notFound(stage: Stage, event: NodeDrained | NodeRevoked | NodeForgotten): void {
  const error = new CahError("not_found", `there is no node ${event.node}: see "cah nodes" for those there are`)
  stage.effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "error", error } })
}

export function nodeRow(node: Node, wallMs: number): NodeRow {
  const {
    link: _link,
    missedFromMs: _missed,
    leaseUntilMs: _until,
    presence,
    leaseArmed: _armed,
    held: _held,
    facts: _facts,
    number: _number,
    quarantines: _quarantines,
    quarantine,
    ...row
  } = node
  return {
    ...row,
    quarantine: quarantineRow(quarantine),
    properties: { ...node.properties },
    presence: presenceBytes(presence),
    lastSeenAt: wallMs,
  }
}

function quarantineRow(quarantine: Node["quarantine"]): NodeRow["quarantine"] {
  if (quarantine === null) return null
  const { sinceAt, why, clean, failed } = quarantine
  return { sinceAt, why, clean, failed }
}
