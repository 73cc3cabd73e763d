// cah sub: check all that can be checked here, send the input, submit once, and perhaps wait, follow and fetch. The form of what is submitted
// (words, script, job file, graph, stdin) is settled in submit/orders.ts; this file has the flags of the act itself, and says what came of it.

import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { type Command, Option } from "commander"
import { v7 as uuidv7 } from "uuid"
import { GetCampaignResponseSchema, Output } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import { compactHelp, firstScreen, only } from "../help.ts"
import type { Hub } from "../library.ts"
import { KEY_CHARACTERS_MAX } from "../limits.ts"
import { Notifying } from "../notifying.ts"
import { plural, showBytes } from "../quantities.ts"
import { fetchResults } from "../results.ts"
import { type Announce, announce } from "../submit/announce.ts"
import { campaignFlags } from "../submit/flags.ts"
import { checkWaits, noticesOf } from "../submit/notify.ts"
import { type Order, ordersOf } from "../submit/orders.ts"
import { planOf, showPlans } from "../submit/plan.ts"
import { remarkOnFlags } from "../submit/program.ts"
import { refuseSet } from "../submit/refused.ts"
import { checkFixed, checkKey, wishesAlone } from "../submit/send.ts"
import { type Submitted, submitAll } from "../submit/submit.ts"
import { propagated } from "../text.ts"
import { examples, type Verb } from "../verb.ts"
import { type Ended, endInWords, verdict, waitFor } from "../waiting.ts"
import { followLog } from "./logs.ts"
import { resubmit } from "./resub.ts"

interface Act {
  readonly scanscript?: boolean
  readonly file?: string
  readonly resubmit?: string
  readonly idempotencyKey?: string
  readonly dryRun?: boolean
  readonly wait?: boolean
  readonly follow?: boolean
  readonly get?: string
  readonly propagate?: boolean
}

/** What fits a screen beside the examples. */
const wantedMost = [
  ...["--stagein", "--stageout", "--array", "--csv", "--sweep", "--resource", "--walltime", "--name"],
  ...["--after-ok", "--gather", "--wait", "--get", "--dry-run"],
]

/** A slash and a job's name of a graph are added to it. */
const GRAPH_KEY_MAX = KEY_CHARACTERS_MAX - 1 - 64

export const sub: Verb = {
  define(command: Command): void {
    defineSubmission(command, "cah sub")
    firstScreen(command, only(...wantedMost))
  },

  async run(context: Context, command: Command): Promise<number> {
    return submission(context, command, announce)
  },
}

/** `name` is what the examples begin with: oarsub takes the same flags. */
export function defineSubmission(command: Command, name: string): void {
  command
    .description(
      "Submit a command (one argument: a line for the node's shell), a script (-S, or - " +
        "from stdin) or a job file (-f). Flags stand before the command.",
    )
    .argument("[command...]")
    .passThroughOptions()
    .optionsGroup("What:")
    .option("-S, --scanscript", "a script; its #CAH and #OAR lines are flags")
    .option("-f, --file <file>", "a job or a graph of jobs as YAML: docs/job-files.md")
  compactHelp(command)
  for (const option of campaignFlags()) command.addOption(option)
  command.addOption(new Option("--resubmit <id>", "as cah resub: OAR's word").hideHelp())
  command
    .optionsGroup("And then:")
    .option("--wait", "wait for the end; exit 1 if a job was not well")
    .option("--follow", "wait, and print what the single job writes")
    .option("--get <dir>", "wait, then fetch the results into dir")
    .option("--propagate", "wait, and exit with the code of the single job")
    .option("--dry-run", "what would be submitted, and what the hub would do")
    .option("--idempotency-key <key>", "the same key never submits twice (made)")
    .addHelpText(
      "after",
      examples(
        `${name} -s scene --array 36 --get frames -- ./render.sh`,
        `${name} --sweep seed=1..100 './fit --seed $CAH_P_seed'`,
      ),
    )
}

export async function submission(context: Context, command: Command, tell: Announce): Promise<number> {
  const values = command.opts<Record<string, unknown>>()
  refuseSet(values)
  const act = values as Act
  const wishes = wishesAlone(values)
  const waits = act.wait === true || act.get !== undefined || act.propagate === true || act.follow === true
  if (act.resubmit !== undefined) {
    if (command.args.length > 0) throw usage("--resubmit takes the campaign's own command.", "Leave out the command.")
    return resubmit(context, act.resubmit, { failed: false, without: [], key: act.idempotencyKey, wishes }, tell)
  }
  const form = { words: command.args, wishes, scanscript: act.scanscript === true, file: act.file ?? null }
  // OAR's flags may stand there: none of them is left when oarsub comes to this.
  remarkOnFlags(context, form.words, command.options, form.scanscript ? "script" : "command")
  const orders = await ordersOf(context, form)
  const [first] = orders
  if (act.propagate === true) checkSingle(orders, "--propagate", "one exit code")
  if (act.follow === true) checkSingle(orders, "--follow", "one output")
  if (act.dryRun === true) return showPlans(context, await plansOf(context, orders))
  for (const { draft } of orders) checkWaits(draft.notify, waits)
  const key = act.idempotencyKey ?? uuidv7()
  checkKey(key, first?.name === null ? undefined : GRAPH_KEY_MAX)
  if (act.idempotencyKey !== undefined) checkFixed(wishes)
  context.onInterrupt = "Nothing was submitted."
  const hub = await context.hub()
  const done = await submitAll(context, hub, orders, key)
  // One value is printed: with --wait that is the campaign at its end.
  if (!waits || !context.output.isOneValue) await tell(context, done, waits)
  return waits ? finish(context, hub, done, act) : 0
}

function checkSingle(orders: readonly Order[], flag: string, what: string): void {
  const [first, other] = orders
  if (other === undefined && first?.draft.jobs === 1) return
  const many = other === undefined ? `an array of ${first?.draft.jobs} jobs has` : "several campaigns have"
  throw usage(
    `${flag}: ${many} not ${what}.`,
    "Leave it out: --wait exits 1 if a job failed; cah logs -f ID follows one job.",
  )
}

async function plansOf(context: Context, orders: readonly Order[]) {
  const words = { after: "after", afterOk: "after", gather: "gathers", inside: "inside" }
  const plans = []
  for (const { draft, name, edges } of orders) {
    await noticesOf(context, draft.notify, draft.notifySecretFile)
    const plan = await planOf(context, draft, name)
    plans.push({ ...plan, waitsFor: [...plan.waitsFor, ...edges.map(({ on, kind }) => `${words[kind]} ${on}`)] })
  }
  return plans
}

async function finish(context: Context, hub: Hub, done: readonly Submitted[], act: Act): Promise<number> {
  const ids = done.map(({ answer }) => answer.campaign)
  context.onInterrupt = `The work goes on; cancel it with: cah del ${ids.join(",")}`
  const targets = ids.map(campaign => ({ campaign, ranges: null }))
  const notifying = new Notifying(
    context,
    new Map(done.map(({ order, answer }) => [answer.campaign, order.draft.notify])),
  )
  const followed = act.follow === true ? follow(context, hub, ids[0] ?? 0n) : null
  const waited = waitFor(context, hub, targets, {
    timeoutSeconds: null,
    bar: followed === null,
    onCampaign: campaign => notifying.see(campaign),
  })
  // Together: what interrupts one interrupts the other, and both want to be heard.
  const [ended] = await Promise.all([waited, followed])
  await notifying.finish()
  const bad = verdict(ended)
  if (context.output.format === "table" && followed === null)
    await context.output.lines(ended.map(endInWords).join("\n"))
  const failed = act.get === undefined ? null : await fetchAll(context, hub, done, act.get)
  if (context.output.isOneValue) await finalValue(context, ended)
  if (failed !== null) throw failed
  if (bad === null) return 0
  if (act.propagate !== true) throw bad
  const job = await hub.job({ campaign: ids[0] ?? 0n, index: 0 })
  const code = job.result?.exitCode ?? 1
  throw new ClientError("jobs_failed", bad.message, {
    hint: bad.hint,
    details: bad.details,
    exitCode: propagated(code),
  })
}

/** Both streams at once, each to its like. */
async function follow(context: Context, hub: Hub, campaign: bigint): Promise<void> {
  const name = { campaign, index: 0 }
  await Promise.all([
    followLog(context, hub, name, Output.STDOUT, "stdout"),
    followLog(context, hub, name, Output.STDERR, "stderr"),
  ])
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

async function finalValue(context: Context, ended: readonly Ended[]): Promise<void> {
  const [only] = ended
  if (only === undefined || ended.length > 1) {
    const plain = ended.map(({ campaign, jobs, unwell }) => ({ campaign: String(campaign.id), jobs, unwell }))
    await context.output.value(plain, { table: () => "", quiet: () => "" })
    return
  }
  const message = create(GetCampaignResponseSchema, { campaign: only.campaign, errors: [...only.errors] })
  await context.output.one(GetCampaignResponseSchema, message, { table: () => "", quiet: () => "" })
}
