// From a specification to an order the core can decide about. Every rule of a valid campaign stands here, each with a
// sentence that says what was wrong, where, and what is allowed. It reads nothing and asks nobody.
import { createHash } from "node:crypto"
import { CommandSize, GRACE_MAX_MS } from "../../proto/wire/command.ts"
import { digestOf } from "../../proto/wire/digest.ts"
import { readValues } from "../../proto/wire/parameters.ts"
import { parseRequirement, RequirementError } from "../../proto/wire/where.ts"
import { CahError } from "../core/errors.ts"
import type { Dependency, Needs, Notice, Reservation, Rules } from "../core/model.ts"
import type { Order } from "../core/ports.ts"
import {
  AFTER_MAX,
  ARRAY_MAX,
  KEY_CHARACTERS_MAX,
  LOSS_MAX,
  LOSS_MAX_MAX,
  NAME_CHARACTERS_MAX,
  NOTICES_MAX,
  PARAMETER_BYTES_MAX,
  PARAMETER_NAMES_MAX,
  PARAMETERS_BYTES_MAX,
  PRIORITY_MAX,
  RESERVATION_AHEAD_MAX_MS,
  RETRIES_MAX,
  SHAPES_MAX,
  SLOTS_MAX,
  SPEC_BYTES_MAX,
  STAGEIN_BYTES_MAX,
  STAGEOUT_GLOBS_MAX,
  WALLTIME_DEFAULT_MS,
  WALLTIME_MAX_MS,
  WALLTIME_MIN_MS,
  WEBHOOK_SECRET_CHARACTERS_MAX,
  WEBHOOK_SECRET_CHARACTERS_MIN,
  WEBHOOK_URL_CHARACTERS_MAX,
} from "../limits.ts"
import type { EncodeSpecification, Specification, Submission } from "./specification.ts"

export interface OrderParts {
  readonly encode: EncodeSpecification
  readonly wallMs: number
}

/** CahError invalid_argument for what breaks a rule. */
export function orderOf(
  owner: string,
  { key, spec, notices }: Submission,
  lines: readonly string[] | null,
  { encode, wallMs }: OrderParts,
): Order {
  checkKey(key)
  checkText("name", spec.name, NAME_CHARACTERS_MAX)
  checkText("project", spec.project, NAME_CHARACTERS_MAX)
  checkCommand(spec.command)
  // Lines are held against it as they come.
  const trouble = new CommandSize(spec).trouble(null)
  if (trouble !== null) throw invalid(trouble)
  checkEnvironment(spec.env)
  checkStageout(spec.stageout)
  if (Math.abs(spec.priority) > PRIORITY_MAX) {
    throw invalid(`priority ${spec.priority} is out of range: -${PRIORITY_MAX} to ${PRIORITY_MAX}`)
  }
  if (spec.parameterNames.length > 0 && lines === null) throw invalid("parameter_names are given, and no parameters")
  checkGrace(spec.graceMs)
  const total = totalOf(spec, lines)
  const { stagein } = spec
  if (stagein !== null && stagein.sizeBytes > STAGEIN_BYTES_MAX) {
    throw invalid(`the stagein of ${stagein.sizeBytes} bytes is too large: ${STAGEIN_BYTES_MAX} at most`)
  }
  const bytes = encode(spec)
  if (bytes.byteLength > SPEC_BYTES_MAX) {
    throw invalid(
      `the specification of ${bytes.byteLength} bytes is too large: ${SPEC_BYTES_MAX} at most; put long scripts into the stagein`,
    )
  }
  return {
    owner,
    key,
    specDigest: digestOfOrder(bytes, lines),
    name: spec.name,
    project: spec.project,
    spec: bytes,
    stagein,
    needs: needsOf(spec.needs),
    walltimeMs: walltimeOf(spec.walltimeMs),
    rules: { ...rulesOf(spec, wallMs), notices: noticesOf(notices) },
    held: spec.hold,
    // Who has ended is not waited for: submit.ts looks.
    waitsFor: waitsForOf(spec),
    priority: spec.priority,
    total,
    lines,
  }
}

/** Gathers parameter lines and refuses them as early as it can: a million lines may be on their way. */
export class Lines {
  readonly all: string[] = []
  bytes = 0
  private names: readonly string[] = []
  private size: CommandSize | null = null

  /** The specification is here: lines that come after it are held to its names, and to what a command may have. */
  of(spec: Specification): this {
    const { parameterNames: names } = spec
    if (names.length > PARAMETER_NAMES_MAX) {
      throw invalid(`${names.length} parameter names are too many: ${PARAMETER_NAMES_MAX} at most`)
    }
    const wrong = names.find((name, i) => !/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name) || names.indexOf(name) !== i)
    if (wrong !== undefined) {
      throw invalid(
        `parameter name ${JSON.stringify(wrong.slice(0, 80))}: once each, letters, digits and _ only, no digit first`,
      )
    }
    this.names = names
    this.size = new CommandSize(spec)
    return this
  }

  add(lines: readonly string[]): void {
    for (const line of lines) {
      const bytes = Buffer.byteLength(line)
      const index = this.all.length
      if (bytes > PARAMETER_BYTES_MAX) {
        throw invalid(`parameter line ${index} has ${bytes} bytes: ${PARAMETER_BYTES_MAX} at most`)
      }
      if (/[\0\r\n]/.test(line)) throw invalid(`parameter line ${index} contains a line break or a NUL`)
      const { length: count } = this.names
      if (count > 0 && readValues(line, count) === null) {
        throw invalid(`parameter line ${index} is not a JSON array of ${count} strings, one for each name`)
      }
      const trouble = this.size?.trouble(line) ?? null
      if (trouble !== null) throw invalid(`job ${index}: ${trouble}`)
      if (index >= ARRAY_MAX) throw invalid(`too many parameter lines: ${ARRAY_MAX} at most`)
      this.bytes += bytes
      if (this.bytes > PARAMETERS_BYTES_MAX) {
        throw invalid(`the parameters are too large: ${PARAMETERS_BYTES_MAX} bytes at most in one campaign`)
      }
      this.all.push(line)
    }
  }
}

function totalOf(spec: Specification, lines: readonly string[] | null): number {
  if (lines !== null) return lines.length
  if (spec.array < 1) throw invalid("array is 0: a campaign has at least one job")
  if (spec.array > ARRAY_MAX) throw invalid(`array ${spec.array} is too large: ${ARRAY_MAX} jobs at most`)
  return spec.array
}

function walltimeOf(ms: number | null): number {
  if (ms === null) return WALLTIME_DEFAULT_MS
  if (!(ms >= WALLTIME_MIN_MS && ms <= WALLTIME_MAX_MS)) {
    throw invalid(`walltime ${ms / 1e3} s is out of range: 1 s to ${WALLTIME_MAX_MS / 86_400_000} days`)
  }
  return Math.ceil(ms)
}

function checkGrace(ms: number | null): void {
  if (ms === null) return
  if (!(ms >= 0 && ms <= GRACE_MAX_MS)) {
    throw invalid(`grace ${ms / 1e3} s is out of range: ${GRACE_MAX_MS / 60_000} minutes at most`)
  }
}

function needsOf(needs: Needs | null): Needs {
  const slots = needs?.slots ?? 0
  if (slots > SLOTS_MAX) throw invalid(`${slots} slots are too many for one job: ${SLOTS_MAX} at most`)
  return {
    slots: Math.max(1, slots),
    memoryBytes: sizeOf("memory_bytes", needs?.memoryBytes),
    diskBytes: sizeOf("disk_bytes", needs?.diskBytes),
  }
}

function sizeOf(what: string, bytes = 0): number {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes
  throw invalid(`${what} ${bytes} is out of range`)
}

function rulesOf(spec: Specification, wallMs: number): Omit<Rules, "notices"> {
  if (spec.shapes.length > SHAPES_MAX) throw invalid(`${spec.shapes.length} shapes are too many: ${SHAPES_MAX} at most`)
  const { retries, deadlineAt, gather, failMax, atOnceMax } = spec
  const lossMax = spec.lossMax ?? LOSS_MAX
  const retryMax = retries?.max ?? 0
  if (retryMax > RETRIES_MAX) throw invalid(`${retryMax} retries are too many: ${RETRIES_MAX} at most`)
  if (lossMax > LOSS_MAX_MAX) throw invalid(`loss_max ${lossMax} is too large: ${LOSS_MAX_MAX} at most`)
  const retryExitCodes = retries?.exitCodes ?? []
  const wrong = retryExitCodes.find(code => code < 1 || code > 255)
  if (wrong !== undefined) throw invalid(`retry exit code ${wrong}: 1 to 255`)
  if (deadlineAt !== null && !(deadlineAt > wallMs)) {
    throw invalid(`the deadline ${new Date(deadlineAt).toISOString()} has passed`)
  }
  // Throws with the column of what is wrong in it.
  checkProperty(spec.property)
  const shapes = spec.shapes.map(shape => ({
    needs: needsOf(shape.needs),
    walltimeMs: walltimeOf(shape.walltimeMs ?? spec.walltimeMs),
  }))
  const { property, bestEffort, container, inside, reservation } = spec
  if (reservation !== null) checkReservation(reservation, wallMs)
  checkKinds(spec)
  const kinds = { bestEffort, container, inside, reservation }
  return { shapes, property, gather, retryMax, retryExitCodes, lossMax, deadlineAt, failMax, atOnceMax, ...kinds }
}

function checkReservation({ startAt, endAt }: Reservation, wallMs: number): void {
  const day = (ms: number) => new Date(ms).toISOString()
  if (endAt !== null && endAt <= startAt) {
    throw invalid(`the reservation ends at ${day(endAt)}, before it starts at ${day(startAt)}`)
  }
  if ((endAt ?? startAt) < wallMs) throw invalid(`the reservation for ${day(startAt)} has passed`)
  if (startAt - wallMs > RESERVATION_AHEAD_MAX_MS) {
    throw invalid(
      `the reservation for ${day(startAt)} is too far ahead: ${RESERVATION_AHEAD_MAX_MS / 86_400_000} days at most`,
    )
  }
}

/** Which kinds of job exclude each other, and why. */
function checkKinds({ bestEffort, container, inside, reservation, property }: Specification): void {
  if (bestEffort && reservation !== null)
    throw invalid("best effort takes what nobody else wants: it can't be reserved")
  if (bestEffort && container)
    throw invalid("a container of best effort could vanish at any moment: choose one of both")
  if (inside === null) return
  if (container) throw invalid("a container can't run inside another")
  if (bestEffort) throw invalid("inside a container nobody is in the way: best effort has no meaning there")
  if (reservation !== null) throw invalid("what runs inside a container begins with it: reserve the container")
  if (property !== "") throw invalid("what runs inside a container is where that is: ask for the property there")
}

function noticesOf(notices: readonly Notice[]): Notice[] {
  if (notices.length > NOTICES_MAX) throw invalid(`${notices.length} notices are too many: ${NOTICES_MAX} at most`)
  return notices.map(({ occasions, target }, i) => {
    const of = `notice ${i}`
    if (occasions.length === 0) throw invalid(`${of} names no occasion: RUNNING, ERROR or END`)
    return { occasions: [...new Set(occasions)], target: targetOf(of, target) }
  })
}

function targetOf(of: string, target: Notice["target"]): Notice["target"] {
  if (target.kind === "mail") {
    const { address } = target
    // One address and nothing that a mailer could take for an option, a header or a second address.
    if (
      address.length > NAME_CHARACTERS_MAX ||
      !/^[A-Za-z0-9_][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@[A-Za-z0-9.-]+$/.test(address)
    ) {
      throw invalid(`${of}: ${JSON.stringify(address.slice(0, 80))} is not a mail address`)
    }
    return target
  }
  const { url, secret } = target
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || url.length > WEBHOOK_URL_CHARACTERS_MAX) {
    throw invalid(`${of}: the webhook ${JSON.stringify(url.slice(0, 80))} is not an http or https address`)
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw invalid(`${of}: a webhook's address must not hold a password; its secret signs what is sent`)
  }
  if (secret.length < WEBHOOK_SECRET_CHARACTERS_MIN || secret.length > WEBHOOK_SECRET_CHARACTERS_MAX) {
    const range = `${WEBHOOK_SECRET_CHARACTERS_MIN} to ${WEBHOOK_SECRET_CHARACTERS_MAX} characters`
    throw invalid(`${of}: the webhook's secret has ${range}`)
  }
  return { kind: "webhook", url: parsed.href, secret }
}

function waitsForOf(spec: Specification): Dependency[] {
  if (spec.after.length > AFTER_MAX) throw invalid(`it waits for ${spec.after.length} campaigns: ${AFTER_MAX} at most`)
  return spec.gather === null ? [...spec.after] : [...spec.after, { campaign: spec.gather, success: true }]
}

function checkKey(key: string): void {
  if (key === "") throw invalid("no idempotency_key: make one before the first try, and send it with each")
  checkText("idempotency_key", key, KEY_CHARACTERS_MAX)
}

function checkCommand(command: readonly string[]): void {
  if (command.length === 0 || command[0]?.trim() === "") throw invalid("the command is empty: say what is to be run")
  const at = command.findIndex(word => word.includes("\0"))
  if (at >= 0) throw invalid(`argument ${at} of the command contains a NUL`)
}

function checkEnvironment(env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw invalid(`env name ${JSON.stringify(name.slice(0, 80))}: letters, digits and _ only, and no digit first`)
    }
    if (value.includes("\0")) throw invalid(`the value of env ${name} contains a NUL`)
  }
}

function checkStageout(globs: readonly string[]): void {
  if (globs.length > STAGEOUT_GLOBS_MAX) {
    throw invalid(`${globs.length} stageout patterns are too many: ${STAGEOUT_GLOBS_MAX} at most`)
  }
  for (const glob of globs) {
    if (glob === "" || glob.startsWith("/") || glob.includes("\0") || glob.split("/").includes("..")) {
      throw invalid(
        `stageout ${JSON.stringify(glob.slice(0, 80))}: a pattern within the working directory, without ".."`,
      )
    }
  }
}

function checkText(field: string, text: string, charactersMax: number): void {
  if (text.length > charactersMax) throw invalid(`${field} has ${text.length} characters: ${charactersMax} at most`)
  if (/\p{Cc}/u.test(text)) throw invalid(`${field} contains a control character`)
  // The database keeps text as UTF-8, in which two such texts would be one: a key, for one, must stay a key.
  if (/\p{Cs}/u.test(text)) throw invalid(`${field} contains half a surrogate pair: it is no valid Unicode`)
}

/** Lengths are hashed too, so that no two orders share their bytes. */
function digestOfOrder(spec: Uint8Array, lines: readonly string[] | null): Order["specDigest"] {
  const hash = createHash("sha256")
  hash.update(`${spec.byteLength} ${lines?.length ?? "none"}\n`).update(spec)
  for (const line of lines ?? []) hash.update(`${Buffer.byteLength(line)} ${line}\n`)
  return digestOf(hash.digest())
}

function checkProperty(property: string): void {
  if (property === "") return
  try {
    parseRequirement(property)
  } catch (error) {
    throw error instanceof RequirementError ? invalid(error.message) : error
  }
}

function invalid(message: string): CahError {
  return new CahError("invalid_argument", message)
}
