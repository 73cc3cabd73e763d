// Jobs that were cancelled before they began have no row, only a range. Here they look like rows again, for readers.
import type { CampaignId } from "../core/model.ts"
import type { JobRow } from "../core/rows.ts"
import { storyOf } from "../core/story.ts"
import { type Why, whyOf } from "../core/why.ts"

export interface CancelledRange {
  readonly first: number
  readonly count: number
  /** Wall time, ms. */
  readonly at: number
  /** As a number, which it has on disk. */
  readonly why: number
}

const words: Partial<Record<Why, string>> = {
  cancelled: "cancelled by its owner before it began",
  deadline: "cancelled before it began: the campaign's deadline has passed",
  reservation_over: "cancelled before it began: the campaign's reservation is over",
  too_many_failures: "cancelled before it began: too many jobs of the campaign failed",
  container_ended: "cancelled before it began: the container that it was inside has ended",
  dependency_failed: "cancelled before it began: a campaign that it needed did not end well",
}

export function cancelledJob(campaign: CampaignId, index: number, range: Pick<CancelledRange, "at" | "why">): JobRow {
  const why = whyOf(range.why)
  const event = words[why] ?? "cancelled before it began"
  return {
    campaign,
    index,
    phase: "ended",
    outcome: "cancelled",
    verdict: "unchecked",
    attempt: 0,
    node: null,
    tries: [],
    failures: 0,
    losses: 0,
    story: storyOf([{ at: range.at, why, event, phase: "ended", attempt: 0, node: null }]),
  }
}

/** Rows and ranges, both in order and disjoint, as at most `limit` rows from `fromIndex` on. */
export function mergeByIndex(
  campaign: CampaignId,
  rows: readonly JobRow[],
  ranges: readonly CancelledRange[],
  fromIndex: number,
  limit: number,
): JobRow[] {
  const merged: JobRow[] = []
  let at = 0
  for (const range of ranges) {
    while (at < rows.length && rows[at]!.index < range.first) merged.push(rows[at++]!)
    const end = range.first + range.count
    for (let index = Math.max(range.first, fromIndex); index < end && merged.length < limit; index++) {
      merged.push(cancelledJob(campaign, index, range))
    }
    if (merged.length >= limit) return merged.slice(0, limit)
  }
  return [...merged, ...rows.slice(at)].slice(0, limit)
}
