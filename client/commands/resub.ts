// cah resub: an earlier campaign once more, as a new one; with --failed only the jobs that did not finish well.
import type { Command } from "commander"
import { v7 as uuidv7 } from "uuid"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { againOf } from "../submit/again.ts"
import { type Announce, announce } from "../submit/announce.ts"
import type { Wishes } from "../submit/flags.ts"
import { checkKey, place } from "../submit/send.ts"
import type { Submitted } from "../submit/submit.ts"
import { findOne } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"

interface Options {
  readonly failed?: boolean
  readonly idempotencyKey?: string
}

export const resub: Verb = {
  define(command: Command): void {
    command
      .summary("submit an earlier campaign once more")
      .description(
        "Submit an earlier campaign once more, as a new one with the same command, stagein and needs. The\n" +
          "jobs of --failed keep their parameters; those of a plain array find their old number in\n" +
          "CAH_ARRAY_INDEX, but are numbered anew by the hub and in `cah get`.",
      )
      .argument("<id>", "12 or last")
      .option("--failed", "only the jobs that did not finish well")
      .option("--idempotency-key <key>", "the same key never submits twice (made if not given)")
      .addHelpText("after", examples("cah resub last --failed", "cah resub 12"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { failed = false, idempotencyKey } = command.opts<Options>()
    return resubmit(context, command.args[0] ?? "", { failed, key: idempotencyKey }, [], {}, announce)
  },
}

/** Also `sub --resubmit`, which takes nothing else. */
export async function resubmit(
  context: Context,
  id: string,
  options: { failed: boolean; key?: string | undefined },
  words: readonly string[],
  wishes: Wishes,
  tell: Announce,
): Promise<number> {
  if (words.length > 0 || Object.keys(wishes).length > 0) {
    throw usage("--resubmit takes the campaign as it was.", "Leave out other flags and the command, or submit it anew.")
  }
  const key = checkKey(options.key ?? uuidv7())
  const hub = await context.hub()
  const { campaign, index } = await findOne(hub, id)
  if (index !== null) throw usage(`${id} is one job.`, `Name its campaign: cah resub ${campaign} --failed`)
  const again = await againOf(hub, campaign, options)
  const answer = await place(context, hub, again.spec, again.parameters, key)
  const draft = { spec: { ...again.spec, name: again.spec.name ?? "" }, parameters: again.parameters, jobs: again.jobs }
  const order = { draft: { ...draft, stagein: null, after: [], afterOk: [], gather: null }, name: null, edges: [] }
  await tell(context, [{ order, answer } satisfies Submitted], false)
  if (again.indices !== null) {
    const shown = again.indices.slice(0, 8).map(old => `${campaign}.${old}`)
    context.output.note(
      `They were ${shown.join(", ")}${again.indices.length > shown.length ? ", …" : ""}, in this order.`,
    )
  }
  return 0
}
