// What is watched, and for how long: the lease of what a node has, the end of a campaign, and how long
// a job waits after a loss or a failure. A lease belongs to the node, not to
// the attempt: one heartbeat renews all, whatever their number. The clocks are the hub's own (docs/adr/0003).
import { backoffMs } from "../../common/backoff.ts"
import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, DEADLINE_LOOK_MS, LEASE_MS, TAIL_EVERY_MS } from "../limits.ts"
import type { Campaign, Node, Now, State } from "./model.ts"

interface Moment {
  readonly state: State
  readonly now: Now
}

/** The node was heard: all it holds is its own for another lease. */
export function renew(node: Node, nowMs: number): void {
  node.leaseUntilMs = nowMs + LEASE_MS
}

/** Makes sure that somebody looks when the node's lease ends. Called whenever it holds something. */
export function arm(state: State, node: Node): void {
  if (node.leaseArmed) return
  node.leaseArmed = true
  state.deadlines.add(node.leaseUntilMs, { kind: "lease", node: node.id })
}

/** From now on somebody looks at the campaign's last jobs, now and then, until it has jobs to place again or has ended. */
export function watchTail({ state, now }: Moment, campaign: Campaign, inMs = TAIL_EVERY_MS): void {
  const lookMs = now.nowMs + inMs
  if (campaign.tailLookMs <= lookMs) return
  campaign.tailLookMs = lookMs
  state.deadlines.add(lookMs, { kind: "tail", campaign: campaign.id })
}

/** Wall time; infinite: it has neither a deadline nor a reservation that ends. */
export function endOf({ rules: { deadlineAt, reservation } }: Pick<Campaign, "rules">): number {
  return Math.min(deadlineAt ?? Number.POSITIVE_INFINITY, reservation?.endAt ?? Number.POSITIVE_INFINITY)
}

export function isTailWatched({ tailLookMs }: Campaign): boolean {
  return tailLookMs !== Number.POSITIVE_INFINITY
}

/** It is looked at before its time too: the wall clock may be set meanwhile. */
export function watchDeadline({ state, now }: Moment, campaign: Campaign): void {
  const endAt = endOf(campaign)
  if (endAt === Number.POSITIVE_INFINITY) return
  const inMs = Math.min(Math.max(0, endAt - now.wallMs), DEADLINE_LOOK_MS)
  state.deadlines.add(now.nowMs + inMs, { kind: "deadline", campaign: campaign.id })
}

/** How long a job waits after its n-th loss or failure (n from 1): doubling, so that a poison job cannot spin through nodes. */
export function retryMs(times: number): number {
  return backoffMs(times, BACKOFF_MIN_MS, BACKOFF_MAX_MS)
}
