// Live jobs between two checkpoints: each batch writes those that changed as one row of lines, and keeps them here for readers.
// Lines are JSON, put together by hand: 0.3 µs each where JSON.stringify takes 1.2 (npm run bench -- --only noop). A job's row
// of its own is written when it ends, or when the journal has grown enough to be put away.
import type { CampaignId, NodeId, Phase, StoryLine, Try, Verdict } from "../core/model.ts"
import type { JobRow, TryRow } from "../core/ports.ts"

/** One line, with its newline. The same as JSON.stringify makes of these arrays. */
export function journalLine(row: JobRow): string {
  const { campaign, index, phase, verdict, attempt, node, failures, losses } = row
  const head = `[${campaign},${index},"${phase}","${verdict}",${attempt},${quoted(node)},${failures},${losses}`
  return `${head},${triesText(row.tries)},${storyText(row.story)}]\n`
}

export function triesText(tries: readonly TryRow[]): string {
  let text = ""
  for (const { attempt, node, phase, shape, startedAt } of tries) {
    text += `${text === "" ? "" : ","}[${attempt},${quoted(node)},"${phase}",${shape},${startedAt}]`
  }
  return `[${text}]`
}

export function storyText(story: readonly StoryLine[]): string {
  let text = ""
  for (const { at, event, phase, attempt, node } of story) {
    text += `${text === "" ? "" : ","}[${at},${quoted(event)},"${phase}",${attempt},${quoted(node)}]`
  }
  return `[${text}]`
}

/** Printable ASCII without quotes and backslashes, which is nearly everything, needs no look at each character. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function quoted(text: string | null): string {
  if (text === null) return "null"
  return plain.test(text) ? `"${text}"` : JSON.stringify(text)
}

type Line = [CampaignId, number, Phase, Verdict, number, NodeId | null, number, number, string[], string[]]

/** The jobs of one row, in the order in which they were written. */
export function journalRows(lines: string): JobRow[] {
  return lines
    .trimEnd()
    .split("\n")
    .map(line => {
      const [campaign, index, phase, verdict, attempt, node, failures, losses, tries, story] = JSON.parse(line) as Line
      const parts = { tries: triesOf(tries as never), story: storyOf(story as never) }
      return { campaign, index, phase, outcome: null, verdict, attempt, node, failures, losses, ...parts }
    })
}

export function triesOf(tries: readonly [number, NodeId, Try["phase"], number, number?][]): TryRow[] {
  return tries.map(([attempt, node, phase, shape, startedAt = null]) => ({ attempt, node, phase, shape, startedAt }))
}

export function storyOf(story: readonly [number, string, Phase, number, NodeId | null][]): StoryLine[] {
  return story.map(([at, event, phase, attempt, node]) => ({ at, event, phase, attempt, node }))
}

/** Jobs by campaign and index, with something to each. */
export class ByJob<T> {
  private readonly campaigns = new Map<CampaignId, Map<number, T>>()

  get(campaign: CampaignId, index: number): T | undefined {
    return this.campaigns.get(campaign)?.get(index)
  }

  set(campaign: CampaignId, index: number, value: T): void {
    let jobs = this.campaigns.get(campaign)
    if (jobs === undefined) {
      jobs = new Map()
      this.campaigns.set(campaign, jobs)
    }
    jobs.set(index, value)
  }

  /** False: it was not there. */
  delete(campaign: CampaignId, index: number): boolean {
    const jobs = this.campaigns.get(campaign)
    if (jobs === undefined || !jobs.delete(index)) return false
    if (jobs.size === 0) this.campaigns.delete(campaign)
    return true
  }

  /** In no order. */
  of(campaign: CampaignId): ReadonlyMap<number, T> {
    return this.campaigns.get(campaign) ?? new Map()
  }

  *values(): Generator<T> {
    for (const jobs of this.campaigns.values()) yield* jobs.values()
  }
}
