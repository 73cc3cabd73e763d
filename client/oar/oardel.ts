// oardel: cancel jobs or arrays, with OAR's answer. An array's number cancels the whole array, as do --array and cah del.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { findTargets, nameOfTarget, type Target } from "../targets.ts"
import { examples, gather, type Verb } from "../verb.ts"
import { noSql, refuse } from "./refused.ts"

export const oardel: Verb = {
  define(command: Command): void {
    command
      .description("Cancel jobs. Those that have ended stay as they are, with their results.")
      .argument("[id...]", "17, or a job of an array: 17.3")
      .option("--array <id>", "all jobs of an array; repeatable", gather)
      .addHelpText("after", examples("oardel 17", "oardel 17.3 18", "oardel --array 17"))
    refuse(command, [
      noSql,
      ["-c, --checkpoint", "checkpoints are not supported yet.", "A job that is lost begins anew: make jobs short."],
      ["-s, --signal <n>", "nobody sends signals to a volunteer's machine.", "To end it: oardel ID"],
      [
        "-b, --besteffort",
        "what a job is cannot be changed once it is submitted.",
        "Submit it anew: cah resub ID -t besteffort",
      ],
      ["--force-terminate-finishing-job", "what a job gave back is on its way: nothing hangs.", "Leave it out."],
    ])
  },

  async run(context: Context, command: Command): Promise<number> {
    const named = [...command.args, ...(command.opts<{ array?: string[] }>().array ?? [])]
    if (named.length === 0) throw usage("Which job?", "Name it: oardel 17")
    if (named.some(id => id.split(",").includes("all")))
      throw usage("oardel names its jobs.", "For all of them: cah del all")
    const hub = await context.hub()
    const targets = await findTargets(hub, named)
    for (const target of targets) {
      await hub.cancel(target.campaign, target.ranges ?? [])
      context.hubIsBack()
      await context.output.lines(`Deleting the job = ${namesOf(target).join(" ")} ...REGISTERED.`)
    }
    await context.output.lines(
      `The job(s) [ ${targets.flatMap(namesOf).join(" ")} ] will be deleted in the near future.`,
    )
    return 0
  },
}

/** Each of OAR's numbers that the target is, ranges as one. */
export function namesOf(target: Target): string[] {
  return nameOfTarget(target).split(",")
}
