// oarsub: cah sub with OAR's answer, lines of OAR_JOB_ID=… that scripts read. The flags are the same; those of OAR's that cannot be kept are
// refused with their reason (submit/refused.ts).
import type { Command } from "commander"
import { defineSubmission, submission } from "../commands/sub.ts"
import type { Context } from "../context.ts"
import { announce } from "../submit/announce.ts"
import type { Submitted } from "../submit/submit.ts"
import type { Verb } from "../verb.ts"
import { oarId } from "./words.ts"

export const oarsub: Verb = {
  define(command: Command): void {
    defineSubmission(command, "oarsub")
  },

  run(context: Context, command: Command): Promise<number> {
    return submission(context, command, answer)
  },
}

/** Lines written at once: an array of a million jobs has as many. */
const LINES_AT_ONCE = 10_000

async function answer(context: Context, done: readonly Submitted[], waits: boolean): Promise<void> {
  const { output } = context
  if (output.format !== "table") return announce(context, done, waits)
  for (const { answer: submitted } of done) {
    const { campaign, jobs } = submitted
    for (let from = 0; from < jobs; from += LINES_AT_ONCE) {
      const count = Math.min(LINES_AT_ONCE, jobs - from)
      const lines = Array.from({ length: count }, (_, n) => `OAR_JOB_ID=${oarId(campaign, from + n, jobs)}\n`)
      await output.write(lines.join(""))
    }
    if (jobs > 1) await output.write(`OAR_ARRAY_ID=${campaign}\n`)
  }
}
