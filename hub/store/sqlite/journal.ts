// Live jobs between two checkpoints: each batch writes those that changed as one row of the journal, and keeps them here for
// readers. A job's row of its own is written when it ends, or when the journal has grown enough to be put away.

import type { Attempt, CampaignId, NodeId, Phase, Story, Verdict } from "../../core/model.ts"
import type { AttemptRow, JobRow } from "../../core/rows.ts"
import { whyNumber } from "../../core/why.ts"

/** Values of a line of before. */
const OLD_WIDTH = 5

type TryLine = [attempt: number, node: NodeId, phase: Attempt["phase"], shape: number, startedAt: number | null]
type Line = [CampaignId, number, Phase, Verdict, number, NodeId | null, number, number, TryLine[], WrittenStory]
/** Before stories were one array, each line was one; and before lines had a why, the event came second. */
type WrittenStory = Story | OldLine[]
type OldLine = [at: number, event: string, phase: Phase, attempt: number, node: NodeId | null]

/** Jobs of one batch as JSON, one after the other. Arrays: half as many bytes as objects, and half the time. */
export function journalText(rows: readonly JobRow[]): string {
  return JSON.stringify(rows.map(lineOf))
}

function lineOf({ campaign, index, phase, verdict, attempt, node, failures, losses, tries, story }: JobRow): Line {
  return [campaign, index, phase, verdict, attempt, node, failures, losses, tries.map(lineOfTry), story]
}

export function triesText(tries: readonly AttemptRow[]): string {
  return JSON.stringify(tries.map(lineOfTry))
}

export function storyText(story: Story): string {
  return JSON.stringify(story)
}

function lineOfTry({ attempt, node, phase, shape, startedAt }: AttemptRow): TryLine {
  return [attempt, node, phase, shape, startedAt]
}

/** The jobs of one row, in the order in which they were written. */
export function journalRows(text: string): JobRow[] {
  return (JSON.parse(text) as Line[]).map(line => {
    const [campaign, index, phase, verdict, attempt, node, failures, losses, tries, story] = line
    const parts = { tries: triesOf(tries), story: writtenStory(story) }
    return { campaign, index, phase, outcome: null, verdict, attempt, node, failures, losses, ...parts }
  })
}

/** Tries of before hubs kept the start have four parts. */
export function triesOf(tries: readonly ([number, NodeId, Attempt["phase"], number] | TryLine)[]): AttemptRow[] {
  return tries.map(([attempt, node, phase, shape, startedAt = null]) => ({ attempt, node, phase, shape, startedAt }))
}

export function storyIn(text: string): Story {
  return writtenStory(JSON.parse(text))
}

function writtenStory(story: WrittenStory): Story {
  if (Array.isArray(story[0])) return withoutWhy((story as OldLine[]).flat())
  return typeof story[1] === "string" ? withoutWhy(story as Story) : (story as Story)
}

function withoutWhy(old: Story): Story {
  const unknown = whyNumber("unknown")
  return old.flatMap((value, at) => (at % OLD_WIDTH === 0 ? [value, unknown] : [value]))
}

/** Jobs by campaign and index, with something to each. */
export class ByJob<T> {
  private readonly byCampaign = new Map<CampaignId, Map<number, T>>()

  get(campaign: CampaignId, index: number): T | undefined {
    return this.byCampaign.get(campaign)?.get(index)
  }

  set(campaign: CampaignId, index: number, value: T): void {
    let jobs = this.byCampaign.get(campaign)
    if (jobs === undefined) {
      jobs = new Map()
      this.byCampaign.set(campaign, jobs)
    }
    jobs.set(index, value)
  }

  /** False: it was not there. */
  delete(campaign: CampaignId, index: number): boolean {
    const jobs = this.byCampaign.get(campaign)
    if (jobs === undefined || !jobs.delete(index)) return false
    if (jobs.size === 0) this.byCampaign.delete(campaign)
    return true
  }

  /** In no order. */
  of(campaign: CampaignId): ReadonlyMap<number, T> {
    return this.byCampaign.get(campaign) ?? new Map()
  }

  campaigns(): CampaignId[] {
    return [...this.byCampaign.keys()]
  }

  *values(): Generator<T> {
    for (const jobs of this.byCampaign.values()) yield* jobs.values()
  }
}
