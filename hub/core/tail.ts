// Tail rescue: when a campaign has nothing left to place and nodes stand idle, its slowest attempts get a second one
// elsewhere. The first result that is taken wins and the other is stopped. It costs only what nobody else wanted.
import { TAIL_SLOW_FACTOR, TAIL_SLOW_MIN_MS } from "../limits.ts"
import { beganMs, offer } from "./attempts.ts"
import type { Stage } from "./change.ts"
import { watchTail } from "./lease.ts"
import { type Campaign, type CampaignId, type Job, jobId, type Node } from "./model.ts"
import { fittingShape, freeRoom, readyJobs } from "./room.ts"
import { suits } from "./rules.ts"

export function onTailDue(stage: Stage, id: CampaignId): void {
  const campaign = stage.state.campaigns.get(id)
  if (campaign === undefined) return
  campaign.tailWatched = false
  if (readyJobs(campaign) > 0) return
  watchTail(stage, campaign)
  const { container, inside } = campaign.rules
  // Idle means that nobody has a job waiting. A container is room and not work, and what is inside one stays there.
  if (!stage.state.queue.isEmpty || campaign.held || campaign.took.attempts === 0 || container || inside !== null)
    return
  for (const job of slowJobs(stage, campaign)) {
    const found = idleNode(stage, campaign, job)
    if (found !== null) offer(stage, found.node, campaign, job, found.shape)
  }
}

/** Those that take much longer than their like did, slowest first. */
function slowJobs(stage: Stage, campaign: Campaign): Job[] {
  const meanMs = campaign.took.sumMs / campaign.took.attempts
  const slowMs = Math.max(TAIL_SLOW_MIN_MS, meanMs * TAIL_SLOW_FACTOR)
  const began = (job: Job) => beganMs(job.tries[0]!)
  return [...campaign.jobs.values()]
    .filter(job => job.tries.length === 1 && stage.now.nowMs - began(job) > slowMs)
    .sort((a, b) => began(a) - began(b))
}

function idleNode(stage: Stage, campaign: Campaign, job: Job): { node: Node; shape: number } | null {
  for (const id of stage.state.room) {
    const node = stage.state.nodes.get(id)!
    // It has the slow one, or is still stopping an older one.
    if (node.held.has(jobId(campaign.id, job.index))) continue
    const shape = fittingShape(campaign.demand, freeRoom(node))
    if (shape !== null && suits(node, campaign.demand)) return { node, shape }
  }
  return null
}
