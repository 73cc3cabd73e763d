// cah hold and cah resume: nothing more of a campaign, or of some of its jobs, is begun, until it may be. What runs goes on. A campaign and
// each of its jobs have switches of their own. One file, since the two differ in a word.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { plural } from "../quantities.ts"
import { findTargets, nameOfTarget, type Target } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"

function verb(held: boolean): Verb {
  const name = held ? "hold" : "resume"
  return {
    define(command: Command): void {
      command
        .description(
          held
            ? "Begin nothing more of campaigns, or of some jobs, until cah resume. Jobs that run go on to their end."
            : "Let campaigns or jobs go on that were held, by cah hold or by cah sub --hold. The switch of a campaign is " +
                "another than those of its jobs: what was held as 12.3 goes on with resume 12.3.",
        )
        .argument("<selector...>", "12, 12.7, 12.0-99, 1-10:2, @name, last, all (that have not ended)")
        .addHelpText("after", examples(`cah ${name} last`, `cah ${name} 12.3-5,14`))
    },

    async run(context: Context, command: Command): Promise<number> {
      const hub = await context.hub()
      const targets = await findTargets(hub, command.args)
      if (targets.length === 0) context.output.note("There is none: all your campaigns have ended.")
      const done: { target: Target; jobs: number }[] = []
      for (const target of targets) {
        const { jobs } = await hub.setHold(target.campaign, held, target.ranges ?? [])
        context.hubIsBack()
        done.push({ target, jobs })
      }
      const told = done.map(({ target, jobs }) => ({
        campaign: String(target.campaign),
        held,
        ...(target.ranges === null ? {} : { jobs }),
      }))
      await context.output.value(told.length === 1 ? told[0] : told, {
        table: () => done.map(({ target, jobs }) => inWords(target, jobs, held)).join("\n"),
        quiet: () => done.map(({ target }) => nameOfTarget(target)).join("\n"),
      })
      return 0
    },
  }
}

export const hold = verb(true)
export const resume = verb(false)

function inWords(target: Target, jobs: number, held: boolean): string {
  const { campaign, ranges } = target
  if (ranges === null) return `Campaign ${campaign} ${held ? "is held" : "goes on"}.`
  if (jobs > 0)
    return `Campaign ${campaign}: ${plural(jobs, "job")} ${held ? "held" : jobs === 1 ? "goes on" : "go on"}.`
  const why = held ? "they run, have ended, or are held already" : "they were not held one by one"
  return `Campaign ${campaign}: nothing was changed for ${nameOfTarget(target)}: ${why}.`
}
