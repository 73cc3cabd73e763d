// From wishes to fields of the specification: only those that were said, so that the same rules serve a new campaign and an earlier one that
// is submitted again with changes. Wishes that exclude each other are refused here. Pure but for the clock it is given.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Duration, durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { CampaignSpec, CampaignSpecSchema, Needs } from "../../proto/gen/cah/v1/job_pb.ts"
import { usage } from "../errors.ts"
import { IDEMPOTENT_RETRIES, WALLTIME_MAX_MS } from "../limits.ts"
import { manyFlags, needFlags, type Wishes } from "./flags.ts"
import { deadlineMs, momentMs } from "./moments.ts"
import type { Shape } from "./resources.ts"
import type { JobType } from "./types.ts"

export type Spec = Exclude<MessageInitShape<typeof CampaignSpecSchema>, CampaignSpec>

/** What a shape leaves open. */
export interface Usual {
  readonly needs?: Partial<Pick<Needs, "slots" | "memoryBytes" | "diskBytes">> | undefined
  readonly walltime?: Duration | undefined
}

type Kind = "reservation" | "property" | JobType["kind"]

const exclusive: readonly (readonly [Kind, Kind, string])[] = [
  ["reservation", "besteffort", "What is reserved makes room for nobody."],
  ["reservation", "inner", "Reserve the container: its inner jobs run when it does."],
  ["container", "besteffort", "A container that may vanish at any moment holds nothing."],
  ["container", "inner", "A container does not run inside another."],
  ["inner", "besteffort", "Inside a container nobody is in the way."],
  ["inner", "property", "An inner job is where its container is: ask for the property there."],
]

function isSaid(wishes: Wishes, kind: Kind): boolean {
  return kind === "reservation" || kind === "property" ? wishes[kind] !== undefined : hasType(wishes, kind)
}

function typed(kind: Kind): string {
  return kind === "reservation" ? "-r" : kind === "property" ? "-p" : `-t ${kind}`
}

export function checkTogether(wishes: Wishes): void {
  const given = manyFlags.filter(flag => wishes[flag] !== undefined)
  if (given.length > 1) {
    const [one, other] = given.map(spelled)
    throw usage(`${one} and ${other} exclude each other.`, "Each says how many jobs there are.")
  }
  if (wishes.retryExit !== undefined && wishes.retries === undefined) {
    throw usage("--retry-exit: how many times?", "Say it with --retries, like --retries 3 --retry-exit 75,99.")
  }
  if (wishes.atOnce !== undefined && wishes.array?.atOnce != null && wishes.array.atOnce !== wishes.atOnce) {
    throw usage(
      `--at-once ${wishes.atOnce} and --array …%${wishes.array.atOnce} contradict each other.`,
      "Say one of the two.",
    )
  }
  if (wishes.gather !== undefined && wishes.stagein !== undefined) {
    throw usage("--gather and --stagein exclude each other.", "What is gathered is the stagein.")
  }
  for (const [one, other, why] of exclusive) {
    if (isSaid(wishes, one) && isSaid(wishes, other)) {
      throw usage(`${typed(one)} and ${typed(other)} exclude each other.`, why)
    }
  }
  if ((wishes.type ?? []).filter(({ kind }) => kind === "inner").length > 1) {
    throw usage("-t inner is given twice.", "A job runs in one container.")
  }
}

/** "--array-param-file" for arrayParamFile. */
export function spelled(wish: string): string {
  return `--${wish.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
}

export function hasType({ type }: Wishes, kind: JobType["kind"]): boolean {
  return (type ?? []).some(one => one.kind === kind)
}

/** Whether it means another moment at each try. */
export function saidFromNow({ deadline, reservation }: Wishes): "--deadline" | "-r" | null {
  if (deadline !== undefined && "inSeconds" in deadline) return "--deadline"
  return reservation !== undefined && "inSeconds" in reservation.start ? "-r" : null
}

/** Everything that was said, and nothing else. */
export function fieldsOf(wishes: Wishes, usual: Usual, nowMs: number): Spec {
  const fields: Spec = {}
  const { name, project, env, stageout, requireStageout, property, priority, hold, lossRetries, deadline, maxFails } =
    wishes
  const atOnce = wishes.atOnce ?? wishes.array?.atOnce ?? undefined
  if (name !== undefined) fields.name = name
  if (project !== undefined) fields.project = project
  if (wishes.grace !== undefined) fields.grace = durationFromMs(wishes.grace * 1_000)
  if (env !== undefined) fields.env = { ...env }
  if (stageout !== undefined) fields.stageout = [...stageout]
  if (requireStageout !== undefined) fields.requireStageout = requireStageout
  if (property !== undefined) fields.property = property
  if (priority !== undefined) fields.priority = priority
  if (hold !== undefined) fields.hold = hold
  if (lossRetries !== undefined) fields.lossMax = lossRetries
  if (maxFails !== undefined) fields.maxFails = maxFails
  if (atOnce !== undefined) fields.atOnce = atOnce
  if (deadline !== undefined) fields.deadline = timestampFromMs(deadlineMs(deadline, nowMs))
  if (hasType(wishes, "besteffort")) fields.bestEffort = true
  if (hasType(wishes, "container")) fields.container = true
  return { ...fields, ...retriesOf(wishes), ...timesOf(wishes, usual, nowMs) }
}

function retriesOf(wishes: Wishes): Spec {
  const { retries, retryExit } = wishes
  if (retries !== undefined) return { retries: { max: retries, exitCodes: [...(retryExit ?? [])] } }
  return hasType(wishes, "idempotent") ? { retries: { max: IDEMPOTENT_RETRIES, exitCodes: [99] } } : {}
}

/** Needs and walltimes; a reservation's end is the walltime where none is said, as OAR has it. */
function timesOf(wishes: Wishes, usual: Usual, nowMs: number): Spec {
  const { reservation } = wishes
  if (reservation === undefined) return shapesOf(wishes, usual, null)
  const startMs = momentMs(reservation.start, nowMs)
  const { end } = reservation
  const seconds = end === null ? null : (end.atMs - startMs) / 1000
  if (seconds !== null && seconds * 1_000 > WALLTIME_MAX_MS)
    throw usage("-r: it ends more than 30 days after it begins.")
  return {
    reservation: {
      start: timestampFromMs(startMs),
      ...(end === null ? {} : { end: timestampFromMs(end.atMs) }),
    },
    ...shapesOf(wishes, usual, seconds),
  }
}

const nothing: Shape = { slots: null, memoryBytes: null, diskBytes: null, walltimeSeconds: null }

/** What -l leaves open is filled from the flags for single needs, and then from what is usual. */
function shapesOf(wishes: Wishes, usual: Usual, reservedSeconds: number | null): Spec {
  const isSaid = wishes.resource !== undefined || needFlags.some(flag => wishes[flag] !== undefined)
  if (!isSaid && reservedSeconds === null) return {}
  const usualSeconds = usual.walltime === undefined ? undefined : durationMs(usual.walltime) / 1000
  const [first, ...others] = (wishes.resource ?? [nothing]).map(shape => {
    const seconds = shape.walltimeSeconds ?? wishes.walltime ?? reservedSeconds ?? usualSeconds
    return {
      needs: {
        slots: shape.slots ?? wishes.slots ?? usual.needs?.slots ?? 1,
        memoryBytes: shape.memoryBytes ?? wishes.memory ?? usual.needs?.memoryBytes ?? 0n,
        diskBytes: shape.diskBytes ?? wishes.disk ?? usual.needs?.diskBytes ?? 0n,
      },
      ...(seconds === undefined ? {} : { walltime: durationFromMs(Math.ceil(seconds * 1000)) }),
    }
  })
  return { ...first, shapes: others }
}
