// Numbers of an array's jobs. The hub counts from 0; jobs that are to have others get their number as a parameter, and the variables that
// hold it are set before the command begins. For everything else, `cah get` and selectors, they are numbered from 0 all the same.
import { usage } from "../errors.ts"
import { ARRAY_MAX, NUMBERED_MAX } from "../limits.ts"
import { quoteWords } from "./shellwords.ts"

export interface Numbers {
  readonly first: number
  readonly count: number
  /** Of them under way at once, at most. Null: not said. */
  readonly atOnce: number | null
}

const example = "Write it like --array 10, --array 1-10, or --array 1-10%2 for two at once."

/** "10", "0-9", "1-100%5": as other systems have it, but for steps and lists. */
export function parseNumbers(text: string): Numbers {
  const [, from, to, least] = /^\s*(\d+)(?:-(\d+))?(?:%(\d+))?\s*$/.exec(text.replace(/(?<=\d)_(?=\d)/g, "")) ?? []
  if (from === undefined) {
    const hint = /^[\d\s,:%-]+$/.test(text)
      ? "Steps and lists are a sweep: --sweep i=1..9:2 or i=1,5,7, in CAH_P_i."
      : example
    throw usage(`--array: "${text}" is not a whole number of jobs, nor a range.`, hint)
  }
  const first = to === undefined ? 0 : Number(from)
  const count = to === undefined ? Number(from) : Number(to) - first + 1
  if (count < 1) throw usage(`--array: ${text} has no jobs.`, example)
  if (count > ARRAY_MAX) throw usage(`--array: ${count} jobs are too many: ${ARRAY_MAX} at most.`)
  if (first > 0 && count > NUMBERED_MAX) {
    const hint = `Count from 0 (--array ${count}), and add ${first} in the command.`
    throw usage(`--array: ${count} jobs with numbers of their own are too many: ${NUMBERED_MAX} at most.`, hint)
  }
  const atOnce = least === undefined ? null : Number(least)
  if (atOnce === 0) throw usage(`--array: of ${text} no job could ever run.`, "Say at least one at once: %1.")
  return { first, count, atOnce }
}

/** The command of jobs whose number is their parameter. */
export function numbered(command: readonly string[], size: number): string[] {
  const [only] = command
  const line = command.length === 1 && only !== undefined ? only : `exec ${quoteWords(command)}`
  const variables = ["CAH_ARRAY_INDEX", "OAR_ARRAY_INDEX", "OAR_JOB_INDEX"].map(name => `${name}=$1`)
  return ["/bin/sh", "-c", `export ${variables.join(" ")} CAH_ARRAY_SIZE=${size}; exec /bin/sh -c "$0"`, line]
}
