// Questions about jobs, in the store in memory.
import type { CampaignId, IndexRange } from "../../core/model.ts"
import type { JobFilter, JobRow } from "../../core/rows.ts"
import { cancelledJob, mergeByIndex } from "../cancelled.ts"
import type { CampaignTables } from "./rows.ts"

export function jobIn(tables: CampaignTables | undefined, campaign: CampaignId, index: number): JobRow | null {
  const row = tables?.jobs.get(index)
  if (row !== undefined) return { ...row }
  const range = tables?.cancelled.find(({ first, count }) => index >= first && index < first + count)
  return range === undefined ? null : cancelledJob(campaign, index, range)
}

export function jobsIn(tables: CampaignTables | undefined, campaign: CampaignId, filter: JobFilter): JobRow[] {
  if (tables === undefined) return []
  const { fromIndex, limit, phase, outcome } = filter
  const rows = [...tables.jobs.values()]
    .filter(row => row.index >= fromIndex && (phase ?? row.phase) === row.phase)
    .filter(row => (outcome ?? row.outcome) === row.outcome)
    .sort((a, b) => a.index - b.index)
    .slice(0, limit)
    .map(row => ({ ...row }))
  if ((phase ?? "ended") !== "ended" || (outcome ?? "cancelled") !== "cancelled") return rows
  const ranges = tables.cancelled.filter(({ first, count }) => first + count > fromIndex)
  return mergeByIndex(campaign, rows, ranges, fromIndex, limit)
}

/** Those with a row that ended otherwise than well. */
export function unwellIn(tables: CampaignTables | undefined, { first, last }: IndexRange, limit: number): JobRow[] {
  return [...(tables?.jobs.values() ?? [])]
    .filter(({ index, outcome }) => index >= first && index <= last && outcome !== null && outcome !== "finished")
    .sort((a, b) => a.index - b.index)
    .slice(0, limit)
    .map(row => ({ ...row }))
}

export function lineIn(tables: CampaignTables | undefined, index: number): string | null {
  const page = tables?.pages.find(({ first, lines }) => index >= first && index < first + lines.length)
  return page?.lines[index - page.first] ?? null
}
