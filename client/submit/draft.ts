// From wishes to what could be sent: files of parameters are read, wishes that exclude each other are refused, and the
// specification is made, but for what only the hub can tell (send.ts). Everything that can be wrong here is found before anything is sent.
import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt"
import { CommandSize } from "../../proto/wire/command.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { HOLDING_MARGIN_S, PARAMETERS_BYTES_MAX, WALLTIME_DEFAULT_MS } from "../limits.ts"
import { joinParameters, parseParameters } from "../parameters.ts"
import type { Wishes } from "./flags.ts"
import { readInput, textOf } from "./input.ts"
import { encodeRow, type Table } from "./named.ts"
import type { NotifyWish } from "./notify.ts"
import { type Numbers, numbered } from "./numbers.ts"
import { remarkOnProgram } from "./program.ts"
import { checkTogether, fieldsOf, hasType, type Spec } from "./spec.ts"
import { product } from "./sweep.ts"
import { parseCsv, parseJson, parseLines } from "./tables.ts"

export interface Draft {
  readonly spec: Spec & { readonly command: string[]; readonly name: string }
  /** Empty: spec.array says how many. */
  readonly parameters: readonly string[]
  readonly jobs: number
  /** A path, or sha256:… */
  readonly stagein: string | null
  /** Links in it that lead elsewhere are followed. */
  readonly dereference: boolean
  /** Campaigns as they were typed. */
  readonly after: readonly string[]
  readonly afterOk: readonly string[]
  readonly gather: string | null
  readonly inside: string | null
  /** Whom to tell, and the file with what webhooks are signed with. */
  readonly notify: readonly NotifyWish[]
  readonly notifySecretFile: string | null
}

export async function draftOf(context: Context, command: readonly string[], wishes: Wishes): Promise<Draft> {
  checkTogether(wishes)
  const fields = fieldsOf(wishes, {}, Date.now())
  const holding = holdsOnly(context, command, wishes) ? holdingCommand(fields) : null
  if (holding === null) checkCommand(context, command)
  if (wishes.gather === undefined) await remarkOnProgram(context, command, wishes.stagein ?? null)
  const work = await workOf(context, holding?.command ?? command, wishes)
  checkSize(work, fields)
  return {
    parameters: work.parameters,
    jobs: work.jobs,
    stagein: wishes.stagein ?? null,
    dereference: wishes.dereference ?? false,
    after: wishes.after ?? [],
    afterOk: wishes.afterOk ?? [],
    gather: wishes.gather ?? null,
    inside: wishes.type?.flatMap(type => (type.kind === "inner" ? [type.campaign] : []))[0] ?? null,
    notify: wishes.notify ?? [],
    notifySecretFile: wishes.notifySecretFile ?? null,
    spec: {
      name: "",
      project: context.config.project.value,
      ...fields,
      ...holding,
      command: work.command,
      array: work.jobs,
      parameterNames: [...work.names],
    },
  }
}

/** A container needs no command of its own, and OAR's noop runs none: both hold their place until the walltime. */
function holdsOnly(context: Context, command: readonly string[], wishes: Wishes): boolean {
  if (hasType(wishes, "noop")) {
    if (command.length > 0) context.output.warn("-t noop runs nothing: the command is left out.")
    return true
  }
  return hasType(wishes, "container") && command.length === 0
}

function holdingCommand({ walltime }: Spec): { command: string[]; walltime: Duration } {
  const seconds = walltime === undefined ? WALLTIME_DEFAULT_MS / 1_000 : durationMs(walltime as Duration) / 1000
  return {
    // It ends by itself just before, since what is ended by the walltime has not gone well.
    command: ["sleep", String(Math.max(1, Math.floor(seconds - HOLDING_MARGIN_S)))],
    walltime: durationFromMs(seconds * 1000),
  }
}

function checkCommand(context: Context, command: readonly string[]): void {
  const [program] = command
  if (program === undefined || program.trim() === "") {
    throw usage("There is no command to run.", "Write it after the flags: cah sub --walltime 10m -- ./prog input.txt")
  }
  if (command.length > 1 && /[\s;|&<>$`*?"'()]/.test(program)) {
    context.output.warn(
      `${JSON.stringify(program)} is taken as a program's name, because arguments follow it. For a shell line, give one argument; flags of ours stand before it.`,
    )
  }
}

/** The hub refuses it too; here it is known before a stagein was sent. */
function checkSize({ command, names, parameters }: Work, { env }: Spec): void {
  const size = new CommandSize({ command, env: env ?? {}, parameterNames: names })
  for (const line of parameters.length === 0 ? [null] : parameters) {
    const trouble = size.trouble(line)
    if (trouble !== null)
      throw usage(`${trouble[0]!.toUpperCase()}${trouble.slice(1)}.`, "A file goes along with --stagein.")
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
    const bytes = await readInput(context.stdin, arrayParamFile, "The parameter file", PARAMETERS_BYTES_MAX)
    const joined = joinParameters(command, parseParameters(nameOf(arrayParamFile), bytes))
    return { command: joined.command, parameters: joined.lines, names: [], jobs: joined.lines.length }
  }
  const table = await tableOf(context, wishes)
  if (table === null) return numberedWork(command, wishes.array)
  return { command: [...command], parameters: table.lines, names: table.names, jobs: table.lines.length }
}

/** Numbers from 0 are the hub's own; others are each job's parameter. */
function numberedWork(command: readonly string[], array: Numbers | undefined): Work {
  if (array === undefined || array.first === 0)
    return { command: [...command], parameters: [], names: [], jobs: array?.count ?? 1 }
  const { first, count } = array
  const numbers = Array.from({ length: count }, (_, at) => first + at)
  return { command: numbered(command, count), parameters: numbers.map(String), names: [], jobs: count }
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
    const bytes = await readInput(context.stdin, path, what, PARAMETERS_BYTES_MAX)
    return parse(nameOf(path), textOf(nameOf(path), bytes))
  }
  return null
}

function nameOf(path: string): string {
  return path === "-" ? "stdin" : path
}
