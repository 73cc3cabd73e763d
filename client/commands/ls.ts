// cah ls: campaigns with a bar each, or jobs when jobs were selected or asked for.
import { create } from "@bufbuild/protobuf"
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import {
  type Campaign,
  CampaignSchema,
  type CampaignSpec,
  type Job,
  JobSchema,
  Phase,
} from "../../proto/gen/cah/v1/job_pb.ts"
import { ListCampaignsResponseSchema, ListJobsResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { drawBar } from "../bars.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { cut, statePaint, table, width } from "../output.ts"
import { parametersInWords } from "../parametersof.ts"
import { parseCount, showDuration } from "../quantities.ts"
import { findTargets, type Target } from "../targets.ts"
import { campaignState, jobState, outcomeWords, parseState, phaseWords, tally } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

interface Options {
  readonly all?: boolean
  readonly everybody?: boolean
  readonly jobs?: boolean
  readonly state?: string
  readonly limit?: string
}

const LIMIT_DEFAULT = 100
const LIMIT_MAX = 10_000_000
const campaignStates = ["queued", "held", "running", "finished", "failed", "cancelled"]

export const ls: Verb = {
  define(command: Command): void {
    command
      .description("List your campaigns that have not ended, newest first; or campaigns and jobs by selector.")
      .argument("[selector...]", "12, 12.0-99, 1-10:2, @name, last, all")
      .option("-a, --all", "also campaigns that have ended")
      .option("-j, --jobs", "the jobs of the selected campaigns")
      .option("--state <state>", "only these: queued, held, running, finished, failed, cancelled (jobs: any state)")
      .option("--limit <n>", `rows at most (${LIMIT_DEFAULT})`)
      .option("--everybody", "campaigns of all owners (operators only)")
      .addHelpText(
        "after",
        examples("cah ls", "cah ls --all --state failed", "cah ls 12 --jobs --state failed -o ndjson"),
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const limit = options.limit === undefined ? LIMIT_DEFAULT : parseCount(options.limit, "--limit", 1, LIMIT_MAX)
    // In a list `all` means what --all means; elsewhere it means what can still be acted upon.
    const everything = command.args.length === 1 && command.args[0] === "all" && options.jobs !== true
    const selected = command.args.length > 0 && !everything
    if (options.jobs === true && !selected) throw usage("--jobs: of which campaign?", "Name it: cah ls last --jobs")
    const hub = await context.hub()
    const targets = selected ? await findTargets(hub, command.args) : []
    if (options.jobs === true || targets.some(target => target.ranges !== null)) {
      await listJobs(context, hub, targets, options.state, limit)
    } else
      await listCampaigns(
        context,
        hub,
        selected ? targets : null,
        everything ? { ...options, all: true } : options,
        limit,
      )
    return 0
  },
}

async function listCampaigns(
  context: Context,
  hub: Hub,
  targets: readonly Target[] | null,
  options: Options,
  limit: number,
): Promise<void> {
  const { state } = options
  if (state !== undefined && !campaignStates.includes(state)) {
    throw usage(`--state: "${state}" is not a state of a campaign.`, `Take one of ${campaignStates.join(", ")}.`)
  }
  const wantsEnded = state === "finished" || state === "failed" || state === "cancelled"
  const live = options.all !== true && !wantsEnded
  const campaigns: Campaign[] = []
  const source = targets === null ? hub.list({ live, everybody: options.everybody ?? false }) : each(hub, targets)
  for await (const campaign of source) {
    if (state !== undefined && campaignState(campaign) !== state) continue
    campaigns.push(campaign)
    if (campaigns.length >= limit) break
  }
  await context.output.many(
    { schema: ListCampaignsResponseSchema, message: create(ListCampaignsResponseSchema, { campaigns }) },
    { schema: CampaignSchema, messages: campaigns },
    { table: () => campaignTable(context, campaigns, options.everybody ?? false), quiet: ({ id }) => String(id) },
  )
  if (campaigns.length === 0)
    context.output.note(
      live && targets === null ? "Nothing is under way. Ended campaigns: cah ls --all" : "There is none.",
    )
}

async function* each(hub: Hub, targets: readonly Target[]): AsyncGenerator<Campaign> {
  for (const { campaign: id } of targets) {
    const { campaign } = await hub.show(id)
    if (campaign !== undefined) yield campaign
  }
}

function campaignTable(context: Context, campaigns: readonly Campaign[], owners: boolean): string {
  const { colors } = context.output
  if (campaigns.length === 0) return ""
  const now = Date.now()
  return table(
    campaigns,
    [
      { title: "ID", value: ({ id }) => String(id), right: true },
      { title: "NAME", value: ({ name }) => shorten(name === "" ? "–" : name) },
      ...(owners ? [{ title: "OWNER", value: ({ owner }: Campaign) => owner }] : []),
      { title: "STATE", value: campaignState, paint: one => statePaint(campaignState(one), colors) },
      { title: "PROGRESS", value: bar },
      { title: "RUN", value: one => String(tally(one).active), right: true },
      { title: "WAIT", value: one => String(tally(one).waiting), right: true },
      { title: "FAIL", value: one => String(tally(one).unwell), right: true },
      { title: "AGE", value: ({ submittedAt }) => age(submittedAt, now), right: true },
    ],
    colors,
  )
}

function bar(campaign: Campaign): string {
  const { ended, total } = tally(campaign)
  return `${drawBar(ended, total, 10)} ${ended}/${total}`
}

async function listJobs(
  context: Context,
  hub: Hub,
  targets: readonly Target[],
  state: string | undefined,
  limit: number,
): Promise<void> {
  const wanted = state === undefined ? { phase: 0 as const, outcome: 0 as const } : parseState(state)
  if (wanted === null) {
    const known = [...Object.values(phaseWords), ...Object.values(outcomeWords)]
    throw usage(`--state: "${state}" is not a state of a job.`, `Take one of ${known.join(", ")}.`)
  }
  const jobs: Job[] = []
  const held = new Set<bigint>()
  const specs = new Map<bigint, CampaignSpec | undefined>()
  let more = false
  for (const { campaign, ranges } of targets) {
    const shown = (await hub.show(campaign)).campaign
    const isHeld = shown?.held === true
    specs.set(campaign, shown?.spec)
    if (isHeld) held.add(campaign)
    // Of a held campaign the hub calls queued what is held.
    if (isHeld && state === "queued") continue
    const isOfHeld = isHeld && state === "held"
    for await (const job of hub.jobs(campaign, { ranges, parameters: true, ...(isOfHeld ? {} : wanted) })) {
      if (isOfHeld && job.phase !== Phase.QUEUED && job.phase !== Phase.HELD) continue
      more = jobs.length >= limit
      if (more) break
      jobs.push(job)
    }
  }
  const { colors } = context.output
  const parameters = (job: Job) => parametersInWords(specs.get(job.id?.campaign ?? 0n), job)
  const standing = (job: Job) => jobState(job, held.has(job.id?.campaign ?? 0n))
  await context.output.many(
    { schema: ListJobsResponseSchema, message: create(ListJobsResponseSchema, { jobs }) },
    { schema: JobSchema, messages: jobs },
    {
      table: () =>
        jobs.length === 0
          ? ""
          : table(
              jobs,
              [
                { title: "JOB", value: nameOf },
                { title: "STATE", value: standing, paint: job => statePaint(standing(job), colors) },
                {
                  title: "EXIT",
                  value: job => (job.result === undefined ? "" : String(job.result.exitCode)),
                  right: true,
                },
                { title: "TRY", value: job => String(job.attempt), right: true },
                { title: "NODE", value: job => shorten(job.nodeName || job.node) },
                ...(jobs.some(job => parameters(job) !== "")
                  ? [{ title: "PARAMETERS", value: (job: Job) => shorten(parameters(job), 40) }]
                  : []),
                { title: "MESSAGE", value: job => shorten(job.result?.message ?? "", 60) },
              ],
              colors,
            ),
      quiet: nameOf,
    },
  )
  if (jobs.length === 0) context.output.note("There is none.")
  if (more) context.output.warn(`There are more than ${limit}; see them with --limit.`)
}

function nameOf(job: Job): string {
  return `${job.id?.campaign ?? "?"}.${job.id?.index ?? "?"}`
}

function shorten(text: string, length = 24): string {
  return width(text) <= length ? text : `${cut(text, length - 1)}…`
}

function age(at: Timestamp | undefined, nowMs: number): string {
  return at === undefined ? "" : showDuration(Math.max(0, Math.round((nowMs - timestampMs(at)) / 1000)))
}
