// Every flag that describes a campaign: one table, from which the command line, the directives of a script and the keys of a job file
// are all read. Each value is parsed where it stands, so that its error can name the script's line or the file's column.
// Nothing here reads a file or asks a hub.
import { Option } from "commander"
import { GlobError } from "../../archive/glob.ts"
import { Selection } from "../../archive/selection.ts"
import { GRACE_MAX_MS } from "../../proto/wire/command.ts"
import { parseRequirement, RequirementError } from "../../proto/wire/where.ts"
import { usage } from "../errors.ts"
import {
  ARRAY_MAX,
  EXIT_CODE_MAX,
  LOSS_MAX_MAX,
  NAME_CHARACTERS_MAX,
  PRIORITY_MAX,
  RETRIES_MAX,
  SHAPES_MAX,
  SLOTS_MAX,
  WALLTIME_MAX_MS,
} from "../limits.ts"
import { parseCount, parseDuration, parseSize } from "../quantities.ts"
import { type Moment, parseDeadline, parseReservation, type Reservation } from "./moments.ts"
import { type NotifyWish, parseNotify } from "./notify.ts"
import { type Numbers, parseNumbers } from "./numbers.ts"
import { refusedFlags } from "./refused.ts"
import { parseShape, type Shape } from "./resources.ts"
import { type Axis, parseSweep } from "./sweep.ts"
import { type JobType, parseType } from "./types.ts"

/** What was asked for, each value checked by itself. Whether the values go together is decided in draft.ts. */
export interface Wishes {
  name?: string
  project?: string
  env?: Readonly<Record<string, string>>
  array?: Numbers
  arrayParamFile?: string
  eachLine?: string
  csv?: string
  fromJson?: string
  sweep?: readonly Axis[]
  stagein?: string
  dereference?: boolean
  stageout?: readonly string[]
  requireStageout?: boolean
  resource?: readonly Shape[]
  property?: string
  walltime?: number
  grace?: number
  slots?: number
  memory?: bigint
  disk?: bigint
  type?: readonly JobType[]
  priority?: number
  hold?: boolean
  after?: readonly string[]
  afterOk?: readonly string[]
  gather?: string
  deadline?: Moment
  reservation?: Reservation
  retries?: number
  retryExit?: readonly number[]
  lossRetries?: number
  maxFails?: number
  atOnce?: number
  notify?: readonly NotifyWish[]
  notifySecretFile?: string
}

/** Ways of saying how many jobs there are. They exclude each other. */
export const manyFlags = ["array", "arrayParamFile", "eachLine", "csv", "fromJson", "sweep"] as const

/** What -l says as a whole. */
export const needFlags = ["walltime", "slots", "memory", "disk"] as const

const many = "How many:"
const needs = "What each job has and needs:"
const order = "When, and how often:"
const tell = "And then:"

/** `from` a file, perhaps somebody else's, nothing is taken that would run a command here. */
export function campaignFlags(from: "line" | "file" = "line"): Option[] {
  const flags: Option[] = []
  const add = (
    group: string,
    spelling: string,
    description: string,
    parse?: (text: string, before: never) => unknown,
  ) => {
    const option = new Option(spelling, description).helpGroup(group)
    if (parse !== undefined) option.argParser(parse as (text: string, before: unknown) => unknown)
    flags.push(option)
    return option
  }
  const list = (text: string, before: readonly string[] | undefined) => [...(before ?? []), text]

  add(many, "--array <n>", "n jobs, from 0; or 1-9; or 1-9%2: two at once", parseNumbers)
  add(many, "--array-param-file <file>", "a job a line, appended to the command (- is stdin)")
  add(many, "--csv <file>", "a job a row (also TSV), values in CAH_P_<column>")
  add(many, "--from-json <file>", "a job an element or line: CAH_P_<key>, or CAH_P_value")
  add(many, "--each-line <file>", "a job a line, as it is, in CAH_P_line")
  add(many, "--sweep <k=values>", "k=1..9:2 or k=a,b in CAH_P_k; several: all pairs", (text, before) =>
    append(before, parseSweep(text)),
  )

  add(needs, "-s, --stagein <path>", "a directory, a file, or sha256:… of cah cache")
  add(needs, "--dereference", "follow links that lead out of the stagein")
  add(needs, "--stageout <glob>", "what comes back, or !what not (all that changed)", (text, before) =>
    append(before, checkGlob(text)),
  )
  add(needs, "--require-stageout", "a --stageout that matches nothing fails the job")
  add(needs, "--env <key=value>", "set in the job's environment; repeatable", addVariable)
  add(needs, "-l, --resource <needs>", "core=4,mem=8G,disk=9G,walltime=2:00; again: or else", (text, before) => {
    const shapes: readonly Shape[] = append(before, parseShape(text))
    if (shapes.length > SHAPES_MAX) throw usage(`-l: more than ${SHAPES_MAX} ways of running a job.`)
    return shapes
  })
  add(needs, "--walltime <time>", "1h 15m, 90s or 02:30:00; then it is killed (2h)", checkWalltime)
  add(needs, "--grace <time>", "from SIGTERM, at its walltime, to SIGKILL (5s)", checkGrace)
  add(needs, "--slots <n>", "processor slots of each job (1); as core= of -l", text =>
    parseCount(text, "--slots", 1, SLOTS_MAX),
  ).hideHelp()
  add(needs, "--memory <size>", "memory of each job: 512M, 2G; as mem= of -l", text =>
    parseSize(text, "--memory"),
  ).hideHelp()
  add(needs, "--disk <size>", "disk of each job; as disk= of -l", text => parseSize(text, "--disk")).hideHelp()
  add(needs, "-p, --property <where>", "of the node: \"arch = 'x86_64' AND mem > 64\"", checkProperty)
  add(needs, "-n, --name <name>", "name of the campaign", text => checkName(text, "--name"))
  add(needs, "--project <name>", "group of campaigns it belongs to", text => checkName(text, "--project"))
  add(needs, "-t, --type <type>", "besteffort, container, inner=ID, idempotent, noop", (text, before) =>
    append(before, parseType(text)),
  )

  add(order, "-a, --after <ids>", "begin when these campaigns have ended", list)
  add(order, "--anterior <ids>", "as --after: OAR's word", list).hideHelp()
  add(order, "--after-ok <ids>", "begin when all their jobs have finished well", list)
  add(order, "--gather <id>", "the same, with what it gave back as the stagein")
  add(order, "--hold", "held until cah resume")
  add(order, "-r, --reservation <when>", '"2026-11-30 18:00[, 20:00]", now, 2h: OK or KO', text =>
    parseReservation(text),
  )
  add(order, "--priority <n>", "higher goes first among your own (0)", text => signed(text, "--priority", PRIORITY_MAX))
  add(order, "--deadline <when>", '18:00, "2026-11-30 18:00", 2d; then it is cancelled', text => parseDeadline(text))

  add(order, "--retries <n>", "try a job that failed n times more (0)", text =>
    parseCount(text, "--retries", 0, RETRIES_MAX),
  )
  add(order, "--retry-exit <codes>", "only after these exit codes: 75,99", text => exitCodes(text))
  add(order, "--loss-retries <n|inf>", "lost nodes that a job survives (the hub's default)", text =>
    text === "inf" ? LOSS_MAX_MAX : parseCount(text, "--loss-retries", 0, LOSS_MAX_MAX),
  )
  add(order, "--max-fails <n>", "once n jobs have failed the others are cancelled", text =>
    parseCount(text, "--max-fails", 1, ARRAY_MAX),
  )
  add(order, "--at-once <n>", "n of its jobs under way at once, at most", text =>
    parseCount(text, "--at-once", 1, ARRAY_MAX),
  )
  add(tell, "--notify <whom>", "[ERROR,END]mail:me@x.org, https://… or exec:CMD", (text, before) => {
    const wish = parseNotify(text)
    if (from === "line" || wish.target.kind !== "exec") return append(before, wish)
    throw usage("--notify: a file does not run commands here.", "Say it on the command line: cah sub --notify exec:…")
  })
  add(tell, "--notify-secret-file <file>", "what webhooks are signed with (CAH_NOTIFY_SECRET)").hideHelp()
  return [...flags, ...refusedFlags()]
}

/** Those that an earlier campaign may be submitted with again: not what its jobs are, nor what they wait for. */
export function changeFlags(): Option[] {
  const fixed: readonly string[] = [...manyFlags, "stagein", "dereference", "after", "anterior", "afterOk", "gather"]
  return campaignFlags().filter(option => !fixed.includes(option.attributeName()))
}

/** Wishes from what commander has read, with OAR's twins folded in. */
export function wishesOf(values: Readonly<Record<string, unknown>>): Wishes {
  const { anterior, ...wishes } = values as Wishes & { anterior?: readonly string[] }
  if (anterior === undefined) return wishes
  return { ...wishes, after: [...(wishes.after ?? []), ...anterior] }
}

/** What was said nearer to the user wins, flag by flag; and one way of saying how many jobs wins over any other. */
export function override(below: Wishes, above: Wishes): Wishes {
  const kept = { ...below }
  if (manyFlags.some(flag => above[flag] !== undefined)) for (const flag of manyFlags) delete kept[flag]
  if (above.resource !== undefined) for (const flag of needFlags) delete kept[flag]
  return { ...kept, ...above }
}

export function checkName(name: string, flag: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (name.length <= NAME_CHARACTERS_MAX && !/[\u0000-\u001f\u007f-\u009f]/.test(name)) return name
  throw usage(`${flag}: give at most ${NAME_CHARACTERS_MAX} characters, on one line.`)
}

function append<T>(before: readonly T[] | undefined, value: T): readonly T[] {
  return [...(before ?? []), value]
}

function addVariable(pair: string, before: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const equals = pair.indexOf("=")
  const key = pair.slice(0, Math.max(0, equals))
  // The value may be a secret, so that only the key is repeated.
  if (equals < 1)
    throw usage(`--env: "${equals === 0 ? "=…" : pair}" is not KEY=VALUE.`, "Write it like --env SEED=42.")
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw usage(`--env: "${key}" is not a variable's name.`)
  if (before !== undefined && Object.hasOwn(before, key)) throw usage(`--env: ${key} is set twice.`)
  return { ...before, [key]: pair.slice(equals + 1) }
}

/** The hub judges by it; what is wrong with it is known here. */
function checkProperty(text: string): string {
  if (text.trim() === "") throw usage("-p: the condition is empty.", 'Write it like -p "mem > 64".')
  try {
    parseRequirement(text)
    return text
  } catch (thrown) {
    if (thrown instanceof RequirementError) throw usage(thrown.message)
    throw thrown
  }
}

function checkGlob(glob: string): string {
  try {
    new Selection([glob])
    return glob
  } catch (thrown) {
    if (thrown instanceof GlobError) throw usage(`--stageout: ${thrown.message}`)
    throw thrown
  }
}

function checkWalltime(text: string): number {
  const seconds = parseDuration(text, "--walltime")
  if (seconds * 1_000 > WALLTIME_MAX_MS) throw usage(`--walltime: ${text} is more than 30 days.`)
  return seconds
}

function checkGrace(text: string): number {
  const seconds = parseDuration(text, "--grace")
  if (seconds * 1_000 > GRACE_MAX_MS) throw usage(`--grace: ${text} is more than ${GRACE_MAX_MS / 60_000} minutes.`)
  return seconds
}

function signed(text: string, flag: string, max: number): number {
  const value = /^[+-]?\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN
  if (Math.abs(value) <= max) return value
  throw usage(`${flag}: "${text}" is not a whole number from -${max} to ${max}.`)
}

function exitCodes(text: string): number[] {
  const codes = text.split(",").map(code => parseCount(code.trim(), "--retry-exit", 1, EXIT_CODE_MAX))
  return [...new Set(codes)].sort((a, b) => a - b)
}
