// cah logs: what a job wrote to stdout or stderr, as bytes to our stdout; with -f while it writes.
// On a terminal control characters are taken out, because the job ran on a stranger's machine.
import type { Command } from "commander"
import { type Job, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { Output } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { FollowNews, Hub, JobName } from "../library.ts"
import { clean } from "../output.ts"
import { plural } from "../quantities.ts"
import { findOne } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"
import { jobState } from "../words.ts"

interface Options {
  readonly follow?: boolean
  readonly stderr?: boolean
}

export const logs: Verb = {
  define(command: Command): void {
    command
      .description("Print what a job wrote to stdout, or with --stderr to stderr.")
      .argument("<id>", "12.7, last.0; 12 if the campaign has a single job")
      .option("-f, --follow", "wait for it to start, and print while it writes")
      .option("--stderr", "its stderr")
      .addHelpText("after", examples("cah logs 12.7 --stderr", "cah logs -f last.0"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const hub = await context.hub()
    const name = await oneJob(hub, command.args[0] ?? "")
    const output = options.stderr === true ? Output.STDERR : Output.STDOUT
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
    return printStored(context, hub, job, name, output)
  },
}

async function printStored(context: Context, hub: Hub, job: Job, name: JobName, output: Output): Promise<number> {
  const log = output === Output.STDERR ? job.result?.stderr : job.result?.stdout
  if (log === undefined || (log.blob === undefined && log.inline.length === 0)) {
    context.output.note(
      `${id(name)} (${jobState(job)}) wrote nothing${job.result === undefined ? " that was kept" : ""}.`,
    )
    return 0
  }
  await printLog(context, log.blob === undefined ? [log.inline] : hub.log(name, output))
  if (log.droppedBytes > 0n) {
    context.output.warn(`${id(name)} wrote ${log.droppedBytes} bytes more, in the middle, which nobody kept.`)
  }
  return 0
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
export async function printLog(
  context: Context,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  to: "stdout" | "stderr" = "stdout",
): Promise<void> {
  const { output } = context
  const decoder = output[to].isTTY === true ? new TextDecoder() : null
  for await (const piece of pieces) {
    await output.write(decoder === null ? piece : clean(decoder.decode(piece, { stream: true })), to)
    if (output[to].destroyed) break
  }
}

async function oneJob(hub: Hub, text: string): Promise<JobName> {
  const { campaign, index } = await findOne(hub, text)
  if (index !== null) return { campaign, index }
  const total = (await hub.show(campaign)).campaign?.counts?.total ?? 0
  if (total === 1) return { campaign, index: 0 }
  throw usage(
    `Campaign ${campaign} has ${total} jobs: whose log?`,
    `Name one of them, from ${campaign}.0 to ${campaign}.${total - 1}.`,
  )
}

function id(name: JobName): string {
  return `${name.campaign}.${name.index}`
}
