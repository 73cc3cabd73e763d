// Credit for volunteers: how much, for what. Only for an accepted result that ended well, from what the hub itself measured:
// slots times the time between the news that the attempt runs and its end, by the hub's clock, at most the walltime. What an
// agent or a client claims (processor time, benchmarks) counts for nothing.

import type { Attempt, Campaign } from "./model.ts"
import type { ResultRow } from "./rows.ts"
import { shapeOf } from "./rules.ts"
import type { Stage } from "./stage.ts"
import { type CreditTotal, isVolunteerAccount } from "./volunteers.ts"

/**
 * BOINC's unit: 200 for a day of a machine that does 10^9 floating-point operations a second. A slot counts as such a
 * machine, always: a measured speed would be a claim.
 */
export const CREDIT_PER_SLOT_DAY = 200
const DAY_MS = 86_400_000
/** An average counts what is a week old half: what statistics sites of BOINC expect. */
export const CREDIT_HALF_LIFE_MS = 7 * DAY_MS

export function creditOf(slotMs: number): number {
  return (slotMs * CREDIT_PER_SLOT_DAY) / DAY_MS
}

/** An average of credit a day, some time later. A clock that went back fades nothing. */
export function faded(average: number, passedMs: number): number {
  return average * 2 ** (-Math.max(0, passedMs) / CREDIT_HALF_LIFE_MS)
}

/** What a grant adds to the average: so that a steady 200 a day comes to stand at 200. */
export function toAverage(slotMs: number): number {
  return creditOf(slotMs) * Math.LN2 * (DAY_MS / CREDIT_HALF_LIFE_MS)
}

/** The total as it stands at a moment: the average goes on fading without anybody writing. */
export function creditAt(total: CreditTotal, wallMs: number): { total: number; average: number } {
  return { total: creditOf(total.slotMs), average: faded(total.average, wallMs - total.averageAt) }
}

export const noCredit: CreditTotal = { slotMs: 0, results: 0, average: 0, averageAt: 0 }

/**
 * Writes the result's line into the ledger, in the same transaction, if the node is a volunteer's: a laboratory's own machines
 * collect nothing. Null: the try was lost, so nobody measured it.
 */
export function giveCredit(stage: Stage, campaign: Campaign, one: Attempt | null, result: ResultRow): void {
  if (result.outcome !== "finished") return
  const account = stage.state.nodes.get(result.node)?.account
  if (account === undefined || !isVolunteerAccount(account)) return
  const { index, attempt, node } = result
  const slotMs = one === null ? 0 : slotMsOf(campaign, one, stage.now.nowMs)
  const row = { campaign: campaign.id, index, attempt, account, node, slotMs, at: stage.now.wallMs }
  stage.effects.writes.push({ kind: "credit", row })
}

function slotMsOf(campaign: Campaign, one: Attempt, nowMs: number): number {
  if (one.startedMs === null) return 0
  const { needs, walltimeMs } = shapeOf(campaign, one.shape)
  return Math.round(needs.slots * Math.min(Math.max(0, nowMs - one.startedMs), walltimeMs))
}
