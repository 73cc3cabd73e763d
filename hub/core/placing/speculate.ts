// Tail rescue: when a campaign has nothing left to place and nodes stand idle, jobs whose node is away, and those that are slow,
// get another attempt elsewhere. The first result that is taken wins and the other is stopped. It costs only what nobody else
// wanted.
import {
  REPLICAS_MAX,
  TAIL_EVERY_MS,
  TAIL_SLOW_FACTOR,
  TAIL_SLOW_MIN_MS,
  TAIL_SOON_MS,
  TAIL_SOON_MS_PER_JOB,
} from "../../limits.ts"
import { beganMs, lose, offer } from "../attempts.ts"
import { stopOn } from "../change.ts"
import { watchTail } from "../lease.ts"
import { type Attempt, type Campaign, type CampaignId, type Job, jobId, type Node, type State } from "../model.ts"
import { suits } from "../rules.ts"
import type { Stage } from "../stage.ts"
import { isEmpty } from "./queue.ts"
import { countCrossing, keptFor } from "./reservations.ts"
import { fittingShape, freeRoom, isPaused, readyJobs } from "./room.ts"

export function onTailDue(stage: Stage, id: CampaignId): void {
  const campaign = stage.state.campaigns.get(id)
  // Ended, or looked at earlier and to be looked at later.
  if (campaign === undefined || campaign.tailLookMs > stage.now.nowMs) return
  campaign.tailLookMs = Number.POSITIVE_INFINITY
  if (readyJobs(campaign) > 0) return
  const nextMs = isIdle(stage.state, campaign) ? rescue(stage, campaign) : Number.POSITIVE_INFINITY
  const soonMs = Math.max(TAIL_SOON_MS, TAIL_SOON_MS_PER_JOB * campaign.jobs.size)
  watchTail(stage, campaign, Math.min(Math.max(nextMs - stage.now.nowMs, soonMs), TAIL_EVERY_MS))
}

/**
 * Idle means that nobody has a job waiting. A container is room and not work, and what is inside one stays there. A second attempt
 * would be one more than a scientist allows who counts them.
 */
function isIdle({ queue, room }: State, { held, rules }: Campaign): boolean {
  const { container, inside, atOnceMax } = rules
  return isEmpty(queue) && room.size > 0 && !held && !container && inside === null && atOnceMax === null
}

/** Returns when, as far as is known now, it has more to do. */
function rescue(stage: Stage, campaign: Campaign): number {
  const { nowMs } = stage.now
  const { attempts, sumMs } = campaign.took
  const slowMs =
    attempts === 0 ? Number.POSITIVE_INFINITY : Math.max(TAIL_SLOW_MIN_MS, (sumMs / attempts) * TAIL_SLOW_FACTOR)
  const wanting: Job[] = []
  let nextMs = Number.POSITIVE_INFINITY
  for (const job of campaign.jobs.values()) {
    const fromMs = wantsFromMs(stage.state, job, slowMs)
    if (fromMs <= nowMs) wanting.push(job)
    else if (fromMs < nextMs) nextMs = fromMs
  }
  const given = give(stage, campaign, wanting)
  // Nodes come free all the time.
  return 0 < given && given < wanting.length ? nowMs : nextMs
}

/** From when on it should have another attempt: whoever is at work on it is away and missed, or alone and slow. */
function wantsFromMs({ nodes }: State, { tries }: Job, slowMs: number): number {
  let fromMs = tries.length === 0 ? Number.POSITIVE_INFINITY : 0
  let there = 0
  for (const one of tries) {
    const { link, missedFromMs } = nodes.get(one.node)!
    if (link !== null && ++there === REPLICAS_MAX) return Number.POSITIVE_INFINITY
    fromMs = Math.max(fromMs, link === null ? missedFromMs : beganMs(one) + slowMs)
  }
  return fromMs
}

/** To idle nodes, those that began first before others. All ask for the same, so that each node is looked at once. Returns how many. */
function give(stage: Stage, campaign: Campaign, wanting: readonly Job[]): number {
  const { state, now } = stage
  const { demand } = campaign
  const left = wanting.toSorted((a, b) => beganMs(b.tries[0]!) - beganMs(a.tries[0]!))
  for (const id of state.room) {
    if (left.length === 0) break
    const node = state.nodes.get(id)!
    if (node.quarantine !== null || isPaused(campaign, node) || !suits(node, demand)) continue
    for (;;) {
      const shape = fittingShape(demand, freeRoom(node))
      if (shape === null || keptFor(state, node, campaign, shape, now.nowMs) !== null) break
      // It may have the job already, or be still stopping an older attempt at it.
      const at = left.findLastIndex(
        ({ index, failedOn }) => !node.held.has(jobId(campaign.id, index)) && !failedOn.includes(id),
      )
      if (at < 0) break
      double(stage, campaign, left.splice(at, 1)[0]!, node, shape)
      countCrossing(state, node, campaign, shape, now.nowMs)
    }
  }
  return wanting.length - left.length
}

/** A job has REPLICAS_MAX attempts at most: of those whose nodes are missed, the one that is missed for longest is given up. */
function double(stage: Stage, campaign: Campaign, job: Job, node: Node, shape: number): void {
  const { nodes } = stage.state
  const isAway = ({ node }: Attempt) => nodes.get(node)!.link === null
  const away = job.tries.filter(isAway)
  const other = away.length === job.tries.length ? "away" : "slow"
  const event = `offered once more: whoever has it is ${other}, and this node is idle`
  offer(stage, node, campaign, job, shape, "speculated", event)
  if (job.tries.length <= REPLICAS_MAX) return
  const [lost] = away.sort((a, b) => nodes.get(a.node)!.missedFromMs - nodes.get(b.node)!.missedFromMs)
  const loss = "lost: its node is away, and others have the job"
  stopOn(stage, campaign.id, job.index, lost!, loss)
  lose(stage, campaign, job, lost!, "superseded", loss)
}
