// cah forget: campaigns that have ended, and all that they gave back, removed from the hub for good. Asks for `all` as del does.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { SELECT_MAX } from "../limits.ts"
import { plural } from "../quantities.ts"
import { parseSelector } from "../selector.ts"
import { findTargets, nameOfTarget } from "../targets.ts"
import { askYesNo } from "../terminal.ts"
import { hasEnded } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

export const forget: Verb = {
  define(command: Command): void {
    command
      .description(
        "Remove campaigns that have ended from the hub, with their results and stories. For good: fetch first what " +
          "you want to keep. Stageins stay for later campaigns (cah cache).",
      )
      .argument("<selector...>", "12, 1-10:2, @name, last, all (that have ended)")
      .option("-y, --yes", "do not ask before removing all")
      .addHelpText("after", examples("cah get 12 && cah forget 12", "cah forget 1-10", "cah forget all -y"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { yes = false } = command.opts<{ yes?: boolean }>()
    const everything = parseSelector(command.args).some(selection => selection.campaign === "all")
    if (everything && !yes && context.stdin.isTTY !== true) {
      throw usage("forget all: nobody is there to be asked.", "It is for good. Say --yes if you mean it.")
    }
    const hub = await context.hub()
    const ids = everything ? await ended(hub) : await named(hub, command.args)
    if (ids.length === 0) context.output.note("Nothing to forget: no campaign of yours has ended.")
    else if (everything && !yes && !(await askYesNo(context, `Remove ${plural(ids.length, "campaign")} for good?`))) {
      context.output.note("Nothing was removed.")
      return 0
    }
    for (const id of ids) {
      await hub.forget(id)
      context.hubIsBack()
    }
    await context.output.value(
      { forgotten: ids.map(String) },
      { table: () => ids.map(id => `Campaign ${id} is forgotten.`).join("\n"), quiet: () => ids.join("\n") },
    )
    return 0
  },
}

/** Here `all` is what the others' is not. */
async function ended(hub: Hub): Promise<bigint[]> {
  const ids: bigint[] = []
  for await (const campaign of hub.list({ max: SELECT_MAX })) if (hasEnded(campaign)) ids.push(campaign.id)
  return ids
}

/** All are looked at before the first goes. */
async function named(hub: Hub, texts: readonly string[]): Promise<bigint[]> {
  const targets = await findTargets(hub, texts)
  const part = targets.find(({ ranges }) => ranges !== null)
  if (part !== undefined) {
    throw usage(
      `${nameOfTarget(part)}: a campaign is forgotten as a whole.`,
      `Write it like: cah forget ${part.campaign}`,
    )
  }
  for (const { campaign: id } of targets) {
    const { campaign } = await hub.show(id)
    if (hasEnded(campaign)) continue
    throw new ClientError("failed_precondition", `Campaign ${id} has not ended. Nothing was removed.`, {
      hint: `Wait for it: cah wait ${id}    or cancel it: cah del ${id}`,
    })
  }
  return targets.map(({ campaign }) => campaign)
}
