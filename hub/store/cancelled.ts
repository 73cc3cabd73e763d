// Jobs that were cancelled before they began have no row, only a range. Here they look like rows again, for readers.
import type { CampaignId } from "../core/model.ts"
import type { JobRow } from "../core/rows.ts"
import { storyOf } from "../core/story.ts"

export interface CancelledRange {
  readonly first: number
  readonly count: number
  /** Wall time, ms. */
  readonly at: number
}

export function cancelledJob(campaign: CampaignId, index: number, at: number): JobRow {
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
    story: storyOf([{ at, event: "cancelled before it began", phase: "ended", attempt: 0, node: null }]),
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
      merged.push(cancelledJob(campaign, index, range.at))
    }
    if (merged.length >= limit) return merged.slice(0, limit)
  }
  return [...merged, ...rows.slice(at)].slice(0, limit)
}
