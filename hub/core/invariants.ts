// What must always hold of the state, whatever happened. Used by tests after every case, by the simulator after every
// tick of a small world, and at start-up. Numbers are those of the reliability page.
import { countOf, isOpen, liveCount, noCounts, tryOf } from "./change.ts"
import { type Campaign, jobId, type State } from "./model.ts"
import { freeRoom, readyJobs } from "./schedule.ts"
import { phaseOf } from "./transitions.ts"

/** The attempt itself and its rescue. */
const REPLICAS_MAX = 2

/** Each violation as a sentence; empty when all is well. */
export function violations(state: State): string[] {
  const found: string[] = []
  for (const campaign of state.campaigns.values()) found.push(...campaignViolations(state, campaign))
  for (const node of state.nodes.values()) {
    if (node.link === null && state.room.has(node.id)) found.push(`node ${node.id} is away and listed as having room`)
    if (node.revoked && node.link !== null) found.push(`I16: node ${node.id} is revoked and connected`)
    if (node.held.size > 0 && !node.leaseArmed)
      found.push(`node ${node.id} holds work and no deadline watches its lease`)
    const wanted = [...node.held.values()].filter(held => held.stopping === null)
    for (const held of wanted) {
      const job = state.campaigns.get(held.campaign)?.jobs.get(held.index)
      if (job === undefined || tryOf(job, held.attempt, node.id) === null) {
        const name = `${held.campaign}.${held.index}#${held.attempt}`
        found.push(`I6: node ${node.id} has leave to hold ${name}, which is not under way`)
      }
    }
    const free = freeRoom(node)
    if (node.link !== null && free.slots > 0 && !node.drained && !state.room.has(node.id)) {
      found.push(`L4: node ${node.id} has ${free.slots} free slots and is not listed as having room`)
    }
  }
  for (const [owner, { slots }] of state.usage) {
    let held = 0
    for (const node of state.nodes.values()) {
      for (const one of node.held.values()) if (one.owner === owner) held += one.needs.slots
    }
    if (held !== slots) found.push(`owner ${owner} is charged for ${slots} slots and holds ${held}`)
  }
  for (const [owner, lane] of state.lanes) {
    for (const campaign of lane) {
      if (campaign.owner !== owner || !state.campaigns.has(campaign.id) || readyJobs(campaign) === 0) {
        found.push(`campaign ${campaign.id} waits in the lane of ${owner} with nothing ready`)
      }
    }
  }
  return found
}

function campaignViolations(state: State, campaign: Campaign): string[] {
  const found: string[] = []
  const say = (text: string) => found.push(`campaign ${campaign.id}: ${text}`)
  const counts = noCounts()
  for (const job of campaign.jobs.values()) {
    counts[countOf(job)]++
    const id = jobId(campaign.id, job.index)
    if (job.phase === "ended") say(`I3: job ${id} has ended and is still in memory`)
    if (job.index >= campaign.cursor) say(`job ${id} has a row above the cursor ${campaign.cursor}`)
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
  const again = readyJobs(campaign) - campaign.again.size
  counts.queued += again
  for (const phase of ["queued", "held", "offered", "staging", "running", "returning"] as const) {
    if (counts[phase] !== campaign.counts[phase]) {
      say(`counts ${campaign.counts[phase]} jobs ${phase} and has ${counts[phase]}`)
    }
  }
  const total = Object.values(campaign.counts).reduce((sum, count) => sum + count, 0)
  if (total !== campaign.total) say(`I1: counts ${total} jobs of ${campaign.total}`)
  if (liveCount(campaign.counts) === 0) say("has ended and is still in memory")
  const ready = readyJobs(campaign) > 0 && isOpen(state, campaign)
  if (ready !== (state.lanes.get(campaign.owner)?.includes(campaign) ?? false)) {
    say(`L1: has ${readyJobs(campaign)} ready jobs and ${ready ? "waits in no lane" : "waits in a lane"}`)
  }
  return found
}
