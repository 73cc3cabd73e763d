// Jobs as their owner sees them. A job to which nothing has happened has no row: it lies in the campaign's untouched range,
// at or above its cursor, and is shown as queued.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { InlineBudget } from "../../cases/inline.ts"
import { untouchedJob } from "../../core/change.ts"
import type { Engine, StoreReader } from "../../core/ports.ts"
import type { CampaignRow, JobRow, ResultRow } from "../../core/rows.ts"
import { PAGE_MAX, PARAMETER_ROWS_MAX } from "../../limits.ts"
import { campaignIdOf, jobOf } from "../values.ts"
import { callerOf, campaignFor, checkIndex, pageOf, type ScientistParts } from "./parts.ts"
import { type JobView, type NodeNames, outcomeOf, phaseOf, wireJob } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

export function jobMethods({ engine, store }: ScientistParts): Pick<Service, "listJobs" | "getJob"> {
  const nameOf = nodeNames(engine)
  return {
    listJobs({ campaign, limit, fromIndex, phase, outcome, parameters }, context) {
      const row = campaignFor(store, callerOf(context), campaignIdOf(campaign))
      const wanted = { phase: phaseOf(phase), outcome: outcomeOf(outcome) }
      const page = listJobs(store, row, {
        fromIndex,
        limit: Math.min(pageOf(limit), parameters ? PARAMETER_ROWS_MAX : PAGE_MAX),
        ...wanted,
      })
      const budget = new InlineBudget()
      const lineOf = (index: number) => (parameters && row.hasParameters ? store.parameters(row.id, index) : null)
      return { jobs: page.map(job => wireJob({ ...listed(store, job, budget), line: lineOf(job.index) }, nameOf)) }
    },

    getJob({ id }, context) {
      const { campaign, index } = jobOf(id)
      const row = campaignFor(store, callerOf(context), campaign)
      checkIndex(row, index)
      const job = store.job(campaign, index) ?? untouchedJob(row.id, index)
      const line = row.hasParameters ? store.parameters(campaign, index) : null
      const earlier = store.attempts(campaign, index)
      return { job: wireJob({ job, line, result: resultOf(store, job), whole: true, earlier }, nameOf) }
    },
  }
}

export function nodeNames(engine: Pick<Engine, "node">): NodeNames {
  return node => engine.node(node)?.name ?? ""
}

/** As one of many: without its story and its parameters, and with its outputs while there is room for them. */
export function listed(store: StoreReader, job: JobRow, budget: InlineBudget): JobView {
  const result = resultOf(store, job)
  const fitted = result && { ...result, stdout: budget.fit(result.stdout), stderr: budget.fit(result.stderr) }
  return { job, line: null, result: fitted, whole: false }
}

function resultOf(store: StoreReader, job: JobRow): ResultRow | null {
  return job.phase === "ended" ? store.result(job.campaign, job.index) : null
}

export interface JobsWanted {
  readonly fromIndex: number
  readonly limit: number
  readonly phase: JobRow["phase"] | undefined
  readonly outcome: JobRow["outcome"] | undefined
}

/** Rows and untouched jobs together, by index. */
export function listJobs(store: StoreReader, campaign: CampaignRow, wanted: JobsWanted): JobRow[] {
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
