// oarhold and oarresume: as cah hold and cah resume, with OAR's answer. An array is held as a whole.
import type { Command } from "commander"
import { setHold } from "../commands/hold.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { examples, gather, type Verb } from "../verb.ts"

function verb(held: boolean): Verb {
  const name = held ? "oarhold" : "oarresume"
  return {
    define(command: Command): void {
      command
        .description(
          held
            ? "Begin nothing more of jobs until oarresume. What runs goes on: a volunteer's machine suspends nothing."
            : "Let jobs go on that were held.",
        )
        .argument("[id...]", "17; an array as a whole")
        .option("--array <id>", "an array; repeatable", gather)
        .addHelpText("after", examples(`${name} 17`, `${name} --array 17`))
    },

    async run(context: Context, command: Command): Promise<number> {
      const named = [...command.args, ...(command.opts<{ array?: string[] }>().array ?? [])]
      if (named.length === 0) throw usage("Which job?", `Name it: ${name} 17`)
      const ids = await setHold(context, named, held, name)
      const what = held ? "Hold" : "Resume"
      await context.output.lines(ids.map(id => `[${id}] ${what} request was taken.`).join("\n"))
      return 0
    },
  }
}

export const oarhold = verb(true)
export const oarresume = verb(false)
