// oarstat: jobs in OAR's table and by OAR's states; -f for all about them, -s for the state alone, -J and -Y for programs.
// Lists a bounded number of jobs and says when there are more.
import { durationMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import { stringify } from "yaml"
import { type Campaign, type CampaignSpec, type Job, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { OAR_ROWS_MAX, WALLTIME_DEFAULT_MS } from "../limits.ts"
import { clean, cut, width } from "../output.ts"
import { quoteWords } from "../submit/shellwords.ts"
import { findTargets, type Target } from "../targets.ts"
import { examples, gather, type Verb } from "../verb.ts"
import { oarExit, oarId, oarLetter, oarState, oarTime, oarWalltime } from "./convert.ts"
import { noSql, refuse } from "./refused.ts"

interface Options {
  readonly job?: readonly string[]
  readonly array?: readonly string[]
  readonly full?: boolean
  readonly state?: boolean
  readonly user?: string | true
  readonly json?: boolean
  readonly yaml?: boolean
}

interface Row {
  readonly campaign: Campaign
  readonly job: Job
  readonly id: string
}

export const oarstat: Verb = {
  define(command: Command): void {
    command
      .description("Show your jobs that have not ended, or those that are named, in OAR's words.")
      .argument("[id...]", "17, 17.3 or last")
      .option("-j, --job <id>", "these jobs, whether they have ended or not; repeatable", gather)
      .option("--array <id>", "the jobs of an array; repeatable", gather)
      .option("-f, --full", "all about them")
      .option("-s, --state", "only their states")
      .option("-u, --user [name]", "of this user (operators see others than themselves)")
      .option("-J, --json", "as JSON, by their ids")
      .option("-Y, --yaml", "as YAML")
      .addHelpText("after", examples("oarstat", "oarstat -fj 17", "oarstat -s -j 17.3", "oarstat --array 17 -J"))
    refuse(command, [
      noSql,
      ["-c, --compact", "a line for each campaign is what cah ls shows.", "Type: cah ls"],
      [
        "-g, --gantt <dates>",
        "nobody knows when volunteers' machines will be there.",
        "See what is under way: cah top",
      ],
      ["-e, --events", "a job's story is what cah show tells.", "Type: cah show ID"],
      ["-p, --properties", "what nodes are is what cah nodes shows.", "Type: cah nodes show NODE"],
      ["--accounting <dates>", "use is summed up by shares here.", "An operator types: cah admin share ls"],
      ["-X, --xml", "there is no XML here.", "Take -J (JSON) or -Y (YAML)."],
      ["-D, --dumper", "there is no Perl here.", "Take -J (JSON) or -Y (YAML)."],
      ["--format <n>", "there is one format.", "Leave it out; for programs take -J or -Y."],
    ])
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const named = [...(options.job ?? []), ...(options.array ?? []), ...command.args]
    if (options.state === true && named.length === 0)
      throw usage("-s: the state of which job?", "Name it: oarstat -s -j 17")
    const hub = await context.hub()
    const targets = named.length === 0 ? null : await findTargets(hub, named)
    const rows = await rowsOf(context, hub, targets, typeof options.user === "string" ? options.user : null)
    const asked = options.json === true || context.output.isJson ? "json" : options.yaml === true ? "yaml" : "text"
    if (asked !== "text" || options.full === true) await showFull(context, hub, rows, asked)
    else if (options.state === true) {
      await context.output.lines(
        rows.map(({ id, job, campaign }) => `${id}: ${oarState(job, campaign.held)}`).join("\n"),
      )
    } else await context.output.lines(tableOf(rows))
    return 0
  },
}

async function rowsOf(
  context: Context,
  hub: Hub,
  targets: readonly Target[] | null,
  user: string | null,
): Promise<Row[]> {
  const rows: Row[] = []
  for await (const { campaign, target } of campaignsOf(hub, targets, user)) {
    const total = campaign.counts?.total ?? 0
    for await (const job of hub.jobs(campaign.id, { ranges: target?.ranges ?? null })) {
      if (targets === null && job.phase === Phase.ENDED) continue
      if (rows.length === OAR_ROWS_MAX) {
        context.output.warn(`Only the first ${OAR_ROWS_MAX} jobs are shown. The sums are in: cah ls`)
        return rows
      }
      rows.push({ campaign, job, id: oarId(campaign.id, job.id?.index ?? 0, total) })
    }
  }
  return rows
}

async function* campaignsOf(
  hub: Hub,
  targets: readonly Target[] | null,
  user: string | null,
): AsyncGenerator<{ campaign: Campaign; target: Target | null }> {
  if (targets === null) {
    const everybody = user !== null && user !== (await hub.whoAmI()).principal
    for await (const campaign of hub.list({ live: true, everybody })) {
      if (user === null || campaign.owner === user) yield { campaign, target: null }
    }
    return
  }
  for (const target of targets) {
    const { campaign } = await hub.show(target.campaign)
    if (campaign === undefined) throw new ClientError("internal", `The hub describes no campaign ${target.campaign}.`)
    yield { campaign, target }
  }
}

function padded(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - width(text)))
}

function tableOf(rows: readonly Row[]): string {
  if (rows.length === 0) return ""
  // OAR's columns, which scripts cut at fixed places; a longer id pushes the rest to the right, as there.
  const widths = [10, 14, 14, 19, 1, 10]
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) =>
        padded(index === 1 || index === 2 ? cut(cell, widths[index] ?? 0) : cell, widths[index] ?? 0),
      )
      .join(" ")
  const titles = ["Job id", "Name", "User", "Submission Date", "S", "Queue"]
  const body = rows.map(({ campaign, job, id }) =>
    line([
      id,
      clean(campaign.name),
      clean(campaign.owner),
      oarTime(campaign.submittedAt),
      oarLetter(oarState(job, campaign.held)),
      "default",
    ]),
  )
  return [line(titles).trimEnd(), widths.map(width => "-".repeat(width)).join(" "), ...body].join("\n")
}

async function showFull(
  context: Context,
  hub: Hub,
  rows: readonly Row[],
  form: "json" | "yaml" | "text",
): Promise<void> {
  const specs = new Map<bigint, Campaign>()
  const all: Record<string, Record<string, unknown>> = {}
  for (const { campaign, job, id } of rows) {
    // Lists carry no specification, and no job's story.
    const whole = specs.get(campaign.id) ?? (await hub.show(campaign.id)).campaign ?? campaign
    specs.set(campaign.id, whole)
    const told = await hub.job({ campaign: campaign.id, index: job.id?.index ?? 0 })
    all[id] = describe(whole, told, id)
  }
  if (form === "json") await context.output.write(`${JSON.stringify(all, null, 3)}\n`)
  else if (form === "yaml") await context.output.lines(stringify(all))
  else for (const [id, one] of Object.entries(all)) await context.output.lines(fullText(id, one))
}

function describe(campaign: Campaign, job: Job, id: string): Record<string, unknown> {
  const { spec } = campaign
  const seconds = spec?.walltime === undefined ? WALLTIME_DEFAULT_MS / 1_000 : durationMs(spec.walltime) / 1000
  const line = job.parameters?.line ?? ""
  const command = spec?.command.length === 1 ? (spec.command[0] ?? "") : quoteWords(spec?.command ?? [])
  const began = job.story.findLast(({ phase }) => phase === Phase.RUNNING)?.at
  const ended = job.phase === Phase.ENDED ? job.story.at(-1)?.at : undefined
  return {
    Job_Id: id,
    array_id: String(campaign.id),
    array_index: job.id?.index ?? 0,
    name: campaign.name,
    project: spec?.project ?? "",
    owner: campaign.owner,
    state: oarState(job, campaign.held),
    wantedResources: `-l "/nodes=1/core=${spec?.needs?.slots || 1},walltime=${oarWalltime(seconds)}"`,
    types: typesOf(spec),
    dependencies: (spec?.after ?? []).map(one => String(one.campaign)),
    assigned_network_address: job.node === "" ? [] : [job.node],
    queue: "default",
    command: line === "" || (spec?.parameterNames.length ?? 0) > 0 ? command : `${command} ${line}`,
    exit_code: job.result === undefined ? null : oarExit(job.result.exitCode),
    jobType: "PASSIVE",
    properties: spec?.property ?? "",
    reservation: spec?.reservation === undefined ? "None" : "Scheduled",
    walltime: oarWalltime(seconds),
    submissionTime: oarTime(campaign.submittedAt),
    startTime: oarTime(began),
    stopTime: oarTime(ended),
    message: job.result?.message ?? "",
  }
}

/** Those that every job here has, and those that were asked for. */
function typesOf(spec: CampaignSpec | undefined): string[] {
  const asked = [
    spec?.bestEffort === true ? "besteffort" : "",
    spec?.container === true ? "container" : "",
    (spec?.inside ?? 0n) === 0n ? "" : `inner=${spec?.inside}`,
  ]
  return ["desktop_computing", "idempotent", ...asked.filter(type => type !== "")]
}

/** Under the names that `oarstat -f` has for them. */
const fullNames: Readonly<Record<string, string>> = {
  array_id: "job_array_id",
  array_index: "job_array_index",
  wantedResources: "wanted_resources",
  assigned_network_address: "assigned_hostnames",
}

function fullText(id: string, one: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(one)
    .filter(([name]) => name !== "Job_Id")
    .map(([name, value]) => {
      const text = Array.isArray(value) ? value.join(name === "types" ? "," : "+") : String(value ?? "")
      return `    ${fullNames[name] ?? name} = ${clean(text).replace(/\s*\n\s*/g, " ")}`
    })
  return [`Job_Id: ${id}`, ...lines, ""].join("\n")
}
