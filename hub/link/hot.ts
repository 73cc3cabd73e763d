// The frames of a job's life coded by hand, to the same bytes as the generated code makes and reads: with it they are a third of
// what a no-op job costs the hub, by hand a twentieth (npm run bench -- --only noop --profile). Reading is for the plain case
// only: whatever is not exactly that (a message, outputs, an odd order, nonsense) is null here and goes the long way, which
// knows what to say of it. hot.test.ts holds both to the generated code.
import { noLog } from "../../proto/wire/log.ts"
import { putVarint, varintLength } from "../../proto/wire/varint.ts"
import type { AttemptName, FullOffer, ReportAnswer } from "../core/effects.ts"
import type { ReportPhase } from "../core/events.ts"
import type { CampaignId, Result } from "../core/model.ts"
import { RESULT_TIME_MAX_MS } from "../limits.ts"

// ---- reading -------------------------------------------------------------------------------------------------------

/** First bytes of an agent's frames: field number and "length-delimited". */
const REPORT = 0x1a
const HEARTBEAT = 0x12

const phases: readonly (ReportPhase | undefined)[] = [
  undefined,
  undefined,
  undefined,
  undefined,
  "staging",
  "running",
  "returning",
  "ended",
]
const outcomes: readonly (Result["outcome"] | undefined)[] = [
  undefined,
  "finished",
  "failed",
  "timedout",
  "lost",
  "refused",
]

const UNREADABLE = -1

/** Reads varints up to 2^53 from one frame after the other. */
class Cursor {
  bytes: Uint8Array = new Uint8Array(0)
  at = 0

  /** UNREADABLE: beyond the end, or beyond 2^53. */
  varint(end: number): number {
    let value = 0
    let scale = 1
    while (this.at < end) {
      const byte = this.bytes[this.at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER ? value : UNREADABLE
      scale *= 128
      if (scale > 2 ** 53) return UNREADABLE
    }
    return UNREADABLE
  }

  /** The end of a submessage that begins here and lies within; UNREADABLE if it does not. */
  submessage(end: number): number {
    const length = this.varint(end)
    return length === UNREADABLE || this.at + length > end ? UNREADABLE : this.at + length
  }
}

const cursor = new Cursor()
/** The fields of the submessage that was read last, by number; of at most three. Emptied it would be made anew for each. */
const fields = [0, 0, 0]

/** Varints with rising field numbers up to `last`. False: not just that. */
function readVarints(end: number, last: number): boolean {
  for (let at = 0; at < last; at++) fields[at] = 0
  let before = 0
  while (cursor.at < end) {
    const tag = cursor.bytes[cursor.at++]!
    const field = tag >> 3
    const value = cursor.varint(end)
    // A default that is written all the same is not how anybody's encoder does it.
    if ((tag & 7) !== 0 || tag > 127 || field <= before || field > last || value <= 0) return false
    fields[field - 1] = value
    before = field
  }
  return true
}

export type QuickReport = AttemptName & { readonly phase: ReportPhase; readonly result: Result | null }

/** Null: not a report, or not a plain one. */
export function quickReport(bytes: Uint8Array): QuickReport | null {
  if (bytes[0] !== REPORT) return null
  cursor.bytes = bytes
  cursor.at = 1
  if (cursor.submessage(bytes.length) !== bytes.length || bytes[cursor.at++] !== 0x0a) return null
  const end = cursor.submessage(bytes.length)
  if (end === UNREADABLE || !readVarints(end, 3)) return null
  const [campaign, index, attempt] = fields as [number, number, number]
  if (campaign === 0 || attempt === 0 || index > 0xffff_ffff || attempt > 0xffff_ffff) return null
  if (bytes[cursor.at++] !== 0x10) return null
  const phase = phases[cursor.varint(bytes.length)]
  if (phase === undefined) return null
  const result = phase === "ended" ? quickResult(bytes) : null
  if (cursor.at !== bytes.length || (phase === "ended") !== (result !== null)) return null
  return { campaign: campaign as CampaignId, index, attempt, phase, result }
}

function quickResult(bytes: Uint8Array): Result | null {
  const { length } = bytes
  if (bytes[cursor.at++] !== 0x1a || cursor.submessage(length) !== length) return null
  if (bytes[cursor.at++] !== 0x08) return null
  const outcome = outcomes[cursor.varint(length)]
  let exitCode = 0
  if (bytes[cursor.at] === 0x10) {
    cursor.at++
    exitCode = cursor.varint(length)
    if (exitCode <= 0 || exitCode > 255) return null
  }
  if (outcome === undefined || (outcome === "finished" && exitCode !== 0)) return null
  // Two logs with nothing in them, or not there.
  for (const tag of [0x2a, 0x32]) {
    if (bytes[cursor.at] !== tag) continue
    if (bytes[cursor.at + 1] !== 0) return null
    cursor.at += 2
  }
  const runMs = quickDuration(0x3a)
  const cpuMs = quickDuration(0x42)
  let peakMemoryBytes = 0
  if (bytes[cursor.at] === 0x48) {
    cursor.at++
    peakMemoryBytes = cursor.varint(length)
    if (peakMemoryBytes <= 0 || peakMemoryBytes > 2 ** 50) return null
  }
  if (runMs === UNREADABLE || cpuMs === UNREADABLE) return null
  const rest = { message: "", warnings: "", stageout: null, stdout: noLog, stderr: noLog }
  return { outcome, exitCode, ...rest, runMs, cpuMs, peakMemoryBytes }
}

/** In ms. */
function quickDuration(tag: number): number {
  if (cursor.bytes[cursor.at] !== tag) return 0
  cursor.at++
  const end = cursor.submessage(cursor.bytes.length)
  if (end === UNREADABLE || !readVarints(end, 2)) return UNREADABLE
  const [seconds, nanos] = fields as [number, number]
  const ms = seconds * 1_000 + Math.round(nanos / 1e6)
  return nanos < 1e9 && ms <= RESULT_TIME_MAX_MS ? ms : UNREADABLE
}

/** Its number; null: not a heartbeat, or not a plain one. */
export function quickHeartbeat(bytes: Uint8Array): number | null {
  if (bytes[0] !== HEARTBEAT) return null
  cursor.bytes = bytes
  cursor.at = 1
  if (cursor.submessage(bytes.length) !== bytes.length || !readVarints(bytes.length, 1)) return null
  return fields[0]!
}

// ---- writing -------------------------------------------------------------------------------------------------------

const wirePhases: Record<ReportPhase, number> = { staging: 4, running: 5, returning: 6, ended: 7 }
const wireAnswers: Record<ReportAnswer, number> = { accepted: 1, already: 2, stale: 3 }

function attemptLength({ campaign, index, attempt }: AttemptName): number {
  return 2 + varintLength(campaign) + (index === 0 ? 0 : 1 + varintLength(index)) + varintLength(attempt)
}

/** With its tag as field 1 and its length, which is below 128. */
function putAttempt(bytes: Uint8Array, start: number, length: number, name: AttemptName): number {
  bytes[start] = 0x0a
  bytes[start + 1] = length
  bytes[start + 2] = 0x08
  let at = putVarint(bytes, start + 3, name.campaign)
  if (name.index !== 0) {
    bytes[at++] = 0x10
    at = putVarint(bytes, at, name.index)
  }
  bytes[at++] = 0x18
  return putVarint(bytes, at, name.attempt)
}

export function reportAnswerFrame(name: AttemptName, phase: ReportPhase, answer: ReportAnswer): Uint8Array {
  const length = attemptLength(name)
  const frame = Buffer.allocUnsafe(2 + 2 + length + 4)
  frame[0] = 0x2a
  frame[1] = frame.length - 2
  let at = putAttempt(frame, 2, length, name)
  frame[at++] = 0x10
  frame[at++] = wirePhases[phase]
  frame[at++] = 0x18
  frame[at] = wireAnswers[answer]
  return frame
}

/** What the offers of a campaign have in common: owner and specification, with tags and lengths. */
const commons = new WeakMap<Uint8Array, { readonly owner: string; readonly bytes: Buffer }>()

function commonOf({ owner, spec }: FullOffer): Buffer {
  const known = commons.get(spec)
  if (known?.owner === owner) return known.bytes
  const name = Buffer.from(owner)
  const bytes = Buffer.concat([field(0x12, name), field(0x1a, spec)])
  commons.set(spec, { owner, bytes })
  return bytes
}

/** Of no length: not written at all. */
function field(tag: number, content: Uint8Array): Buffer {
  if (content.length === 0) return Buffer.alloc(0)
  const head = Buffer.allocUnsafe(1 + varintLength(content.length))
  head[0] = tag
  putVarint(head, 1, content.length)
  return Buffer.concat([head, content])
}

/** Null: it has a shape, which is written the long way. */
export function offerFrame(offer: FullOffer): Uint8Array | null {
  const { line, total, shape, inside } = offer
  if (shape !== null) return null
  const length = attemptLength(offer)
  const common = commonOf(offer)
  const text = line === null ? null : Buffer.from(line)
  // JobParameters with its one field, which is not written when it is empty.
  const inner = text === null || text.length === 0 ? 0 : 1 + varintLength(text.length) + text.length
  const parameters = text === null ? 0 : 1 + varintLength(inner) + inner
  const body = 2 + length + common.length + parameters + (total === 0 ? 0 : 1 + varintLength(total)) + (inside ? 2 : 0)
  const frame = Buffer.allocUnsafe(1 + varintLength(body) + body)
  frame[0] = 0x1a
  let at = putAttempt(frame, putVarint(frame, 1, body), length, offer)
  frame.set(common, at)
  at += common.length
  if (text !== null) {
    frame[at] = 0x22
    at = putVarint(frame, at + 1, inner)
    if (inner > 0) {
      frame[at] = 0x0a
      at = putVarint(frame, at + 1, text.length)
      frame.set(text, at)
      at += text.length
    }
  }
  if (total !== 0) {
    frame[at] = 0x28
    at = putVarint(frame, at + 1, total)
  }
  if (inside) {
    frame[at] = 0x38
    frame[at + 1] = 1
  }
  return frame
}
