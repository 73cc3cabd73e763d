// From the engine's ticks to the instruments: what moved and why, and how long it had been where it was.
import type { Move } from "./core/effects.ts"
import type { Why } from "./core/why.ts"
import type { Metrics } from "./metrics.ts"

type Cause = "failure" | "loss" | "preemption" | "hold" | "owner"

/** What brings a job back to the queue; null: nothing that does. A hold does when it is lifted. */
const causes: Record<Why, Cause | null> = {
  unknown: null,
  offered: null,
  speculated: null,
  progressed: null,
  came_back: null,
  finished: null,
  failed: "failure",
  exit_code_rule: null,
  walltime: "failure",
  quarantine: "loss",
  given_up: "loss",
  refused: "loss",
  lease_expired: "loss",
  node_restarted: "loss",
  node_forgot: "loss",
  node_revoked: "loss",
  offer_unanswered: "loss",
  overdue: "loss",
  superseded: "loss",
  preempted: "preemption",
  container_gone: "preemption",
  held: null,
  resumed: "hold",
  cancelled: null,
  deadline: null,
  reservation_over: null,
  too_many_failures: null,
  container_ended: null,
  dependency_failed: null,
  retried_by_owner: "owner",
}

export function observeTick(
  metrics: Metrics,
  tick: { readonly moves: readonly Move[]; readonly tookMs: number },
): void {
  metrics.tickSeconds.observe(tick.tookMs / 1e3)
  // Counted here and told once: looking a label up costs as much as deciding what to do with a job.
  const transitions = new Map<Move["from"], Map<Move["to"], number>>()
  const retries: Partial<Record<Cause, number>> = {}
  const losses: Partial<Record<Why, number>> = {}
  for (const { from, to, why, tookMs, runMs } of tick.moves) {
    const ends = transitions.get(from) ?? new Map<Move["to"], number>()
    if (ends.size === 0) transitions.set(from, ends)
    ends.set(to, (ends.get(to) ?? 0) + 1)
    if (from === "queued" && to === "offered") metrics.jobQueueWait.observe(tookMs / 1e3)
    if (from === "offered" && (to === "staging" || to === "running")) metrics.dispatchLatency.observe(tookMs / 1e3)
    if (runMs !== null) metrics.jobRun.observe(runMs / 1e3)
    const cause = causes[why]
    if (cause === null) continue
    if (cause === "loss") losses[why] = (losses[why] ?? 0) + 1
    if (to === "queued" || to === "held") retries[cause] = (retries[cause] ?? 0) + 1
  }
  for (const [from, ends] of transitions) {
    for (const [to, count] of ends) metrics.jobTransitions.inc({ from, to }, count)
  }
  for (const [cause, count] of Object.entries(retries)) metrics.jobRetries.inc({ cause }, count)
  for (const [why, count] of Object.entries(losses)) metrics.attemptLosses.inc({ why }, count)
}
