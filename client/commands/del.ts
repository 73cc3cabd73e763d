// cah del: cancel campaigns or jobs. Asks only for `all`, only on a terminal, and elsewhere wants --yes for it.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { plural } from "../quantities.ts"
import { parseSelector } from "../selector.ts"
import { findTargets } from "../targets.ts"
import { askYesNo } from "../terminal.ts"
import { examples, type Verb } from "../verb.ts"

interface Options {
  readonly yes?: boolean
}

export const del: Verb = {
  define(command: Command): void {
    command
      .description("Cancel campaigns or jobs. Jobs that have ended stay as they are, with their results.")
      .argument("<selector...>", "12, 12.7, 12.0-99, 1-10:2, @name, last, all (that have not ended)")
      .option("-y, --yes", "do not ask before cancelling all")
      .addHelpText("after", examples("cah del last", "cah del 12.0-99,14", "cah del all -y"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const everything = parseSelector(command.args).some(selection => selection.campaign === "all")
    if (everything && options.yes !== true && context.stdin.isTTY !== true) {
      throw usage("del all: nobody is there to be asked.", "Say --yes if you mean it.")
    }
    const hub = await context.hub()
    const targets = await findTargets(hub, command.args)
    if (targets.length === 0) context.output.note("Nothing to cancel: all your campaigns have ended.")
    else if (everything && options.yes !== true) {
      const list = targets.map(target => target.campaign).join(", ")
      const question = `Cancel ${plural(targets.length, "campaign")} (${list})?`
      if (!(await askYesNo(context, question))) {
        context.output.note("Nothing was cancelled.")
        return 0
      }
    }
    const done: { campaign: string; cancelled: number }[] = []
    for (const { campaign, ranges } of targets) {
      const { cancelled } = await hub.cancel(campaign, ranges ?? [])
      context.hubIsBack()
      done.push({ campaign: String(campaign), cancelled })
    }
    await context.output.value(done.length === 1 ? done[0] : done, {
      table: () => done.map(one => `Campaign ${one.campaign}: ${plural(one.cancelled, "job")} cancelled.`).join("\n"),
      quiet: () => done.map(one => one.cancelled).join("\n"),
    })
    return 0
  },
}
