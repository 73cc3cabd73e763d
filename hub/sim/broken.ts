// Cores and stores that are wrong on purpose. The simulator must find each of them: a checker that never fails proves
// nothing. Reached by --break NAME, from tests and from curious people; no production code imports this.
import { updateLane } from "../core/change.ts"
import type { Effects } from "../core/effects.ts"
import type { Event } from "../core/events.ts"
import type { State } from "../core/model.ts"
import { step } from "../core/step.ts"

export const mutantNames = ["fence", "deaf", "eager", "generous", "credulous", "greedy"] as const
export type MutantName = (typeof mutantNames)[number]

/**
 * "fence" takes a report about any attempt, of any node, for one about the current; "deaf" lets every deadline pass;
 * "generous" gives credit for failures too; "credulous" never puts a node into quarantine; "greedy" knows no bounds of campaigns.
 */
export function brokenCore(name: MutantName): typeof step {
  return (state, event, now, effects) => {
    if (name === "fence" && event.kind === "AttemptReported") return step(state, unfenced(state, event), now, effects)
    if (name === "deaf" && event.kind === "Ticked") while (state.deadlines.take(now.nowMs) !== null);
    if (name === "credulous") for (const node of state.nodes.values()) node.quarantine = null
    const before = effects.writes.length
    if (name === "greedy" && event.kind === "Ticked")
      return withoutBounds(state, () => step(state, event, now, effects))
    step(state, event, now, effects)
    if (name === "generous") creditFailures(state, effects, before)
  }
}

/** Decides as if no campaign had any, and lets the rows say what was asked for. */
function withoutBounds(state: State, decide: () => void): void {
  const asked = new Map([...state.campaigns.values()].map(campaign => [campaign, campaign.rules]))
  for (const campaign of asked.keys()) {
    Object.assign(campaign, { rules: { ...campaign.rules, failMax: null, atOnceMax: null } })
    updateLane(state, campaign)
  }
  decide()
  for (const [campaign, rules] of asked) Object.assign(campaign, { rules })
}

function creditFailures(state: State, effects: Effects, from: number): void {
  for (const write of effects.writes.slice(from)) {
    if (write.kind !== "result" || !write.row.accepted || write.row.outcome === "finished") continue
    const { campaign, index, attempt, node } = write.row
    const account = state.nodes.get(node)!.account
    effects.writes.push({ kind: "credit", row: { campaign, index, attempt, node, account, slotMs: 1, at: 0 } })
  }
}

function unfenced(state: State, event: Extract<Event, { kind: "AttemptReported" }>): Event {
  const job = state.campaigns.get(event.campaign)?.jobs.get(event.index)
  const one = job?.tries[0]
  if (job === undefined || one === undefined) return event
  job.tries = [{ ...one, node: event.node }]
  return { ...event, attempt: one.attempt }
}

/** Not broken, for comparison: nobody looks at tails, so that nothing is doubled. */
export const withoutRescue: typeof step = (state, event, now, effects) => {
  if (event.kind === "Ticked")
    for (const campaign of state.campaigns.values()) campaign.tailLookMs = Number.POSITIVE_INFINITY
  step(state, event, now, effects)
}

/** "eager" says that a transaction is on disk before it is. */
export function speaksTooEarly(name: MutantName | null): boolean {
  return name === "eager"
}
