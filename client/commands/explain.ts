// cah explain: why a job is where it is, what stands between it and the nodes, and what to type so that it runs now. The hub judges; here its
// answer becomes words, and each remedy a command.
import { timestampMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import { type Campaign, type Needs, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import {
  type ExplainResponse,
  ExplainResponseSchema,
  type Remedy,
  Without,
} from "../../proto/gen/cah/v1/scientist_pb.ts"
import { printValue } from "../../proto/wire/property.ts"
import type { Context } from "../context.ts"
import type { Hub } from "../library.ts"
import { EXPLAIN_RANGES_MAX, RESUBMIT_LINES_MAX } from "../limits.ts"
import { clean, padded, table, width } from "../output.ts"
import { plural, showDuration } from "../quantities.ts"
import { mergeRanges, type Range } from "../selector.ts"
import { findOne, nameOfTarget, type Target } from "../targets.ts"
import { showMoment, tally } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

export const explain: Verb = {
  define(command: Command): void {
    command
      .description("Explain why a job waits, and the smallest changes that would run it now, as commands to type.")
      .argument("<id>", "12 (its next job that waits), 12.7, @name, last")
      .addHelpText("after", examples("cah explain last", "cah explain 12.7", "cah explain 12 -o json | jq .remedies"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const hub = await context.hub()
    const { campaign, index } = await findOne(hub, command.args[0] ?? "")
    const answer = await hub.explain(campaign, index)
    const waiting = answer.remedies.length === 0 ? null : await waitingJobs(hub, campaign, answer)
    const { output } = context
    await output.one(ExplainResponseSchema, answer, {
      table: () => {
        const parts = [head(campaign, answer), obstacles(answer, context), remedies(answer.remedies, waiting)]
        return parts.filter(part => part !== "").join("\n\n")
      },
      quiet: () => answer.sentence,
    })
    return 0
  },
}

function head(campaign: bigint, { index, sentence, jobsAhead, notBefore }: ExplainResponse): string {
  // Nodes are called what their owners like.
  const lines = [`${index === undefined ? campaign : `${campaign}.${index}`}: ${clean(sentence)}`]
  if (jobsAhead > 0n)
    lines.push(`${plural(jobsAhead, "ready job")} ${jobsAhead === 1n ? "goes" : "go"} first as things stand.`)
  if (notBefore !== undefined) {
    const seconds = (timestampMs(notBefore) - Date.now()) / 1000
    lines.push(
      `It is looked at again at ${showMoment(notBefore)}${seconds > 0 ? `, in ${showDuration(seconds)}` : ""}.`,
    )
  }
  return lines.join("\n")
}

function obstacles({ obstacles: all }: ExplainResponse, { output }: Context): string {
  if (all.length === 0) return ""
  return table(
    all,
    [
      { title: "NODES", value: ({ nodes }) => String(nodes), right: true },
      { title: "LACK", value: ({ lacks }) => lacks },
    ],
    output.colors,
  )
}

function remedies(all: readonly Remedy[], waiting: Target | null): string {
  if (all.length === 0 || waiting === null) return ""
  const commands = all.map(remedy => commandFor(remedy, waiting))
  const widest = Math.max(...commands.map(width))
  const lines = all.map(({ nodes }, at) =>
    `  ${padded(commands[at] ?? "", widest)}${nodes === 0 ? "" : `  # ${plural(nodes, "node")}`}`.trimEnd(),
  )
  return ["It would run now after any of these:", ...lines].join("\n")
}

/** Of one that this client does not know, or that a hub of before kept as words alone: its words. */
function commandFor({ change, what }: Remedy, waiting: Target): string {
  const { case: kind, value } = what
  if (kind === "resume") return `cah resume ${value.campaign}${value.index === undefined ? "" : `.${value.index}`}`
  if (kind === "resubmitFailed") return `cah resub ${value} --failed`
  if (kind === "explain") return `cah explain ${value}`
  const flags =
    kind === "needs"
      ? `-l ${sizesInWords(value)}`
      : kind === "property"
        ? `-p "${clean(value)}"`
        : kind === "without"
          ? withoutFlag[value]
          : undefined
  if (flags === undefined) return clean(change)
  // What a campaign asks for is fixed: with other flags it is another one, which takes the place of what still waits.
  const jobs = nameOfTarget(waiting)
  return `cah del ${jobs} && cah resub ${jobs} ${flags}`
}

function sizesInWords({ slots, memoryBytes, diskBytes }: Needs): string {
  const sizes = [
    slots === 0 ? "" : `core=${slots}`,
    memoryBytes === 0n ? "" : `mem=${printValue("mem", Number(memoryBytes))}`,
    diskBytes === 0n ? "" : `disk=${printValue("disk", Number(diskBytes))}`,
  ]
  return sizes.filter(size => size !== "").join(",")
}

const withoutFlag: Readonly<Record<number, string>> = {
  [Without.PROPERTY]: "--without property",
  [Without.BEST_EFFORT]: "--without besteffort",
}

/** The jobs that wait as the explained one does: they ask for the same. */
async function waitingJobs(hub: Hub, id: bigint, { index }: ExplainResponse): Promise<Target> {
  const { campaign } = await hub.show(id)
  const { total, waiting } = tally(campaign)
  if (waiting === total) return { campaign: id, ranges: null }
  const alone = { campaign: id, ranges: index === undefined ? null : [{ first: index, last: index }] }
  const ranges = await queued(hub, id, campaign)
  return ranges === null || ranges.length === 0 ? alone : { campaign: id, ranges }
}

/** Null: too many to be typed. */
async function queued(hub: Hub, id: bigint, campaign: Campaign | undefined): Promise<Range[] | null> {
  if ((campaign?.counts?.queued ?? 0) > RESUBMIT_LINES_MAX) return null
  const jobs: Range[] = []
  for await (const job of hub.jobs(id, { phase: Phase.QUEUED })) {
    const at = job.id?.index ?? 0
    jobs.push({ first: at, last: at })
  }
  const ranges = mergeRanges(jobs)
  return ranges.length > EXPLAIN_RANGES_MAX ? null : ranges
}
