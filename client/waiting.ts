// Waiting for campaigns, or for some of their jobs, and the verdict afterwards: 0, or 1 if a job did not finish well.
// Driven by the hub's watch alone, which outlives the hub; nothing is polled. Used by `wait` and by `sub --wait`.
import { create } from "@bufbuild/protobuf"
import { timestampMs } from "@bufbuild/protobuf/wkt"
import { type Campaign, type Job, Outcome, Phase } from "../proto/gen/cah/v1/job_pb.ts"
import {
  type ErrorSummary,
  ErrorSummarySchema,
  type GetCampaignResponse,
  type WarningSummary,
  WarningSummarySchema,
  WatchCampaignResponseSchema,
} from "../proto/gen/cah/v1/scientist_pb.ts"
import type { Bar } from "./bars.ts"
import type { Context } from "./context.ts"
import { ClientError } from "./errors.ts"
import { json } from "./json.ts"
import type { Hub } from "./library.ts"
import { WATCH_PARALLEL } from "./limits.ts"
import { clean } from "./output.ts"
import { bytesInWords, figuresOf, jobsInWords, nodesOf, sumOf } from "./progress.ts"
import { plural, showDuration } from "./quantities.ts"
import type { Range } from "./selector.ts"
import { checkRanges, eachParallel, type Target } from "./targets.ts"
import { codeInWords, outcomeWords, type Tally, tally } from "./text.ts"

export interface WaitOptions {
  readonly timeoutSeconds: number | null
  /** Until the first of them has ended; the others are left out. */
  readonly any?: boolean
  /** Whether progress is shown. */
  readonly bar?: boolean
  /** Told of each campaign as it changes. */
  readonly onCampaign?: (campaign: Campaign) => void
}

/** How one target ended. */
export interface Ended {
  readonly target: Target
  readonly campaign: Campaign
  readonly jobs: number
  readonly unwell: number
  /** Commonest first. */
  readonly errors: readonly ErrorSummary[]
  readonly warnings: readonly WarningSummary[]
}

/** Distinct errors remembered while waiting for single jobs; the hub bounds its own summaries likewise. */
const ERRORS_KEPT = 100
const ERRORS_SHOWN = 3
/** Campaigns named in a sentence. */
const IDS_SHOWN = 8

export async function waitFor(
  context: Context,
  hub: Hub,
  targets: readonly Target[],
  options: WaitOptions,
): Promise<Ended[]> {
  const clock = new AbortController()
  const timer =
    options.timeoutSeconds === null
      ? undefined
      : setTimeout(() => clock.abort(new Error("time is up")), options.timeoutSeconds * 1000)
  const enough = new AbortController()
  const signal = AbortSignal.any([context.signal, clock.signal, enough.signal])
  const tallies = new Map<bigint, Standing>()
  const label = targets.length === 1 ? `campaign ${targets[0]?.campaign}` : plural(targets.length, "campaign")
  const bar = context.bar({ label, unit: "jobs" })
  const ended: Ended[] = []
  try {
    await eachParallel(targets, options.any === true ? targets.length : WATCH_PARALLEL, async target => {
      const watcher = new Watcher(context, hub, target, signal, {
        onName: name => {
          if (targets.length === 1 && name !== "") bar.rename(name)
        },
        onStanding: now => {
          tallies.set(target.campaign, now)
          if (options.bar !== false) draw(bar, tallies)
          if (now.campaign !== undefined) options.onCampaign?.(now.campaign)
        },
      })
      ended.push(await watcher.run())
      if (options.any === true) enough.abort(new Error("one has ended"))
    })
  } catch (thrown) {
    context.signal.throwIfAborted()
    if (enough.signal.aborted) return ended
    if (!clock.signal.aborted) throw thrown
    const ids = targets.map(target => target.campaign).join(",")
    throw new ClientError(
      "timeout",
      `${upper(label)} ${targets.length === 1 ? "has" : "have"} not ended after ${showDuration(options.timeoutSeconds ?? 0)}. ${standing(tallies)}`.trim(),
      {
        hint: `The work goes on. Wait again: cah wait ${ids}\nCancel it: cah del ${ids}`,
      },
    )
  } finally {
    clearTimeout(timer)
    bar.stop()
  }
  return ended
}

/** The error that says which jobs did not finish well, or null if all did. */
export function verdict(ended: readonly Ended[]): ClientError | null {
  const bad = ended.filter(one => one.unwell > 0)
  if (bad.length === 0) return null
  const [jobs, unwell] = [sum(bad, one => one.jobs), sum(bad, one => one.unwell)]
  const errors = bad.flatMap(one => one.errors).sort((a, b) => b.count - a.count)
  const shown = errors.slice(0, ERRORS_SHOWN)
  const lines = shown.map(
    error =>
      `${error.count} × ${inWords(error)}${error.example === undefined ? "" : `, like ${nameOf(error.example)}`}`,
  )
  if (errors.length > shown.length) lines.push(`and ${plural(errors.length - shown.length, "other error")}`)
  // The hub's summaries leave out what nobody needs to look into, such as cancelled jobs.
  const unexplained = unwell - sum(errors, error => error.count)
  const cancelled = sum(bad, one => (one.target.ranges === null ? (one.campaign.counts?.cancelled ?? 0) : 0))
  if (unexplained > 0 && cancelled === unexplained) lines.push(`${cancelled} × cancelled`)
  lines.push(...new Set(shown.flatMap(codeInWords)))
  const error = shown.find(({ outcome }) => outcome === Outcome.FAILED || outcome === Outcome.TIMEDOUT)
  const example = error?.example
  const next =
    example === undefined
      ? `cah show ${bad[0]?.target.campaign}`
      : `${isOfFiles(error) ? "" : `cah logs ${nameOf(example)} --stderr    `}cah show ${nameOf(example)}`
  const ids = bad.slice(0, IDS_SHOWN).map(({ target }) => String(target.campaign))
  if (bad.length > ids.length) ids.push("…")
  const where = bad.length === 1 ? `Campaign ${ids[0]}` : `${bad.length} campaigns (${ids.join(", ")})`
  return new ClientError("jobs_failed", `${where}: ${unwell} of ${plural(jobs, "job")} did not finish well.`, {
    hint: [...lines, `See why: ${next}`].join("\n"),
    details: errors.map(error => json(ErrorSummarySchema, error)),
  })
}

/** How a target ended, as a sentence, and what was remarked on it. */
export function endInWords({ target, campaign, jobs, unwell, warnings }: Ended): string {
  const { submittedAt, endedAt } = campaign
  const timed = target.ranges === null && submittedAt !== undefined && endedAt !== undefined
  const took = timed ? ` after ${showDuration((timestampMs(endedAt) - timestampMs(submittedAt)) / 1000)}` : ""
  const what = target.ranges === null ? `Campaign ${target.campaign} has ended` : `Of campaign ${target.campaign}`
  const how = unwell === 0 ? "all finished" : `${jobs - unwell} finished, ${unwell} did not`
  const shown = warnings.slice(0, ERRORS_SHOWN).map(warning => {
    const like = warning.example === undefined ? "" : `, like ${nameOf(warning.example)}`
    return `Mind: ${warning.count} × ${warningInWords(warning)}${like}`
  })
  if (warnings.length > shown.length) shown.push(`and ${plural(warnings.length - shown.length, "other warning")}`)
  return [`${what}${took}: ${plural(jobs, "job")}, ${how}.`, ...shown].join("\n")
}

/** On one line. */
export function warningInWords({ text }: Pick<WarningSummary, "text">): string {
  return text.split("\n").map(clean).join("; ")
}

/** The command went well, and what it left could not be brought back: its output says nothing of that. */
export function isOfFiles(error: Pick<ErrorSummary, "outcome" | "exitCode" | "message"> | undefined): boolean {
  return error?.outcome === Outcome.FAILED && error.exitCode === 0 && error.message !== ""
}

/** "failed, exit 1: Segmentation fault". */
export function inWords(error: Pick<ErrorSummary, "outcome" | "exitCode" | "message">): string {
  const outcome = outcomeWords[error.outcome] ?? "?"
  const code = error.outcome === Outcome.FAILED && error.exitCode !== 0 ? `, exit ${error.exitCode}` : ""
  return `${outcome}${code}${error.message === "" ? "" : `: ${clean(error.message)}`}`
}

/** What is waited for, and the campaign where all of it is. */
interface Standing extends Tally {
  readonly campaign?: Campaign | undefined
}

interface News {
  readonly onName: (name: string) => void
  readonly onStanding: (now: Standing) => void
}

/** Follows one target to its end. */
class Watcher {
  readonly #context: Context
  readonly #hub: Hub
  readonly #target: Target
  readonly #signal: AbortSignal
  readonly #news: News
  #saidHeld = false

  constructor(context: Context, hub: Hub, target: Target, signal: AbortSignal, news: News) {
    this.#context = context
    this.#hub = hub
    this.#target = target
    this.#signal = signal
    this.#news = news
  }

  async run(): Promise<Ended> {
    const { campaign: id, ranges } = this.#target
    const selected = ranges === null ? null : new Selected(ranges)
    // Asked first, so that a wrong number or an absent hub is an error now and not something to wait for.
    const before = await this.#hub.show(id)
    this.#hub.bePatient()
    this.#news.onName(before.campaign?.name ?? "")
    if (ranges !== null) checkRanges(id, ranges, before.campaign?.counts?.total ?? 0)
    let cut = true
    const onWait = (error: ClientError, ms: number) => {
      cut = true
      this.#context.hubIsAway(error, ms)
    }
    for await (const message of this.#hub.watch(id, { jobs: selected !== null, onWait, signal: this.#signal })) {
      this.#context.hubIsBack()
      if (this.#context.output.format === "ndjson") {
        await this.#context.output.write(`${JSON.stringify(json(WatchCampaignResponseSchema, message))}\n`)
      }
      this.#sayIfHeld(message.campaign)
      if (selected === null) {
        this.#news.onStanding({ ...tally(message.campaign), campaign: message.campaign })
        continue
      }
      // What ended before the watch, or while it was cut, is not in its messages.
      if (cut) for await (const job of this.#hub.jobs(id, { ranges, phase: Phase.ENDED })) selected.add(job)
      cut = false
      for (const job of message.ended) selected.add(job)
      this.#news.onStanding(selected.tally())
      if (selected.complete) break
    }
    const after = await this.#hub.show(id)
    if (after.campaign === undefined) throw new ClientError("internal", `The hub describes no campaign ${id}.`)
    return this.#ended(after, after.campaign, selected)
  }

  /** Once: whoever waits for what is held waits for ever. */
  #sayIfHeld(campaign: Campaign | undefined): void {
    const { active, waiting } = tally(campaign)
    const all = campaign?.held === true || campaign?.counts?.held === waiting
    if (this.#saidHeld || campaign === undefined || active > 0 || waiting === 0 || !all) return
    this.#saidHeld = true
    const what = campaign.held ? String(campaign.id) : `${campaign.id}.0-${(campaign.counts?.total ?? 1) - 1}`
    this.#context.note(`All that is left of campaign ${campaign.id} is held. Let it go on with: cah resume ${what}`)
  }

  #ended(after: GetCampaignResponse, campaign: Campaign, selected: Selected | null): Ended {
    const { total, unwell } = selected?.tally() ?? tally(campaign)
    const { errors, warnings } = selected?.summaries() ?? after
    return { target: this.#target, campaign, jobs: total, unwell, errors, warnings }
  }
}

/** Some jobs of a campaign, and which of them have ended: a bit each. */
class Selected {
  readonly #ranges: readonly Range[]
  readonly #bits: Uint8Array
  readonly #errors = new Map<string, ErrorSummary>()
  readonly #warnings = new Map<string, WarningSummary>()
  readonly #total: number
  #ended = 0
  #finished = 0

  constructor(ranges: readonly Range[]) {
    this.#ranges = ranges
    this.#total = sum(ranges, range => range.last - range.first + 1)
    this.#bits = new Uint8Array(Math.ceil(this.#total / 8))
  }

  get complete(): boolean {
    return this.#ended === this.#total
  }

  add(job: Job): void {
    const at = this.#position(job.id?.index ?? -1)
    if (at < 0 || job.phase !== Phase.ENDED) return
    const mask = 1 << (at & 7)
    const byte = this.#bits[at >> 3] ?? 0
    if ((byte & mask) !== 0) return
    this.#bits[at >> 3] = byte | mask
    this.#ended++
    if (job.outcome === Outcome.FINISHED) this.#finished++
    else this.#count(job)
    this.#countWarnings(job)
  }

  tally(): Tally {
    const waiting = this.#total - this.#ended
    return {
      total: this.#total,
      ended: this.#ended,
      finished: this.#finished,
      unwell: this.#ended - this.#finished,
      active: 0,
      waiting,
    }
  }

  summaries(): { errors: ErrorSummary[]; warnings: WarningSummary[] } {
    const [errors, warnings] = [[...this.#errors.values()], [...this.#warnings.values()]]
    return { errors: errors.sort((a, b) => b.count - a.count), warnings: warnings.sort((a, b) => b.count - a.count) }
  }

  #countWarnings({ id, result }: Job): void {
    const text = result?.warnings ?? ""
    if (text === "") return
    const known = this.#warnings.get(text)
    if (known !== undefined) known.count++
    else if (this.#warnings.size < ERRORS_KEPT) {
      const summary = { text, count: 1, ...(id === undefined ? {} : { example: id }) }
      this.#warnings.set(text, create(WarningSummarySchema, summary))
    }
  }

  #count(job: Job): void {
    const { exitCode = 0, message = "" } = job.result ?? {}
    const key = JSON.stringify([job.outcome, exitCode, message])
    const known = this.#errors.get(key)
    if (known !== undefined) known.count++
    else if (this.#errors.size < ERRORS_KEPT) {
      const example = job.id
      const summary = {
        outcome: job.outcome,
        exitCode,
        message,
        count: 1,
        ...(example === undefined ? {} : { example }),
      }
      this.#errors.set(key, create(ErrorSummarySchema, summary))
    }
  }

  #position(index: number): number {
    let before = 0
    for (const range of this.#ranges) {
      if (index >= range.first && index <= range.last) return before + index - range.first
      before += range.last - range.first + 1
    }
    return -1
  }
}

function draw(bar: Bar, standings: ReadonlyMap<bigint, Standing>): void {
  const all = [...standings.values()]
  const [ended, total] = [sum(all, one => one.ended), sum(all, one => one.total)]
  const counts = { active: sum(all, one => one.active), unwell: sum(all, one => one.unwell) }
  const figures = sumOf(all.map(({ campaign }) => figuresOf(campaign?.totals)))
  const nodes = all.length === 1 ? nodesOf(all[0]?.campaign) : 0
  bar.update(ended, total, jobsInWords(counts, figures), bytesInWords(figures, nodes))
}

function standing(standings: ReadonlyMap<bigint, Standing>): string {
  const all = [...standings.values()]
  const total = sum(all, one => one.total)
  return total === 0 ? "" : `${sum(all, one => one.ended)} of ${plural(total, "job")} have.`
}

function nameOf(id: { campaign: bigint; index: number }): string {
  return `${id.campaign}.${id.index}`
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
