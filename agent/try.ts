// `cah-agent try`: one job, once, on this machine, without a hub, for a scientist who wants to see it before a campaign is submitted. The very
// cache, archive, runner, sandbox and workplace of an agent are put together here; only the link is a file. What the job prints is printed, and
// DIR holds what an agent would have sent back: stageout.tar and result.json. Leaves nothing else, and never runs beside an agent's own state.

import { createReadStream } from "node:fs"
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { cpus, hostname } from "node:os"
import { join, resolve } from "node:path"
import { fromJsonString } from "@bufbuild/protobuf"
import { Command, CommanderError, Option } from "commander"
import { OfferSchema } from "../proto/gen/cah/v1/link_pb.ts"
import type { TryResult } from "../proto/wire/trial.ts"
import { openCache } from "./cache/cache.ts"
import { UsageError } from "./config.ts"
import type { AttemptName, Exit, RunSpec } from "./core/model.ts"
import { Failure, type Link, type OutputName } from "./core/ports.ts"
import type { RunningCommand } from "./engine.ts"
import { CANCEL_GRACE_MS } from "./limits.ts"
import { attemptOf, runSpecOf } from "./link/convert.ts"
import { processRunner } from "./runner/process.ts"
import type { Runner } from "./runner/runner.ts"
import { openSandbox, type Sandbox } from "./runner/sandbox.ts"
import { workshop } from "./work.ts"
import { openWorkplace } from "./workplace.ts"

/** What a timer of Node's holds: 24 days. Nobody tries for longer. */
const TIMER_MAX_MS = 2 ** 31 - 1

const exitCodes = { fine: 0, failed: 1, usage: 2, interrupted: 130 } as const

interface Options {
  readonly spec: string
  readonly stagein?: string
  readonly out: string
  readonly sandbox: "auto" | "bwrap" | "none"
  readonly whileAsked?: boolean
}

/** Runs to the job's end, or until a signal. Returns the exit code: 0 however the job itself ended. */
export async function tryOnce(argv: readonly string[]): Promise<number> {
  try {
    return await run(readOptions(argv))
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.fine
    const isUsage = error instanceof UsageError || error instanceof CommanderError
    const text = error instanceof Error ? error.message.replace(/^error: /, "") : String(error)
    process.stderr.write(`cah-agent try: ${text}\n`)
    return isUsage ? exitCodes.usage : exitCodes.failed
  }
}

function readOptions(argv: readonly string[]): Options {
  return new Command("cah-agent try")
    .description("Runs one job once, here, as an agent would, without a hub. For cah try.")
    .requiredOption("--spec <file>", "the job: an Offer of the link's protocol, as JSON")
    .option("--stagein <file>", "its stagein, packed")
    .requiredOption("--out <dir>", "an empty directory for what comes back")
    .addOption(new Option("--sandbox <kind>", "as cah-agent's").choices(["auto", "bwrap", "none"]).default("auto"))
    .option("--while-asked", "end when stdin does: whoever asked is gone")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .parse([...argv], { from: "user" })
    .opts<Options>()
}

async function run(options: Options): Promise<number> {
  const out = resolve(options.out)
  const { name, spec } = await readOffer(options.spec)
  const state = join(out, "state")
  await mkdir(state, { recursive: true, mode: 0o700 })
  const stop = whenToldToStop(options.whileAsked === true)
  const place = await openWorkplace(state)
  try {
    const cache = await openCache(join(state, "cache"), (spec.stagein?.sizeBytes ?? 0) + 1)
    const walls = await chooseWalls(state, options.sandbox)
    const { sandbox } = walls
    const runner = outLoud(processRunner({ node: hostname(), sandbox, pipes: join(state, "pipes") }))
    const work = workshop({ cache, runner, place }).open(name)
    await work.stage(spec, linkTo(options.stagein), stop.signal)
    const { exit, overtime } = await ended(work.run(spec), spec, stop.signal)
    if (stop.signal.aborted) return exitCodes.interrupted
    const packed = await work.pack(spec, stop.signal)
    if (packed.stageout !== null) {
      await rename(place.spooled(name, packed.stageout.digest), join(out, "stageout.tar"))
    }
    const result: TryResult = {
      // As agents judge: what a job made and cannot be given back is no success.
      outcome: overtime ? "timedout" : exit.exitCode === 0 && packed.message === "" ? "finished" : "failed",
      exitCode: exit.exitCode,
      message: [exit.message, packed.message].filter(text => text !== "").join("; "),
      warnings: packed.warnings,
      runMs: exit.runMs,
      cpuMs: exit.cpuMs,
      peakMemoryBytes: exit.peakMemoryBytes,
      hasStageout: packed.stageout !== null,
      droppedBytes: { stdout: packed.stdout.droppedBytes, stderr: packed.stderr.droppedBytes },
      sandbox: sandbox === null ? "none" : "bwrap",
      whyNone: walls.why,
      processor: cpus()[0]?.model.trim() || "unknown",
    }
    await writeFile(join(out, "result.json"), `${JSON.stringify(result)}\n`)
    return exitCodes.fine
  } finally {
    await place.remove(name)
    // Nobody is left to look at it, or to clear it away.
    await rm(stop.alone() ? out : state, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function readOffer(file: string): Promise<{ name: AttemptName; spec: RunSpec }> {
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (error) {
    throw new UsageError(`--spec: ${error instanceof Error ? error.message : String(error)}`)
  }
  try {
    const offer = fromJsonString(OfferSchema, text)
    return { name: attemptOf(offer.attempt), spec: runSpecOf(offer) }
  } catch (error) {
    throw new UsageError(`--spec ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function chooseWalls(
  state: string,
  wanted: Options["sandbox"],
): Promise<{ sandbox: Sandbox | null; why: string }> {
  if (wanted === "none") return { sandbox: null, why: "so asked for" }
  const opened = await openSandbox(state)
  if (typeof opened !== "string") return { sandbox: opened, why: "" }
  if (wanted === "bwrap") throw new Failure(`bubblewrap does not work here (${opened})`, { final: true })
  return { sandbox: null, why: opened }
}

/** The stagein comes from a file, and nothing else is asked for. */
function linkTo(stagein: string | undefined): Link {
  const absent = (what: string) => new Failure(`${what} is at the hub, and there is none here`, { final: true })
  return {
    report: () => {},
    heartbeat: () => {},
    async *fetchBlob(_name, blob, offsetBytes) {
      if (stagein === undefined) throw new Failure(`the stagein ${blob.digest} was not given`, { final: true })
      const { size } = await stat(stagein)
      if (size !== blob.sizeBytes) throw new Failure(`${stagein} is not the stagein: ${size} bytes`, { final: true })
      yield* createReadStream(stagein, { start: offsetBytes }) as AsyncIterable<Uint8Array>
    },
    listGather: () => Promise.reject(absent("what is to be gathered")),
    upload: () => Promise.reject(absent("the place of results")),
  }
}

/** The same runner, whose output is also printed, no faster than it is read. */
function outLoud(runner: Runner): Runner {
  return {
    owner: runner.owner,
    killLeftovers: attempts => runner.killLeftovers(attempts),
    start: request =>
      runner.start({
        ...request,
        onOutput: async (output, bytes) => {
          await Promise.all([printed(output, bytes), request.onOutput(output, bytes)])
        },
      }),
  }
}

const closed = new Set<OutputName>()

function printed(output: OutputName, bytes: Uint8Array): Promise<void> {
  const stream = process[output]
  // Whoever read it has seen enough (cah try … | head): the job goes on.
  if (closed.has(output)) return Promise.resolve()
  stream.once("error", () => closed.add(output))
  return new Promise(settled => {
    stream.write(bytes, () => {
      stream.removeAllListeners("error")
      settled()
    })
  })
}

/** An agent's core watches the walltime; here nobody else does. */
async function ended(
  command: RunningCommand,
  { walltimeMs, graceMs }: RunSpec,
  signal: AbortSignal,
): Promise<{ exit: Exit; overtime: boolean }> {
  let overtime = false
  const timer = setTimeout(
    () => {
      overtime = true
      command.stop(graceMs)
    },
    Math.min(walltimeMs, TIMER_MAX_MS),
  )
  const cancel = () => command.stop(CANCEL_GRACE_MS)
  signal.addEventListener("abort", cancel, { once: true })
  if (signal.aborted) cancel()
  const exit = await command.ended
  clearTimeout(timer)
  return { exit, overtime }
}

interface Stop {
  readonly signal: AbortSignal
  /** Whether whoever asked is gone. */
  alone(): boolean
}

/** The first signal ends the job in order, a second one everything. */
function whenToldToStop(whileAsked: boolean): Stop {
  const told = new AbortController()
  let alone = false
  if (whileAsked) {
    const left = () => {
      alone = true
      told.abort()
    }
    process.stdin.once("end", left).once("error", left).resume()
  }
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      if (told.signal.aborted) process.exit(exitCodes.interrupted)
      told.abort()
    })
  }
  return { signal: told.signal, alone: () => alone }
}
