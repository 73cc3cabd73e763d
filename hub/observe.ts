// From the engine's ticks to the instruments: what moved, and how long it had been where it was.
import type { Move } from "./core/effects.ts"
import type { Metrics } from "./metrics.ts"

export function observeTick(
  metrics: Metrics,
  tick: { readonly moves: readonly Move[]; readonly tookMs: number },
): void {
  metrics.tickSeconds.observe(tick.tookMs / 1e3)
  // Counted here and told once: looking a label up costs as much as deciding what to do with a job.
  const transitions = new Map<Move["from"], Map<Move["to"], number>>()
  let losses = 0
  for (const { from, to, tookMs } of tick.moves) {
    const ends = transitions.get(from) ?? new Map<Move["to"], number>()
    if (ends.size === 0) transitions.set(from, ends)
    ends.set(to, (ends.get(to) ?? 0) + 1)
    if (from === "queued" && to === "offered") metrics.jobQueueWait.observe(tookMs / 1e3)
    if (from === "offered" && (to === "staging" || to === "running")) metrics.dispatchLatency.observe(tookMs / 1e3)
    if (from === "running") metrics.jobRun.observe(tookMs / 1e3)
    // What brings a job back to the queue today is the loss of its attempt; failures end it.
    if (from !== "queued" && to === "queued") losses++
  }
  for (const [from, ends] of transitions) {
    for (const [to, count] of ends) metrics.jobTransitions.inc({ from, to }, count)
  }
  if (losses > 0) metrics.jobRetries.inc({ cause: "loss" }, losses)
}
