// What `sub` was given, whatever its form (words, script, job file, an earlier campaign), as drafts in the order in which they are to be
// submitted. One draft but for a graph. Reads files, sends nothing; only --resubmit asks the hub.
import { stat } from "node:fs/promises"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { JOB_FILE_MAX_BYTES, SCRIPT_MAX_BYTES } from "../limits.ts"
import { type Draft, draftOf } from "./draft.ts"
import { override, type Wishes } from "./flags.ts"
import { type Edge, inOrder } from "./graph.ts"
import { readInput, textOf } from "./input.ts"
import { parseScript } from "./script.ts"
import { splitWords, WordError } from "./shellwords.ts"
import { spelled } from "./spec.ts"

export interface Order {
  readonly draft: Draft
  /** Within a graph: the job's name there, and what it waits for. */
  readonly name: string | null
  readonly edges: readonly Edge[]
}

export interface Form {
  readonly words: readonly string[]
  readonly wishes: Wishes
  readonly scanscript: boolean
  readonly file: string | null
}

export async function ordersOf(context: Context, form: Form): Promise<Order[]> {
  const { words, wishes, file } = form
  if (file !== null) return fromFile(context, file, form)
  if (words.length === 1 && words[0] === "-") return [await fromScript(context, ["-"], wishes)]
  if (form.scanscript) return [await fromScript(context, await scriptWords(words), wishes)]
  return [alone(await draftOf(context, words, wishes))]
}

async function fromFile(context: Context, file: string, { words, wishes, scanscript }: Form): Promise<Order[]> {
  if (scanscript || words.length > 0) {
    throw usage("-f: the command stands in the file.", "Leave out what follows the flags, or leave out -f.")
  }
  const name = file === "-" ? "stdin" : file
  const text = textOf(name, await readInput(context.stdin, file, "The job file", JOB_FILE_MAX_BYTES))
  // Its parser is large, and most submissions are no files.
  const { parseJobFile } = await import("./jobfile.ts")
  const parsed = parseJobFile(name, text)
  if (parsed.kind === "job") {
    return [alone(await draftOf(context, parsed.job.command, override(parsed.job.wishes, wishes)))]
  }
  const [flag] = Object.keys(wishes)
  if (flag !== undefined) {
    throw usage(
      `${spelled(flag)}: for which of the jobs of ${name}?`,
      "Write it into the file, for one job or under defaults.",
    )
  }
  const orders: Order[] = []
  for (const { name: job, command, wishes: own, edges, place } of inOrder(parsed.jobs)) {
    if (edges.some(({ kind }) => kind === "gather") && own.stagein !== undefined) {
      throw usage(`${place}: gather and stagein exclude each other.`, "What is gathered is the stagein.")
    }
    orders.push({ draft: await draftOf(context, command, own), name: job, edges })
  }
  return orders
}

async function fromScript(context: Context, words: readonly string[], wishes: Wishes): Promise<Order> {
  const [path, ...rest] = words
  if (path === undefined) throw usage("-S: there is no script.", "Write it after the flags: cah sub -S ./job.sh")
  // Beyond what may travel, so that the error about that is the one that is shown.
  const bytes = await readInput(context.stdin, path, "The script", SCRIPT_MAX_BYTES * 4)
  const name = path === "-" ? "stdin" : path
  const script = parseScript(name, bytes)
  if (script.hadCrlf) context.output.warn(`${name}: its lines end in CRLF, as on Windows; they were converted to LF.`)
  if (script.foreign !== null) {
    context.output.warn(
      `${name}: its ${script.foreign} lines are not read. Write them as #CAH lines with flags of cah sub.`,
    )
  }
  return alone(await draftOf(context, [...script.command, ...rest], override(script.wishes, wishes)))
}

/** oarsub is often given script and arguments as one word: "./job.sh 1 2". */
async function scriptWords(words: readonly string[]): Promise<readonly string[]> {
  const [only] = words
  if (words.length !== 1 || only === undefined || !/\s/.test(only) || (await stat(only).catch(() => null)) !== null) {
    return words
  }
  try {
    return splitWords(only)
  } catch (thrown) {
    if (thrown instanceof WordError)
      throw usage(`-S ${JSON.stringify(only)}, column ${thrown.column}: ${thrown.message}.`)
    throw thrown
  }
}

function alone(draft: Draft): Order {
  return { draft, name: null, edges: [] }
}
