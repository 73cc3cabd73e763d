// Jobs that ended otherwise than well, tried again in their own campaign: the same numbers, further attempts. A campaign that had
// ended lives again until it ends anew; campaigns that were cancelled because it did not end well wait for it again, with the
// jobs that were cancelled for that. What has ended is on disk alone, so the engine brings along what the store says.
import { RETRY_CAMPAIGNS_MAX, RETRY_JOBS_MAX } from "../limits.ts"
import { awaitOthers, awaitStart, gaps, merged, tooManyJobs } from "./campaigns.ts"
import { failedJobs, noCounts, noNodes, noTries, touch, untouchedJob, updateLane } from "./change.ts"
import { CahError } from "./errors.ts"
import type { JobsRetried, Retriable, RetryGround } from "./events.ts"
import { endOf, watchDeadline } from "./lease.ts"
import type { Campaign, CampaignId, Counts, Dependency, IndexRange, Job } from "./model.ts"
import type { StoreReader } from "./ports.ts"
import { takeUp } from "./restore.ts"
import type { CampaignRow, JobRow } from "./rows.ts"
import { endedWell } from "./rules.ts"
import type { Stage } from "./stage.ts"
import { lastTold, linesOf, tell } from "./story.ts"

export type RetryReader = Pick<StoreReader, "campaign" | "unwell" | "missed" | "cancelledRanges" | "indicesFrom">

export function groundOf(store: RetryReader, id: CampaignId, ranges: readonly IndexRange[]): RetryGround {
  const own = retriable(store, id, ranges)
  if (own === null) return { own, dependants: [], well: new Set() }
  const dependants: Retriable[] = []
  const known = new Set([id])
  // Grows while it is walked through.
  for (const needed of known) {
    for (const { campaign, ranges: theirs } of store.missed(needed)) {
      if (known.has(campaign) || known.size > RETRY_CAMPAIGNS_MAX + 1) continue
      known.add(campaign)
      const found = retriable(store, campaign, theirs)
      if (found !== null) dependants.push(found)
    }
  }
  const well = new Set<CampaignId>()
  for (const { row } of [own, ...dependants]) {
    for (const { campaign } of row.waitsFor) {
      const other = store.campaign(campaign)
      if (other !== null && other.endedAt !== null && endedWell(other.counts, other.total)) well.add(campaign)
    }
  }
  return { own, dependants: dependants.sort((a, b) => a.row.id - b.row.id), well }
}

function retriable(store: RetryReader, id: CampaignId, ranges: readonly IndexRange[]): Retriable | null {
  const row = store.campaign(id)
  if (row === null) return null
  const wanted = united(ranges)
  const jobs: JobRow[] = []
  for (const range of wanted) jobs.push(...store.unwell(id, range, RETRY_JOBS_MAX + 1 - jobs.length))
  const stored = store.cancelledRanges(id)
  const cancelled = stored.flatMap(({ first, last }) => overlaps(wanted, first, last))
  if (row.endedAt === null) return { row, jobs, cancelled, skipped: [] }
  const rows = store.indicesFrom(id, row.cursor).map(index => ({ first: index, last: index }))
  return { row, jobs, cancelled, skipped: merged([...stored.filter(({ last }) => last >= row.cursor), ...rows]) }
}

/** The same indices, sorted and disjoint. */
function united(ranges: readonly IndexRange[]): IndexRange[] {
  const found: IndexRange[] = []
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = found.at(-1)
    if (before !== undefined && range.first <= before.last + 1)
      found[found.length - 1] = { first: before.first, last: Math.max(before.last, range.last) }
    else found.push(range)
  }
  return found
}

/** The parts of first … last that lie in the ranges (sorted, disjoint). */
function overlaps(ranges: readonly IndexRange[], first: number, last: number): IndexRange[] {
  return ranges
    .map(range => ({ first: Math.max(range.first, first), last: Math.min(range.last, last) }))
    .filter(part => part.first <= part.last)
}

// ---- the decision --------------------------------------------------------------------------------------------------

export function onJobsRetried(stage: Stage, event: JobsRetried): void {
  const { state, effects } = stage
  const { request, campaign: id, by, ground } = event
  const own = ground?.own ?? null
  const resubmissions = (state.campaigns.get(id) ?? own?.row)?.totals.resubmissions
  if (event.seen !== null && event.seen + 1 === resubmissions) {
    effects.speech.push({ kind: "Reply", request, reply: { kind: "retried", jobs: 0, existed: true, campaigns: [] } })
    return
  }
  if (ground === undefined || own === null) {
    const error = new CahError("not_found", `there is no campaign ${id}: \`cah ls\` lists yours`)
    effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    return
  }
  const { revived, missing } = sorted(stage, id, ground)
  const refusal = refusalOf(stage, event, own, revived, ground.well)
  if (refusal !== null) {
    effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error: refusal } })
    return
  }
  const jobs = reopen(stage, own, { event: `queued again by ${by}`, isAsked: true })
  const words = `queued again: campaign ${id}, which it needs, is tried again by ${by}`
  for (const dependant of revived) reopen(stage, dependant, { event: words, isAsked: false })
  for (const { dependant, needed } of missing) {
    const { row, cancelled, jobs: rows } = dependant
    const ranges = united([...cancelled, ...rows.map(({ index }) => ({ first: index, last: index }))])
    effects.writes.push({ kind: "missed", campaign: row.id, needed, ranges })
  }
  const campaigns = revived.map(({ row }) => row.id)
  effects.speech.push({ kind: "Reply", request, reply: { kind: "retried", jobs, existed: false, campaigns } })
}

interface Sorted {
  /** That can wait again. */
  readonly revived: readonly Retriable[]
  /** That need yet another campaign, which did not end well: they stay cancelled, from now on for want of that one. */
  readonly missing: readonly { readonly dependant: Retriable; readonly needed: CampaignId }[]
}

function sorted({ state, now }: Stage, id: CampaignId, { dependants, well }: RetryGround): Sorted {
  const revived: Retriable[] = []
  const missing: Sorted["missing"][number][] = []
  const lives = new Set([id])
  for (const dependant of dependants) {
    const { row } = dependant
    if (state.campaigns.has(row.id) || row.endedAt === null || endOf(row) <= now.wallMs) continue
    if (row.rules.inside !== null && !state.campaigns.has(row.rules.inside)) continue
    const other = row.waitsFor.find(
      one => isMissed(one, well) && !lives.has(one.campaign) && !state.campaigns.has(one.campaign),
    )
    if (other !== undefined) missing.push({ dependant, needed: other.campaign })
    else {
      lives.add(row.id)
      revived.push(dependant)
    }
  }
  return { revived, missing }
}

function isMissed({ campaign, success }: Dependency, well: ReadonlySet<CampaignId>): boolean {
  return success && !well.has(campaign)
}

function refusalOf(
  { state, now }: Stage,
  { campaign: id, seen, jobsMax }: JobsRetried,
  own: Retriable,
  dependants: readonly Retriable[],
  well: ReadonlySet<CampaignId>,
): CahError | null {
  const { row, jobs, cancelled } = own
  const live = state.campaigns.get(id)
  const { rules, owner, counts, totals } = live ?? row
  const anew = "Submit the jobs as a new campaign: cah resub"
  const refused = (message: string) => new CahError("failed_precondition", message)
  if (seen !== null && seen !== totals.resubmissions) {
    return new CahError("aborted", `jobs of campaign ${id} were tried again meanwhile: look at it, then ask again`)
  }
  if (jobs.length === 0 && cancelled.length === 0) return nothingFailed(live ?? row)
  const rows = [own, ...dependants].reduce((sum, one) => {
    return sum + rowsOf(one, (state.campaigns.get(one.row.id) ?? one.row).cursor)
  }, 0)
  if (rows > RETRY_JOBS_MAX) {
    const message = `more than ${RETRY_JOBS_MAX} jobs are too many to be tried again at once: name some of them, as in ${id}.0-${RETRY_JOBS_MAX - 1}, then the others`
    return new CahError("resource_exhausted", message, { retry: "never" })
  }
  if (dependants.length > RETRY_CAMPAIGNS_MAX) {
    const message = `more than ${RETRY_CAMPAIGNS_MAX} campaigns would wait for campaign ${id} again, which is too many at once`
    return new CahError("resource_exhausted", message, { retry: "never" })
  }
  if (endOf(row) <= now.wallMs) {
    const what =
      rules.deadlineAt !== null && rules.deadlineAt <= now.wallMs ? "deadline has passed" : "reservation is over"
    return refused(`campaign ${id}'s ${what}: nothing of it can run. ${anew} ${id} --failed`)
  }
  const other =
    live === undefined ? row.waitsFor.find(one => isMissed(one, well) && !state.campaigns.has(one.campaign)) : undefined
  if (other !== undefined) {
    return refused(
      `campaign ${id} needs campaign ${other.campaign}, which did not end well: try that one again, and ${id} goes on by itself`,
    )
  }
  if (rules.inside !== null && !state.campaigns.has(rules.inside)) {
    return refused(`container ${rules.inside}, which campaign ${id} was inside, has ended: nothing can run inside it`)
  }
  const left = failedJobs(counts) - failedJobs(countsOf(jobs))
  if (rules.failMax !== null && left >= rules.failMax) {
    return refused(
      `campaign ${id} stops after ${rules.failMax} failed jobs, and ${left} would be left: try all of them again`,
    )
  }
  const ended = [...(live === undefined ? [row] : []), ...dependants.map(dependant => dependant.row)]
  const more = ended.reduce((sum, { total }) => sum + total, 0)
  const owned = state.ownerJobs.get(owner) ?? 0
  return jobsMax !== undefined && owned + more > jobsMax ? tooManyJobs(owned, more, jobsMax) : null
}

function nothingFailed({ id, counts, total }: Pick<CampaignRow, "id" | "counts" | "total">): CahError {
  const message = endedWell(counts, total)
    ? `all jobs of campaign ${id} finished well: there is nothing to try again`
    : `none of these jobs of campaign ${id} has failed: they finished well, or have not ended`
  return new CahError("failed_precondition", message)
}

/** Of its jobs, those that have a row or get one: what the cursor has passed is not queued without. */
function rowsOf({ jobs, cancelled }: Retriable, cursor: number): number {
  const passed = overlaps(cancelled, 0, cursor - 1)
  return jobs.length + passed.reduce((sum, { first, last }) => sum + last - first + 1, 0)
}

function countsOf(jobs: readonly JobRow[]): Counts {
  const counts = noCounts()
  for (const { outcome } of jobs) if (outcome !== null) counts[outcome]++
  return counts
}

// ---- what follows from it ------------------------------------------------------------------------------------------

interface How {
  readonly event: string
  /** By somebody who wants these jobs to run: those that were on hold, too. */
  readonly isAsked: boolean
}

/** Returns how many jobs are queued again. */
function reopen(stage: Stage, { row, jobs, cancelled, skipped }: Retriable, how: How): number {
  const { state, effects } = stage
  const { id } = row
  const campaign = state.campaigns.get(id) ?? revive(stage, row, skipped)
  campaign.totals.resubmissions++
  // Of what happens from now on it tells anew.
  campaign.told.delete("error")
  campaign.told.delete("end")
  let queued = jobs.length
  for (const job of jobs) {
    campaign.counts[job.outcome!]--
    const held = !how.isAsked && linesOf(job.story).at(-2)?.phase === "held"
    const fresh = { tries: noTries, held, failedOn: noNodes, elsewhere: false, story: job.story.slice() }
    again(stage, campaign, { ...job, ...fresh }, how)
  }
  for (const { first, last } of cancelled) {
    queued += last - first + 1
    campaign.counts.cancelled -= last - first + 1
    // What the cursor has passed is queued by a row of its own.
    for (let index = first; index <= Math.min(last, campaign.cursor - 1); index++)
      again(stage, campaign, untouchedJob(id, index), how)
    campaign.counts.queued += Math.max(0, last - Math.max(first, campaign.cursor) + 1)
  }
  campaign.skipped = campaign.skipped.flatMap(({ first, last }) => gaps(cancelled, first, last))
  effects.retries.push({ kind: "retry", campaign: id, jobs: jobs.map(({ index }) => index), cancelled })
  if (campaign.queued) state.queue.fresh.add(campaign.demand)
  updateLane(state, campaign)
  touch(stage, campaign, null)
  return queued
}

/** It had ended. */
function revive(stage: Stage, row: CampaignRow, skipped: readonly IndexRange[]): Campaign {
  const { state, now } = stage
  const waitsFor = row.waitsFor.filter(({ campaign }) => state.campaigns.has(campaign))
  const campaign = takeUp(state, { ...row, waitsFor }, [...skipped], now)
  awaitOthers(state, campaign)
  watchDeadline(stage, campaign)
  if (campaign.early) awaitStart(stage, campaign)
  return campaign
}

/** One with a row: queued, or held as it was. Its attempts go on being counted; what it may fail and lose begins anew. */
function again({ effects, now }: Stage, campaign: Campaign, job: Job, { event }: How): void {
  const { index, attempt } = job
  const to = job.held ? "held" : "queued"
  job.phase = to
  job.outcome = null
  // What a node still says of the last attempt is stale.
  job.node = null
  job.failures = 0
  job.losses = 0
  campaign.counts[to]++
  campaign.jobs.set(index, job)
  if (to === "queued") campaign.again.add(index)
  const tookMs = now.wallMs - (lastTold(job.story) ?? campaign.submittedAt)
  tell(job.story, now.wallMs, "retried_by_owner", event, to, { attempt, node: null })
  const about = { campaign: campaign.id, index, attempt, node: null, event }
  effects.moves.push({ ...about, why: "retried_by_owner", from: "ended", to, tookMs, runMs: null })
  effects.jobs.add(job)
}
