// cah sub: check all that can be checked here, send the input, submit once, and perhaps wait and fetch. The form of what is submitted
// (words, script, job file, graph, stdin) is settled in submit/orders.ts; this file has the flags of the act itself, and says what came of it.
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { type Command, Option } from "commander"
import { v7 as uuidv7 } from "uuid"
import { GetCampaignResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { plural, showBytes } from "../quantities.ts"
import { fetchResults } from "../results.ts"
import { type Announce, announce } from "../submit/announce.ts"
import { campaignFlags, compactHelp, type Wishes, wishesOf } from "../submit/flags.ts"
import { ordersOf } from "../submit/orders.ts"
import { planOf, showPlans } from "../submit/plan.ts"
import { refuseSet } from "../submit/refused.ts"
import { checkKey } from "../submit/send.ts"
import { type Submitted, submitAll } from "../submit/submit.ts"
import { examples, type Verb } from "../verb.ts"
import { type Ended, endInWords, verdict, waitFor } from "../waiting.ts"
import { resubmit } from "./resub.ts"

interface Act {
  readonly scanscript?: boolean
  readonly file?: string
  readonly resubmit?: string
  readonly idempotencyKey?: string
  readonly dryRun?: boolean
  readonly wait?: boolean
  readonly get?: string
  readonly propagate?: boolean
}

const acts = ["scanscript", "file", "resubmit", "idempotencyKey", "dryRun", "wait", "get", "propagate"] as const
const common = ["hub", "output", "tokenFile", "caFile", "insecure", "color", "progress"]
/** A slash and a job's name of a graph are added to it. */
const GRAPH_KEY_MAX = 200 - 1 - 64

export const sub: Verb = {
  define(command: Command): void {
    defineSubmission(command, "cah sub")
  },

  async run(context: Context, command: Command): Promise<number> {
    return submission(context, command, announce)
  },
}

/** `name` is what the examples begin with: oarsub takes the same flags. */
export function defineSubmission(command: Command, name: string): void {
  command
    .summary("submit a command, once or as an array of jobs")
    .description(
      "Submit a command: one argument is a line for the shell on the node, several are run as they are.\n" +
        "Or a script (-S), a job file (-f), or a script from stdin (-). Flags stand before the command.",
    )
    .argument("[command...]", "the command and its arguments")
    .passThroughOptions()
    .optionsGroup("What:")
    .option("-S, --scanscript", "the command is a script of yours; its #CAH and #OAR lines are flags")
    .option("-f, --file <file>", "a job, or several that wait for each other, as YAML: docs/job-files.md")
  compactHelp(command)
  for (const option of campaignFlags()) command.addOption(option)
  command.addOption(new Option("--resubmit <id>", "as cah resub: OAR's word").hideHelp())
  command
    .optionsGroup("And then:")
    .option("--wait", "wait for the end; exit 1 if a job did not finish well")
    .option("--get <dir>", "wait, then fetch the results into dir")
    .option("--propagate", "wait, and exit with the job's own code (a single job)")
    .option("--dry-run", "say what would be submitted, and how many bytes would be sent")
    .option("--idempotency-key <key>", "the same key never submits twice (made if not given)")
    .addHelpText(
      "after",
      examples(
        `${name} -s scene --array 36 --get frames -- ./render.sh`,
        `${name} --walltime 10m 'sort input.txt | uniq -c > counts.txt'`,
        `${name} --sweep seed=1..100 --retries 2 'python3 simulate.py --seed $CAH_P_seed'`,
      ),
    )
}

export async function submission(context: Context, command: Command, tell: Announce): Promise<number> {
  const values = command.opts<Record<string, unknown>>()
  refuseSet(values)
  const act = values as Act
  const wishes = wishesAlone(values)
  if (act.resubmit !== undefined)
    return resubmit(context, act.resubmit, { failed: false, key: act.idempotencyKey }, command.args, wishes, tell)
  const file = act.file ?? null
  const orders = await ordersOf(context, { words: command.args, wishes, scanscript: act.scanscript === true, file })
  const [first] = orders
  if (act.propagate === true && (orders.length > 1 || first?.draft.jobs !== 1)) {
    throw usage(
      `--propagate: ${orders.length > 1 ? "several campaigns have" : `an array of ${first?.draft.jobs} jobs has`} no one exit code.`,
      "Leave it out: --wait exits 1 if a job failed.",
    )
  }
  if (act.dryRun === true) {
    const plans = []
    for (const order of orders) {
      const plan = await planOf(context, order.draft)
      const edges = order.edges.map(({ on, kind }) => (kind === "gather" ? `gathers ${on}` : `after ${on}`))
      plans.push({ ...plan, waitsFor: [...plan.waitsFor, ...edges] })
    }
    await showPlans(context, plans)
    return 0
  }
  const key = act.idempotencyKey ?? uuidv7()
  checkKey(key, first?.name === null ? undefined : GRAPH_KEY_MAX)
  if (act.idempotencyKey !== undefined && wishes.deadline !== undefined && "inSeconds" in wishes.deadline) {
    throw usage(
      "--deadline as a time from now would be another one at each try with the same --idempotency-key.",
      'Say the moment: --deadline "2026-11-30 18:00"',
    )
  }
  context.onInterrupt = "Nothing was submitted."
  const hub = await context.hub()
  const done = await submitAll(context, hub, orders, key)
  const waits = act.wait === true || act.get !== undefined || act.propagate === true
  // json is one value: with --wait that is the campaign at its end.
  if (!waits || context.output.format !== "json") await tell(context, done, waits)
  return waits ? finish(context, hub, done, act) : 0
}

/** Without what says how to submit, and where. */
function wishesAlone(values: Readonly<Record<string, unknown>>): Wishes {
  const others = new Set<string>([...acts, ...common, "queue"])
  return wishesOf(Object.fromEntries(Object.entries(values).filter(([name]) => !others.has(name))))
}

async function finish(context: Context, hub: Hub, done: readonly Submitted[], act: Act): Promise<number> {
  const ids = done.map(({ answer }) => answer.campaign)
  context.onInterrupt = `The work goes on; cancel it with: cah del ${ids.join(",")}`
  const targets = ids.map(campaign => ({ campaign, ranges: null }))
  const ended = await waitFor(context, hub, targets, { timeoutSeconds: null })
  const bad = verdict(ended)
  if (context.output.format === "table") await context.output.lines(ended.map(endInWords).join("\n"))
  const failed = act.get === undefined ? null : await fetchAll(context, hub, done, act.get)
  if (context.output.format === "json") await finalJson(context, ended)
  if (failed !== null) throw failed
  if (bad === null) return 0
  if (act.propagate !== true) throw bad
  const job = await hub.job({ campaign: ids[0] ?? 0n, index: 0 })
  const code = job.result?.exitCode ?? 1
  throw new ClientError("jobs_failed", bad.message, {
    hint: bad.hint,
    details: bad.details,
    exitCode: code >= 1 && code <= 125 ? code : 1,
  })
}

/** Each job of a graph into a directory of its name. */
async function fetchAll(
  context: Context,
  hub: Hub,
  done: readonly Submitted[],
  directory: string,
): Promise<ClientError | null> {
  let failed: ClientError | null = null
  for (const { order, answer } of done) {
    const own = order.name === null ? directory : join(directory, order.name)
    const target = { campaign: answer.campaign, ranges: null }
    const got = await fetchResults(context, hub, target, { directory: own, flat: false, logs: false, overwrite: false })
    const { fetched, bytes } = got.fetched
    context.output.note(`${plural(fetched, "result")} fetched into ${own} (${showBytes(bytes)}).`)
    failed ??= got.error
  }
  return failed
}

async function finalJson(context: Context, ended: readonly Ended[]): Promise<void> {
  const [only] = ended
  if (only === undefined || ended.length > 1) {
    const plain = ended.map(({ campaign, jobs, unwell }) => ({ campaign: String(campaign.id), jobs, unwell }))
    await context.output.value(plain, { table: () => "", quiet: () => "" })
    return
  }
  const message = create(GetCampaignResponseSchema, { campaign: only.campaign, errors: [...only.errors] })
  await context.output.one(GetCampaignResponseSchema, message, { table: () => "", quiet: () => "" })
}
