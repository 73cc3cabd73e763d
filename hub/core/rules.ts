// Rules of a campaign and what they mean: shapes, further tries, what counts as having ended well.
import { LOSS_MAX } from "../limits.ts"
import type { Campaign, Counts, Demand, Job, Node, Result, Rules, Shape } from "./model.ts"

/** Of a campaign whose scientist asked for nothing special. */
export const noRules: Rules = {
  shapes: [],
  property: "",
  gather: null,
  retryMax: 0,
  retryExitCodes: [],
  lossMax: LOSS_MAX,
  deadlineAt: null,
  bestEffort: false,
  reservation: null,
  container: false,
  inside: null,
  notices: [],
  failMax: null,
  atOnceMax: null,
}

/** Whether the node has the properties that are wanted. */
export function suits(node: Node, { condition }: Pick<Demand, "condition">): boolean {
  return condition.isMetBy(node)
}

/** By number, from 0: the campaign's own, then those of its rules. */
export function shapeOf(campaign: Campaign, number: number): Shape {
  return campaign.rules.shapes[number - 1] ?? campaign
}

export function shapeCount(campaign: Campaign): number {
  return 1 + campaign.rules.shapes.length
}

/** Whether a job that failed so is tried again. Its failures include this one. */
export function isRetried(campaign: Campaign, job: Job, result: Result): boolean {
  const { retryMax, retryExitCodes } = campaign.rules
  if (job.failures > retryMax) return false
  return retryExitCodes.length === 0 || retryExitCodes.includes(result.exitCode)
}

export function endedWell(counts: Counts, total: number): boolean {
  return counts.finished === total
}
