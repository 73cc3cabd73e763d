// cah resub: an earlier campaign once more, as a new one: all its jobs, some, or with --failed those that did not finish well; with what the
// flags say otherwise. Or, with --into, not as a new one: submit/into.ts.
import { type Command, Option } from "commander"
import { v7 as uuidv7 } from "uuid"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { compactHelp, firstScreen, only } from "../help.ts"
import { againOf, type Without, withouts } from "../submit/again.ts"
import { type Announce, announce } from "../submit/announce.ts"
import { changeFlags, type Wishes } from "../submit/flags.ts"
import { retryInto } from "../submit/into.ts"
import { checkWaits, noticesOf } from "../submit/notify.ts"
import { refuseSet } from "../submit/refused.ts"
import { checkFixed, checkKey, place, wholeCampaign, wishesAlone } from "../submit/send.ts"
import { checkTogether } from "../submit/spec.ts"
import type { Submitted } from "../submit/submit.ts"
import { findTargets } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"

export const resub: Verb = {
  define(command: Command): void {
    command
      .description(
        "Submit an earlier campaign once more, as a new one with the same command and stagein, and with what the " +
          "flags say otherwise. Jobs keep their parameters; those of a plain array find their old number in " +
          "CAH_ARRAY_INDEX, but are numbered anew by the hub and in `cah get`.",
      )
      .argument("[selector]", "12, 12.3-9, @name or last")
      .option("--failed", "only the jobs that did not finish well")
      .option("--into <id>", "tried again in it, their own, and not as a new one")
      .addOption(
        new Option("--without <what>", "leave this out: property, besteffort, inner or retries")
          .choices(withouts)
          .argParser(without),
      )
      .option("--idempotency-key <key>", "the same key never submits twice (made)")
    compactHelp(command)
    for (const option of changeFlags()) command.addOption(option)
    command.addHelpText(
      "after",
      examples("cah resub --failed --into 12", "cah resub 12.3-9 -l mem=6G,walltime=4:00:00"),
    )
    firstScreen(
      command,
      only("--failed", "--into", "--without", "--resource", "--walltime", "--env", "--name", "--retries", "--hold"),
    )
  },

  async run(context: Context, command: Command): Promise<number> {
    const values = command.opts<Record<string, unknown>>()
    refuseSet(values)
    const { failed = false, into, ...changes } = values as Own & Record<string, unknown>
    const [selector] = command.args
    if (into !== undefined) {
      const others = Object.keys(wishesAlone(changes))
      if (changes.idempotencyKey !== undefined) others.push("idempotencyKey")
      return retryInto(context, { into, failed, selector, others })
    }
    if (selector === undefined) throw usage("Which campaign, or which of its jobs?", "Name it: cah resub 12 --failed")
    const { without = [], idempotencyKey, ...rest } = changes
    const wanted = { failed, without, key: idempotencyKey, wishes: wishesAlone(rest) }
    return resubmit(context, selector, wanted, announce)
  },
}

interface Own {
  readonly failed?: boolean
  readonly into?: string
  readonly without?: readonly Without[]
  readonly idempotencyKey?: string
}

/** `choices` checks nothing where values are gathered. */
function without(text: string, before: readonly Without[] | undefined): readonly Without[] {
  const found = withouts.find(what => what === text)
  if (found !== undefined) return [...(before ?? []), found]
  throw usage(`--without: "${text}" cannot be left out.`, `Take one of ${withouts.join(", ")}.`)
}

export interface Resubmission {
  readonly failed: boolean
  readonly without: readonly Without[]
  readonly key?: string | undefined
  readonly wishes: Wishes
}

/** Also `sub --resubmit`. */
export async function resubmit(context: Context, text: string, wanted: Resubmission, tell: Announce): Promise<number> {
  const { wishes } = wanted
  const key = checkKey(wanted.key ?? uuidv7())
  checkTogether(wishes)
  if (wanted.key !== undefined) checkFixed(wishes)
  const notices = await noticesOf(context, wishes.notify ?? [], wishes.notifySecretFile ?? null)
  checkWaits(wishes.notify ?? [], false)
  const inner = wishes.type?.find(type => type.kind === "inner")
  context.onInterrupt = "Nothing was submitted."
  const hub = await context.hub()
  const [target, other] = await findTargets(hub, [text])
  if (target === undefined || other !== undefined) {
    throw usage(`"${text}" is not one campaign.`, "Name one, or jobs of it: cah resub 12.3-9")
  }
  const again = await againOf(hub, target, wanted)
  const inside = inner?.kind === "inner" ? { inside: await wholeCampaign(hub, inner.campaign, "-t inner=") } : {}
  const { parameters } = again
  const spec = { ...again.spec, ...inside }
  const answer = await place(context, hub, { spec, parameters, notices, idempotencyKey: key })
  const draft = {
    ...{ spec: { ...spec, name: spec.name ?? "" }, parameters, jobs: again.jobs, notify: [], notifySecretFile: null },
    ...{ stagein: null, dereference: false, after: [], afterOk: [], gather: null, inside: null },
  }
  await tell(context, [{ order: { draft, name: null, edges: [] }, answer } satisfies Submitted], false)
  if (again.indices !== null) {
    const shown = again.indices.slice(0, 8).map(old => `${target.campaign}.${old}`)
    context.output.note(
      `They were ${shown.join(", ")}${again.indices.length > shown.length ? ", …" : ""}, in this order.`,
    )
  }
  return 0
}
