// cah try: the job once, here, in the sandbox that nodes use, before anything is submitted. Takes the flags of sub; those about when, where and
// whom to tell mean nothing here. Needs no hub.
import { createReadStream } from "node:fs"
import { lstat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { durationMs } from "@bufbuild/protobuf/wkt"
import type { Command } from "commander"
import { roomFor, type UnpackedFile, unpack } from "../../archive/unpack.ts"
import type { TryResult } from "../../proto/wire/trial.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import { makeFolder } from "../folders.ts"
import { compactHelp } from "../help.ts"
import { STAGEOUT_BYTES_MAX, TRY_FILES_SHOWN, WALLTIME_DEFAULT_MS } from "../limits.ts"
import { clean } from "../output.ts"
import { parseCount, plural, showBytes, showDuration } from "../quantities.ts"
import { packStagein } from "../stagein.ts"
import type { Draft } from "../submit/draft.ts"
import { campaignFlags } from "../submit/flags.ts"
import { isDigest } from "../submit/input.ts"
import { type Order, ordersOf } from "../submit/orders.ts"
import { refuseSet } from "../submit/refused.ts"
import { wishesAlone } from "../submit/send.ts"
import { codeInWords, propagated } from "../text.ts"
import { type Tried, tryHere } from "../trying.ts"
import { examples, type Verb } from "../verb.ts"

interface Act {
  readonly scanscript?: boolean
  readonly file?: string
  readonly index?: string
  readonly job?: string
  readonly get?: string
  readonly propagate?: boolean
  readonly sandbox?: string
}

const sandboxes = ["auto", "bwrap", "none"]
const own = ["index", "job", "sandbox"]

export const tryOut: Verb = {
  define(command: Command): void {
    command
      .description(
        "Run the job once, here, in the sandbox that nodes use, before anything is submitted. It takes the " +
          "flags of cah sub, of which --help there tells, and needs no hub.",
      )
      .argument("[command...]")
      .passThroughOptions()
      .option("--index <n>", "which job of an array or of parameters (0)")
      .option("--job <name>", "which job of a graph (-f)")
      .option("--get <dir>", "put what would come back into dir")
      .option("--propagate", "exit with the job's own code")
      .option("--sandbox <kind>", `${sandboxes.join(", ")} (auto: bubblewrap where it works)`)
      .option("-S, --scanscript", "a script; its #CAH and #OAR lines are flags")
      .option("-f, --file <file>", "a job or a graph of jobs as YAML")
    compactHelp(command)
    for (const option of campaignFlags()) command.addOption(option.hideHelp())
    command.addHelpText(
      "after",
      examples(
        "cah try -s scene --array 36 --index 7 -- ./render.sh",
        "cah try -f film.yaml --job frames --get tried",
        "cah try ./fit 17 && cah sub --array 100 ./fit",
      ),
    )
  },

  async run(context: Context, command: Command): Promise<number> {
    const values = command.opts<Record<string, unknown>>()
    refuseSet(values)
    const act = values as Act
    const sandbox = act.sandbox ?? "auto"
    if (!sandboxes.includes(sandbox)) {
      throw usage(`--sandbox: "${sandbox}" is not a sandbox.`, `Take one of ${sandboxes.join(", ")}.`)
    }
    if (act.get !== undefined && (await lstat(act.get).catch(() => null)) !== null) {
      throw usage(`--get: ${act.get} is there already.`, "Name a directory that is not.")
    }
    const wishes = wishesAlone(Object.fromEntries(Object.entries(values).filter(([name]) => !own.includes(name))))
    const form = { words: command.args, wishes, scanscript: act.scanscript === true, file: act.file ?? null }
    const { draft } = chosen(await ordersOf(context, form), act.job)
    const index = act.index === undefined ? 0 : parseCount(act.index, "--index", 0, draft.jobs - 1)
    checkLocal(draft)
    context.onInterrupt = "The job here was ended. Nothing was submitted."
    const stagein =
      draft.stagein === null
        ? null
        : await packStagein(draft.stagein, { dereference: draft.dereference, signal: context.signal })
    try {
      const line = draft.parameters[index] ?? ""
      const tried = await tryHere(context, { spec: draft.spec, index, jobs: draft.jobs, line, stagein, sandbox })
      try {
        return await report(context, act, draft, index, tried)
      } finally {
        await tried.dispose()
      }
    } finally {
      await stagein?.dispose()
    }
  },
}

function chosen(orders: readonly Order[], job: string | undefined): Order {
  const names = orders.flatMap(({ name }) => (name === null ? [] : [name]))
  const [only] = orders
  if (names.length === 0) {
    if (job !== undefined) throw usage("--job: this is no graph of jobs.", "Leave it out.")
    if (only !== undefined) return only
  }
  const found = orders.find(({ name }) => name === job)
  if (found !== undefined) return found
  const what = job === undefined ? "The file has several jobs: which?" : `--job: there is no job "${job}" in the file.`
  throw usage(what, `Name one of ${names.join(", ")}: --job ${names[0] ?? "NAME"}`)
}

/** What only the hub has cannot be tried without it. */
function checkLocal(draft: Draft): void {
  if (draft.stagein !== null && isDigest(draft.stagein)) {
    throw usage(`${draft.stagein} is at the hub, and is not fetched here.`, "Name the directory itself: -s DIR")
  }
  if (draft.gather === null) return
  throw usage(
    `--gather ${draft.gather}: what that campaign gave back is at the hub.`,
    `Fetch it and give it as the stagein: cah get ${draft.gather} -d gathered && cah try -s gathered …`,
  )
}

async function report(context: Context, act: Act, draft: Draft, index: number, tried: Tried): Promise<number> {
  const { result, stageout } = tried
  const files = stageout === null ? [] : await unpackTo(tried.directory, stageout, act.get)
  const remarks = [
    ...result.warnings
      .split("\n")
      .filter(line => line !== "")
      .map(clean),
    ...remarksOf(result, draft),
  ]
  const { output } = context
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (output.format !== "table") {
    const { hasStageout: _, ...rest } = result
    await output.value({ index, jobs: draft.jobs, ...rest, files, remarks }, { table: () => "", quiet: () => "" })
  } else {
    output.note(`${endOf(result, draft, index)}\n${filesOf(files, bytes, act.get)}`)
    for (const remark of remarks) output.note(`Mind: ${remark}`)
  }
  if (result.outcome === "finished") return 0
  const { exitCode } = result
  throw new ClientError("jobs_failed", `The job ${failureInWords(result)}.`, {
    hint: [...codeInWords(result), "Nothing was submitted."].join("\n"),
    exitCode: act.propagate === true ? propagated(exitCode) : 1,
  })
}

function failureInWords({ outcome, exitCode }: TryResult): string {
  if (outcome === "timedout") return "ran into its walltime"
  return exitCode === 0 ? "failed: what it made would not come back" : `failed with exit code ${exitCode}`
}

/** Beside the archive, then to where it was wanted, so that nothing half is left there. */
async function unpackTo(directory: string, archive: string, wanted: string | undefined): Promise<UnpackedFile[]> {
  const there = wanted ?? join(directory, "files")
  await makeFolder(dirname(there))
  return (await unpack(createReadStream(archive), there, { room: roomFor(STAGEOUT_BYTES_MAX) })).files
}

function endOf(result: TryResult, { jobs }: Draft, index: number): string {
  const what = jobs === 1 ? "The job" : `Job ${index} of ${jobs}`
  const how =
    result.outcome === "finished" ? "finished" : result.outcome === "timedout" ? "ran into its walltime" : "failed"
  const memory = result.peakMemoryBytes === 0 ? "" : `, ${showBytes(result.peakMemoryBytes)} of memory at most`
  const took = `${showDuration(result.runMs / 1000)}, ${showDuration(result.cpuMs / 1000)} of processor${memory}`
  const message = result.message === "" ? "" : `\n${result.message}`
  return `${what} ${how}: exit code ${result.exitCode}, ${took}.${message}`
}

function filesOf(files: readonly UnpackedFile[], bytes: number, directory: string | undefined): string {
  if (files.length === 0) return "Nothing would come back."
  const shown = files
    .slice(0, TRY_FILES_SHOWN)
    .map(({ path, sizeBytes }) => `  ${showBytes(sizeBytes).padStart(8)}  ${path}`)
  const more = files.length > shown.length ? [`  … and ${files.length - shown.length} more`] : []
  const where = directory === undefined ? "" : `, now in ${directory}`
  return [`${plural(files.length, "file")} would come back, ${showBytes(bytes)}${where}:`, ...shown, ...more].join("\n")
}

/** What was not as on a node, and what the flags should say. */
function remarksOf(result: TryResult, { spec }: Draft): string[] {
  const { needs } = spec
  const slots = needs?.slots || 1
  const memory = Number(needs?.memoryBytes ?? 0n)
  const processors = result.runMs < 1_000 ? 0 : result.cpuMs / result.runMs
  const walltimeMs = spec.walltime === undefined ? WALLTIME_DEFAULT_MS : durationMs(spec.walltime as never)
  const remarks = [
    result.sandbox === "none"
      ? `it ran without a sandbox (${result.whyNone}): here it could see your files and the network, there it cannot.`
      : "",
    "it found the programs of this machine; a node has those of its own image, and perhaps not all of these.",
    `it ran on ${result.processor}; others are slower, or lack what was compiled for it: ask for that with -p.`,
    memory > 0 && result.peakMemoryBytes > memory
      ? `it took ${showBytes(result.peakMemoryBytes)} of memory and asks for ${showBytes(memory)}, at which a node may end it: say more with -l mem=.`
      : "",
    processors > slots + 0.5
      ? `it kept ${Math.round(processors * 10) / 10} processors busy and asks for ${plural(slots, "slot")}: -l core=${Math.ceil(processors)}.`
      : "",
    result.outcome === "finished" && result.runMs > walltimeMs / 2
      ? `it took more than half of its walltime of ${showDuration(walltimeMs / 1000)}, and others are slower.`
      : "",
    result.droppedBytes.stdout > 0 || result.droppedBytes.stderr > 0
      ? "it wrote more to stdout or stderr than is kept: write into a file, and bring that back."
      : "",
  ]
  return remarks.filter(remark => remark !== "")
}
