// Campaigns as their owner sees them: listed, shown, watched, held, cancelled, tried again, forgotten. All that is shown is on disk.
import type { Caller } from "../auth/tokens.ts"
import { CahError } from "../core/errors.ts"
import type { CampaignId, IndexRange } from "../core/model.ts"
import type { CampaignRow, ErrorSummaryRow, WarningSummaryRow } from "../core/rows.ts"
import {
  KEEP_ALIVE_MS,
  PAGE_MAX,
  RANGES_MAX,
  WATCH_EVERY_MS,
  WATCH_PENDING_MAX,
  WATCH_SLICE_MS,
  WATCH_SLICES,
} from "../limits.ts"
import type { Jobs, JobView } from "./jobs.ts"
import { type CaseParts, campaignFor, isAdmin, noteAct, pageOf } from "./parts.ts"
import { Signal } from "./signal.ts"

/** Distinct errors, and warnings, shown with a campaign: more than fit on a screen help nobody. */
const ERRORS_SHOWN = 10

/** A campaign, and beside it what its row does not know. */
export interface CampaignView {
  readonly row: CampaignRow
  /** Nodes that work on it now. */
  readonly nodes: number
  /** Wall time, ms; null: it has not ended, or is kept until its owner says so. */
  readonly expiresAt: number | null
}

export interface CampaignsWanted {
  /** Of all owners, which only admins may. */
  readonly everybody: boolean
  /** Numbers below this one only; null: from the newest on. */
  readonly before: number | null
  readonly limit: number
  /** Only those that have not ended. */
  readonly live: boolean
}

export interface News extends CampaignView {
  /** Jobs that ended since the news before; null in the first, which tells how it stands. */
  readonly ended: readonly JobView[] | null
}

type Parts = Pick<CaseParts, "engine" | "store" | "clock" | "retention" | "quotas" | "log"> & { readonly jobs: Jobs }

export class Campaigns {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Newest first. */
  list(caller: Caller, { everybody, before, limit, live }: CampaignsWanted): CampaignView[] {
    if (everybody && !isAdmin(caller)) {
      throw new CahError("permission_denied", "only admins may list everybody's campaigns")
    }
    const owner = everybody ? null : caller.principal
    const rows = this.#parts.store.campaigns({
      owner,
      before: before ?? Number.MAX_SAFE_INTEGER,
      limit: pageOf(limit),
      live,
    })
    return rows.map(row => this.#view(row))
  }

  show(
    caller: Caller,
    id: CampaignId,
  ): CampaignView & { readonly errors: ErrorSummaryRow[]; readonly warnings: WarningSummaryRow[] } {
    const { store } = this.#parts
    const view = this.#view(campaignFor(store, caller, id))
    return { ...view, errors: store.errors(id, ERRORS_SHOWN), warnings: store.warnings(id, ERRORS_SHOWN) }
  }

  /** Nothing more of it is offered until it is resumed; with ranges, of these jobs. Number of jobs whose own hold changed. */
  async hold(caller: Caller, id: CampaignId, held: boolean, ranges: readonly IndexRange[]): Promise<number> {
    const { engine, store } = this.#parts
    const row = campaignFor(store, caller, id)
    const chosen = rangesOf(row, ranges, "hold")
    const jobs = chosen.length === 0 ? 0 : await engine.holdJobs(id, chosen, held)
    if (chosen.length === 0) await engine.hold(id, held)
    noteAct(this.#parts, caller, row, held ? "held" : "resumed", { jobs })
    return jobs
  }

  /** Without ranges all of it. Number of jobs that it ended. */
  async cancel(caller: Caller, id: CampaignId, ranges: readonly IndexRange[]): Promise<number> {
    const { engine, store } = this.#parts
    const row = campaignFor(store, caller, id)
    const chosen = chosenOf(row, ranges, "cancel")
    const cancelled = await engine.cancel(id, chosen)
    noteAct(this.#parts, caller, row, "cancelled", { cancelled })
    return cancelled
  }

  /**
   * Jobs that ended otherwise than well are queued again in it; without ranges all of them. `seen`: its resubmissions as the caller
   * saw them, so that what was asked twice is done once.
   */
  async retry(
    caller: Caller,
    id: CampaignId,
    ranges: readonly IndexRange[],
    seen: number | null,
  ): Promise<{ jobs: number; existed: boolean; campaigns: readonly CampaignId[] }> {
    const { engine, store, quotas } = this.#parts
    quotas.submit(caller.principal)
    const row = campaignFor(store, caller, id)
    const chosen = chosenOf(row, ranges, "try again")
    const retried = await engine.retry({
      campaign: id,
      ranges: chosen,
      by: caller.principal,
      seen,
      jobsMax: quotas.limits.jobs,
    })
    noteAct(this.#parts, caller, row, "tried again", { jobs: retried.jobs })
    return retried
  }

  /** It and all that it gave back are no more, from now on; only one that has ended, and that nothing needs. */
  async forget(caller: Caller, id: CampaignId): Promise<void> {
    const { engine, store, clock, retention } = this.#parts
    const row = campaignFor(store, caller, id)
    if (row.endedAt === null) {
      const message = `campaign ${id} has not ended: cancel it first with \`cah del ${id}\``
      throw new CahError("failed_precondition", message)
    }
    const gathering = engine.gathers(id)
    if (gathering !== null) {
      const message = `campaign ${gathering} gathers what campaign ${id} gave back: wait for it, or cancel it`
      throw new CahError("failed_precondition", message)
    }
    await engine.commit([{ kind: "forgetCampaign", campaign: id, at: clock.wallMs() }])
    noteAct(this.#parts, caller, row, "forgotten")
    void retention.wake()
  }

  /**
   * As it is, then as it changes, at most five times a second, until it has ended. News are counted, not queued: a slow reader gets
   * fewer and larger ones, and one that does not read at all is let go. When `signal` is aborted its reason is thrown.
   */
  async *watch(caller: Caller, id: CampaignId, wantsJobs: boolean, signal: AbortSignal): AsyncGenerator<News> {
    const { engine, store, quotas, jobs } = this.#parts
    const watch = quotas.watch(caller.principal)
    const news = new Signal(signal)
    let ended: number[] = []
    let tooMany = false
    // Before the first look, so that nothing falls between the two.
    const stop = engine.watch(id, ({ ended: more }) => {
      if (wantsJobs && !tooMany) for (const { index } of more) ended.push(index)
      if (ended.length > WATCH_PENDING_MAX) {
        tooMany = true
        ended = []
      }
      news.raise()
    })
    try {
      let row = campaignFor(store, caller, id)
      yield { ...this.#view(row), ended: null }
      while (ended.length > 0 || row.endedAt === null) {
        if (ended.length === 0) await news.wait(KEEP_ALIVE_MS)
        // A call cut short must not look like a campaign that ended: the reason of the abort is thrown.
        signal.throwIfAborted()
        // Not all at once: many may watch one campaign, and each takes a while to be told. What else happens within the fifth of a second goes into the same news.
        await news.pause(WATCH_EVERY_MS + (watch.number % WATCH_SLICES) * WATCH_SLICE_MS)
        signal.throwIfAborted()
        if (tooMany) {
          const message = "you read too slowly, and too many jobs ended meanwhile: list them, then watch again"
          throw new CahError("resource_exhausted", message)
        }
        const batch = ended.splice(0, PAGE_MAX)
        row = campaignFor(store, caller, id)
        yield { ...this.#view(row), ended: jobs.ended(id, batch) }
      }
    } finally {
      stop()
      watch.end()
    }
  }

  #view(row: CampaignRow): CampaignView {
    const { engine, retention } = this.#parts
    return {
      row,
      nodes: engine.campaign(row.id)?.onNodes.size ?? 0,
      expiresAt: row.endedAt === null ? null : retention.expiresAt(row.endedAt),
    }
  }
}

/** None: all of it. */
function chosenOf(row: CampaignRow, ranges: readonly IndexRange[], what: string): IndexRange[] {
  return ranges.length > 0 ? rangesOf(row, ranges, what) : [{ first: 0, last: row.total - 1 }]
}

function rangesOf(row: CampaignRow, ranges: readonly IndexRange[], what: string): IndexRange[] {
  if (ranges.length > RANGES_MAX) {
    throw new CahError("invalid_argument", `${ranges.length} ranges to ${what} are too many: ${RANGES_MAX} at most`)
  }
  for (const { first, last } of ranges) {
    if (first <= last && last < row.total) continue
    const message = `the range ${first}-${last} is not within campaign ${row.id}, which has jobs 0 to ${row.total - 1}`
    throw new CahError("invalid_argument", message)
  }
  return ranges.map(({ first, last }) => ({ first, last }))
}
