// What must always hold of the state, whatever happened. Used by tests after every case, by the simulator after every
// tick of a small world, and at start-up. Numbers are those of the reliability page.
import { countOf, liveCount, noCounts } from "./change.ts"
import { type Campaign, jobId, type State } from "./model.ts"
import { freeRoom, readyJobs } from "./schedule.ts"
import { onNode } from "./transitions.ts"

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
      if (job === undefined || job.attempt !== held.attempt || job.node !== node.id || !onNode(job.phase)) {
        found.push(
          `node ${node.id} holds ${held.campaign}.${held.index}#${held.attempt}, which is not its current attempt`,
        )
      }
    }
    const free = freeRoom(node)
    if (node.link !== null && free.slots > 0 && !node.drained && !state.room.has(node.id)) {
      found.push(`L4: node ${node.id} has ${free.slots} free slots and is not listed as having room`)
    }
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
    const holders = [...state.nodes.values()].filter(node => {
      const held = node.held.get(id)
      return held?.attempt === job.attempt && held.stopping === null
    })
    if (holders.length !== (onNode(job.phase) ? 1 : 0)) {
      say(`I6: job ${id} is ${job.phase} and ${holders.length} nodes have leave to hold its attempt ${job.attempt}`)
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
  const ready = readyJobs(campaign) > 0
  if (ready !== (state.lanes.get(campaign.owner)?.includes(campaign) ?? false)) {
    say(`L1: has ${readyJobs(campaign)} ready jobs and ${ready ? "waits in no lane" : "waits in a lane"}`)
  }
  return found
}
