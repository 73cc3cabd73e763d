// A sick node ends every job in a millisecond and so gets nearly all of them. Failures are therefore held against the node as
// well as against the job: one that fails several times in a row where the campaign's other nodes do well is put into
// quarantine (quarantine.ts). While too little is known of the others it only gets no more of this campaign for a while; and
// where the others fail as well it is the campaign's own fault, and no node is blamed.
import { backoffMs } from "../../common/backoff.ts"
import {
  DOUBT_MAX,
  ENOUGH_WELL,
  PAUSE_LOOK_MS,
  PAUSE_MAX_MS,
  PAUSE_MIN_MS,
  STRIKES_MIN,
  SURVIVED_FACTOR,
  SURVIVED_MIN_MS,
  SURVIVORS_LOOKED_MAX,
} from "../limits.ts"
import { CahError } from "./errors.ts"
import type { NodeReleased } from "./events.ts"
import type { Campaign, CampaignId, Job, Node, NodeId, State, Strike } from "./model.ts"
import { fittingShape, isPaused, takesWork } from "./placing/room.ts"
import { quarantine, release } from "./quarantine.ts"
import { suits } from "./rules.ts"
import type { Stage } from "./stage.ts"

/** A job failed on the node, after so long. Nothing is made for a campaign of which nothing fails. */
export function onFailed(stage: Stage, campaign: Campaign, node: Node, job: Job, tookMs: number): void {
  campaign.failures++
  for (const other of job.failedOn) forgive(campaign, other)
  if (!job.failedOn.includes(node.id)) job.failedOn = [...job.failedOn, node.id]
  campaign.strikes ??= new Map()
  const before = { attemptsBefore: campaign.took.attempts - 1, failuresBefore: campaign.failures - 1 }
  const strike = campaign.strikes.get(node.id) ?? { row: 0, ...before, tookMs: 0, pausedUntilMs: 0, pauses: 0 }
  campaign.strikes.set(node.id, strike)
  strike.row++
  if (strike.row > STRIKES_MIN) campaign.excess++
  strike.tookMs = Math.max(strike.tookMs, tookMs)
  judge(stage, campaign, node, strike)
}

/** The job has failed elsewhere too. */
function forgive(campaign: Campaign, id: NodeId): void {
  const strike = campaign.strikes?.get(id)
  if (strike === undefined || strike.row === 0) return
  if (strike.row > STRIKES_MIN) campaign.excess--
  strike.row--
}

/** One went well. */
export function onWell(stage: Stage, campaign: Campaign, node: Node): void {
  if (campaign.strikes === null) return
  const wasPaused = isPaused(campaign, node)
  forget(campaign, node.id)
  if (wasPaused) lookAgain(stage, campaign, node)
}

/** What it did counts no more. */
export function forget(campaign: Campaign, id: NodeId): void {
  const strike = campaign.strikes?.get(id)
  if (strike === undefined) return
  campaign.excess -= Math.max(0, strike.row - STRIKES_MIN)
  campaign.strikes!.delete(id)
}

/** Neither well nor the node's fault for sure: it says nothing about the others. */
export function onTimedOut({ strikes }: Campaign, { id }: Node): void {
  const strike = strikes?.get(id)
  if (strike !== undefined) strikes!.set(id, { ...strike, attemptsBefore: strike.attemptsBefore + 1 })
}

function judge(stage: Stage, campaign: Campaign, node: Node, strike: Strike): void {
  if (strike.row < STRIKES_MIN || node.quarantine !== null) return
  if (!hasOther(stage.state, campaign, [node.id])) return
  const { likelihood, isDoubtful } = look(stage, campaign, node, strike)
  // One in a thousand; and the more attempts there are, the more such rows come about by chance.
  if (likelihood < 1 / (1_000 + 10 * campaign.took.attempts)) {
    const why = `${strike.row} jobs of campaign ${campaign.id} failed on it in a row, and elsewhere they do not`
    forget(campaign, node.id)
    quarantine(stage, node, why)
  } else if (isDoubtful) pause(stage, campaign, node, strike)
}

interface Finding {
  /** Of so many failures in a row, if the node is like the campaign's others, as far as these are known since. */
  readonly likelihood: number
  /** It may be the node, and it is too early to say. */
  readonly isDoubtful: boolean
}

function look(stage: Stage, campaign: Campaign, node: Node, strike: Strike): Finding {
  const { row, attemptsBefore, failuresBefore, tookMs } = strike
  const ended = Math.max(0, campaign.took.attempts - attemptsBefore - row)
  const failed = Math.max(0, campaign.failures - failuresBefore - row)
  const survivors = survivorsOf(stage, campaign, node, Math.max(SURVIVED_MIN_MS, SURVIVED_FACTOR * tookMs))
  const isOneOfFew = (campaign.strikes!.size - 1) * 4 <= campaign.onNodes.size
  // While most nodes do well, others that do not may be as sick: they speak for the campaign's jobs a few times and no more.
  const excess = isOneOfFew ? Math.min(failed, campaign.excess - Math.max(0, row - STRIKES_MIN)) : 0
  const known = ended + survivors - excess
  // With nothing known a quarter of them may fail.
  const likelihood = ((failed - excess + 0.5) / (known + 2)) ** row
  return { likelihood, isDoubtful: likelihood < DOUBT_MAX || (isOneOfFew && known - (failed - excess) < ENOUGH_WELL) }
}

/** Attempts elsewhere that have run for so long already. Those of a campaign's first jobs come first. */
function survivorsOf({ now }: Stage, campaign: Campaign, node: Node, forMs: number): number {
  let [survivors, looked] = [0, 0]
  for (const { tries } of campaign.jobs.values()) {
    for (const { node: at, startedMs } of tries)
      if (at !== node.id && startedMs !== null && now.nowMs - startedMs >= forMs) survivors++
    if (++looked === SURVIVORS_LOOKED_MAX) break
  }
  return survivors
}

/** Whether a node that is not one of these could run a job of the campaign, now or when it has room. */
export function hasOther({ nodes }: State, campaign: Campaign, except: readonly NodeId[]): boolean {
  const { demand } = campaign
  for (const node of nodes.values()) {
    if (!takesWork(node) || node.quarantine !== null || except.includes(node.id)) continue
    if (suits(node, demand) && fittingShape(demand, node) !== null && !isPaused(campaign, node)) return true
  }
  return false
}

// ---- pauses ------------------------------------------------------------------------------------------------------

function pause({ state, now }: Stage, campaign: Campaign, node: Node, strike: Strike): void {
  const isNew = strike.pausedUntilMs === 0
  if (isNew) strike.pauses++
  const pauseMs = backoffMs(strike.pauses, PAUSE_MIN_MS, PAUSE_MAX_MS)
  if (isNew) strike.pausedUntilMs = now.nowMs + pauseMs
  if (isNew) state.deadlines.add(now.nowMs + PAUSE_LOOK_MS, { kind: "pause", campaign: campaign.id, node: node.id })
}

/** What the others have done meanwhile may have settled it. */
export function onPauseDue(stage: Stage, { campaign: id, node: at }: { campaign: CampaignId; node: NodeId }): void {
  const campaign = stage.state.campaigns.get(id)
  const strike = campaign?.strikes?.get(at)
  const node = stage.state.nodes.get(at)
  if (campaign === undefined || strike === undefined || node === undefined || strike.pausedUntilMs === 0) return
  const { nowMs } = stage.now
  const isDoubtful =
    node.quarantine === null && hasOther(stage.state, campaign, [at]) && judgedAgain(stage, campaign, node, strike)
  if (isDoubtful && nowMs < strike.pausedUntilMs) {
    const nextMs = Math.min(nowMs + PAUSE_LOOK_MS, strike.pausedUntilMs)
    stage.state.deadlines.add(nextMs, { kind: "pause", campaign: id, node: at })
    return
  }
  strike.pausedUntilMs = 0
  lookAgain(stage, campaign, node)
}

/** Whether it is still in doubt. */
function judgedAgain(stage: Stage, campaign: Campaign, node: Node, strike: Strike): boolean {
  judge(stage, campaign, node, strike)
  return node.quarantine === null && look(stage, campaign, node, strike).isDoubtful
}

/** The campaign's jobs may be offered there again. */
function lookAgain({ state }: Stage, campaign: Campaign, node: Node): void {
  state.freed.add(node.id)
  if (campaign.queued) state.queue.fresh.add(campaign.demand)
}

// ---- the operator ------------------------------------------------------------------------------------------------

export function onNodeReleased(stage: Stage, { node: id, request }: NodeReleased): void {
  const node = stage.state.nodes.get(id)
  if (node === undefined || node.quarantine === null) {
    const message =
      node === undefined
        ? `there is no node ${id}: see "cah nodes" for those there are`
        : `node ${id} is not in quarantine`
    const error = new CahError(node === undefined ? "not_found" : "failed_precondition", message)
    stage.effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    return
  }
  node.quarantines = 0
  for (const campaign of stage.state.campaigns.values()) forget(campaign, id)
  release(stage, node, "its operator says so")
  stage.effects.speech.push({ kind: "Reply", request, reply: { kind: "done" } })
}
