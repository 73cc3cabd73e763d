// cah show: one campaign with its errors, or one job with its story.

import { create } from "@bufbuild/protobuf"
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import {
  type Campaign,
  type CampaignSpec,
  type EarlierAttempt,
  type Job,
  Outcome,
  Phase,
  type Totals,
  Why,
} from "../../proto/gen/cah/v1/job_pb.ts"
import {
  type ErrorSummary,
  type GetCampaignResponse,
  GetCampaignResponseSchema,
  GetJobResponseSchema,
} from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError } from "../errors.ts"
import { type Colors, clean, fields, statePaint, table } from "../output.ts"
import { parametersInWords } from "../parametersof.ts"
import { plural, showBytes, showDuration } from "../quantities.ts"
import { quoteWords } from "../submit/shellwords.ts"
import { findOne } from "../targets.ts"
import {
  campaignState,
  hasEnded,
  jobState,
  needsInWords,
  phaseWords,
  reservationInWords,
  showMoment,
  tally,
} from "../text.ts"
import { examples, type Verb } from "../verb.ts"
import { inWords, isOfFiles, warningInWords } from "../waiting.ts"

export const show: Verb = {
  define(command: Command): void {
    command
      .description("Show one campaign with its errors, or one job with all that happened to it.")
      .argument("<id>", "12, last, or a job: 12.7")
      .addHelpText("after", examples("cah show last", "cah show 12.7", "cah show 12 -o json | jq .campaign.counts"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const hub = await context.hub()
    const { campaign: id, index } = await findOne(hub, command.args[0] ?? "")
    const { output } = context
    if (index !== null) {
      const job = await hub.job({ campaign: id, index })
      const asksMore = job.phase === Phase.QUEUED || job.parameters !== undefined
      const campaign = asksMore && output.format === "table" ? (await hub.show(id)).campaign : undefined
      await output.one(GetJobResponseSchema, create(GetJobResponseSchema, { job }), {
        table: () => showJob(job, campaign, output.colors),
        quiet: () => `${id}.${index}`,
      })
      return 0
    }
    const answer = await hub.show(id)
    const { campaign } = answer
    if (campaign === undefined) throw new ClientError("internal", `The hub describes no campaign ${id}.`)
    await output.one(GetCampaignResponseSchema, answer, {
      table: () => showCampaign(answer, campaign, output.colors),
      quiet: () => String(id),
    })
    return 0
  },
}

function showCampaign({ errors, warnings }: GetCampaignResponse, campaign: Campaign, colors: Colors): string {
  const { spec, counts } = campaign
  const { total, ended } = tally(campaign)
  const state = campaignState(campaign)
  const standing = Object.entries(counts ?? {})
    .filter(([word, count]) => word !== "total" && typeof count === "number" && count > 0)
    .map(([word, count]) => `${count} ${word}`)
  const head = fields(
    [
      ["Campaign", `${campaign.id}${campaign.name === "" ? "" : `  ${campaign.name}`}`],
      ["Owner", campaign.owner],
      ["Project", spec?.project ?? ""],
      ["State", campaign.held && state !== "held" ? `${state}, held` : state],
      ["Waits for", campaign.waitsFor.join(", ")],
      ["Jobs", `${ended} of ${total} ended: ${standing.join(", ")}`],
      ["Command", commandLine(spec?.command ?? [])],
      [
        "Stagein",
        spec?.stagein === undefined ? "" : `${showBytes(spec.stagein.sizeBytes)} packed  ${spec.stagein.digest}`,
      ],
      ["Stageout", stageoutInWords(spec)],
      ["Walltime", seconds(spec?.walltime)],
      ["Grace", seconds(spec?.grace)],
      ["Needs", shapesInWords(spec)],
      ["Property", spec?.property ?? ""],
      ["Types", typesInWords(spec)],
      ["Reserved", reservationInWords(spec?.reservation)],
      ["Retries", retriesInWords(spec)],
      ["At once", spec === undefined || spec.atOnce === 0 ? "" : `${plural(spec.atOnce, "job")} at most`],
      ["Stops after", failuresInWords(spec, campaign)],
      ["Deadline", showMoment(spec?.deadline)],
      ["Submitted", showMoment(campaign.submittedAt)],
      ["Ended", showMoment(campaign.endedAt)],
      ["Kept until", showMoment(campaign.expiresAt)],
      ...totalsInWords(campaign.totals),
    ],
    colors,
  )
  const next = `Next: ${nextStep(campaign, errors)}`
  const parts = [head]
  if (errors.length > 0) parts.push(counted(errors, "ERROR", inWords, colors))
  if (warnings.length > 0) parts.push(counted(warnings, "WARNING", warningInWords, colors))
  return [...parts, next].join("\n\n")
}

function counted<S extends Pick<ErrorSummary, "count" | "example">>(
  summaries: readonly S[],
  title: string,
  value: (summary: S) => string,
  colors: Colors,
): string {
  return table(
    summaries,
    [
      { title: "COUNT", value: ({ count }) => String(count), right: true },
      { title, value },
      { title: "LIKE", value: ({ example }) => (example === undefined ? "" : `${example.campaign}.${example.index}`) },
    ],
    colors,
  )
}

function stageoutInWords(spec: CampaignSpec | undefined): string {
  if (spec === undefined) return ""
  const required = spec.requireStageout ? "(required)" : ""
  return [...spec.stageout, required].filter(text => text !== "").join("  ")
}

/** What its owner would want to type now. */
function nextStep(campaign: Campaign, errors: readonly ErrorSummary[]): string {
  const { id } = campaign
  const error = errors.find(({ example: job }) => job !== undefined)
  const example = error?.example
  const look = isOfFiles(error) ? "cah show" : "cah logs"
  const why =
    example === undefined ? "" : `${look} ${example.campaign}.${example.index}${isOfFiles(error) ? "" : " --stderr"}`
  const { active, waiting, finished } = tally(campaign)
  if (hasEnded(campaign)) {
    const again = why === "" ? "" : `${why}    once more what failed: cah resub ${id} --failed`
    return (
      [finished === 0 ? "" : `cah get ${id}`, again].filter(text => text !== "").join("    see why: ") ||
      `cah resub ${id}`
    )
  }
  if (campaign.held) return `cah resume ${id}`
  if (why !== "") return why
  return active === 0 && waiting > 0 ? `cah explain ${id}` : `cah wait ${id}`
}

function failuresInWords(spec: CampaignSpec | undefined, { counts }: Campaign): string {
  if (spec === undefined || spec.maxFails === 0) return ""
  const failed = (counts?.failed ?? 0) + (counts?.timedout ?? 0) + (counts?.lost ?? 0)
  const bound = plural(spec.maxFails, "failed job")
  return failed < spec.maxFails ? `${bound}; ${failed} so far` : `${bound}: that is why the others were cancelled`
}

function typesInWords(spec: CampaignSpec | undefined): string {
  if (spec === undefined) return ""
  const types = [spec.bestEffort ? "besteffort" : "", spec.container ? "container" : ""]
  if (spec.inside !== 0n) types.push(`inside campaign ${spec.inside}`)
  return types.filter(type => type !== "").join(", ")
}

/** A node that vanished and a node that was needed for others are no failures, and not the same. */
function totalsInWords(totals: Totals | undefined): [string, string][] {
  if (totals === undefined) return []
  const { retries, losses, preemptions, stageinBytes, stageoutBytes, coreTime, nodes, resubmissions } = totals
  const count = (value: bigint, words: string) => (value === 0n ? "" : `${value} ${words}`)
  const sent = [stageinBytes > 0n ? `${showBytes(stageinBytes)} to nodes` : ""]
  if (stageoutBytes > 0n) sent.push(`${showBytes(stageoutBytes)} back`)
  return [
    ["Tried again", count(retries, "after a failure")],
    ["Resubmitted", count(resubmissions, `${resubmissions === 1n ? "time" : "times"} into this campaign`)],
    ["Lost", count(losses, losses === 1n ? "attempt, whose node vanished" : "attempts, whose nodes vanished")],
    [
      "Preempted",
      count(preemptions, preemptions === 1n ? "attempt made room for others" : "attempts made room for others"),
    ],
    ["Bytes", sent.filter(text => text !== "").join(", ")],
    ["Core time", durationMsOf(coreTime) === 0 ? "" : seconds(coreTime)],
    ["Nodes now", nodes === 0 ? "" : String(nodes)],
  ]
}

function durationMsOf(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration)
}

/** With what prints it, since that is what one wants to know of it. */
function earlierInWords({ attempt, node, result }: EarlierAttempt): string {
  const how = result?.outcome === Outcome.TIMEDOUT ? "ran into its walltime" : `exit ${result?.exitCode ?? "?"}`
  return `#${attempt} on ${node} (${how})`
}

function showJob(job: Job, campaign: Campaign | undefined, colors: Colors): string {
  const isHeld = job.phase === Phase.QUEUED && campaign?.held === true
  const { result } = job
  const ended = job.phase === Phase.ENDED
  // The hub tells such a stop in the story alone, and counts it for the campaign.
  const displaced = job.story.filter(({ why }) => why === Why.PREEMPTED || why === Why.CONTAINER_GONE).length
  const next = `Next: ${isHeld ? `cah resume ${job.id?.campaign}` : nextOfJob(job)}`
  const head = fields(
    [
      ["Job", `${job.id?.campaign}.${job.id?.index}`],
      ["State", jobState(job, isHeld)],
      ["Parameters", parametersInWords(campaign?.spec, job)],
      ["Exit code", result === undefined ? "" : String(result.exitCode)],
      ["Message", result?.message ?? ""],
      ["Warnings", (result?.warnings ?? "").split("\n").map(clean).join("\n")],
      ["Attempt", job.attempt === 0 ? "" : `${job.attempt}${job.node === "" ? "" : ` on ${nodeInWords(job)}`}`],
      ["Failures", job.failures === 0 ? "" : String(job.failures)],
      ["Tried again", job.earlier.map(earlierInWords).join("; ")],
      ["Losses", job.losses === 0 ? "" : `${job.losses} (a node vanished; not the job's fault)`],
      ["Preempted", displaced === 0 ? "" : `${displaced} (it made room for others; not the job's fault)`],
      ["Run time", seconds(result?.runTime)],
      ["CPU time", seconds(result?.cpuTime)],
      ["Memory", result === undefined || result.peakMemoryBytes === 0n ? "" : showBytes(result.peakMemoryBytes)],
      [
        "Stageout",
        result?.stageout === undefined
          ? ended
            ? "nothing came back"
            : ""
          : `${showBytes(result.stageout.sizeBytes)} packed`,
      ],
    ],
    colors,
  )
  if (job.story.length === 0) return `${head}\n\n${next}`
  const rows = table(
    job.story,
    [
      { title: "WHEN", value: ({ at }) => showMoment(at) },
      { title: "WHAT", value: ({ event }) => event },
      {
        title: "THEN",
        value: ({ phase }) => phaseWords[phase] ?? "?",
        paint: ({ phase }) => statePaint(phaseWords[phase] ?? "", colors),
      },
      { title: "TRY", value: ({ attempt }) => (attempt === 0 ? "" : String(attempt)), right: true },
      { title: "NODE", value: ({ node, nodeName }) => nodeName || node },
    ],
    colors,
  )
  return `${head}\n\n${rows}\n\n${next}`
}

/** Its name, and its id, which other verbs take too. */
function nodeInWords({ node, nodeName }: Job): string {
  return nodeName === "" ? node : `${nodeName} (${node})`
}

function nextOfJob(job: Job): string {
  const id = `${job.id?.campaign}.${job.id?.index}`
  if (job.phase === Phase.HELD) return `cah resume ${id}`
  if (job.phase === Phase.QUEUED) return `cah explain ${id}`
  if (job.phase !== Phase.ENDED) return `cah logs -f ${id}`
  if (job.outcome === Outcome.FINISHED) return job.result?.stageout === undefined ? `cah logs ${id}` : `cah get ${id}`
  const { exitCode = 0, message = "", stderr } = job.result ?? {}
  const log =
    (stderr?.inline.length ?? 0) > 0 || stderr?.blob !== undefined ? `cah logs ${id} --stderr` : `cah logs ${id}`
  return `${isOfFiles({ outcome: job.outcome, exitCode, message }) ? "" : `${log}    `}once more: cah resub ${id}`
}

/** Nothing for the one slot that a job has anyway. */
function shapesInWords(spec: CampaignSpec | undefined): string {
  const texts = spec === undefined ? [] : [spec.needs, ...spec.shapes.map(({ needs }) => needs)].map(needsInWords)
  return texts.length === 1 && texts[0] === "1 slot" ? "" : texts.join(", or else ")
}

function retriesInWords(spec: CampaignSpec | undefined): string {
  const { max = 0, exitCodes = [] } = spec?.retries ?? {}
  if (max === 0) return ""
  return exitCodes.length === 0 ? String(max) : `${max}, after exit ${exitCodes.join(", ")}`
}

/** As it could be typed again. */
function commandLine(words: readonly string[]): string {
  return words.length === 1 ? (words[0] ?? "") : quoteWords(words)
}

function seconds(duration: Duration | undefined): string {
  return duration === undefined ? "" : showDuration(Number(duration.seconds) + duration.nanos / 1e9)
}
