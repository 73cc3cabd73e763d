// Why a job is where it is: the nearest cause in one sentence, what stands between it and the nodes, and the smallest changes
// each of which alone would run it now. Looks at the state only. What has ended is not here: the store knows.

import { failing, matches, printRequirement, printValue, type Requirement } from "../../../proto/wire/property.ts"
import { mayBeginMore, underWay as underWayNow } from "../change.ts"
import type { Campaign, CampaignId, Job, Needs, Node, Now, State } from "../model.ts"
import { roomInside } from "../placing/containers.ts"
import { keptFor } from "../placing/reservations.ts"
import { fits, fittingShape, freeRoom, isKeptFrom, isPaused, readyJobs, takesWork } from "../placing/room.ts"
import { ownerKey } from "../placing/usage.ts"
import { suits } from "../rules.ts"
import { linesOf } from "../story.ts"
import { aheadOf, durationInWords } from "./feasible.ts"

export type Cause =
  | "underWay"
  | "campaignHeld"
  | "jobHeld"
  | "waitsForCampaign"
  | "reservedForLater"
  | "backsOff"
  | "noNodes"
  | "noSuchNode"
  | "nodesAway"
  | "tooLarge"
  | "nodesBusy"
  | "containerNotRunning"
  | "containerFull"
  | "roomKeptBack"
  | "atOnce"

export interface Explanation {
  readonly cause: Cause
  readonly sentence: string
  /** The job that is explained; null: none of the campaign waits. */
  readonly index: number | null
  /** What nodes lack, each node for what it lacks first; the most nodes first. */
  readonly obstacles: readonly { readonly lacks: string; readonly nodes: number }[]
  /** And how many nodes would then run the job now; the smallest change first. */
  readonly remedies: readonly { readonly change: Change; readonly nodes: number }[]
  readonly jobsAhead: number
  /** Wall time, ms; null: nothing is due by itself. */
  readonly notBefore: number | null
}

/** What would run the job now, each alone. */
export type Change =
  /** So much of one size instead. */
  | { readonly kind: "needs"; readonly size: keyof Needs; readonly value: number }
  | { readonly kind: "property"; readonly property: string }
  | { readonly kind: "without"; readonly what: "property" | "bestEffort" }
  /** `index` null: the whole campaign. */
  | { readonly kind: "resume"; readonly campaign: CampaignId; readonly index: number | null }
  /** To look why its container waits. */
  | { readonly kind: "explain"; readonly campaign: CampaignId }

const REMEDIES_MAX = 5

/** Null: that job has ended. `index` null: the one that is next. */
export function explain(state: State, campaign: Campaign, index: number | null, now: Now): Explanation | null {
  const chosen = index ?? nextIndex(campaign)
  if (chosen === null)
    return say("underWay", `every job of campaign ${campaign.id} that has not ended is under way`, null)
  const job = campaign.jobs.get(chosen) ?? null
  if (job === null && hasEnded(campaign, chosen)) return null
  const one = job?.tries[0]
  if (job !== null && one !== undefined) return underWay(state, job, chosen)
  return heldBack(state, campaign, job, chosen, now) ?? unplaced(state, campaign, chosen, now)
}

function say(cause: Cause, sentence: string, index: number | null, more: Partial<Explanation> = {}): Explanation {
  return { cause, sentence, index, obstacles: [], remedies: [], jobsAhead: 0, notBefore: null, ...more }
}

/** The job that is offered next, or else one that waits for something. */
function nextIndex(campaign: Campaign): number | null {
  for (const index of campaign.again) return index
  let index = campaign.cursor
  for (const range of campaign.skipped) if (range.first <= index) index = Math.max(index, range.last + 1)
  if (index < campaign.total) return index
  for (const job of campaign.jobs.values()) if (job.tries.length === 0) return job.index
  return null
}

function hasEnded(campaign: Campaign, index: number): boolean {
  return index < campaign.cursor || campaign.skipped.some(({ first, last }) => first <= index && index <= last)
}

function underWay(state: State, job: Job, index: number): Explanation {
  const places = job.tries.map(one => `${one.phase} on ${state.nodes.get(one.node)?.name ?? one.node}`)
  return say("underWay", `it is under way: ${places.join(", and ")}`, index)
}

// ---- what is not about nodes ------------------------------------------------------------------------------------

function heldBack(state: State, campaign: Campaign, job: Job | null, index: number, now: Now): Explanation | null {
  const { id } = campaign
  const resume = (held: number | null) => {
    const change = { kind: "resume", campaign: id, index: held } as const
    return { remedies: [{ change, nodes: nodesNow(state, campaign) }] }
  }
  if (campaign.held) return say("campaignHeld", `campaign ${id} is held`, index, resume(null))
  if (job?.held === true) return say("jobHeld", `job ${id}.${index} is held`, index, resume(index))
  const [awaited] = campaign.waitsFor
  if (awaited !== undefined) {
    const other = state.campaigns.get(awaited.campaign)
    const left = other === undefined ? 0 : other.total - other.counts.finished
    const more = campaign.waitsFor.length > 1 ? ` and ${campaign.waitsFor.length - 1} more` : ""
    const how = awaited.success ? "end well" : "end"
    const sentence = `it waits for campaign ${awaited.campaign}${more} to ${how}; ${left} of its ${other?.total ?? 0} jobs have still to finish`
    return say("waitsForCampaign", sentence, index)
  }
  if (campaign.early) {
    const { startAt } = campaign.rules.reservation!
    const sentence = `its reservation begins in ${durationInWords(startAt - now.wallMs)}`
    return say("reservedForLater", sentence, index, { notBefore: startAt })
  }
  if (job !== null && !campaign.again.has(index)) {
    const last = linesOf(job.story).at(-1)
    const sentence = `it waits a while before its next try, after ${job.failures} failures and ${job.losses} losses (last: ${last?.event ?? "unknown"})`
    return say("backsOff", sentence, index)
  }
  if (!mayBeginMore(campaign)) {
    const { atOnceMax } = campaign.rules
    const sentence = `${underWayNow(campaign.counts)} jobs of campaign ${id} are under way, and it asked for ${atOnceMax} at once (--at-once)`
    return say("atOnce", sentence, index)
  }
  return null
}

function nodesNow(state: State, campaign: Campaign): number {
  let nodes = 0
  for (const node of state.nodes.values()) if (standing(state, node, campaign, campaign.demand.shapes) === null) nodes++
  return nodes
}

// ---- what is about nodes ----------------------------------------------------------------------------------------

type Hindrance = "property" | "size" | "away" | "drained" | "quarantined" | "failedHere" | "kept" | "busy"

/** What keeps the node from running a job of these shapes now, the most lasting first; null: nothing. */
function standing(
  state: State,
  node: Node,
  campaign: Campaign,
  shapes: readonly Needs[],
  wants = campaign.demand.condition.wants,
  index: number | null = null,
) {
  const lacks = (why: Hindrance, what: string) => ({ why, what })
  if (wants !== null && !matches(wants, node.facts)) return lacks("property", failing(wants, node.facts)[0]!)
  if (fittingShape({ shapes }, node) === null) return lacks("size", `${shortOf(shapes[0]!, node)} in all`)
  if (node.link === null) return lacks("away", "a connection")
  if (node.drained) return lacks("drained", "leave to take new work (it is drained)")
  if (!takesWork(node) || node.quarantine !== null) return lacks("quarantined", "a clean record (it is in quarantine)")
  if (isPaused(campaign, node))
    return lacks("failedHere", "a job of this campaign that went well: its last ones failed there")
  if (index !== null && campaign.again.has(index) && isKeptFrom(campaign, index, node))
    return lacks("failedHere", "anything new to say: the job failed there")
  const free = freeRoom(node)
  if (fittingShape({ shapes }, free) === null) return lacks("busy", `${shortOf(shapes[0]!, free)} free`)
  if (state.claims.has(node.id)) return lacks("kept", "room that is not kept for a job that has waited long")
  return null
}

/** The first size that is too small, as it would be asked for. */
function shortOf(needs: Needs, room: Needs): string {
  if (needs.slots > room.slots) return needs.slots === 1 ? "1 slot" : `${needs.slots} slots`
  if (needs.memoryBytes > room.memoryBytes) return `mem ${printValue("mem", needs.memoryBytes)}`
  return `disk ${printValue("disk", needs.diskBytes)}`
}

function unplaced(state: State, campaign: Campaign, index: number, now: Now): Explanation {
  if (campaign.rules.inside !== null) return insideFull(state, campaign, index)
  const { demand } = campaign
  const nodes = [...state.nodes.values()].filter(node => !node.revoked)
  const counted = new Map<string, number>()
  const kinds = new Map<Hindrance | "none", number>()
  for (const node of nodes) {
    const found = standing(state, node, campaign, demand.shapes, demand.condition.wants, index)
    kinds.set(found?.why ?? "none", (kinds.get(found?.why ?? "none") ?? 0) + 1)
    if (found !== null) counted.set(found.what, (counted.get(found.what) ?? 0) + 1)
  }
  const obstacles = [...counted].map(([lacks, count]) => ({ lacks, nodes: count })).sort((a, b) => b.nodes - a.nodes)
  const { owner, bestEffort } = campaign.account
  const lane = state.queue.turns.get(ownerKey(owner, bestEffort))?.lanes.get(demand)
  const jobsAhead = lane === undefined ? 0 : aheadOf(state, lane, now.nowMs)
  const more = { obstacles, remedies: remedies(state, campaign, nodes), jobsAhead }
  const [cause, sentence] = causeOf(nodes, kinds, jobsAhead, isBooked(state, campaign, nodes, now))
  return say(cause, sentence, index, more)
}

function isBooked(state: State, campaign: Campaign, nodes: readonly Node[], now: Now): boolean {
  return nodes.some(
    node =>
      standing(state, node, campaign, campaign.demand.shapes) === null &&
      keptFor(state, node, campaign, 0, now.nowMs) !== null,
  )
}

function causeOf(
  nodes: readonly Node[],
  kinds: ReadonlyMap<Hindrance | "none", number>,
  jobsAhead: number,
  booked: boolean,
): [Cause, string] {
  const of = (kind: Hindrance | "none") => kinds.get(kind) ?? 0
  if (nodes.length === 0) return ["noNodes", "no node has joined this hub yet"]
  if (booked)
    return ["roomKeptBack", "there is room, and it is kept for a reservation that begins before this job must be over"]
  if (of("none") > 0) return ["nodesBusy", `there is room on ${count(of("none"))}: it is offered at once`]
  if (of("busy") > 0) {
    const failed =
      of("failedHere") === 0 ? "" : `; for a while it is kept from ${count(of("failedHere"))}, where it failed`
    return [
      "nodesBusy",
      `${count(of("busy"))} could run it, and all are busy${jobsAhead === 0 ? "; it is next" : ""}${failed}`,
    ]
  }
  if (of("failedHere") > 0)
    return [
      "nodesBusy",
      `jobs of the campaign failed on ${count(of("failedHere"))} that could run it: another is waited for, for a while`,
    ]
  if (of("quarantined") > 0)
    return [
      "nodesAway",
      `${count(of("quarantined"))} could run it, and jobs fail there that go well elsewhere: they get one now and then`,
    ]
  if (of("kept") > 0) return ["roomKeptBack", `room on ${count(of("kept"))} is kept for a job that has waited long`]
  if (of("away") > 0) return ["nodesAway", `${count(of("away"))} could run it, and none of them is connected`]
  if (of("drained") > 0)
    return ["nodesAway", `${count(of("drained"))} could run it, and all are drained by the operator`]
  if (of("size") > 0)
    return ["tooLarge", `${count(of("size"))} have the properties, and all are too small for it even when empty`]
  return ["noSuchNode", `of ${count(nodes.length)} none has the properties that it asks for`]
}

function count(nodes: number): string {
  return nodes === 1 ? "1 node" : `${nodes} nodes`
}

function insideFull(state: State, campaign: Campaign, index: number): Explanation {
  const id = campaign.rules.inside!
  const container = state.campaigns.get(id)
  const running = [...(container?.jobs.values() ?? [])].flatMap(job => job.tries).filter(one => one.phase === "running")
  if (running.length === 0) {
    const sentence = `it runs inside container ${id}, of which nothing runs yet`
    return say("containerNotRunning", sentence, index, {
      remedies: [{ change: { kind: "explain", campaign: id }, nodes: 0 }],
    })
  }
  const nodes = [...new Set(running.map(one => one.node))].map(node => state.nodes.get(node)!)
  const largest = Math.max(...nodes.map(node => roomInside(state, node, id).slots))
  const sentence = `container ${id} runs on ${count(nodes.length)} and is full: ${largest} slots at most are free in one, and it needs ${campaign.needs.slots}`
  return say("containerFull", sentence, index)
}

// ---- what would help --------------------------------------------------------------------------------------------

function remedies(state: State, campaign: Campaign, nodes: readonly Node[]) {
  const { demand } = campaign
  const wouldRun = (shapes: readonly Needs[], wants: Requirement | null) =>
    nodes.filter(node => standing(state, node, campaign, shapes, wants) === null).length
  const found: { change: Change; nodes: number; step: number }[] = []
  for (const key of ["slots", "memoryBytes", "diskBytes"] as const) {
    const need = campaign.needs[key]
    const open = nodes.filter(node => isOpen(state, node, campaign)).map(node => freeRoom(node))
    // The most that is free where nothing else is missing: the smallest step down.
    const rest = { ...campaign.needs, [key]: 0 }
    const most = Math.max(0, ...open.filter(free => fits(rest, free)).map(free => free[key]))
    const value = key === "slots" ? most : Math.floor(most / 1024 ** 2) * 1024 ** 2
    if (value <= 0 || value >= need) continue
    found.push({
      change: { kind: "needs", size: key, value },
      nodes: wouldRun([{ ...campaign.needs, [key]: value }], demand.condition.wants),
      step: 1 - value / need,
    })
  }
  for (const { change, wants } of weaker(demand.condition.wants)) {
    found.push({ change, nodes: wouldRun(demand.shapes, wants), step: 2 })
  }
  if (campaign.rules.bestEffort && readyJobs(campaign) > 0) {
    found.push({ change: { kind: "without", what: "bestEffort" }, nodes: campaign.onNodes.size, step: 3 })
  }
  return found
    .filter(one => one.nodes > 0)
    .sort((a, b) => a.step - b.step || b.nodes - a.nodes)
    .slice(0, REMEDIES_MAX)
    .map(({ change, nodes: count }) => ({ change, nodes: count }))
}

function isOpen(state: State, node: Node, { demand }: Campaign): boolean {
  return takesWork(node) && node.quarantine === null && !state.claims.has(node.id) && suits(node, demand)
}

/** The property without one of its parts. */
function weaker(wants: Requirement | null): { change: Change; wants: Requirement | null }[] {
  if (wants === null) return []
  if (wants.kind !== "and") return [{ change: { kind: "without", what: "property" }, wants: null }]
  return wants.of.map((_part, left) => {
    const of = wants.of.filter((_other, at) => at !== left)
    const rest: Requirement = of.length === 1 ? of[0]! : { kind: "and", of }
    return { change: { kind: "property", property: printRequirement(rest) }, wants: rest }
  })
}
