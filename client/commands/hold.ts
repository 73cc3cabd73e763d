// cah hold and cah resume: nothing more of a campaign is begun, until it may be. What runs goes on. One file, since they differ in a word.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { findTargets } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"

function verb(held: boolean): Verb {
  const name = held ? "hold" : "resume"
  return {
    define(command: Command): void {
      command
        .summary(held ? "begin nothing more of campaigns" : "let held campaigns go on")
        .description(
          held
            ? "Begin nothing more of campaigns until cah resume. Jobs that run go on to their end."
            : "Let campaigns go on that were held, by cah hold or by cah sub --hold.",
        )
        .argument("<selector...>", "12, 1-10:2, last, all (that have not ended)")
        .addHelpText("after", examples(`cah ${name} last`, `cah ${name} 12,14-16`))
    },

    async run(context: Context, command: Command): Promise<number> {
      const ids = await setHold(context, command.args, held, `cah ${name}`)
      if (ids.length === 0) context.output.note("There is none: all your campaigns have ended.")
      const done = ids.map(id => ({ campaign: String(id), held }))
      await context.output.value(done.length === 1 ? done[0] : done, {
        table: () => ids.map(id => `Campaign ${id} ${held ? "is held" : "goes on"}.`).join("\n"),
        quiet: () => ids.join("\n"),
      })
      return 0
    },
  }
}

export const hold = verb(true)
export const resume = verb(false)

/** Also oarhold and oarresume. Returns the campaigns, each of which is now so, whether or not it was before. */
export async function setHold(
  context: Context,
  selectors: readonly string[],
  held: boolean,
  name: string,
): Promise<bigint[]> {
  const hub = await context.hub()
  const targets = await findTargets(hub, selectors)
  const part = targets.find(({ ranges }) => ranges !== null)
  if (part !== undefined) {
    throw usage(`${name} takes whole campaigns, not single jobs.`, `Write it like: ${name} ${part.campaign}`)
  }
  for (const { campaign } of targets) {
    await hub.setHold(campaign, held)
    context.hubIsBack()
  }
  return targets.map(({ campaign }) => campaign)
}
