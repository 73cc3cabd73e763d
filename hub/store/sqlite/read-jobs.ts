// Questions about jobs, over the three places where they are: live ones as they stand since the journal was last put away, rows
// of jobs that live or ended without a result, and results. What is live here wins over its row.
import type { CampaignId, IndexRange, NodeId, Outcome, Phase, Verdict } from "../../core/model.ts"
import type { JobFilter, JobRow } from "../../core/rows.ts"
import { type CancelledRange, cancelledJob, mergeByIndex } from "../cancelled.ts"
import { type ByJob, storyIn, triesOf } from "./journal.ts"
import type { Db } from "./open.ts"
import type { Columns } from "./row.ts"

const ofResult = "campaign, idx, outcome, verdict, last_attempt, node, failures, losses, story"

function prepare(db: Db) {
  return {
    // Hubs of before kept what the journal said of a campaign that was being swept.
    live: db.prepare<[], Columns>(
      `SELECT jobs.* FROM jobs INDEXED BY jobs_live JOIN progress USING (campaign)
       WHERE phase <> 'ended' AND forgotten_at IS NULL ORDER BY campaign, idx`,
    ),
    job: db.prepare<[number, number], Columns>("SELECT * FROM jobs WHERE campaign = ? AND idx = ?"),
    ended: db.prepare<[number, number], Columns>(
      `SELECT ${ofResult} FROM results WHERE campaign = ? AND idx = ? AND accepted = 1`,
    ),
    indices: db
      .prepare<[{ campaign: number; from: number }], number>(
        `SELECT idx FROM jobs WHERE campaign = @campaign AND idx >= @from
         UNION SELECT idx FROM results WHERE campaign = @campaign AND idx >= @from AND accepted = 1 ORDER BY idx`,
      )
      .pluck(),
    unwellJobs: db.prepare<[number, number, number, number], Columns>(
      `SELECT * FROM jobs INDEXED BY jobs_ended
       WHERE campaign = ? AND outcome IS NOT NULL AND outcome <> 'finished' AND idx BETWEEN ? AND ? ORDER BY idx LIMIT ?`,
    ),
    unwellResults: db.prepare<[number, number, number, number], Columns>(
      `SELECT ${ofResult} FROM results INDEXED BY results_bad
       WHERE campaign = ? AND outcome <> 'finished' AND accepted = 1 AND idx BETWEEN ? AND ? ORDER BY idx LIMIT ?`,
    ),
    cancelledFrom: db.prepare<[number, number, number], CancelledRange>(
      "SELECT first, count, at, why FROM cancelled WHERE campaign = ? AND first + count > ? ORDER BY first LIMIT ?",
    ),
    cancelledOver: db.prepare<[number, number], CancelledRange>(
      "SELECT first, count, at, why FROM cancelled WHERE campaign = ? AND first <= ? ORDER BY first DESC LIMIT 1",
    ),
  }
}

type Page = ReturnType<typeof preparePage>

export class JobsReader {
  private db: Db
  private ask: ReturnType<typeof prepare>
  private live: ByJob<JobRow>
  private readonly pages = new Map<string, Page>()

  constructor(db: Db, live: ByJob<JobRow>) {
    this.db = db
    this.live = live
    this.ask = prepare(db)
  }

  /** Goes on with another handle on the same database. */
  readFrom(db: Db, live: ByJob<JobRow>): void {
    this.db = db
    this.live = live
    this.ask = prepare(db)
    this.pages.clear()
  }

  liveJobs(): JobRow[] {
    const rows = this.ask.live.all().map(jobRow)
    const stale = (row: JobRow) => this.live.get(row.campaign, row.index) !== undefined
    return [...rows.filter(row => !stale(row)), ...[...this.live.values()].map(copy)].sort(
      (a, b) => a.campaign - b.campaign || a.index - b.index,
    )
  }

  indicesFrom(campaign: CampaignId, from: number): number[] {
    const stored = this.ask.indices.all({ campaign, from })
    const live = [...this.live.of(campaign).keys()].filter(index => index >= from)
    return live.length === 0 ? stored : [...new Set([...stored, ...live])].sort((a, b) => a - b)
  }

  cancelledRanges(campaign: CampaignId): CancelledRange[] {
    return this.ask.cancelledFrom.all(campaign, 0, -1)
  }

  /** Of a job that ended either has a row, never both. */
  unwell(campaign: CampaignId, { first, last }: IndexRange, limit: number): JobRow[] {
    const jobs = this.ask.unwellJobs.all(campaign, first, last, limit).map(jobRow)
    const results = this.ask.unwellResults.all(campaign, first, last, limit).map(endedRow)
    return [...jobs, ...results].sort((a, b) => a.index - b.index).slice(0, limit)
  }

  job(campaign: CampaignId, index: number): JobRow | null {
    const live = this.live.get(campaign, index)
    if (live !== undefined) return copy(live)
    const columns = this.ask.job.get(campaign, index)
    if (columns !== undefined) return jobRow(columns)
    const ended = this.ask.ended.get(campaign, index)
    if (ended !== undefined) return endedRow(ended)
    const range = this.ask.cancelledOver.get(campaign, index)
    return range !== undefined && index < range.first + range.count ? cancelledJob(campaign, index, range) : null
  }

  jobs(campaign: CampaignId, filter: JobFilter): JobRow[] {
    const { fromIndex, limit, phase, outcome } = filter
    const rows: JobRow[] = []
    for (const row of this.inOrder(campaign, filter)) {
      if (rows.length === limit) break
      rows.push(row)
    }
    if ((phase ?? "ended") !== "ended" || (outcome ?? "cancelled") !== "cancelled") return rows
    return mergeByIndex(campaign, rows, this.ask.cancelledFrom.all(campaign, fromIndex, limit), fromIndex, limit)
  }

  /** Of all three places, each job once. */
  private *inOrder(campaign: CampaignId, filter: JobFilter): Generator<JobRow> {
    const live = this.live.of(campaign)
    const sources = [this.liveFrom(campaign, filter)]
    sources.push(this.table(campaign, filter, "jobs"))
    // Nothing else ends with a result.
    const hasResult = filter.outcome !== "cancelled" && filter.outcome !== "lost"
    if ((filter.phase ?? "ended") === "ended" && hasResult) sources.push(this.table(campaign, filter, "results"))
    const heads = sources.map(source => source.next())
    let last = -1
    for (;;) {
      let least = -1
      heads.forEach((head, at) => {
        if (head.done === true) return
        const before = heads[least]
        if (before === undefined || before.done === true || head.value.index < before.value.index) least = at
      })
      const head = heads[least]
      if (head === undefined || head.done === true) return
      const { value } = head
      heads[least] = sources[least]!.next()
      // A row of the table that the journal has overtaken.
      if (value.index === last || (least > 0 && live.has(value.index))) continue
      last = value.index
      yield value
    }
  }

  private *liveFrom(campaign: CampaignId, { fromIndex, phase, outcome }: JobFilter): Generator<JobRow> {
    if (outcome !== undefined || phase === "ended") return
    const rows = [...this.live.of(campaign).values()]
    yield* rows
      .filter(row => row.index >= fromIndex && (phase ?? row.phase) === row.phase)
      .sort((a, b) => a.index - b.index)
      .map(copy)
  }

  private *table(campaign: CampaignId, filter: JobFilter, table: "jobs" | "results"): Generator<JobRow> {
    const { limit, phase = null, outcome = null } = filter
    const key = `${table} ${phase} ${outcome}`
    let page = this.pages.get(key)
    if (page === undefined) {
      page = preparePage(this.db, filter, table)
      this.pages.set(key, page)
    }
    for (let { fromIndex } = filter; ; ) {
      const rows = page.all({ campaign, fromIndex, limit, phase, outcome })
      for (const columns of rows) yield table === "jobs" ? jobRow(columns) : endedRow(columns)
      if (rows.length < limit) return
      fromIndex = (rows.at(-1)!.idx as number) + 1
    }
  }
}

/** By an index that holds just what is asked for. SQLite would refuse the statement if that could not be used. */
function preparePage(db: Db, { phase, outcome }: JobFilter, table: "jobs" | "results") {
  const conditions = ["campaign = @campaign", "idx >= @fromIndex"]
  let index = ""
  if (table === "results") conditions.push("accepted = 1")
  // The indices' own conditions, which SQLite does not derive from a parameter.
  if (table === "jobs" && phase !== undefined) conditions.push("phase = @phase")
  if (table === "jobs" && phase !== undefined && phase !== "ended") {
    conditions.push("phase <> 'ended'")
    index = "INDEXED BY jobs_live"
  }
  if (outcome !== undefined) conditions.push("outcome = @outcome")
  if (table === "jobs" && outcome !== undefined) index = "INDEXED BY jobs_ended"
  if (table === "results" && outcome !== undefined && outcome !== "finished") {
    conditions.push("outcome <> 'finished'")
    index = "INDEXED BY results_bad"
  }
  const columns = table === "jobs" ? "*" : ofResult
  return db.prepare<[Record<string, string | number | null>], Columns>(
    `SELECT ${columns} FROM ${table} ${index} WHERE ${conditions.join(" AND ")} ORDER BY idx LIMIT @limit`,
  )
}

/** Whoever asks may do with it what they like. */
function copy(row: JobRow): JobRow {
  return { ...row }
}

function jobRow(c: Columns): JobRow {
  return {
    campaign: c.campaign as CampaignId,
    index: c.idx as number,
    phase: c.phase as Phase,
    outcome: c.outcome as Outcome | null,
    verdict: c.verdict as Verdict,
    attempt: c.attempt as number,
    node: c.node as NodeId | null,
    failures: c.failures as number,
    losses: c.losses as number,
    tries: triesOf(JSON.parse(c.tries as string)),
    story: storyIn(c.story as string),
  }
}

/** A job of which nothing but its result has a row. */
function endedRow(c: Columns): JobRow {
  return {
    campaign: c.campaign as CampaignId,
    index: c.idx as number,
    phase: "ended",
    outcome: c.outcome as Outcome,
    verdict: c.verdict as Verdict,
    attempt: c.last_attempt as number,
    node: c.node as NodeId,
    failures: c.failures as number,
    losses: c.losses as number,
    tries: [],
    story: storyIn(c.story as string),
  }
}
