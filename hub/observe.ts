// From the engine's ticks to the instruments: what moved, and how long it had been where it was.
import type { Move } from "./core/effects.ts"
import type { Metrics } from "./metrics.ts"

export function observeTick(
  metrics: Metrics,
  tick: { readonly moves: readonly Move[]; readonly tookMs: number },
): void {
  metrics.tickSeconds.observe(tick.tookMs / 1e3)
  for (const { from, to, tookMs } of tick.moves) {
    metrics.jobTransitions.inc({ from, to })
    if (from === "queued" && to === "offered") metrics.jobQueueWait.observe(tookMs / 1e3)
    if (from === "offered" && (to === "staging" || to === "running")) metrics.dispatchLatency.observe(tookMs / 1e3)
    if (from === "running") metrics.jobRun.observe(tookMs / 1e3)
    // What brings a job back to the queue today is the loss of its attempt; failures end it.
    if (from !== "queued" && to === "queued") metrics.jobRetries.inc({ cause: "loss" })
  }
}
