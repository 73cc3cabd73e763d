// oarhold and oarresume: as cah hold and cah resume, with OAR's answers, and OAR's complaints: one that fails stops none of the others, and
// makes the exit code 1. A campaign of one job has two switches here, its own and its job's; to OAR they are one.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { findTargets, type Target } from "../targets.ts"
import { hasEnded } from "../text.ts"
import { examples, gather, type Verb } from "../verb.ts"
import { namesOf } from "./oardel.ts"
import { noSql, refuse } from "./refused.ts"

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
        .argument("[id...]", "17, or a job of an array: 17.3; 18 for a whole array")
        .option("--array <id>", "an array; repeatable", gather)
        .addHelpText("after", examples(`${name} 17`, `${name} 18.3 18.5-9`, `${name} --array 18`))
      refuse(command, [
        noSql,
        [
          "-r, --running",
          "a volunteer's machine suspends nothing: what runs goes on.",
          "Leave it out, or cancel: oardel ID",
        ],
      ])
    },

    async run(context: Context, command: Command): Promise<number> {
      const named = [...command.args, ...(command.opts<{ array?: string[] }>().array ?? [])]
      if (named.length === 0) throw usage("Which job?", `Name it: ${name} 17`)
      const hub = await context.hub()
      let exitCode = 0
      for (const target of await findTargets(hub, named)) {
        const why = await switchOf(hub, target, held)
        context.hubIsBack()
        for (const id of namesOf(target)) {
          if (why === null)
            await context.output.lines(`[${id}] ${held ? "Hold" : "Resume"} request was sent to the OAR server.`)
          else context.output.stderr.write(`/!\\ Cannot ${held ? "hold" : "resume"} ${id}: ${why}\n`)
        }
        if (why !== null) exitCode = 1
      }
      return exitCode
    },
  }
}

export const oarhold = verb(true)
export const oarresume = verb(false)

const wrongState = {
  hold: "the job is not in the right state.",
  resume: "the job is not in the Hold or Suspended state.",
}

/** Null, or OAR's reason why not. */
async function switchOf(hub: Hub, { campaign: id, ranges }: Target, held: boolean): Promise<string | null> {
  const wrong = held ? wrongState.hold : wrongState.resume
  try {
    const { campaign } = await hub.show(id)
    if (hasEnded(campaign)) return wrong
    if (ranges !== null) return (await hub.setHold(id, held, ranges)).jobs === 0 ? wrong : null
    const total = campaign?.counts?.total ?? 0
    const { jobs } = held ? { jobs: 0 } : await hub.setHold(id, false, [{ first: 0, last: Math.max(0, total - 1) }])
    if (!held && campaign?.held !== true) return jobs === 0 ? wrong : null
    await hub.setHold(id, held)
    return null
  } catch (thrown) {
    const error = ClientError.from(thrown)
    if (error.code !== "not_found") throw thrown
    return "this job does not exist."
  }
}
