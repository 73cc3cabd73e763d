// Running a job here as a node would: the agent's own program is started with the specification and the packed stagein, and tells in files how
// it went. The client shares no code with it; what passes between them is the contract's Offer, an archive, and result.json.

import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, rmSync } from "node:fs"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { create, toBinary, toJsonString } from "@bufbuild/protobuf"
import { CampaignSpecSchema } from "../proto/gen/cah/v1/job_pb.ts"
import { OfferSchema } from "../proto/gen/cah/v1/link_pb.ts"
import type { TryResult } from "../proto/wire/trial.ts"
import type { Context } from "./context.ts"
import { ClientError } from "./errors.ts"
import type { PackedStagein } from "./stagein.ts"
import type { Spec } from "./submit/spec.ts"

export interface Trial {
  readonly spec: Spec
  readonly index: number
  readonly jobs: number
  readonly line: string
  readonly stagein: PackedStagein | null
  readonly sandbox: string
}

export interface Tried {
  readonly result: TryResult
  /** The archive that would have come back. Gone after dispose(). */
  readonly stageout: string | null
  readonly directory: string
  dispose(): Promise<void>
}

/** What the job prints goes to stdout and stderr as it comes. Throws if it could not be run at all. */
export async function tryHere(context: Context, trial: Trial): Promise<Tried> {
  const directory = await mkdtemp(join(tmpdir(), "cah-try-"))
  // Also when our own reader leaves and the process ends at once.
  const clear = () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  process.once("exit", clear)
  const dispose = async () => {
    process.off("exit", clear)
    await rm(directory, { recursive: true, force: true, maxRetries: 3 })
  }
  try {
    const offer = join(directory, "offer.json")
    await writeFile(offer, toJsonString(OfferSchema, offerOf(trial)))
    const stagein = trial.stagein === null ? [] : ["--stagein", trial.stagein.file]
    const args = ["try", "--spec", offer, ...stagein, "--out", directory, "--sandbox", trial.sandbox, "--while-asked"]
    await run(context, args)
    const result = JSON.parse(await readFile(join(directory, "result.json"), "utf8")) as TryResult
    return { result, stageout: result.hasStageout ? join(directory, "stageout.tar") : null, directory, dispose }
  } catch (thrown) {
    await dispose()
    throw thrown
  }
}

function offerOf({ spec, index, jobs, line, stagein }: Trial) {
  const blob = stagein === null ? {} : { stagein: { digest: stagein.digest, sizeBytes: BigInt(stagein.sizeBytes) } }
  return create(OfferSchema, {
    attempt: { campaign: 0n, index, attempt: 1 },
    owner: "you",
    spec: toBinary(CampaignSpecSchema, create(CampaignSpecSchema, { ...spec, ...blob, gather: 0n })),
    ...(line === "" ? {} : { parameters: { line } }),
    arraySize: jobs,
  })
}

async function run(context: Context, args: readonly string[]): Promise<void> {
  const { command, before } = program(context)
  const child = spawn(command, [...before, ...args], { stdio: ["pipe", "pipe", "pipe"] })
  // Its stdin ends with us, however we end, and then it ends too. On a terminal Ctrl-C reaches it by itself; a signal to us alone does not. It ends the job, then itself.
  const stop = () => child.kill("SIGTERM")
  context.signal.addEventListener("abort", stop, { once: true })
  try {
    const last = new LastWords()
    const [code] = await Promise.all([
      exitOf(child, command),
      pass(context, child.stdout, "stdout"),
      pass(context, child.stderr, "stderr", last),
    ])
    context.signal.throwIfAborted()
    if (code === 0) return
    const said = last.text.split("\n").findLast(line => line.startsWith(COMPLAINT))
    throw new ClientError(
      "local",
      said === undefined ? `cah-agent ended with ${code}.` : upper(said.slice(COMPLAINT.length)),
      {
        hint: "Nothing was submitted. It is the agent that could not run the job here.",
      },
    )
  } finally {
    context.signal.removeEventListener("abort", stop)
  }
}

const COMPLAINT = "cah-agent try: "

/** Where the agent is: as configured, beside us in the same installation, or on the PATH. */
function program({ config }: Context): { command: string; before: readonly string[] } {
  if (config.agent.value !== null) return { command: config.agent.value, before: [] }
  const beside = fileURLToPath(new URL("../agent/bin/cah-agent.mjs", import.meta.url))
  return existsSync(beside) ? { command: process.execPath, before: [beside] } : { command: "cah-agent", before: [] }
}

function exitOf(child: ChildProcess, command: string): Promise<number | string | null> {
  return new Promise((resolve, reject) => {
    child.once("error", error => {
      const missing = "code" in error && error.code === "ENOENT"
      const message = missing ? `There is no program ${command} here.` : `${command} could not be run: ${error.message}`
      reject(new ClientError("local", message, { hint: "Install the agent, or name it: CAH_AGENT=/path/to/cah-agent" }))
    })
    child.once("close", (code, signal) => resolve(code ?? signal))
  })
}

/** With a form for programs stdout is the report's, and the job's goes to stderr. */
async function pass(
  { output }: Context,
  from: NodeJS.ReadableStream | null,
  to: "stdout" | "stderr",
  last?: LastWords,
): Promise<void> {
  const where = output.format === "table" || output.format === "quiet" ? to : "stderr"
  for await (const chunk of from ?? []) {
    last?.add(String(chunk))
    if (last?.isComplaint !== true) await output.write(chunk as Buffer, where)
  }
}

/** The end of stderr, where the agent says why it could not; its own words are said anew, in ours. */
class LastWords {
  text = ""
  isComplaint = false

  add(chunk: string): void {
    this.text = `${this.text}${chunk}`.slice(-2_000)
    this.isComplaint = chunk.startsWith(COMPLAINT)
  }
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
