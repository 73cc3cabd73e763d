// A campaign's progress in words, as the bar, `progress` and `top` have it: run 96  fail 2  retry 5 · ↑1.2 GB ↓310 MB  nodes 41. Figures that are
// nought are left out. Pure.
import type { Campaign, Totals } from "../proto/gen/cah/v1/job_pb.ts"
import { showBytes } from "./quantities.ts"
import type { Tally } from "./text.ts"

export interface Figures {
  readonly retries: number
  /** Attempts that vanished with their node, and that made room for others. Neither is a failure. */
  readonly losses: number
  readonly preemptions: number
  readonly stageinBytes: number
  readonly stageoutBytes: number
}

export const noFigures: Figures = { retries: 0, losses: 0, preemptions: 0, stageinBytes: 0, stageoutBytes: 0 }

export function figuresOf(totals: Totals | undefined): Figures {
  if (totals === undefined) return noFigures
  return {
    retries: Number(totals.retries),
    losses: Number(totals.losses),
    preemptions: Number(totals.preemptions),
    stageinBytes: Number(totals.stageinBytes),
    stageoutBytes: Number(totals.stageoutBytes),
  }
}

export function sumOf(all: readonly Figures[]): Figures {
  return all.reduce(
    (sum, one) => ({
      retries: sum.retries + one.retries,
      losses: sum.losses + one.losses,
      preemptions: sum.preemptions + one.preemptions,
      stageinBytes: sum.stageinBytes + one.stageinBytes,
      stageoutBytes: sum.stageoutBytes + one.stageoutBytes,
    }),
    noFigures,
  )
}

/** What stands between the counts and the ETA. */
export function jobsInWords({ active, unwell }: Pick<Tally, "active" | "unwell">, figures: Figures): string {
  return join([
    active > 0 ? `run ${active}` : "",
    unwell > 0 ? `fail ${unwell}` : "",
    figures.retries > 0 ? `retry ${figures.retries}` : "",
    figures.losses > 0 ? `lost ${figures.losses}` : "",
    figures.preemptions > 0 ? `preempted ${figures.preemptions}` : "",
  ])
}

/** What stands after it. Without nodes where one may be counted twice. */
export function bytesInWords(figures: Figures, nodes: number): string {
  const bytes = [
    figures.stageinBytes > 0 ? `↑${showBytes(figures.stageinBytes)}` : "",
    figures.stageoutBytes > 0 ? `↓${showBytes(figures.stageoutBytes)}` : "",
  ].filter(part => part !== "")
  return join([bytes.join(" "), nodes > 0 ? `nodes ${nodes}` : ""])
}

export function nodesOf(campaign: Campaign | undefined): number {
  return campaign?.totals?.nodes ?? 0
}

function join(parts: readonly string[]): string {
  return parts.filter(part => part !== "").join("  ")
}
