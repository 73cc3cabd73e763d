// oarsub: cah sub with OAR's answer, lines of OAR_JOB_ID=… that scripts read. The flags are the same, and as with OAR's they may stand after
// the command too; those of OAR's that cannot be kept are refused with their reason (submit/refused.ts).
import type { Command } from "commander"
import { stringify } from "yaml"
import { defineSubmission, submission } from "../commands/sub.ts"
import type { Context } from "../context.ts"
import { ClientError } from "../errors.ts"
import { type Announce, announce, noteTimes, okInWords } from "../submit/announce.ts"
import type { Verb } from "../verb.ts"
import { oarId } from "./convert.ts"

export const oarsub: Verb = {
  define(command: Command): void {
    defineSubmission(command, "oarsub")
    // OAR's command is one word, so that nothing after it can be meant for it: oarsub ./prog --array 10.
    command.passThroughOptions(false)
    command.option("-J, --json", "answer as JSON").option("-Y, --yaml", "answer as YAML")
    // Ours, and the screen is full: they work all the same.
    for (const option of command.options) if (hidden.includes(option.long ?? "")) option.hideHelp()
  },

  async run(context: Context, command: Command): Promise<number> {
    const { json, yaml } = command.opts<{ json?: boolean; yaml?: boolean }>()
    try {
      return await submission(context, command, json ? inJson : yaml ? inYaml : answer)
    } catch (thrown) {
      const error = ClientError.from(thrown)
      if (isKo(error) && context.output.format === "table") {
        await context.output.lines(`${WAITING}\n# Reservation not valid --> KO (${error.message})`)
      }
      throw thrown
    }
  },
}

const hidden = [
  "--from-json",
  "--each-line",
  "--follow",
  "--idempotency-key",
  "--dereference",
  "--require-stageout",
  "--grace",
]

/** Lines written at once: an array of a million jobs has as many. */
const LINES_AT_ONCE = 10_000

const WAITING = "# Advance reservation request: waiting for validation..."

const answer: Announce = async (context, done, waits) => {
  const { output } = context
  if (output.format !== "table") return announce(context, done, waits)
  for (const { order, answer: submitted } of done) {
    const { campaign, jobs } = submitted
    for (let from = 0; from < jobs; from += LINES_AT_ONCE) {
      const count = Math.min(LINES_AT_ONCE, jobs - from)
      const lines = Array.from({ length: count }, (_, n) => `OAR_JOB_ID=${oarId(campaign, from + n, jobs)}\n`)
      await output.write(lines.join(""))
    }
    if (jobs > 1) await output.write(`OAR_ARRAY_ID=${campaign}\n`)
    if (order.draft.spec.reservation === undefined) continue
    await output.lines(`${WAITING}\n# Reservation valid --> OK`)
    output.note(okInWords(submitted))
  }
  noteTimes(context, done)
}

const inJson: Announce = async (context, done) => {
  for (const id of numbers(done)) await context.output.lines(JSON.stringify({ job_id: id }, null, 3))
}

const inYaml: Announce = async (context, done) => {
  for (const id of numbers(done)) await context.output.write(`---\n${stringify({ job_id: id })}`)
}

/** As OAR's are where a campaign has one job; those of an array are texts. */
function* numbers(done: Parameters<Announce>[1]): Generator<number | string> {
  for (const { answer: submitted } of done) {
    const { campaign, jobs } = submitted
    if (jobs === 1) yield Number(campaign)
    else for (let index = 0; index < jobs; index++) yield oarId(campaign, index, jobs)
  }
}

function isKo({ reason }: ClientError): boolean {
  return reason === "reservation"
}
