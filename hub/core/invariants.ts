// What must always hold of the state, whatever happened. Used by tests after every case, by the simulator after every
// tick of a small world, and at start-up. Numbers are those of docs/reliability.md.
import { HELD_MAX, REPLICAS_MAX } from "../limits.ts"
import { countOf, isOpen, liveCount, noCounts, tryOf, underWay } from "./change.ts"
import { type Campaign, jobId, type NodeId, type State, type Usage } from "./model.ts"
import { roomInside } from "./placing/containers.ts"
import { fittingShape, freeRoom, indexFor, readyJobs, takesWork, untouchedJobs } from "./placing/room.ts"
import { suits } from "./rules.ts"
import { phaseOf } from "./transitions.ts"

/** Each violation as a sentence; empty when all is well. */
export function violations(state: State): string[] {
  const found: string[] = []
  for (const campaign of state.campaigns.values()) found.push(...campaignViolations(state, campaign))
  for (const node of state.nodes.values()) {
    if (node.link === null && state.room.has(node.id)) found.push(`node ${node.id} is away and listed as having room`)
    if (node.revoked && node.link !== null) found.push(`I16: node ${node.id} is revoked and connected`)
    if (node.held.size > 0 && !node.leaseArmed)
      found.push(`node ${node.id} holds work and no deadline watches its lease`)
    if (node.quarantine !== null && node.held.size > 0 && state.room.has(node.id))
      found.push(`node ${node.id} is in quarantine, has a job, and is listed as having room for another`)
    const wanted = [...node.held.values()].filter(held => held.stopping === null)
    for (const held of wanted) {
      const job = state.campaigns.get(held.campaign)?.jobs.get(held.index)
      if (job === undefined || tryOf(job, held.attempt, node.id) === null) {
        const name = `${held.campaign}.${held.index}#${held.attempt}`
        found.push(`I6: node ${node.id} has leave to hold ${name}, which is not under way`)
      }
    }
    const free = freeRoom(node)
    if (node.link !== null && free.slots > 0 && takesWork(node) && !state.room.has(node.id)) {
      found.push(`L4: node ${node.id} has ${free.slots} free slots and is not listed as having room`)
    }
  }
  found.push(...usageViolations(state), ...queueViolations(state), ...ownedViolations(state))
  return found
}

function ownedViolations(state: State): string[] {
  const owned = new Map<string, number>()
  for (const { owner, total } of state.campaigns.values()) owned.set(owner, (owned.get(owner) ?? 0) + total)
  const isCounted = [...owned].every(([owner, jobs]) => state.ownerJobs.get(owner) === jobs)
  return isCounted && owned.size === state.ownerJobs.size ? [] : ["owners are said to have other jobs than they have"]
}

function usageViolations(state: State): string[] {
  const charged = new Map<Usage, number>()
  for (const node of state.nodes.values()) {
    for (const { account, needs } of node.held.values()) {
      if (account === null) continue
      for (const usage of [account.ownerUsage, account.projectUsage]) {
        charged.set(usage, (charged.get(usage) ?? 0) + needs.slots)
      }
    }
  }
  const named: [string, Usage][] = [...state.usage]
  for (const [key, { projectUsage }] of state.accounts) named.push([key, projectUsage])
  return named.flatMap(([key, usage]) => {
    const held = charged.get(usage) ?? 0
    return held === usage.slots ? [] : [`${JSON.stringify(key)} is charged for ${usage.slots} slots and holds ${held}`]
  })
}

/** The queue holds what is ready and nothing else, and nothing of it fits where there is room that nobody keeps. */
function queueViolations(state: State): string[] {
  const found: string[] = []
  const queued = new Set<Campaign>()
  for (const turn of state.queue.turns.values()) {
    for (const [demand, lane] of turn.lanes) {
      const seats = turn.seats.filter(seat => seat.lanes.includes(lane))
      if (demand !== lane.demand || !demand.lanes.has(lane) || seats.length !== 1) {
        found.push(`a lane of ${turn.usageKey} is not with its demand, or has not one seat`)
      }
      for (const line of lane.projects.values()) for (const campaign of line) queued.add(campaign)
    }
  }
  for (const order of Object.values(state.queue.ready.orders)) {
    const keys = [...order].map(({ key }) => key)
    if (keys.some((key, at) => at > 0 && key < keys[at - 1]!)) found.push("owners are not in the order of their keys")
  }
  for (const campaign of queued) {
    if (!campaign.queued || !state.campaigns.has(campaign.id) || readyJobs(campaign) === 0) {
      found.push(`campaign ${campaign.id} is in the queue with nothing ready`)
    }
  }
  for (const campaign of state.campaigns.values()) {
    if (campaign.queued && !queued.has(campaign)) found.push(`campaign ${campaign.id} is queued and in no lane`)
    if (campaign.queued) found.push(...idleViolations(state, campaign))
  }
  return found
}

function idleViolations(state: State, campaign: Campaign): string[] {
  const { id, demand, rules } = campaign
  // Room may be kept back for a reservation: what that leaves open is judged where it is decided.
  if (state.bookings.size > 0) return []
  const places = rules.inside === null ? state.room : (state.campaigns.get(rules.inside)?.onNodes.keys() ?? [])
  for (const name of places) {
    const node = state.nodes.get(name)!
    if (state.freed.has(name) || state.claims.has(name) || node.link === null || node.held.size >= HELD_MAX) continue
    if (node.quarantine !== null && !state.room.has(name)) continue
    const free = rules.inside === null ? freeRoom(node) : roomInside(state, node, rules.inside)
    if (fittingShape(demand, free) !== null && suits(node, demand) && indexFor(campaign, node) !== null) {
      return [`L1: a job of campaign ${id} is ready, and node ${name} has room for it`]
    }
  }
  return []
}

function campaignViolations(state: State, campaign: Campaign): string[] {
  const found: string[] = []
  const say = (text: string) => found.push(`campaign ${campaign.id}: ${text}`)
  const counts = noCounts()
  const onNodes = new Map<string, number>()
  for (const job of campaign.jobs.values()) {
    counts[countOf(job)]++
    const id = jobId(campaign.id, job.index)
    if (job.phase === "ended") say(`I3: job ${id} has ended and is still in memory`)
    const isSkipped = campaign.skipped.some(({ first, last }) => first <= job.index && job.index <= last)
    if (job.index >= campaign.cursor && !isSkipped) say(`job ${id} has a row above the cursor ${campaign.cursor}`)
    for (const { node } of job.tries) onNodes.set(node, (onNodes.get(node) ?? 0) + 1)
    if (job.phase !== phaseOf(job)) say(`job ${id} is said to be ${job.phase} and is ${phaseOf(job)}`)
    if (job.tries.length > REPLICAS_MAX) say(`I6: job ${id} has ${job.tries.length} attempts under way`)
    if (new Set(job.tries.map(one => one.node)).size < job.tries.length) say(`I6: job ${id} runs twice on one node`)
    for (const one of job.tries) {
      const held = state.nodes.get(one.node)?.held.get(id)
      if (held?.attempt !== one.attempt || held.stopping !== null) {
        say(`I6: attempt ${one.attempt} of job ${id} is under way and node ${one.node} has no leave to hold it`)
      }
    }
    if (campaign.again.has(job.index) && job.phase !== "queued")
      say(`job ${id} is ${job.phase} and to be offered again`)
  }
  counts.queued += untouchedJobs(campaign)
  for (const phase of ["queued", "held", "offered", "staging", "running", "returning"] as const) {
    if (counts[phase] !== campaign.counts[phase]) {
      say(`counts ${campaign.counts[phase]} jobs ${phase} and has ${counts[phase]}`)
    }
  }
  const { atOnceMax } = campaign.rules
  if (campaign.queued && atOnceMax !== null && underWay(campaign.counts) >= atOnceMax)
    say(`has ${underWay(campaign.counts)} jobs under way of ${atOnceMax} at once, and more are to be offered`)
  const total = Object.values(campaign.counts).reduce((sum, count) => sum + count, 0)
  if (total !== campaign.total) say(`I1: counts ${total} jobs of ${campaign.total}`)
  if (liveCount(campaign.counts) === 0) say("has ended and is still in memory")
  const ready = readyJobs(campaign) > 0 && isOpen(state, campaign)
  if (ready !== campaign.queued) {
    say(`L1: has ${readyJobs(campaign)} ready jobs and is ${campaign.queued ? "" : "not "}in the queue`)
  }
  const isCounted = [...onNodes].every(([node, tries]) => campaign.onNodes.get(node as NodeId) === tries)
  if (!isCounted || onNodes.size !== campaign.onNodes.size) say("counts other nodes than have its attempts")
  return found
}
