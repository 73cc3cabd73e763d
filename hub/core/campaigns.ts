// Submit, hold, cancel, and how a campaign ends. A campaign of a million jobs is one entry with a cursor; its jobs get
// entries of their own when something happens to them.
import { PARAMETER_PAGE_LINES } from "../limits.ts"
import {
  allEnded,
  changed,
  failedJobs,
  hasFailedTooOften,
  keyOf,
  liveCount,
  noCounts,
  noTotals,
  stopOn,
  tellOf,
  touch,
  updateLane,
} from "./change.ts"
import { CahError } from "./errors.ts"
import type { CampaignHeld, CampaignSubmitted, JobsCancelled, StageinSent } from "./events.ts"
import { endOf, watchDeadline } from "./lease.ts"
import type { Campaign, CampaignId, IndexRange } from "./model.ts"
import { dropDemand, takeDemand } from "./placing/queue.ts"
import { book, unbook } from "./placing/reservations.ts"
import { watchQueue } from "./placing/starvation.ts"
import { accountOf } from "./placing/usage.ts"
import type { CampaignRow } from "./rows.ts"
import { endedWell } from "./rules.ts"
import type { Stage } from "./stage.ts"
import { Wanted } from "./wanted.ts"
import type { Why } from "./why.ts"

export function onCampaignSubmitted(stage: Stage, event: CampaignSubmitted): void {
  const { state, effects, now } = stage
  const { request, lines, owner, project, rules } = event
  const key = keyOf(event.owner, event.key)
  const earlier =
    state.campaigns.get(state.keys.get(key) ?? (0 as CampaignId)) ?? effects.ended.get(key) ?? event.earlier
  if (earlier !== undefined) {
    if (earlier.specDigest === event.specDigest) {
      const reply = { kind: "submitted", campaign: earlier.id, jobs: earlier.total, existed: true } as const
      effects.speech.push({ kind: "Reply", request, reply })
    } else {
      const error = keyTaken(event.key, earlier.id)
      effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    }
    return
  }
  const gone = event.waitsFor.find(({ campaign, success }) => success && !state.campaigns.has(campaign))
  if (gone !== undefined) {
    // Since the front looked. Whether it ended well is on disk in a moment.
    const error = new CahError("aborted", `campaign ${gone.campaign} has just ended: submit again`)
    effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    return
  }
  if (rules.inside !== null && !state.campaigns.has(rules.inside)) {
    const error = new CahError("failed_precondition", `container ${rules.inside} has ended: nothing can run inside it`)
    effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    return
  }
  const owned = state.ownerJobs.get(owner) ?? 0
  if (event.jobsMax !== undefined && owned + event.total > event.jobsMax) {
    effects.speech.push({
      kind: "Reply",
      request,
      reply: { kind: "error", error: tooManyJobs(owned, event.total, event.jobsMax) },
    })
    return
  }
  const id = ++state.lastCampaign as CampaignId
  const isEarly = rules.reservation !== null && rules.reservation.startAt > now.wallMs
  // Field by field: an object that is spread into another gets its shape anew each time, a third of what a lone submit cost here.
  const campaign: Campaign = {
    id,
    owner,
    project,
    key: event.key,
    specDigest: event.specDigest,
    name: event.name,
    spec: event.spec,
    stagein: event.stagein,
    needs: event.needs,
    walltimeMs: event.walltimeMs,
    rules,
    priority: event.priority,
    total: event.total,
    held: event.held,
    account: accountOf(state, { owner, project, bestEffort: rules.bestEffort }, now.nowMs),
    demand: takeDemand(state.queue, event, rules),
    queued: false,
    early: isEarly,
    hasParameters: lines !== null,
    // What has ended since the front looked is no longer waited for.
    waitsFor: event.waitsFor.filter(({ campaign: other }) => state.campaigns.has(other)),
    cursor: 0,
    skipped: [],
    again: new Wanted(),
    jobs: new Map(),
    took: { attempts: 0, sumMs: 0 },
    failures: 0,
    strikes: null,
    excess: 0,
    tailLookMs: Number.POSITIVE_INFINITY,
    counts: { ...noCounts(), queued: event.total },
    totals: noTotals(),
    onNodes: new Map(),
    told: new Set(),
    submittedAt: now.wallMs,
  }
  state.campaigns.set(id, campaign)
  state.keys.set(key, id)
  countOwned(state, owner, event.total)
  awaitOthers(stage.state, campaign)
  watchDeadline(stage, campaign)
  if (isEarly) awaitStart(stage, campaign)
  updateLane(state, campaign)
  touch(stage, campaign, null)
  for (let first = 0; lines !== null && first < lines.length; first += PARAMETER_PAGE_LINES) {
    effects.writes.push({
      kind: "parameters",
      campaign: id,
      first,
      lines: lines.slice(first, first + PARAMETER_PAGE_LINES),
    })
  }
  const reply = { kind: "submitted", campaign: id, jobs: event.total, existed: false } as const
  effects.speech.push({ kind: "Reply", request, reply })
}

/** The idempotency key was used for another campaign. Also for the front, which sees those that have ended. */
export function keyTaken(key: string, campaign: CampaignId): CahError {
  const message = `the idempotency key "${key}" was used for campaign ${campaign}, which is a different one: use a new key`
  return new CahError("already_exists", message)
}

/** An owner's live campaigns have so many jobs more, or fewer. */
export function countOwned({ ownerJobs }: Stage["state"], owner: string, jobs: number): void {
  const owned = (ownerJobs.get(owner) ?? 0) + jobs
  if (owned === 0) ownerJobs.delete(owner)
  else ownerJobs.set(owner, owned)
}

export function tooManyJobs(owned: number, more: number, most: number): CahError {
  const message = `your campaigns under way have ${owned} jobs, and ${more} more are above your quota of ${most}: wait until some have ended, or ask the hub's operator`
  return new CahError("resource_exhausted", message, { retry: "never" })
}

export function awaitOthers(state: Stage["state"], campaign: Campaign): void {
  for (const { campaign: other } of campaign.waitsFor) {
    const waiters = state.waiters.get(other) ?? new Set()
    state.waiters.set(other, waiters.add(campaign.id))
  }
}

export function onDeadlineDue(stage: Stage, id: CampaignId): void {
  const campaign = stage.state.campaigns.get(id)
  if (campaign === undefined) return
  const { deadlineAt, reservation } = campaign.rules
  if (stage.now.wallMs < endOf(campaign)) return watchDeadline(stage, campaign)
  const isReservation = reservation?.endAt != null && reservation.endAt < (deadlineAt ?? Number.POSITIVE_INFINITY)
  if (isReservation) cancelAll(stage, campaign, "reservation_over", "cancelled: the campaign's reservation is over")
  else cancelAll(stage, campaign, "deadline", "cancelled: the campaign's deadline has passed")
}

/** Its reservation is to come. Also after a start of the hub. */
export function awaitStart(stage: Stage, campaign: Campaign): void {
  book(stage, campaign)
  watchQueue(stage)
}

export function onStartDue(stage: Stage, id: CampaignId): void {
  const campaign = stage.state.campaigns.get(id)
  const booking = stage.state.bookings.get(id)
  // The wall clock was set since, and the reservation with it.
  if (campaign === undefined || booking === undefined || booking.startMs > stage.now.nowMs) return
  campaign.early = false
  unbook(stage.state, campaign)
  updateLane(stage.state, campaign)
}

export function onStageinSent(stage: Stage, { campaign: id, bytes }: StageinSent): void {
  const campaign = stage.state.campaigns.get(id)
  if (campaign === undefined) return
  campaign.totals.stageinBytes += bytes
  touch(stage, campaign, null)
}

export function onCampaignHeld(stage: Stage, event: CampaignHeld): void {
  const { state, effects } = stage
  const campaign = state.campaigns.get(event.campaign)
  if (campaign === undefined) {
    const error = new CahError("failed_precondition", `campaign ${event.campaign} has ended: there is nothing to hold`)
    effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "error", error } })
    return
  }
  campaign.held = event.held
  updateLane(state, campaign)
  touch(stage, campaign, null)
  effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "done" } })
}

export function onJobsCancelled(stage: Stage, event: JobsCancelled): void {
  const campaign = stage.state.campaigns.get(event.campaign)
  const jobs = campaign === undefined ? 0 : cancel(stage, campaign, event.ranges, "cancelled", "cancelled by its owner")
  stage.effects.speech.push({ kind: "Reply", request: event.request, reply: { kind: "cancelled", jobs } })
}

function cancelAll(stage: Stage, campaign: Campaign, why: Why, event: string): void {
  cancel(stage, campaign, [{ first: 0, last: campaign.total - 1 }], why, event)
}

/** Returns how many jobs it ended. */
function cancel(stage: Stage, campaign: Campaign, ranges: readonly IndexRange[], why: Why, event: string): number {
  const before = liveCount(campaign.counts)
  for (const { first, last } of ranges) {
    cancelStarted(stage, campaign, first, last, why, event)
    cancelUntouched(stage, campaign, Math.max(first, campaign.cursor), Math.min(last, campaign.total - 1), why)
  }
  updateLane(stage.state, campaign)
  touch(stage, campaign, null)
  return before - liveCount(campaign.counts)
}

/** Those that have a row: begun, or held one by one. */
function cancelStarted(stage: Stage, campaign: Campaign, first: number, last: number, why: Why, event: string): void {
  for (const job of [...campaign.jobs.values()]) {
    if (job.index < first || job.index > last) continue
    const { tries } = job
    job.outcome = "cancelled"
    job.tries = []
    changed(stage, campaign, job, tries, why, event, job)
    for (const one of tries) stopOn(stage, campaign.id, job.index, one, event)
  }
}

function cancelUntouched(stage: Stage, campaign: Campaign, first: number, last: number, why: Why): void {
  for (const range of gaps(campaign.skipped, first, last)) {
    const count = range.last - range.first + 1
    campaign.counts.queued -= count
    campaign.counts.cancelled += count
    campaign.skipped.push(range)
    stage.effects.writes.push({ kind: "cancelledRange", campaign: campaign.id, range, why })
  }
  campaign.skipped = merged(campaign.skipped)
}

/** The same indices in sorted ranges that neither meet nor touch. None is in two of them. */
export function merged(ranges: readonly IndexRange[]): IndexRange[] {
  const found: IndexRange[] = []
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = found.at(-1)
    if (before !== undefined && before.last + 1 === range.first)
      found[found.length - 1] = { ...before, last: range.last }
    else found.push(range)
  }
  return found
}

/** The parts of first … last that lie in none of the ranges (sorted, disjoint). */
export function gaps(ranges: readonly IndexRange[], first: number, last: number): IndexRange[] {
  const found: IndexRange[] = []
  let from = first
  for (const range of ranges) {
    if (range.last < from) continue
    if (range.first > last) break
    if (range.first > from) found.push({ first: from, last: range.first - 1 })
    from = range.last + 1
  }
  if (from <= last) found.push({ first: from, last })
  return found
}

/**
 * Campaigns of which too many jobs failed are stopped. Those whose jobs have all ended leave memory, and those that waited for them go on, or are cancelled because they
 * needed a success, as those inside a container are. That may end them too, even if they were looked at before: the list
 * grows while it is walked through.
 */
export function closeEnded(stage: Stage): void {
  const { state } = stage
  const affected = [...stage.effects.campaigns]
  for (const campaign of affected) {
    stopFailing(stage, campaign)
    if (!allEnded(campaign.counts) || !state.campaigns.has(campaign.id)) continue
    state.campaigns.delete(campaign.id)
    const key = keyOf(campaign.owner, campaign.key)
    state.keys.delete(key)
    stage.effects.ended.set(key, campaign)
    countOwned(state, campaign.owner, -campaign.total)
    updateLane(state, campaign)
    unbook(state, campaign)
    dropDemand(state.queue, campaign.demand)
    tellOf(stage, campaign, "end")
    affected.push(...cancelInside(stage, campaign), ...goOnAfter(stage, campaign))
  }
}

/** What is under way is stopped too: its scientist has seen enough. */
function stopFailing(stage: Stage, campaign: Campaign): void {
  const { counts, rules } = campaign
  if (rules.failMax === null || allEnded(counts) || !hasFailedTooOften(counts, rules)) return
  cancelAll(
    stage,
    campaign,
    "too_many_failures",
    `cancelled: ${failedJobs(counts)} jobs of the campaign failed, and it stops after ${rules.failMax}`,
  )
}

function cancelInside(stage: Stage, container: Campaign): Campaign[] {
  if (!container.rules.container) return []
  const inside = [...stage.state.campaigns.values()].filter(({ rules }) => rules.inside === container.id)
  for (const campaign of inside) {
    cancelAll(
      stage,
      campaign,
      "container_ended",
      `cancelled: container ${container.id}, which it was inside, has ended`,
    )
  }
  return inside
}

function goOnAfter(stage: Stage, ended: Campaign): Campaign[] {
  const { campaigns, waiters } = stage.state
  const ids = [...(waiters.get(ended.id) ?? [])]
  waiters.delete(ended.id)
  const waiting = ids.map(id => campaigns.get(id)).filter(campaign => campaign !== undefined)
  for (const waiter of waiting) goOn(stage, waiter, ended)
  return waiting
}

function goOn(stage: Stage, waiter: Campaign, ended: Campaign): void {
  const needs = waiter.waitsFor.filter(({ campaign }) => campaign === ended.id)
  if (needs.some(({ success }) => success) && !endedWell(ended.counts, ended.total)) {
    miss(stage, waiter, ended)
    return
  }
  waiter.waitsFor = waiter.waitsFor.filter(({ campaign }) => campaign !== ended.id)
  touch(stage, waiter, null)
  updateLane(stage.state, waiter)
}

/** It is cancelled, and remembers what it waited for and which of its jobs did: they wait again if that is tried again. */
function miss(stage: Stage, waiter: Campaign, ended: Campaign): void {
  const { id, jobs, skipped, cursor, total } = waiter
  const withRow = [...jobs.keys()].map(index => ({ first: index, last: index }))
  const ranges = merged([...withRow, ...gaps(skipped, cursor, total - 1)])
  stage.effects.writes.push({ kind: "missed", campaign: id, needed: ended.id, ranges })
  cancelAll(stage, waiter, "dependency_failed", `cancelled: campaign ${ended.id}, which it needed, did not end well`)
}

export function campaignRow(campaign: Campaign, wallMs: number): CampaignRow {
  const { counts, needs } = campaign
  return {
    id: campaign.id,
    owner: campaign.owner,
    project: campaign.project,
    key: campaign.key,
    specDigest: campaign.specDigest,
    name: campaign.name,
    spec: campaign.spec,
    stagein: campaign.stagein,
    slots: needs.slots,
    memoryBytes: needs.memoryBytes,
    diskBytes: needs.diskBytes,
    walltimeMs: campaign.walltimeMs,
    rules: campaign.rules,
    priority: campaign.priority,
    total: campaign.total,
    hasParameters: campaign.hasParameters,
    submittedAt: campaign.submittedAt,
    held: campaign.held,
    waitsFor: campaign.waitsFor,
    cursor: campaign.cursor,
    counts: { ...counts },
    totals: { ...campaign.totals },
    told: [...campaign.told],
    endedAt: allEnded(counts) ? wallMs : null,
  }
}
