// Jobs as their owner sees them. A job to which nothing has happened has no row: it lies in the campaign's untouched range,
// at or above its cursor, and is shown as queued.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { CampaignRow, JobRow, StoreReader } from "../../core/ports.ts"
import { callerOf, campaignFor, checkIndex, pageOf, type ScientistParts } from "./parts.ts"
import { campaignIdOf, type JobView, jobOf, outcomeOf, phaseOf, wireJob } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

export function jobMethods({ store }: ScientistParts): Pick<Service, "listJobs" | "getJob"> {
  return {
    listJobs({ campaign, limit, fromIndex, phase, outcome }, context) {
      const row = campaignFor(store, callerOf(context), campaignIdOf(campaign))
      const wanted = { phase: phaseOf(phase), outcome: outcomeOf(outcome) }
      const page = listJobs(store, row, { fromIndex, limit: pageOf(limit), ...wanted })
      return { jobs: page.map(job => wireJob(viewOf(store, row, job, false))) }
    },

    getJob({ id }, context) {
      const { campaign, index } = jobOf(id)
      const row = campaignFor(store, callerOf(context), campaign)
      checkIndex(row, index)
      return { job: wireJob(viewOf(store, row, store.job(campaign, index) ?? untouched(row, index), true)) }
    },
  }
}

export function viewOf(store: StoreReader, campaign: CampaignRow, job: JobRow, story: boolean): JobView {
  return {
    job,
    result: job.phase === "ended" ? store.result(job.campaign, job.index) : null,
    line: campaign.hasParameters ? store.parameters(job.campaign, job.index) : null,
    story,
  }
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
  const taken = new Set(rows.map(row => row.index))
  const cancelled = store.cancelledRanges(campaign.id)
  const queued: JobRow[] = []
  for (let index = Math.max(fromIndex, campaign.cursor); index < campaign.total && queued.length < limit; index++) {
    const range = cancelled.find(each => index >= each.first && index <= each.last)
    if (range !== undefined) index = range.last
    else if (!taken.has(index)) queued.push(untouched(campaign, index))
  }
  return [...rows, ...queued].sort((a, b) => a.index - b.index).slice(0, limit)
}

export function untouched(campaign: CampaignRow, index: number): JobRow {
  return {
    campaign: campaign.id,
    index,
    phase: "queued",
    outcome: null,
    verdict: "unchecked",
    attempt: 0,
    node: null,
    failures: 0,
    losses: 0,
    story: [],
  }
}
