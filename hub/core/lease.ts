// How long a node may hold what it has, and how long a job waits after a loss. A lease belongs to the node, not to the
// attempt: one heartbeat renews all, whatever their number. The clocks are the hub's own (docs/adr/0003).
import { ATTEMPT_SLACK_MS, BACKOFF_MAX_MS, BACKOFF_MIN_MS, LEASE_MS } from "../limits.ts"
import type { Campaign, Job, Node, State } from "./model.ts"

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

/** An attempt does not go on for ever, however well its node heartbeats. */
export function watchAge(state: State, campaign: Campaign, job: Job, nowMs: number): void {
  const { index, attempt } = job
  state.deadlines.add(nowMs + campaign.walltimeMs + ATTEMPT_SLACK_MS, {
    kind: "age",
    campaign: campaign.id,
    index,
    attempt,
  })
}

/** How long a job waits after its n-th loss (n from 1): doubling, so that a poison job cannot spin through nodes. */
export function backoffMs(losses: number): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(losses - 1, 30))
}
