// cah sub: check all that can be checked here, send the input, submit once, and perhaps wait and fetch.
// The idempotency key is made before the first try, so that a lost answer never submits twice.
import { create } from "@bufbuild/protobuf"
import { durationFromMs } from "@bufbuild/protobuf/wkt"
import { type Command, Option } from "commander"
import { v7 as uuidv7 } from "uuid"
import { GlobError, matcher } from "../../archive/glob.ts"
import {
  GetCampaignResponseSchema,
  type SubmitResponse,
  SubmitResponseSchema,
} from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub, Submission } from "../library.ts"
import { ARRAY_MAX, WALLTIME_MAX_S } from "../limits.ts"
import { readParameterFile, readParameters } from "../parameters.ts"
import { parseCount, parseDuration, parseSize, plural, showBytes } from "../quantities.ts"
import { fetchResults } from "../results.ts"
import { examples, gather, type Verb } from "../verb.ts"
import { endInWords, verdict, waitFor } from "../waiting.ts"

interface Options {
  readonly array?: string
  readonly arrayParamFile?: string
  readonly stagein?: string
  readonly stageout?: readonly string[]
  readonly walltime?: string
  readonly env?: readonly string[]
  readonly name?: string
  readonly project?: string
  readonly slots?: string
  readonly memory?: string
  readonly disk?: string
  readonly idempotencyKey?: string
  readonly wait?: boolean
  readonly get?: string
  readonly propagate?: boolean
}

/** A guess at what nobody names a campaign longer than; the hub has the last word. */
const NAME_MAX = 200
const KEY_MAX = 200

export const sub: Verb = {
  define(command: Command): void {
    command
      .summary("submit a command, once or as an array of jobs")
      .description(
        "Submit a command. One argument is a line for the shell on the node; several are run as they\n" +
          "are, without a shell. Flags of cah stand before the command, which begins at the first word.",
      )
      .argument("[command...]", "the command and its arguments")
      .passThroughOptions()
      .option("--array <n>", "n jobs; each finds its number, from 0, in CAH_ARRAY_INDEX")
      .option("--array-param-file <file>", "one job for each line, appended to the command (- is stdin)")
      .option("-s, --stagein <path>", "directory whose content, or file that, the job finds in its directory")
      .addOption(
        new Option("--stageout <glob>", "files that come back; repeatable (all that changed)").argParser(gather),
      )
      .option("--walltime <time>", "1h 15m, 90s or 02:30:00; then the job is killed (2h)")
      .addOption(new Option("--env <key=value>", "set in the job's environment; repeatable").argParser(gather))
      .option("-n, --name <name>", "name of the campaign")
      .option("--project <name>", "group of campaigns it belongs to")
      .option("--slots <n>", "processor slots of each job (1)")
      .option("--memory <size>", "memory of each job: 512M, 2G")
      .option("--disk <size>", "disk of each job")
      .option("--wait", "wait for the end; exit 1 if a job did not finish well")
      .option("--get <dir>", "wait, then fetch the results into dir")
      .option("--propagate", "wait, and exit with the job's own code (a single job)")
      .option("--idempotency-key <key>", "the same key never submits twice (made if not given)")
      .addHelpText(
        "after",
        examples(
          "cah sub -s scene --array 36 --get frames -- ./render.sh",
          "cah sub --walltime 10m 'sort input.txt | uniq -c > counts.txt'",
          "cah sub --array-param-file seeds.txt python3 simulate.py --seed",
        ),
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const submission = await describe(context, command.args, options)
    const jobs = submission.spec.array
    if (options.propagate === true && jobs !== 1) {
      throw usage(
        `--propagate: an array of ${jobs} jobs has no one exit code.`,
        "Leave it out: --wait exits 1 if a job failed.",
      )
    }
    const hub = await context.hub()
    context.onInterrupt = "Nothing was submitted."
    if (options.stagein !== undefined) submission.spec.stagein = await sendStagein(context, hub, options.stagein)
    context.onInterrupt = `It may have been submitted: see cah ls, or repeat with --idempotency-key ${submission.idempotencyKey}`
    const answer = await hub.submit(submission)
    context.hubIsBack()
    context.onInterrupt = `The work goes on; cancel it with: cah del ${answer.campaign}`
    const waits = options.wait === true || options.get !== undefined || options.propagate === true
    // json is one value: with --wait that is the campaign at its end.
    if (!waits || context.output.format !== "json") await announce(context, answer, waits)
    return waits ? finish(context, hub, answer, options) : 0
  },
}

interface Described extends Submission {
  readonly spec: Submission["spec"] & { array: number; stagein?: { digest: string; sizeBytes: bigint } }
  readonly idempotencyKey: string
}

async function describe(context: Context, command: readonly string[], options: Options): Promise<Described> {
  checkCommand(context, command)
  if (options.array !== undefined && options.arrayParamFile !== undefined) {
    throw usage("--array and --array-param-file exclude each other.", "The lines of the file are the array.")
  }
  const array = options.array === undefined ? 1 : parseCount(options.array, "--array", 1, ARRAY_MAX)
  const file = options.arrayParamFile
  const parameters =
    file === undefined
      ? []
      : file === "-"
        ? await readParameters("stdin", context.stdin)
        : await readParameterFile(file)
  const key = options.idempotencyKey ?? uuidv7()
  if (!/^[\x21-\x7e]+$/.test(key) || key.length > KEY_MAX) {
    throw usage(`--idempotency-key: give 1 to ${KEY_MAX} visible ASCII characters.`)
  }
  return {
    idempotencyKey: key,
    parameters,
    spec: {
      name: checkName(options.name ?? "", "--name"),
      command: [...command],
      env: checkEnvironment(options.env ?? []),
      stageout: checkGlobs(options.stageout ?? []),
      project: checkName(options.project ?? context.config.project.value, "--project"),
      ...(options.walltime === undefined ? {} : { walltime: checkWalltime(options.walltime) }),
      needs: {
        slots: options.slots === undefined ? 1 : parseCount(options.slots, "--slots", 1, 1_024),
        memoryBytes: options.memory === undefined ? 0n : parseSize(options.memory, "--memory"),
        diskBytes: options.disk === undefined ? 0n : parseSize(options.disk, "--disk"),
      },
      array: file === undefined ? array : parameters.length,
    },
  }
}

function checkCommand(context: Context, command: readonly string[]): void {
  const [program] = command
  if (program === undefined || program.trim() === "") {
    throw usage("There is no command to run.", "Write it after the flags: cah sub --walltime 10m -- ./prog input.txt")
  }
  if (command.length > 1 && /[\s;|&<>$`*?"'()]/.test(program)) {
    context.output.warn(
      `${JSON.stringify(program)} is taken as a program's name, because arguments follow it. For a shell line, give one argument.`,
    )
  }
}

function checkName(name: string, flag: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (name.length <= NAME_MAX && !/[\u0000-\u001f\u007f-\u009f]/.test(name)) return name
  throw usage(`${flag}: give at most ${NAME_MAX} characters, on one line.`)
}

function checkEnvironment(pairs: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const pair of pairs) {
    const equals = pair.indexOf("=")
    const key = pair.slice(0, Math.max(0, equals))
    // The value may be a secret, so that only the key is repeated.
    if (equals < 1)
      throw usage(`--env: "${equals === 0 ? "=…" : pair}" is not KEY=VALUE.`, "Write it like --env SEED=42.")
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw usage(`--env: "${key}" is not a variable's name.`)
    if (Object.hasOwn(environment, key)) throw usage(`--env: ${key} is set twice.`)
    environment[key] = pair.slice(equals + 1)
  }
  return environment
}

function checkGlobs(globs: readonly string[]): string[] {
  for (const glob of globs) {
    try {
      matcher([glob])
    } catch (thrown) {
      if (thrown instanceof GlobError) throw usage(`--stageout: ${thrown.message}`)
      throw thrown
    }
  }
  return [...globs]
}

function checkWalltime(text: string) {
  const seconds = parseDuration(text, "--walltime")
  if (seconds > WALLTIME_MAX_S) throw usage(`--walltime: ${text} is more than 30 days.`)
  return durationFromMs(Math.ceil(seconds * 1000))
}

async function sendStagein(context: Context, hub: Hub, path: string) {
  const bar = context.bar({ label: "stagein", unit: "bytes" })
  try {
    const { blob, sentBytes } = await hub.upload(path, {
      onProgress: (done, total) => {
        context.hubIsBack()
        bar.update(done, total)
      },
    })
    bar.clear()
    const size = showBytes(blob.sizeBytes)
    context.output.note(sentBytes === 0 ? `The hub has this stagein already (${size}).` : `Stagein sent: ${size}.`)
    return blob
  } finally {
    bar.clear()
  }
}

async function announce(context: Context, answer: SubmitResponse, waits: boolean): Promise<void> {
  const { campaign, jobs, existed } = answer
  const what = existed ? "was there already under this key" : "submitted"
  await context.output.one(SubmitResponseSchema, create(SubmitResponseSchema, answer), {
    table: () => `Campaign ${campaign} ${what}: ${plural(jobs, "job")}.`,
    quiet: () => String(campaign),
  })
  if (!waits) context.output.note(`Wait for it: cah wait ${campaign}    fetch its results: cah get ${campaign}`)
}

async function finish(context: Context, hub: Hub, answer: SubmitResponse, options: Options): Promise<number> {
  const target = { campaign: answer.campaign, ranges: null }
  const [ended] = await waitFor(context, hub, [target], { timeoutSeconds: null })
  const bad = ended === undefined ? null : verdict([ended])
  if (context.output.format === "table" && ended !== undefined) await context.output.lines(endInWords(ended))
  let failed: ClientError | null = null
  if (options.get !== undefined) {
    const got = await fetchResults(context, hub, target, {
      directory: options.get,
      flat: false,
      logs: false,
      overwrite: false,
    })
    context.output.note(
      `${plural(got.fetched.fetched, "result")} fetched into ${options.get} (${showBytes(got.fetched.bytes)}).`,
    )
    failed = got.error
  }
  if (context.output.format === "json" && ended !== undefined) {
    const message = create(GetCampaignResponseSchema, { campaign: ended.campaign, errors: [...ended.errors] })
    await context.output.one(GetCampaignResponseSchema, message, { table: () => "", quiet: () => "" })
  }
  if (failed !== null) throw failed
  if (bad === null) return 0
  if (options.propagate !== true) throw bad
  const job = await hub.job({ campaign: answer.campaign, index: 0 })
  const code = job.result?.exitCode ?? 1
  throw new ClientError("jobs_failed", bad.message, {
    hint: bad.hint,
    details: bad.details,
    exitCode: code >= 1 && code <= 125 ? code : 1,
  })
}
