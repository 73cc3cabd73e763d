// cah logs: what a job wrote to stdout or stderr, as bytes to our stdout; with -f while it writes.
// On a terminal control characters are taken out, because the job ran on a stranger's machine.
import type { Command } from "commander"
import { type Job, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { Output } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { FollowNews, Hub, JobName } from "../library.ts"
import { clean } from "../output.ts"
import { parseCount, plural } from "../quantities.ts"
import { indexOf, parseSelector } from "../selector.ts"
import { checkRanges, findOne, findTargets, type Target } from "../targets.ts"
import { jobState } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

interface Options {
  readonly follow?: boolean
  readonly stderr?: boolean
  readonly header?: boolean
  readonly tail?: string
}

/** Lines of --tail: a log has ten million bytes at most. */
const TAIL_MAX = 10_000_000

export const logs: Verb = {
  define(command: Command): void {
    command
      .description(
        "Print what jobs wrote to stdout, or with --stderr to stderr: of several one after the other, in their order. What an attempt wrote that failed and was tried again: 12.7#1.",
      )
      .argument("<selector...>", "12.7, last.0, 12.0-9, 12, 12.7#1")
      .option("-f, --follow", "wait for it to start, and print while it writes")
      .option("--stderr", "its stderr")
      .option("--header", "say before each whose it is")
      .option("--tail <n>", "the last n lines of each")
      .addHelpText(
        "after",
        examples("cah logs 12.7 --stderr", "cah logs -f last.0", "cah logs 12 --header --tail 3", "cah logs 12.7#1"),
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const output = options.stderr === true ? Output.STDERR : Output.STDOUT
    const tail = options.tail === undefined ? null : parseCount(options.tail, "--tail", 1, TAIL_MAX)
    if (tail !== null && options.follow === true) {
      throw usage(
        "--tail and --follow exclude each other.",
        "Followed is all, from the beginning: cah logs -f ID | tail",
      )
    }
    const form: Form = { output, tail, header: options.header === true }
    const hub = await context.hub()
    const tried = attemptIn(command.args)
    if (tried !== null) {
      if (options.follow === true)
        throw usage("--follow: an attempt that was tried again writes no more.", "Leave it out.")
      return printAttempt(context, hub, tried, form)
    }
    const name = await oneJob(hub, command.args)
    if (name === null) {
      if (options.follow === true) throw usage("--follow: of which job?", "One at a time: cah logs -f 12.7")
      return printAll(context, hub, await findTargets(hub, command.args), form)
    }
    context.onInterrupt = `The job goes on; cancel it with: cah del ${name.campaign}.${name.index}`
    const job = await hub.job(name)
    if (job.phase !== Phase.ENDED) {
      if (options.follow !== true) {
        throw new ClientError("failed_precondition", `${id(name)} has not ended: it is ${jobState(job)}.`, {
          hint: `Watch it with: cah logs -f ${id(name)}    or wait: cah wait ${id(name)}`,
        })
      }
      if (job.phase !== Phase.RUNNING) context.output.note(`${id(name)} is ${jobState(job)}; waiting for it to write …`)
      await followLog(context, hub, name, output)
      return 0
    }
    await printHeader(context, name, form)
    await printStored(context, hub, job, name, form)
    return 0
  },
}

interface Form {
  readonly output: Output
  readonly tail: number | null
  readonly header: boolean
}

/** Those that have ended, in order; the others are counted. */
async function printAll(context: Context, hub: Hub, targets: readonly Target[], form: Form): Promise<number> {
  let waiting = 0
  for (const { campaign, ranges } of targets) {
    const { counts } = (await hub.show(campaign)).campaign ?? {}
    if (ranges !== null) checkRanges(campaign, ranges, counts?.total ?? 0)
    hub.bePatient()
    for await (const job of hub.jobs(campaign, { ranges })) {
      context.signal.throwIfAborted()
      if (context.output.stdout.destroyed) return 0
      if (job.phase !== Phase.ENDED) waiting++
      else {
        const name = { campaign, index: job.id?.index ?? 0 }
        await printHeader(context, name, form)
        await printStored(context, hub, job, name, form, true)
      }
    }
  }
  if (waiting > 0)
    context.output.warn(`${plural(waiting, "job")} more ${waiting === 1 ? "has" : "have"} not ended yet.`)
  return 0
}

async function printHeader({ output }: Context, name: JobName, { header }: Form): Promise<void> {
  if (header) await output.write(`==> ${id(name)} <==\n`)
}

/** "12.7#1" is the first attempt at job 12.7. */
function attemptIn(texts: readonly string[]): { job: string; attempt: number } | null {
  const text = texts.find(one => one.includes("#"))
  if (text === undefined) return null
  const [, job = "", number = ""] = /^(.*?)#(.*)$/s.exec(text) ?? []
  if (texts.length > 1) throw usage(`"${text}": attempts are printed one at a time.`, `Name it alone: cah logs ${text}`)
  if (/^[1-9]\d{0,8}$/.test(number)) return { job, attempt: Number(number) }
  throw usage(`"${text}": attempts are numbered from 1.`, `See them: cah show ${job}`)
}

async function printAttempt(
  context: Context,
  hub: Hub,
  { job: text, attempt }: { job: string; attempt: number },
  { output, tail, header }: Form,
): Promise<number> {
  const name = await oneJob(hub, [text])
  if (name === null) throw usage(`"${text}" is not one job.`, "Name the job as well: cah logs 12.7#1")
  const job = await hub.job(name)
  const found = job.earlier.find(one => one.attempt === attempt)
  const result = found?.result ?? (job.attempt === attempt ? job.result : undefined)
  if (result === undefined) {
    const kept = job.earlier.map(one => `${id(name)}#${one.attempt}`).join(", ")
    const known =
      kept === "" ? "No attempt at it failed and was tried again." : `These failed and were tried again: ${kept}.`
    throw new ClientError("not_found", `Nothing is kept of ${id(name)}#${attempt}.`, {
      hint: `${known} All that happened: cah show ${id(name)}`,
    })
  }
  const log = output === Output.STDERR ? result.stderr : result.stdout
  const dropped = log?.droppedBytes ?? 0n
  if (header) await context.output.write(`==> ${id(name)}#${attempt} <==\n`)
  if (log === undefined || (log.blob === undefined && log.inline.length === 0)) {
    context.output.note(`${id(name)}#${attempt} wrote nothing${dropped > 0n ? " that was kept" : ""}.`)
  } else {
    const pieces = log.blob === undefined ? [log.inline] : hub.log(name, output, attempt)
    await printLog(context, wholeLines(tail === null ? pieces : lastLines(pieces, tail), header))
  }
  if (dropped > 0n) context.output.warn(`${id(name)}#${attempt} wrote ${dropped} bytes more, which nobody kept.`)
  return 0
}

/** `isOneOfMany`: that it wrote nothing is nothing to tell. */
async function printStored(
  context: Context,
  hub: Hub,
  job: Job,
  name: JobName,
  { output, tail, header }: Form,
  isOneOfMany = false,
): Promise<void> {
  const log = output === Output.STDERR ? job.result?.stderr : job.result?.stdout
  if (log === undefined || (log.blob === undefined && log.inline.length === 0)) {
    if (!isOneOfMany) {
      const kept = job.result === undefined ? " that was kept" : ""
      context.output.note(`${id(name)} (${jobState(job)}) wrote nothing${kept}.`)
    }
    return
  }
  const pieces = log.blob === undefined ? [log.inline] : hub.log(name, output)
  await printLog(context, wholeLines(tail === null ? pieces : lastLines(pieces, tail), header))
  if (log.droppedBytes > 0n) {
    context.output.warn(`${id(name)} wrote ${log.droppedBytes} bytes more, in the middle, which nobody kept.`)
  }
}

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

const NEWLINE = 10

async function* lastLines(pieces: Pieces, lines: number): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const piece of pieces) chunks.push(piece)
  const bytes = Buffer.concat(chunks)
  let begin = bytes.length
  for (let found = 0; found < lines && begin > 0; found++) {
    // The newline before `begin` ends the line that is looked for.
    begin = begin === 1 ? 0 : bytes.lastIndexOf(NEWLINE, begin - 2) + 1
  }
  yield bytes.subarray(begin)
}

/** Before a header a line is ended, even where the job did not. */
async function* wholeLines(pieces: Pieces, isEnded: boolean): AsyncGenerator<Uint8Array> {
  let last: number | undefined = NEWLINE
  for await (const piece of pieces) {
    last = piece.at(-1) ?? last
    yield piece
  }
  if (isEnded && last !== NEWLINE) yield Buffer.from("\n")
}

/** As it is written, over restarts of the hub, with a remark where it is not in one piece. */
export async function followLog(
  context: Context,
  hub: Hub,
  name: JobName,
  output: Output,
  to: "stdout" | "stderr" = "stdout",
): Promise<void> {
  const onNews = (news: FollowNews) => {
    if (news.kind === "attempt") context.output.warn(`${id(name)} begins again, as attempt ${news.attempt}.`)
    else {
      const what = news.bytes > 0 ? plural(news.bytes, "byte") : "some bytes"
      context.output.warn(
        `${what} of ${id(name)} are missing here. All that is kept, once it has ended: cah logs ${id(name)}`,
      )
    }
  }
  await printLog(context, back(context, hub.follow(name, output, onNews)), to)
}

async function* back(context: Context, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    context.hubIsBack()
    yield piece
  }
}

/** Pieces as they come to a stream of ours; also for what is followed while somebody waits. */
export async function printLog(context: Context, pieces: Pieces, to: "stdout" | "stderr" = "stdout"): Promise<void> {
  const { output } = context
  const decoder = output[to].isTTY === true ? new TextDecoder() : null
  for await (const piece of pieces) {
    await output.write(decoder === null ? piece : clean(decoder.decode(piece, { stream: true })), to)
    if (output[to].destroyed) break
  }
}

/** Null: several are meant. */
async function oneJob(hub: Hub, texts: readonly string[]): Promise<JobName | null> {
  const [text, more] = texts
  const selections = parseSelector(texts)
  const [only, other] = selections
  if (text === undefined || more !== undefined || only === undefined || other !== undefined) return null
  if (only.campaign === "all" || indexOf(only.jobs) === false) return null
  const { campaign, index } = await findOne(hub, text)
  if (index !== null) return { campaign, index }
  const total = (await hub.show(campaign)).campaign?.counts?.total ?? 0
  return total === 1 ? { campaign, index: 0 } : null
}

function id(name: JobName): string {
  return `${name.campaign}.${name.index}`
}
