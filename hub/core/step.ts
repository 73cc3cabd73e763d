// The hub's decisions: (state, event, now) in, effects out. The only place where state changes. No I/O, clock, chance or
// logger in here or in anything it calls; the same code runs in production and in the simulator.
import { onAgainDue, onAttemptReported } from "./attempts.ts"
import {
  campaignRow,
  closeEnded,
  onCampaignHeld,
  onCampaignSubmitted,
  onDeadlineDue,
  onJobsCancelled,
  onStageinSent,
  onStartDue,
} from "./campaigns.ts"
import { noTries } from "./change.ts"
import type { Effects } from "./effects.ts"
import type { Event } from "./events.ts"
import { onJobsHeld } from "./hold.ts"
import type { Attempt, Deadline, Job, Now, State } from "./model.ts"
import {
  nodeRow,
  onHeartbeat,
  onLeaseDue,
  onNodeDrained,
  onNodeForgotten,
  onNodeGone,
  onNodeHello,
  onNodeRevoked,
} from "./nodes.ts"
import { emptyContainers } from "./placing/containers.ts"
import { placeWork } from "./placing/place.ts"
import { onShareSet } from "./placing/shares.ts"
import { onTailDue } from "./placing/speculate.ts"
import { onLookDue } from "./placing/starvation.ts"
import { usageRow } from "./placing/usage.ts"
import { onProbeDue } from "./quarantine.ts"
import { onJobsRetried } from "./retry.ts"
import type { AttemptRow, JobRow, Write } from "./rows.ts"
import type { Stage } from "./stage.ts"
import { onNodeReleased, onPauseDue } from "./strikes.ts"

/** Applies one event; what it asks for is added to the effects of the tick. */
export function step(state: State, event: Event, now: Now, effects: Effects): void {
  const stage: Stage = { state, now, effects }
  switch (event.kind) {
    case "CampaignSubmitted":
      return onCampaignSubmitted(stage, event)
    case "JobsCancelled":
      return onJobsCancelled(stage, event)
    case "CampaignHeld":
      return onCampaignHeld(stage, event)
    case "JobsHeld":
      return onJobsHeld(stage, event)
    case "JobsRetried":
      return onJobsRetried(stage, event)
    case "StageinSent":
      return onStageinSent(stage, event)
    case "ShareSet":
      return onShareSet(stage, event)
    case "NodeHello":
      return onNodeHello(stage, event)
    case "NodeGone":
      return onNodeGone(stage, event)
    case "HeartbeatReceived":
      return onHeartbeat(stage, event)
    case "AttemptReported":
      return onAttemptReported(stage, event)
    case "NodeDrained":
      return onNodeDrained(stage, event)
    case "NodeRevoked":
      return onNodeRevoked(stage, event)
    case "NodeForgotten":
      return onNodeForgotten(stage, event)
    case "NodeReleased":
      return onNodeReleased(stage, event)
    case "Ticked":
      onDeadlines(stage)
      emptyContainers(stage)
      closeEnded(stage)
      return placeWork(stage)
    default:
      return event satisfies never
  }
}

function onDeadlines(stage: Stage): void {
  const { state, now } = stage
  for (let due = state.deadlines.take(now.nowMs); due !== null; due = state.deadlines.take(now.nowMs)) {
    onDue(stage, due)
  }
}

function onDue(stage: Stage, due: Deadline): void {
  switch (due.kind) {
    case "lease":
      return onLeaseDue(stage, due.node)
    case "deadline":
      return onDeadlineDue(stage, due.campaign)
    case "start":
      return onStartDue(stage, due.campaign)
    case "look":
      return onLookDue(stage)
    case "tail":
      return onTailDue(stage, due.campaign)
    case "probe":
      return onProbeDue(stage, due.node)
    case "pause":
      return onPauseDue(stage, due)
    case "again":
      return onAgainDue(stage, due)
    default:
      return due satisfies never
  }
}

/** What is to be on disk before the tick's speech: the latest state of all that changed, then results and the like. */
export function writesOf(effects: Effects, now: Now): Write[] {
  const writes: Write[] = [...effects.retries]
  for (const account of effects.accounts) writes.push({ kind: "usage", row: usageRow(account, now) })
  for (const node of effects.nodes) writes.push({ kind: "node", row: nodeRow(node, now.wallMs) })
  for (const campaign of effects.campaigns) writes.push({ kind: "campaign", row: campaignRow(campaign, now.wallMs) })
  for (const job of effects.jobs) writes.push({ kind: "job", row: jobRow(job) })
  writes.push(...effects.writes)
  return writes
}

function tryRow({ attempt, node, phase, shape, startedAt }: Attempt): AttemptRow {
  return { attempt, node, phase, shape, startedAt }
}

function jobRow(job: Job): JobRow {
  const { campaign, index, phase, outcome, verdict, attempt, node, failures, losses } = job
  // Of a job that has ended nothing changes any more: it is its own row.
  if (outcome !== null) return job
  const story = job.story.slice()
  const tries = job.tries.length === 0 ? noTries : job.tries.map(tryRow)
  return { campaign, index, phase, outcome, verdict, attempt, node, tries, failures, losses, story }
}
