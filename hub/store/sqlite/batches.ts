// From the engine's batches to the writer's steps. Live jobs of a batch become one row of the journal; a job that ended and its
// result become one row. Now and then the journal is put away: live jobs get rows in jobs, a page with each batch, and what the
// journal held up to then is deleted. Until its batch is on disk a change is not seen by readers.
import type { CampaignId } from "../../core/model.ts"
import type { CampaignRow, JobRow, ResultRow, Write } from "../../core/rows.ts"
import { JOURNAL_KEPT_CHARACTERS, PUT_AWAY_ROWS } from "../../limits.ts"
import { addEnded, encode, type Step } from "./encode.ts"
import { ByJob, journalRows, journalText } from "./journal.ts"
import type { Db } from "./open.ts"

export interface Batch {
  readonly steps: Step[]
  /** It is on disk. */
  readonly landed: () => void
}

interface PuttingAway {
  /** The journal's rows up to here are not needed afterwards. */
  readonly upTo: number
  readonly rows: Iterator<JobRow>
}

export interface JournalLimits {
  readonly keptCharacters: number
  readonly putAwayRows: number
}

export const journalLimits: JournalLimits = {
  keptCharacters: JOURNAL_KEPT_CHARACTERS,
  putAwayRows: PUT_AWAY_ROWS,
}

export class Batches {
  /** Jobs as the batches on disk left them, since the journal was put away for the last time. */
  readonly live = new ByJob<JobRow>()
  /** Jobs with a row of their own that says that they live. */
  private readonly rows = new ByJob<true>()
  /** Jobs that ended in a batch that is not on disk yet. */
  private readonly leaving = new ByJob<true>()
  private sequence = 0
  /** The last of the journal's rows that is on disk. */
  private landed = 0
  /** Characters in the journal since it was put away. */
  private size = 0
  private puttingAway: PuttingAway | null = null
  private readonly limits: JournalLimits

  private constructor(limits: JournalLimits) {
    this.limits = limits
  }

  /** What a database holds. `live` is complete then; the first batch of putAway() leaves its journal empty. */
  static of(db: Db, limits: JournalLimits): Batches {
    const batches = new Batches(limits)
    const rows = db.prepare<[], { seq: number; jobs: string }>("SELECT seq, jobs FROM journal ORDER BY seq")
    for (const { seq, jobs } of rows.iterate()) {
      batches.sequence = seq
      for (const row of journalRows(jobs)) batches.live.set(row.campaign, row.index, row)
    }
    batches.landed = batches.sequence
    const live = db.prepare<[], { campaign: CampaignId; idx: number }>(
      "SELECT campaign, idx FROM jobs INDEXED BY jobs_live WHERE phase <> 'ended'",
    )
    for (const { campaign, idx } of live.iterate()) batches.rows.set(campaign, idx, true)
    // What the journal says of a job that has ended since is over: an end is never in the journal. Nor is the end of a campaign, whose
    // results may be swept by now, and its own row with them.
    const known = db
      .prepare<[number], number>("SELECT 1 FROM progress WHERE campaign = ? AND forgotten_at IS NULL")
      .pluck()
    const ended = db
      .prepare<[number, number, number, number], number>(
        `SELECT 1 FROM results WHERE campaign = ? AND idx = ? AND accepted = 1
         UNION ALL SELECT 1 FROM jobs WHERE campaign = ? AND idx = ? AND phase = 'ended'`,
      )
      .pluck()
    for (const campaign of batches.live.campaigns()) {
      const isKnown = known.get(campaign) !== undefined
      for (const index of [...batches.live.of(campaign).keys()]) {
        const isOver = !isKnown || ended.get(campaign, index, campaign, index) !== undefined
        if (isOver) batches.live.delete(campaign, index)
      }
    }
    return batches
  }

  /** Everything at once, for a start. Null: there is nothing in the journal. */
  putAway(): Batch | null {
    if (this.sequence === 0) return null
    const kept = [...this.live.values()]
    const steps: Step[] = [...kept.flatMap(row => this.keep(row)), ["clearJournal", [this.landed]]]
    return { steps, landed: () => this.forget(kept) }
  }

  batch(
    writes: readonly Write[],
    wallMs: number,
    { isStored, isKnown }: { isStored: (row: CampaignRow) => boolean; isKnown: (campaign: CampaignId) => boolean },
  ): Batch {
    const { steps, kept } = this.putAwaySome()
    const results = new ByJob<ResultRow>()
    const campaigns = new Set<CampaignId>()
    for (const write of writes) {
      if (write.kind === "result" && write.row.accepted) results.set(write.row.campaign, write.row.index, write.row)
      else if (write.kind === "campaign") campaigns.add(write.row.id)
    }
    const changed: JobRow[] = []
    const ended: JobRow[] = []
    for (const write of writes) {
      if (write.kind === "job") {
        const { row } = write
        if (row.phase !== "ended") {
          // Of no campaign: the table's own rule refuses it, and the batch with it.
          if (!campaigns.has(row.campaign) && !isKnown(row.campaign)) steps.push(...encode(write, wallMs, isStored))
          changed.push({ ...row })
          continue
        }
        ended.push(row)
        this.leaving.set(row.campaign, row.index, true)
        if (this.rows.delete(row.campaign, row.index)) steps.push(["dropJob", [row.campaign, row.index]])
        const result = results.get(row.campaign, row.index)
        if (result === undefined) steps.push(...encode(write, wallMs, isStored))
        else {
          results.delete(row.campaign, row.index)
          addEnded(steps, row, result, wallMs)
        }
      } else if (
        write.kind !== "result" ||
        !write.row.accepted ||
        results.get(write.row.campaign, write.row.index) !== undefined
      ) {
        steps.push(...encode(write, wallMs, isStored))
      }
    }
    if (changed.length > 0) {
      const text = journalText(changed)
      steps.push(["journal", [++this.sequence, text]])
      this.size += text.length
    }
    const { sequence } = this
    return {
      steps,
      landed: () => {
        this.landed = sequence
        for (const row of changed) this.live.set(row.campaign, row.index, row)
        for (const { campaign, index } of ended) {
          this.live.delete(campaign, index)
          this.leaving.delete(campaign, index)
        }
        this.forget(kept)
      },
    }
  }

  /** Their rows are on disk. What changed since is as the journal says. */
  private forget(kept: readonly JobRow[]): void {
    for (const row of kept) {
      if (this.live.get(row.campaign, row.index) === row) this.live.delete(row.campaign, row.index)
    }
  }

  /** A page of the journal's jobs gets rows, if it is being put away or has grown enough to be. */
  private putAwaySome(): { steps: Step[]; kept: JobRow[] } {
    const kept: JobRow[] = []
    const steps: Step[] = []
    if (this.puttingAway === null && this.size < this.limits.keptCharacters) return { steps, kept }
    this.puttingAway ??= { upTo: this.landed, rows: [...this.live.values()].values() }
    const { rows, upTo } = this.puttingAway
    while (steps.length < this.limits.putAwayRows) {
      const { value, done } = rows.next()
      if (done === true) {
        this.puttingAway = null
        this.size = 0
        steps.push(["clearJournal", [upTo]])
        break
      }
      // As it stands now on disk: rows of the journal that come after it say what came after it.
      const row = this.live.get(value.campaign, value.index)
      if (row === undefined || this.leaving.get(row.campaign, row.index) !== undefined) continue
      steps.push(...this.keep(row))
      kept.push(row)
    }
    return { steps, kept }
  }

  private keep(row: JobRow): Step[] {
    this.rows.set(row.campaign, row.index, true)
    return encode({ kind: "job", row }, 0, () => true)
  }
}
