// From wishes to what could be sent: files of parameters are read, wishes that exclude each other are refused, and the
// specification is made, but for what only the hub can tell (send.ts). Everything that can be wrong here is found before anything is sent.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { CampaignSpec, CampaignSpecSchema } from "../../proto/gen/cah/v1/job_pb.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { PARAMETER_FILE_MAX_BYTES } from "../limits.ts"
import { joinParameters, parseParameters } from "../parameters.ts"
import { deadlineMs } from "./deadline.ts"
import { manyFlags, type Wishes } from "./flags.ts"
import { readInput, textOf } from "./input.ts"
import { encodeRow, type Table } from "./named.ts"
import type { Shape } from "./resources.ts"
import { product } from "./sweep.ts"
import { parseCsv, parseJson, parseLines } from "./tables.ts"

export type Spec = Exclude<MessageInitShape<typeof CampaignSpecSchema>, CampaignSpec>

export interface Draft {
  readonly spec: Spec & { readonly command: string[]; readonly name: string }
  /** Empty: spec.array says how many. */
  readonly parameters: readonly string[]
  readonly jobs: number
  /** A path, or sha256:… */
  readonly stagein: string | null
  readonly after: readonly string[]
  readonly afterOk: readonly string[]
  readonly gather: string | null
}

export async function draftOf(context: Context, command: readonly string[], wishes: Wishes): Promise<Draft> {
  checkCommand(context, command)
  checkTogether(wishes)
  const work = await workOf(context, command, wishes)
  const [first, ...others] = shapesOf(wishes)
  const { retries, retryExit } = wishes
  return {
    parameters: work.parameters,
    jobs: work.jobs,
    stagein: wishes.stagein ?? null,
    after: wishes.after ?? [],
    afterOk: wishes.afterOk ?? [],
    gather: wishes.gather ?? null,
    spec: {
      name: wishes.name ?? "",
      project: wishes.project ?? context.config.project.value,
      command: work.command,
      env: { ...wishes.env },
      stageout: [...(wishes.stageout ?? [])],
      array: work.jobs,
      needs: first?.needs ?? {},
      ...(first?.walltime === undefined ? {} : { walltime: first.walltime }),
      shapes: others,
      parameterNames: [...work.names],
      property: wishes.property ?? "",
      priority: wishes.priority ?? 0,
      hold: wishes.hold ?? false,
      ...(retries === undefined ? {} : { retries: { max: retries, exitCodes: [...(retryExit ?? [])] } }),
      ...(wishes.lossRetries === undefined ? {} : { lossMax: wishes.lossRetries }),
      ...(wishes.deadline === undefined ? {} : { deadline: timestampFromMs(deadlineMs(wishes.deadline, Date.now())) }),
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

function checkTogether(wishes: Wishes): void {
  const given = manyFlags.filter(flag => wishes[flag] !== undefined)
  if (given.length > 1) {
    const [one, other] = given.map(flag => `--${flag.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`)
    throw usage(`${one} and ${other} exclude each other.`, "Each says how many jobs there are.")
  }
  if (wishes.retryExit !== undefined && wishes.retries === undefined) {
    throw usage("--retry-exit: how many times?", "Say it with --retries, like --retries 3 --retry-exit 75,99.")
  }
  if (wishes.gather !== undefined && wishes.stagein !== undefined) {
    throw usage("--gather and --stagein exclude each other.", "What is gathered is the stagein.")
  }
}

interface Work {
  readonly command: string[]
  readonly parameters: readonly string[]
  readonly names: readonly string[]
  readonly jobs: number
}

async function workOf(context: Context, command: readonly string[], wishes: Wishes): Promise<Work> {
  const { arrayParamFile } = wishes
  if (arrayParamFile !== undefined) {
    const bytes = await readInput(context.stdin, arrayParamFile, "The parameter file", PARAMETER_FILE_MAX_BYTES)
    const joined = joinParameters(command, parseParameters(nameOf(arrayParamFile), bytes))
    return { command: joined.command, parameters: joined.lines, names: [], jobs: joined.lines.length }
  }
  const table = await tableOf(context, wishes)
  if (table === null) return { command: [...command], parameters: [], names: [], jobs: wishes.array ?? 1 }
  return { command: [...command], parameters: table.lines, names: table.names, jobs: table.lines.length }
}

async function tableOf(context: Context, wishes: Wishes): Promise<Table | null> {
  if (wishes.sweep !== undefined) {
    const { names, rows } = product(wishes.sweep)
    return { names, lines: rows.map((row, index) => encodeRow(row, () => `--sweep, combination ${index}`)) }
  }
  for (const [path, what, parse] of [
    [wishes.csv, "The CSV file", parseCsv],
    [wishes.fromJson, "The JSON file", parseJson],
    [wishes.eachLine, "The file", parseLines],
  ] as const) {
    if (path === undefined) continue
    const bytes = await readInput(context.stdin, path, what, PARAMETER_FILE_MAX_BYTES)
    return parse(nameOf(path), textOf(nameOf(path), bytes))
  }
  return null
}

function nameOf(path: string): string {
  return path === "-" ? "stdin" : path
}

const nothing: Shape = { slots: null, memoryBytes: null, diskBytes: null, walltimeSeconds: null }

/** What -l leaves open is filled from the flags for single needs. */
function shapesOf(wishes: Wishes) {
  const shapes = wishes.resource ?? [nothing]
  return shapes.map(shape => {
    const seconds = shape.walltimeSeconds ?? wishes.walltime
    return {
      needs: {
        slots: shape.slots ?? wishes.slots ?? 1,
        memoryBytes: shape.memoryBytes ?? wishes.memory ?? 0n,
        diskBytes: shape.diskBytes ?? wishes.disk ?? 0n,
      },
      ...(seconds === undefined ? {} : { walltime: durationFromMs(Math.ceil(seconds * 1000)) }),
    }
  })
}
