// Jobs as their owner sees them. A job to which nothing has happened has no row: it lies in the campaign's untouched range,
// at or above its cursor, and is shown as queued. Fronts need not know.
import type { Caller } from "../auth/tokens.ts"
import type { Explanation } from "../core/asking/explain.ts"
import { failedJobs, hasFailedTooOften, untouchedJob } from "../core/change.ts"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { StoreReader } from "../core/ports.ts"
import type { CampaignRow, JobRow, ResultRow } from "../core/rows.ts"
import { PAGE_MAX, PARAMETER_ROWS_MAX } from "../limits.ts"
import { InlineBudget } from "./inline.ts"
import { type CaseParts, campaignFor, campaignOf, checkIndex, type JobName, pageOf } from "./parts.ts"

export interface JobView {
  readonly job: JobRow
  readonly result: ResultRow | null
  /** Its line of the parameter list. */
  readonly line: string | null
  /** Where one job was asked for: with its story. */
  readonly whole: boolean
  /** Likewise: attempts that were tried again. */
  readonly earlier?: readonly ResultRow[]
}

export interface JobsWanted {
  readonly fromIndex: number
  readonly limit: number
  readonly phase: JobRow["phase"] | undefined
  readonly outcome: JobRow["outcome"] | undefined
}

/** Why a job, or a campaign's next one, is where it is. */
export type Answer =
  | { readonly kind: "waits"; readonly found: Explanation }
  | {
      readonly kind: "ended"
      readonly sentence: string
      readonly index: number | null
      /** The campaign whose jobs that did not finish could be submitted again; null: none. */
      readonly again: CampaignId | null
    }

export class Jobs {
  readonly #parts: Pick<CaseParts, "engine" | "store">

  constructor(parts: Pick<CaseParts, "engine" | "store">) {
    this.#parts = parts
  }

  /** By index. With `parameters` each job's line, and fewer at once. */
  list(caller: Caller, campaign: CampaignId, wanted: JobsWanted & { readonly parameters: boolean }): JobView[] {
    const { store } = this.#parts
    const row = campaignFor(store, caller, campaign)
    const { parameters } = wanted
    const limit = Math.min(pageOf(wanted.limit), parameters ? PARAMETER_ROWS_MAX : PAGE_MAX)
    const budget = new InlineBudget()
    const lineOf = (index: number) => (parameters && row.hasParameters ? store.parameters(row.id, index) : null)
    return jobsOf(store, row, { ...wanted, limit }).map(job => ({
      ...listed(store, job, budget),
      line: lineOf(job.index),
    }))
  }

  show(caller: Caller, name: JobName): JobView {
    const { store } = this.#parts
    const { campaign, index } = name
    const { hasParameters } = campaignOf(store, caller, name)
    const job = store.job(campaign, index) ?? untouchedJob(campaign, index)
    const line = hasParameters ? store.parameters(campaign, index) : null
    return { job, line, result: resultOf(store, job), whole: true, earlier: store.attempts(campaign, index) }
  }

  /** Those that have just ended, as news of a campaign: as in a list. */
  ended(campaign: CampaignId, indices: readonly number[]): JobView[] {
    const { store } = this.#parts
    const budget = new InlineBudget()
    return indices.map(index => listed(store, store.job(campaign, index) ?? untouchedJob(campaign, index), budget))
  }

  /** `index` null: the campaign's next. */
  explain(caller: Caller, id: CampaignId, index: number | null): Answer {
    const { engine, store } = this.#parts
    const campaign = campaignFor(store, caller, id)
    if (index !== null) checkIndex(campaign, index)
    if (campaign.endedAt !== null) {
      const again = campaign.counts.finished === campaign.total ? null : id
      return { kind: "ended", sentence: endOf(campaign), index, again }
    }
    const found = engine.explain(id, index)
    if (found !== null) return { kind: "waits", found }
    // It may have ended so short ago that this is not on disk.
    const outcome = store.job(id, index!)?.outcome ?? "just now"
    return { kind: "ended", sentence: `job ${id}.${index} has ended: ${outcome}`, index, again: null }
  }

  /** What people call a node; empty where it is known no more. */
  nodeName(node: NodeId): string {
    return this.#parts.engine.node(node)?.name ?? ""
  }
}

function endOf({ id, counts, total, rules }: CampaignRow): string {
  if (counts.finished === total) return `campaign ${id} has ended: all ${total} jobs finished`
  const stopped = hasFailedTooOften(counts, rules)
    ? `; ${failedJobs(counts)} failed, and after ${rules.failMax} the others were cancelled (--max-fails)`
    : ""
  return `campaign ${id} has ended: ${counts.finished} of ${total} jobs finished${stopped}`
}

/** As one of many: without its story and its parameters, and with its outputs while there is room for them. */
function listed(store: StoreReader, job: JobRow, budget: InlineBudget): JobView {
  const result = resultOf(store, job)
  const fitted = result && { ...result, stdout: budget.fit(result.stdout), stderr: budget.fit(result.stderr) }
  return { job, line: null, result: fitted, whole: false }
}

function resultOf(store: StoreReader, job: JobRow): ResultRow | null {
  return job.phase === "ended" ? store.result(job.campaign, job.index) : null
}

/** Rows and untouched jobs together, by index. */
function jobsOf(store: StoreReader, campaign: CampaignRow, wanted: JobsWanted): JobRow[] {
  const { fromIndex, limit, phase, outcome } = wanted
  // The campaign's row was read before the jobs': a job that got its row in between is in both, and the row is newer.
  const rows = store.jobs(campaign.id, {
    fromIndex,
    limit,
    ...(phase === undefined ? {} : { phase }),
    ...(outcome === undefined || outcome === null ? {} : { outcome }),
  })
  const mayBeQueued = (phase === undefined || phase === "queued") && (outcome === undefined || outcome === null)
  if (!mayBeQueued) return rows
  // Jobs that were held before they began have a row beyond the cursor, whatever phase was asked for.
  const taken = new Set(store.indicesFrom(campaign.id, Math.max(fromIndex, campaign.cursor)))
  const cancelled = store.cancelledRanges(campaign.id)
  const queued: JobRow[] = []
  let index = Math.max(fromIndex, campaign.cursor)
  // The ranges are sorted: one walk over both, whatever their number.
  let next = cancelled.findIndex(range => range.last >= index)
  while (index < campaign.total && queued.length < limit) {
    const range = next < 0 ? undefined : cancelled[next]
    if (range !== undefined && index >= range.first) {
      index = Math.max(index, range.last + 1)
      next++
    } else {
      if (!taken.has(index)) queued.push(untouchedJob(campaign.id, index))
      index++
    }
  }
  return [...rows, ...queued].sort((a, b) => a.index - b.index).slice(0, limit)
}
