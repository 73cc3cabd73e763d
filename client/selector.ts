// Which campaigns and jobs a command is about, as people type it: 12 · 12.7 · 12.0-99 · 12.0-99:2 · 1-10:2 · @name · last · all,
// several by commas, digits grouped by underscores. Parsing is pure; `last`, `all` and names are looked up at the hub later.
// Ranges come out sorted, merged and bounded, so that nobody downstream meets an overlap.
import { usage } from "./errors.ts"
import { SELECT_MAX } from "./limits.ts"

/** Both ends included. */
export interface Range {
  readonly first: number
  readonly last: number
}

export interface Selection {
  /** `last`: the newest of the user's campaigns; `@name`: of those so called. `all`: see the verb, most mean all that have not ended. */
  readonly campaign: bigint | "last" | "all" | Name
  /** Null: every job. */
  readonly jobs: readonly Range[] | null
}

/** "@wing", or "@v1.2", which is job 2 of v1 unless a campaign is called v1.2. */
export type Name = `@${string}`

const INDEX_MAX = 2 ** 32 - 1
const CAMPAIGN_MAX = 2n ** 63n - 1n
const form = /^(?:(last|all)|([\d_]+)(?:-([\d_]+)(?::([\d_]+))?)?)(?:\.([\d_]+)(?:-([\d_]+)(?::([\d_]+))?)?)?$/

export function parseSelector(texts: readonly string[]): Selection[] {
  const parts = texts
    .join(",")
    .split(",")
    .map(part => part.trim())
    .filter(part => part !== "")
  if (parts.length === 0) throw refuse("")
  return merge(parts.flatMap(parsePart))
}

/** Exactly one campaign, or one job of it. */
export function parseId(text: string): Selection {
  const [selection, ...more] = parseSelector([text])
  if (selection === undefined || more.length > 0 || selection.campaign === "all" || indexOf(selection.jobs) === false) {
    throw severalThings(text)
  }
  return selection
}

export function severalThings(text: string): Error {
  const hint = "Name one campaign, like 12, @name or last, or one job of it, like 12.7."
  return usage(`"${text}" names more than one thing.`, hint)
}

/** The one job, null for all of a campaign, false for several. */
export function indexOf(jobs: readonly Range[] | null): number | null | false {
  if (jobs === null) return null
  const [range, other] = jobs
  return range === undefined || other !== undefined || range.first !== range.last ? false : range.first
}

/** What a name may mean: a campaign called just so, or jobs of one whose name ends before the last dot. */
export function readName(text: Name): { whole: string; short: string; jobs: readonly Range[] | null } {
  const [, short = "", index, last, step] = /^@(.*?)(?:\.([\d_]+)(?:-([\d_]+)(?::([\d_]+))?)?)?$/s.exec(text) ?? []
  const jobs = index === undefined || short === "" ? null : indexRanges(text, index, last, step)
  return { whole: text.slice(1), short: jobs === null ? text.slice(1) : short, jobs }
}

function parsePart(part: string): Selection[] {
  if (isName(part)) {
    readName(part)
    return [{ campaign: part, jobs: null }]
  }
  const match = form.exec(part)
  if (match === null) throw refuse(part)
  const [, word, from, to, step, index, lastIndex, indexStep] = match
  const jobs = index === undefined ? null : indexRanges(part, index, lastIndex, indexStep)
  if (word === "last" || word === "all") {
    if (word === "all" && jobs !== null)
      throw usage(`"${part}": all takes no job numbers.`, "Write 12.0-99 or last.0-99.")
    return [{ campaign: word, jobs }]
  }
  const first = campaignNumber(part, from ?? "")
  const last = to === undefined ? first : campaignNumber(part, to)
  const by = step === undefined ? 1n : digits(part, step)
  if (last < first || by < 1n) throw usage(`"${part}": a range runs upwards, in steps of 1 or more.`)
  if ((last - first) / by >= BigInt(SELECT_MAX)) throw tooMany(part)
  const selections: Selection[] = []
  for (let campaign = first; campaign <= last; campaign += by) selections.push({ campaign, jobs })
  return selections
}

function indexRanges(part: string, from: string, to: string | undefined, step: string | undefined): Range[] {
  const first = indexNumber(part, from)
  const last = to === undefined ? first : indexNumber(part, to)
  const by = step === undefined ? 1 : indexNumber(part, step)
  if (last < first || by < 1) throw usage(`"${part}": a range runs upwards, in steps of 1 or more.`)
  if (by === 1) return [{ first, last }]
  if ((last - first) / by >= SELECT_MAX) throw tooMany(part)
  const ranges: Range[] = []
  for (let index = first; index <= last; index += by) ranges.push({ first: index, last: index })
  return ranges
}

function isName(part: string): part is Name {
  return part.startsWith("@") && part.length > 1
}

function digits(part: string, text: string): bigint {
  if (!/^\d+(_\d+)*$/.test(text) || text.length > 40) throw refuse(part)
  return BigInt(text.replaceAll("_", ""))
}

function campaignNumber(part: string, text: string): bigint {
  const value = digits(part, text)
  if (value < 1n || value > CAMPAIGN_MAX) throw usage(`"${part}": campaigns are numbered from 1.`)
  return value
}

function indexNumber(part: string, text: string): number {
  const value = digits(part, text)
  if (value > BigInt(INDEX_MAX)) throw usage(`"${part}": no campaign has so many jobs.`)
  return Number(value)
}

function merge(selections: readonly Selection[]): Selection[] {
  const byCampaign = new Map<Selection["campaign"], Selection>()
  for (const selection of selections) {
    const known = byCampaign.get(selection.campaign)
    const jobs =
      known === undefined
        ? selection.jobs
        : known.jobs === null || selection.jobs === null
          ? null
          : [...known.jobs, ...selection.jobs]
    byCampaign.set(selection.campaign, { campaign: selection.campaign, jobs: jobs === null ? null : mergeRanges(jobs) })
    if (byCampaign.size > SELECT_MAX || (jobs?.length ?? 0) > SELECT_MAX) throw tooMany(String(selection.campaign))
  }
  return [...byCampaign.values()]
}

export function mergeRanges(ranges: readonly Range[]): Range[] {
  const merged: Range[] = []
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1)
    if (before !== undefined && range.first <= before.last + 1) {
      merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, range.last) }
    } else merged.push(range)
  }
  return merged
}

function refuse(part: string): Error {
  return usage(
    part === "" ? "Nothing was selected." : `"${part}" does not select anything.`,
    "Write a campaign (12), jobs of it (12.7, 12.0-99, 12.0-99:2), several (1-10:2 or 3,5,8), @name, last or all.",
  )
}

function tooMany(part: string): Error {
  return usage(`"${part}" selects more than ${SELECT_MAX} things, one by one.`, "Name whole campaigns or whole ranges.")
}
