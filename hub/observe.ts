// From the engine's ticks to the instruments: what moved, and how long it had been where it was.
import type { Move, Why } from "./core/effects.ts"
import type { Metrics } from "./metrics.ts"

type Cause = "failure" | "loss" | "preemption" | "hold"

/** What brings a job back to the queue. A hold does when it is lifted. */
const causes: Partial<Record<Why, Cause>> = {
  failure: "failure",
  loss: "loss",
  preemption: "preemption",
  resume: "hold",
}

export function observeTick(
  metrics: Metrics,
  tick: { readonly moves: readonly Move[]; readonly tookMs: number },
): void {
  metrics.tickSeconds.observe(tick.tookMs / 1e3)
  // Counted here and told once: looking a label up costs as much as deciding what to do with a job.
  const transitions = new Map<Move["from"], Map<Move["to"], number>>()
  const retries: Partial<Record<Cause, number>> = {}
  for (const { from, to, why, tookMs, runMs } of tick.moves) {
    const ends = transitions.get(from) ?? new Map<Move["to"], number>()
    if (ends.size === 0) transitions.set(from, ends)
    ends.set(to, (ends.get(to) ?? 0) + 1)
    if (from === "queued" && to === "offered") metrics.jobQueueWait.observe(tookMs / 1e3)
    if (from === "offered" && (to === "staging" || to === "running")) metrics.dispatchLatency.observe(tookMs / 1e3)
    if (runMs !== null) metrics.jobRun.observe(runMs / 1e3)
    const cause = to === "queued" || to === "held" ? causes[why] : undefined
    if (cause !== undefined) retries[cause] = (retries[cause] ?? 0) + 1
  }
  for (const [from, ends] of transitions) {
    for (const [to, count] of ends) metrics.jobTransitions.inc({ from, to }, count)
  }
  for (const [cause, count] of Object.entries(retries)) metrics.jobRetries.inc({ cause }, count)
}
