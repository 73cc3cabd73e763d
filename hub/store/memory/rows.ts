// How the store in memory copies, keeps and orders rows.
import type { CampaignId, IndexRange } from "../../core/model.ts"
import type {
  CampaignRow,
  ErrorSummaryRow,
  JobRow,
  NoticeRow,
  ResultRow,
  WarningSummaryRow,
  Write,
} from "../../core/rows.ts"
import type { CancelledRange } from "../cancelled.ts"
import { claimsOf } from "../sqlite/encode.ts"

export interface CampaignTables {
  row: CampaignRow
  readonly pages: { readonly first: number; readonly lines: readonly string[] }[]
  readonly jobs: Map<number, JobRow>
  readonly live: Set<number>
  readonly cancelled: CancelledRange[]
  /** Of each job, by attempt. */
  readonly results: Map<number, readonly ResultRow[]>
  readonly errors: Map<string, ErrorSummaryRow>
  readonly warnings: Map<string, WarningSummaryRow>
  readonly notices: Map<string, NoticeRow>
  /** What was cancelled for want of another campaign; null: nothing was. */
  missed: { readonly needed: CampaignId; readonly ranges: readonly IndexRange[] } | null
}

/** As it is now: whoever gave it may change its own row afterwards. */
export function copied<W extends Write>(write: W): W {
  return copyOf(write) as W
}

function copyOf(write: Write): Write {
  switch (write.kind) {
    case "campaign":
      return { ...write, row: campaignCopy(write.row) }
    case "parameters":
      return { ...write, lines: [...write.lines] }
    case "job":
      return { ...write, row: { ...write.row } }
    case "result":
      return { ...write, row: claimsOf(write.row) }
    case "node":
      return { ...write, row: { ...write.row, properties: { ...write.row.properties } } }
    case "token":
      return { ...write, row: { ...write.row } }
    case "enrolment":
      return { ...write, row: { ...write.row } }
    case "volunteer":
      return { ...write, row: { ...write.row } }
    case "host":
      return { ...write, row: { ...write.row } }
    case "launch":
      return { ...write, row: { ...write.row } }
    default:
      return write
  }
}

export function campaignCopy(row: CampaignRow): CampaignRow {
  return { ...row, counts: { ...row.counts }, totals: { ...row.totals } }
}

export function put<K, V>(map: Map<K, V>, key: K, value: V, undo: (() => void)[]): void {
  const before = map.get(key)
  undo.push(() => void (before === undefined ? map.delete(key) : map.set(key, before)))
  map.set(key, value)
}

export function drop<K, V>(map: Map<K, V>, key: K, undo: (() => void)[]): void {
  const before = map.get(key)
  if (before === undefined) return
  undo.push(() => void map.set(key, before))
  map.delete(key)
}

export function keyOf(owner: string, key: string): string {
  return `${owner}\n${key}`
}

export function inOrder<T extends string | number>(values: Iterable<T>): T[] {
  return [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

export function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}

export function commonest<G extends { count: number; exampleIndex: number }>(groups: Iterable<G>, limit: number): G[] {
  return [...groups]
    .sort((a, b) => b.count - a.count || a.exampleIndex - b.exampleIndex)
    .slice(0, limit)
    .map(group => ({ ...group }))
}

export function compared(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
