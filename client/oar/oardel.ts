// oardel: cancel jobs or arrays, with OAR's answer. An array's number cancels the whole array, as do --array and cah del.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { findTargets, type Target } from "../targets.ts"
import { examples, gather, type Verb } from "../verb.ts"

export const oardel: Verb = {
  define(command: Command): void {
    command
      .description("Cancel jobs. Those that have ended stay as they are, with their results.")
      .argument("[id...]", "17, or a job of an array: 17.3")
      .option("--array <id>", "all jobs of an array; repeatable", gather)
      .addHelpText("after", examples("oardel 17", "oardel 17.3 18", "oardel --array 17"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const named = [...command.args, ...(command.opts<{ array?: string[] }>().array ?? [])]
    if (named.length === 0) throw usage("Which job?", "Name it: oardel 17")
    if (named.some(id => id.split(",").includes("all")))
      throw usage("oardel names its jobs.", "For all of them: cah del all")
    const hub = await context.hub()
    const targets = await findTargets(hub, named)
    for (const target of targets) {
      await context.output.lines(`Deleting the job = ${nameOf(target)} ...REGISTERED.`)
      await hub.cancel(target.campaign, target.ranges ?? [])
      context.hubIsBack()
    }
    await context.output.lines(`The job(s) [ ${targets.map(nameOf).join(" ")} ] will be deleted in the near future.`)
    return 0
  },
}

export function nameOf({ campaign, ranges }: Target): string {
  if (ranges === null) return String(campaign)
  return ranges.map(({ first, last }) => `${campaign}.${first}${last === first ? "" : `-${last}`}`).join(" ")
}
