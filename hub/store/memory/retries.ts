// Jobs that had ended and are tried again, and what was cancelled for want of another campaign, in the store in memory.
import { gaps } from "../../core/campaigns.ts"
import type { BlobRef, CampaignId, IndexRange } from "../../core/model.ts"
import type { ErrorSummaryRow, ResultRow, Write } from "../../core/rows.ts"
import { ATTEMPTS_KEPT } from "../../limits.ts"
import { blobsOf } from "./blobs.ts"
import { type CampaignTables, drop, inOrder, put } from "./rows.ts"

export function retryJobs(
  tables: CampaignTables,
  { jobs, cancelled }: Extract<Write, { kind: "retry" }>,
  undo: (() => void)[],
  unname: (blob: BlobRef) => void,
): void {
  miss(tables, null, undo)
  for (const index of jobs) {
    drop(tables.jobs, index, undo)
    const rows = tables.results.get(index) ?? []
    const own = rows.find(({ accepted }) => accepted)
    if (own === undefined) continue
    if (own.warnings !== "") unwarn(tables, own.warnings, undo)
    if (own.stageout !== null) unname(own.stageout)
    const all = rows.map(row => (row === own ? { ...row, accepted: false, stageout: null } : row))
    put(tables.results, index, all.slice(-ATTEMPTS_KEPT), undo)
    for (const blob of all.slice(0, -ATTEMPTS_KEPT).flatMap(blobsOf)) unname(blob)
  }
  if (jobs.length > 0) countErrorsAnew(tables, undo)
  const before = [...tables.cancelled]
  undo.push(() => void tables.cancelled.splice(0, Number.POSITIVE_INFINITY, ...before))
  const left = before.flatMap(range =>
    gaps(cancelled, range.first, range.first + range.count - 1).map(({ first, last }) => {
      return { ...range, first, count: last - first + 1 }
    }),
  )
  tables.cancelled.splice(0, Number.POSITIVE_INFINITY, ...left)
}

function unwarn({ warnings }: CampaignTables, text: string, undo: (() => void)[]): void {
  const group = warnings.get(text)
  if (group === undefined) return
  if (group.count === 1) drop(warnings, text, undo)
  else put(warnings, text, { ...group, count: group.count - 1 }, undo)
}

/** The example of a kind of error may be among those that are gone. */
function countErrorsAnew({ results, errors }: CampaignTables, undo: (() => void)[]): void {
  const counted = new Map<string, ErrorSummaryRow>()
  for (const row of inOrder(results.keys()).flatMap(index => results.get(index)!)) {
    const { outcome, exitCode, message, index, accepted } = row
    if (outcome === "finished" || !accepted) continue
    const group = counted.get(errorKey(row)) ?? { outcome, exitCode, message, count: 0, exampleIndex: index }
    counted.set(errorKey(row), { ...group, count: group.count + 1 })
  }
  for (const key of [...errors.keys()]) drop(errors, key, undo)
  for (const [key, group] of counted) put(errors, key, group, undo)
}

export function errorKey({ outcome, exitCode, message }: ResultRow): string {
  return `${outcome}\n${exitCode}\n${message}`
}

export function miss(tables: CampaignTables, missed: CampaignTables["missed"], undo: (() => void)[]): void {
  const before = tables.missed
  undo.push(() => {
    tables.missed = before
  })
  tables.missed = missed
}

export function missedFor(
  campaigns: ReadonlyMap<CampaignId, CampaignTables>,
  needed: CampaignId,
): { campaign: CampaignId; ranges: IndexRange[] }[] {
  return [...campaigns].flatMap(([campaign, { missed }]) =>
    missed?.needed === needed ? [{ campaign, ranges: missed.ranges.map(range => ({ ...range })) }] : [],
  )
}
