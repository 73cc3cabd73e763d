// The frames of a job's life coded by hand, to the same bytes as the generated code (wire.test.ts holds them to it), so that
// agents that are simulated cost little beside the hub that is measured, and the bare hub is as fast as one can be. Trusts
// what it reads: for benchmarks only, never for anything that a stranger could send.

import { putVarint, varintLength } from "../proto/wire/varint.ts"

/** First byte of a frame: its field number and "length-delimited". */
export const kinds = {
  challenge: 0x0a,
  welcome: 0x12,
  offer: 0x1a,
  kill: 0x22,
  reportAnswer: 0x2a,
  heartbeatAnswer: 0x32,
  goodbye: 0x42,
  // From the agent.
  hello: 0x0a,
  heartbeat: 0x12,
  report: 0x1a,
} as const

export const phases = { staging: 4, running: 5, returning: 6, ended: 7 } as const
export type PhaseNumber = (typeof phases)[keyof typeof phases]

/** A result of a command that did nothing and said nothing: outcome finished, two empty logs, no time. */
const noopResult = Buffer.from("08012a0032003a004200", "hex")

/** Where a submessage AttemptId lies in a buffer, and what it says. One is made once and used again. */
export class AttemptAt {
  start = 0
  end = 0
  campaign = 0
  index = 0
  attempt = 0

  /** Reads the submessage that begins with its length at `at`. */
  read(bytes: Uint8Array, at: number): this {
    this.start = at + 1
    this.end = this.start + bytes[at]!
    this.campaign = 0
    this.index = 0
    this.attempt = 0
    let position = this.start
    while (position < this.end) {
      const tag = bytes[position++]!
      let value = 0
      let scale = 1
      for (;;) {
        const byte = bytes[position++]!
        value += (byte & 0x7f) * scale
        if (byte < 0x80) break
        scale *= 128
      }
      if (tag === 0x08) this.campaign = value
      else if (tag === 0x10) this.index = value
      else this.attempt = value
    }
    return this
  }
}

/** After the varint at `at`. */
export function afterVarint(bytes: Uint8Array, at: number): number {
  let position = at
  while (bytes[position++]! >= 0x80);
  return position
}

/** An AttemptId's bytes, without tag and length. */
export function attemptBytes(campaign: number, index: number, attempt: number): Buffer {
  const length = 1 + varintLength(campaign) + (index === 0 ? 0 : 1 + varintLength(index)) + 1 + varintLength(attempt)
  const bytes = Buffer.allocUnsafe(length)
  bytes[0] = 0x08
  let at = putVarint(bytes, 1, campaign)
  if (index !== 0) {
    bytes[at++] = 0x10
    at = putVarint(bytes, at, index)
  }
  bytes[at++] = 0x18
  putVarint(bytes, at, attempt)
  return bytes
}

// ---- agent to hub ------------------------------------------------------------------------------------------------

/** Bytes of a report about an attempt whose AttemptId has so many. */
export function reportLength(attemptLength: number, phase: PhaseNumber): number {
  return 6 + attemptLength + (phase === phases.ended ? 2 + noopResult.length : 0)
}

/** Writes a report; the AttemptId is copied from where the offer named it. Returns where the next byte goes. */
export function putReport(
  into: Uint8Array,
  at: number,
  source: Uint8Array,
  attempt: { readonly start: number; readonly end: number },
  phase: PhaseNumber,
): number {
  const attemptLength = attempt.end - attempt.start
  let position = at
  into[position++] = kinds.report
  into[position++] = reportLength(attemptLength, phase) - 2
  into[position++] = 0x0a
  into[position++] = attemptLength
  for (let from = attempt.start; from < attempt.end; from++) into[position++] = source[from]!
  into[position++] = 0x10
  into[position++] = phase
  if (phase !== phases.ended) return position
  into[position++] = 0x1a
  into[position++] = noopResult.length
  for (const byte of noopResult) into[position++] = byte
  return position
}

export function heartbeatFrame(sequence: number): Buffer {
  const frame = Buffer.allocUnsafe(3 + varintLength(sequence))
  frame[0] = kinds.heartbeat
  frame[1] = frame.length - 2
  frame[2] = 0x08
  putVarint(frame, 3, sequence)
  return frame
}

// ---- hub to agent ------------------------------------------------------------------------------------------------

/** "Accepted", about the report whose AttemptId is given. */
export function acceptedFrame(
  source: Uint8Array,
  attempt: { readonly start: number; readonly end: number },
  phase: number,
): Buffer {
  const attemptLength = attempt.end - attempt.start
  const frame = Buffer.allocUnsafe(8 + attemptLength)
  frame[0] = kinds.reportAnswer
  frame[1] = 6 + attemptLength
  frame[2] = 0x0a
  frame[3] = attemptLength
  for (let i = 0; i < attemptLength; i++) frame[4 + i] = source[attempt.start + i]!
  frame[4 + attemptLength] = 0x10
  frame[5 + attemptLength] = phase
  frame[6 + attemptLength] = 0x18
  frame[7 + attemptLength] = 1
  return frame
}

/** What all offers of a campaign share: owner and specification, and the number of jobs. */
export interface OfferParts {
  readonly ownerAndSpec: Buffer
  readonly arraySize: Buffer
}

export function offerParts(owner: string, spec: Uint8Array, total: number): OfferParts {
  const name = Buffer.from(owner)
  const head = Buffer.concat([Buffer.from([0x12, name.length]), name, Buffer.from([0x1a])])
  const length = Buffer.alloc(varintLength(spec.length))
  putVarint(length, 0, spec.length)
  const arraySize = Buffer.alloc(1 + varintLength(total))
  arraySize[0] = 0x28
  putVarint(arraySize, 1, total)
  return { ownerAndSpec: Buffer.concat([head, length, spec]), arraySize }
}

export function offerFrame(parts: OfferParts, attempt: Uint8Array, line: string | null): Buffer {
  const { ownerAndSpec, arraySize } = parts
  // A line of a benchmark is short: its lengths take one byte.
  const lineLength = line === null ? 0 : Buffer.byteLength(line)
  const parametersLength = line === null ? 0 : 4 + lineLength
  const body = 2 + attempt.length + ownerAndSpec.length + parametersLength + arraySize.length
  const frame = Buffer.allocUnsafe(1 + varintLength(body) + body)
  frame[0] = kinds.offer
  let at = putVarint(frame, 1, body)
  frame[at++] = 0x0a
  frame[at++] = attempt.length
  frame.set(attempt, at)
  at += attempt.length
  frame.set(ownerAndSpec, at)
  at += ownerAndSpec.length
  if (line !== null) {
    frame[at++] = 0x22
    frame[at++] = 2 + lineLength
    frame[at++] = 0x0a
    frame[at++] = lineLength
    frame.write(line, at)
    at += lineLength
  }
  frame.set(arraySize, at)
  return frame
}
