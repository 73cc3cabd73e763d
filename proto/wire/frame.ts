// Frames as bytes: one binary WebSocket message is one envelope, HubFrame or AgentFrame. Everything that can be wrong
// with bytes from a stranger is found here and becomes a FrameError, which carries the code to close the link with.
// Sizes and counts are capped before the decoder runs, lengths right after it. No I/O, and no meaning: what a well-formed
// frame says is judged by each side's convert.ts, and whether it may come now by link.ts.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire"
import { type AgentFrame, AgentFrameSchema, type HubFrame, HubFrameSchema } from "../gen/cah/v1/link_pb.ts"
import { AGENT_CHUNK, HUB_CHUNK, quickChunk } from "./bulk.ts"

/** The WebSocket subprotocol: which messages are spoken. Within it, versions are agreed in challenge and hello. */
export const SUBPROTOCOL = "cah.v1"
/** Protocol versions that this tree speaks. A hub and an agent use the highest that both know. */
export const PROTOCOL_MIN = 1
export const PROTOCOL_MAX = 1

/** One WebSocket message. Room for four chunks' worth of anything, small enough to decode in a millisecond. */
export const FRAME_MAX_BYTES = 256 * 1024
/** Data of one chunk. At 64 KiB a control frame waits 1.6 ms at worst behind bulk (p99, measured); at 1 MiB, 33 ms. */
export const CHUNK_MAX_BYTES = 64 * 1024
/** What a receiver lets a sender far away have under way on one stream, at least; and while it has few streams. */
export const STREAM_WINDOW_BYTES = 256 * 1024
export const STREAM_WINDOW_WIDE_BYTES = 512 * 1024
/** Transfers (stagein, stageout) that an agent may have open at once: bounds files open at the hub. */
export const STREAMS_MAX = 8
/** Log streams open at once. The hub asks for them two at a time, stdout and stderr of one attempt. */
export const LOG_STREAMS_MAX = 16
/** Attempts in one hello, and answers in one welcome. */
export const HOLDING_MAX = 1_024
/** Properties of a node. */
export const PROPERTIES_MAX = 256
/** Characters of an identifier or a version, and of a sentence for people. */
export const NAME_MAX_CHARACTERS = 128
export const VALUE_MAX_CHARACTERS = 256
export const SENTENCE_MAX_CHARACTERS = 2_048
/** A log up to here travels inside a report. */
export const LOG_INLINE_MAX_BYTES = 16 * 1024

/** Why a link was closed: the WebSocket close code. 1001, 1009 and 1013 are the standard's; ours begin at 4001. */
export const closeCodes = {
  /** The hub is going down, or the agent is. Come back later. */
  goingAway: 1001,
  /** Sent by the WebSocket library for a message beyond FRAME_MAX_BYTES. */
  tooBig: 1009,
  /** Something inside failed. Come back later. */
  tryAgainLater: 1013,
  /** A newer session of the same node took over. */
  superseded: 4001,
  /** No protocol version that both sides speak. */
  version: 4002,
  /** Not enrolled, revoked, or a signature that does not fit. */
  denied: 4003,
  /** A frame that is malformed, out of order, beyond its credit or beyond a limit. */
  breach: 4004,
  /** The other side did not take what was sent for too long. */
  tooSlow: 4005,
  /** Nothing was heard, not even an answer to pings. */
  silent: 4006,
  /** The hello, the challenge or the welcome did not come in time. */
  helloTimeout: 4008,
} as const

export type CloseCode = (typeof closeCodes)[keyof typeof closeCodes]

/** The other side broke the protocol. Closes the link with `closeCode`; the message is for the other side's operator. */
export class FrameError extends Error {
  override readonly name = "FrameError"
  readonly closeCode: CloseCode

  constructor(message: string, closeCode: CloseCode = closeCodes.breach, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.closeCode = closeCode
  }
}

/** A body that is set: what decoding gives. */
export type HubBody = Exclude<HubFrame["body"], { case: undefined }>
export type AgentBody = Exclude<AgentFrame["body"], { case: undefined }>
/** A body as one writes it down: plain objects do. */
export type HubBodyInit = NonNullable<MessageInitShape<typeof HubFrameSchema>["body"]> & { case: HubBody["case"] }
export type AgentBodyInit = NonNullable<MessageInitShape<typeof AgentFrameSchema>["body"]> & {
  case: AgentBody["case"]
}

export function encodeHubFrame(body: HubBodyInit): Uint8Array {
  return withinBounds(toBinary(HubFrameSchema, create(HubFrameSchema, { body })), body.case)
}

export function encodeAgentFrame(body: AgentBodyInit): Uint8Array {
  return withinBounds(toBinary(AgentFrameSchema, create(AgentFrameSchema, { body })), body.case)
}

/** Of a frame from the hub. Throws FrameError and nothing else. */
export function decodeHubFrame(bytes: Uint8Array): HubBody {
  const chunk = quickChunk(HUB_CHUNK, bytes)
  const body =
    chunk ?? decode(bytes, hubKinds, () => fromBinary(HubFrameSchema, bytes, { readUnknownFields: false }).body)
  checkHubLengths(body)
  return body
}

/** Of a frame from an agent. Throws FrameError and nothing else. */
export function decodeAgentFrame(bytes: Uint8Array): AgentBody {
  const chunk = quickChunk(AGENT_CHUNK, bytes)
  const body =
    chunk ?? decode(bytes, agentKinds, () => fromBinary(AgentFrameSchema, bytes, { readUnknownFields: false }).body)
  checkAgentLengths(body)
  return body
}

/** A uint64 of the wire as a number. Nothing that we count comes near 2^53. */
export function safeInteger(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FrameError(`${what} is beyond 2^53: ${value}`)
  return Number(value)
}

// ---- before the decoder ----------------------------------------------------------------------------------------

/** How often a repeated message field, reached by these field numbers from the frame's body, may occur. */
interface CountLimit {
  readonly path: readonly number[]
  readonly max: number
  readonly what: string
}

// A decoder makes an object of some hundred bytes from each empty submessage of two: 256 KiB would become 13 MiB. So
// they are counted on the bytes. (`holding` and `properties` of Hello; `reconciled` of Welcome.)
const countLimits: Record<string, readonly CountLimit[]> = {
  hello: [
    { path: [9], max: HOLDING_MAX, what: "attempts held" },
    { path: [8, 5], max: PROPERTIES_MAX, what: "properties" },
  ],
  welcome: [{ path: [6], max: HOLDING_MAX, what: "attempts reconciled" }],
}

type Kinds = ReadonlyMap<number, string>

const hubKinds: Kinds = new Map(HubFrameSchema.fields.map(field => [field.number, field.localName]))
const agentKinds: Kinds = new Map(AgentFrameSchema.fields.map(field => [field.number, field.localName]))

function decode<Body extends { case: string }>(
  bytes: Uint8Array,
  kinds: Kinds,
  decoder: () => Body | { case: undefined; value?: undefined },
): Body {
  if (bytes.length > FRAME_MAX_BYTES) {
    throw new FrameError(`a frame of ${bytes.length} bytes; at most ${FRAME_MAX_BYTES} are allowed`, closeCodes.tooBig)
  }
  try {
    const { kind, body } = only(bytes, kinds)
    for (const limit of countLimits[kind] ?? []) {
      const count = countAt(body, limit.path)
      if (count > limit.max)
        throw new FrameError(`${kind} with ${count} ${limit.what}; at most ${limit.max} are allowed`)
    }
    const decoded = decoder()
    if (decoded.case === undefined) throw new FrameError("a frame of unknown kind")
    return decoded
  } catch (error) {
    if (error instanceof FrameError) throw error
    // Decoders throw plain errors (and range errors) at malformed bytes.
    throw new FrameError("a malformed frame", closeCodes.breach, error)
  }
}

/**
 * The envelope's one field, which must fill the frame. Protobuf would merge repeated ones: a way to smuggle, and one
 * that no encoder uses.
 */
function only(bytes: Uint8Array, kinds: Kinds): { kind: string; body: Uint8Array } {
  if (bytes.length === 0) throw new FrameError("an empty frame")
  const reader = new BinaryReader(bytes)
  const [field, wireType] = reader.tag()
  const kind = kinds.get(field)
  if (kind === undefined) throw new FrameError(`a frame of unknown kind: field ${field}`)
  if (wireType !== WireType.LengthDelimited) throw new FrameError(`a malformed frame: ${kind} is not a message`)
  const length = reader.uint32()
  if (reader.pos + length !== bytes.length) {
    throw new FrameError(`a malformed frame: ${kind} says ${length} bytes, there are ${bytes.length - reader.pos}`)
  }
  return { kind, body: bytes.subarray(reader.pos) }
}

function countAt(message: Uint8Array, path: readonly number[]): number {
  const [wanted, ...rest] = path
  const reader = new BinaryReader(message)
  let count = 0
  while (reader.pos < message.length) {
    const [field, wireType] = reader.tag()
    const content = reader.skip(wireType, field)
    if (field !== wanted) continue
    if (rest.length === 0) count++
    else if (wireType === WireType.LengthDelimited) count += countAt(withoutLength(content), rest)
  }
  return count
}

function withoutLength(field: Uint8Array): Uint8Array {
  const reader = new BinaryReader(field)
  reader.uint32()
  return field.subarray(reader.pos)
}

// ---- after the decoder -----------------------------------------------------------------------------------------

function checkAgentLengths(body: AgentBody): void {
  switch (body.case) {
    case "hello": {
      const hello = body.value
      text(hello.agentVersion, NAME_MAX_CHARACTERS, "agent_version")
      text(hello.enrolToken, VALUE_MAX_CHARACTERS, "enrol_token")
      text(hello.bootId, NAME_MAX_CHARACTERS, "boot_id")
      bytesExactly(hello.publicKey, 32, "public_key")
      bytesExactly(hello.signature, 64, "signature")
      text(hello.node?.name ?? "", NAME_MAX_CHARACTERS, "the node's name")
      for (const property of hello.node?.properties ?? []) {
        text(property.name, NAME_MAX_CHARACTERS, "a property's name")
        text(property.value, VALUE_MAX_CHARACTERS, `property ${property.name}`)
      }
      return
    }
    case "report": {
      text(body.value.result?.message ?? "", SENTENCE_MAX_CHARACTERS, "the result's message")
      text(body.value.result?.warnings ?? "", SENTENCE_MAX_CHARACTERS, "the result's warnings")
      for (const log of [body.value.result?.stdout, body.value.result?.stderr]) {
        bytesUpTo(log?.inline, LOG_INLINE_MAX_BYTES, "an inline log")
        text(log?.blob?.digest ?? "", NAME_MAX_CHARACTERS, "a digest")
      }
      text(body.value.result?.stageout?.digest ?? "", NAME_MAX_CHARACTERS, "a digest")
      return
    }
    case "streamOpen":
      text(body.value.blob?.digest ?? "", NAME_MAX_CHARACTERS, "a digest")
      return
    case "chunk":
      bytesUpTo(body.value.data, CHUNK_MAX_BYTES, "a chunk")
      return
    case "streamEnd":
      text(body.value.message, SENTENCE_MAX_CHARACTERS, "a stream's message")
      return
    case "heartbeat":
    case "credit":
    case "streamOpened":
    case "listGather":
      return
    default:
      body satisfies never
  }
}

function checkHubLengths(body: HubBody): void {
  switch (body.case) {
    case "challenge":
      text(body.value.hubId, NAME_MAX_CHARACTERS, "hub_id")
      bytesExactly(body.value.nonce, 32, "nonce")
      return
    case "welcome":
      text(body.value.nodeId, NAME_MAX_CHARACTERS, "node_id")
      return
    case "offer":
      text(body.value.owner, VALUE_MAX_CHARACTERS, "owner")
      return
    case "kill":
    case "goodbye":
      text(body.value.reason, SENTENCE_MAX_CHARACTERS, "reason")
      return
    case "chunk":
      bytesUpTo(body.value.data, CHUNK_MAX_BYTES, "a chunk")
      return
    case "streamEnd":
      text(body.value.message, SENTENCE_MAX_CHARACTERS, "a stream's message")
      return
    case "gatherPage":
      text(body.value.message, SENTENCE_MAX_CHARACTERS, "a gather's message")
      for (const entry of body.value.entries) text(entry.blob?.digest ?? "", NAME_MAX_CHARACTERS, "a digest")
      return
    case "reportAnswer":
    case "heartbeatAnswer":
    case "followLog":
    case "streamOpened":
    case "credit":
    case "streamStored":
      return
    default:
      body satisfies never
  }
}

function text(value: string, max: number, what: string): void {
  if (value.length > max) throw new FrameError(`${what} has ${value.length} characters; at most ${max} are allowed`)
}

function bytesUpTo(value: Uint8Array | undefined, max: number, what: string): void {
  if (value !== undefined && value.length > max) {
    throw new FrameError(`${what} of ${value.length} bytes; at most ${max} are allowed`)
  }
}

function bytesExactly(value: Uint8Array, length: number, what: string): void {
  if (value.length !== length) throw new FrameError(`${what} has ${value.length} bytes instead of ${length}`)
}

/** A frame of ours beyond the limit is our own bug: whatever fills it must be bounded where it is made. */
function withinBounds(frame: Uint8Array, kind: string): Uint8Array {
  if (frame.length > FRAME_MAX_BYTES) throw new Error(`our own ${kind} frame has ${frame.length} bytes`)
  return frame
}
