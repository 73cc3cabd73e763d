// A campaign's specification between the contract and the hub's words, both ways. Nothing is lost on the way there and back, so that
// the bytes which nodes get, and by which a repeated key is known, are those that its scientist sent.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import {
  type Duration,
  durationFromMs,
  durationMs,
  type Timestamp,
  timestampFromMs,
  timestampMs,
} from "@bufbuild/protobuf/wkt"
import { type CampaignSpec, CampaignSpecSchema, type Needs as WireNeeds } from "../../proto/gen/cah/v1/job_pb.ts"
import type { EncodeSpecification, Specification } from "../cases/specification.ts"
import { CahError } from "../core/errors.ts"
import type { CampaignId, Needs, Reservation } from "../core/model.ts"
import { blobOf, campaignIdOf, numberOf, wireBlob } from "./values.ts"

/** CahError where a number or a name can be of nothing. */
export function specOf(wire: CampaignSpec | undefined): Specification {
  if (wire === undefined) throw new CahError("invalid_argument", "no spec: say what is to be run")
  const { name, project, command, env, parameterNames, stageout, requireStageout, array, property, priority } = wire
  const { hold, retries, bestEffort, container } = wire
  return {
    name,
    project,
    command,
    env,
    parameterNames,
    stagein: wire.stagein === undefined ? null : blobOf(wire.stagein),
    stageout,
    requireStageout,
    array,
    walltimeMs: msOf(wire.walltime),
    graceMs: msOf(wire.grace),
    needs: needsOf(wire.needs),
    shapes: wire.shapes.map(({ needs, walltime }) => ({ needs: needsOf(needs), walltimeMs: msOf(walltime) })),
    property,
    priority,
    hold,
    retries: retries === undefined ? null : { max: retries.max, exitCodes: retries.exitCodes },
    lossMax: wire.lossMax ?? null,
    after: wire.after.map(({ campaign, success }) => ({ campaign: campaignIdOf(campaign), success })),
    gather: otherOf(wire.gather),
    deadlineAt: wire.deadline === undefined ? null : momentOf("deadline", wire.deadline),
    bestEffort,
    reservation: reservationOf(wire),
    container,
    inside: otherOf(wire.inside),
    failMax: wire.maxFails === 0 ? null : wire.maxFails,
    atOnceMax: wire.atOnce === 0 ? null : wire.atOnce,
    later: laterOf(wire),
  }
}

export const encodeSpec: EncodeSpecification = spec => {
  const bytes = toBinary(CampaignSpecSchema, create(CampaignSpecSchema, wireSpec(spec)))
  // Fields after others of the same message: together they are one.
  return spec.later === null ? bytes : Buffer.concat([bytes, spec.later])
}

export function decodeSpec(bytes: Uint8Array): CampaignSpec {
  return fromBinary(CampaignSpecSchema, bytes)
}

function wireSpec(spec: Specification): MessageInitShape<typeof CampaignSpecSchema> {
  const { name, project, command, parameterNames, stageout, requireStageout, array, property, priority } = spec
  const { hold, retries, lossMax, bestEffort, reservation, container } = spec
  return {
    name,
    project,
    command: [...command],
    env: inOrder(spec.env),
    parameterNames: [...parameterNames],
    ...(spec.stagein === null ? {} : { stagein: wireBlob(spec.stagein) }),
    stageout: [...stageout],
    requireStageout,
    array,
    ...(spec.walltimeMs === null ? {} : { walltime: durationFromMs(spec.walltimeMs) }),
    ...(spec.graceMs === null ? {} : { grace: durationFromMs(spec.graceMs) }),
    ...(spec.needs === null ? {} : { needs: wireNeeds(spec.needs) }),
    shapes: spec.shapes.map(({ needs, walltimeMs }) => ({
      ...(needs === null ? {} : { needs: wireNeeds(needs) }),
      ...(walltimeMs === null ? {} : { walltime: durationFromMs(walltimeMs) }),
    })),
    property,
    priority,
    hold,
    ...(retries === null ? {} : { retries: { max: retries.max, exitCodes: [...retries.exitCodes] } }),
    ...(lossMax === null ? {} : { lossMax }),
    after: spec.after.map(({ campaign, success }) => ({ campaign: BigInt(campaign), success })),
    gather: BigInt(spec.gather ?? 0),
    ...(spec.deadlineAt === null ? {} : { deadline: timestampFromMs(spec.deadlineAt) }),
    bestEffort,
    ...(reservation === null ? {} : { reservation: wireReservation(reservation) }),
    container,
    inside: BigInt(spec.inside ?? 0),
    maxFails: spec.failMax ?? 0,
    atOnce: spec.atOnceMax ?? 0,
  }
}

function msOf(duration: Duration | undefined): number | null {
  return duration === undefined ? null : durationMs(duration)
}

/** Protobuf's own bounds of a moment: the years 1 to 9999. */
const MOMENTS = { first: Date.parse("0001-01-01T00:00:00Z"), last: Date.parse("9999-12-31T23:59:59.999Z") }

function momentOf(what: string, timestamp: Timestamp): number {
  const ms = timestampMs(timestamp)
  if (ms >= MOMENTS.first && ms <= MOMENTS.last) return ms
  throw new CahError("invalid_argument", `the ${what} ${timestamp.seconds} s is no moment of the years 1 to 9999`)
}

function needsOf(wire: WireNeeds | undefined): Needs | null {
  if (wire === undefined) return null
  const { slots, memoryBytes, diskBytes } = wire
  return {
    slots,
    memoryBytes: numberOf(memoryBytes, "memory_bytes"),
    diskBytes: numberOf(diskBytes, "disk_bytes"),
  }
}

function wireNeeds({ slots, memoryBytes, diskBytes }: Needs) {
  return { slots, memoryBytes: BigInt(memoryBytes), diskBytes: BigInt(diskBytes) }
}

function reservationOf({ reservation }: CampaignSpec): Reservation | null {
  if (reservation === undefined) return null
  const { start, end } = reservation
  if (start === undefined) throw new CahError("invalid_argument", "the reservation has no start")
  const endAt = end === undefined ? null : momentOf("reservation's end", end)
  return { startAt: momentOf("reservation's start", start), endAt }
}

function wireReservation({ startAt, endAt }: Reservation) {
  return { start: timestampFromMs(startAt), ...(endAt === null ? {} : { end: timestampFromMs(endAt) }) }
}

/** 0: none. */
function otherOf(campaign: bigint): CampaignId | null {
  return campaign === 0n ? null : campaignIdOf(campaign)
}

/** The same variables always in the same bytes, whatever order a client sends them in. */
function inOrder(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}

function laterOf({ $unknown }: CampaignSpec): Uint8Array | null {
  if ($unknown === undefined || $unknown.length === 0) return null
  const message = create(CampaignSpecSchema)
  message.$unknown = $unknown
  return toBinary(CampaignSpecSchema, message)
}
