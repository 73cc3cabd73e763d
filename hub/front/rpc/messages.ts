// The bytes of a call's messages on their way to the decoder: each is whole, within its method's bound and scanned before it goes
// on, and each is here in time. Three ways to write messages come by: a bare one (Connect), enveloped ones (gRPC, gRPC-web,
// Connect's streams), and one in the query of a GET.
import type { DescMethod } from "@bufbuild/protobuf"
import { CahError } from "../../core/errors.ts"
import { MESSAGE_MS } from "../../limits.ts"
import type { Bound } from "./bounds.ts"
import { scanBinary, scanJson } from "./scan.ts"

/** One byte of flags, four of length. */
const ENVELOPE_HEAD_BYTES = 5

type Messages = AsyncGenerator<Uint8Array, void, undefined>

export interface Rule extends Bound {
  readonly method: DescMethod
  /** How long one message may take to come; smaller in tests. */
  readonly ms?: number
}

/** The messages of a body of this type. Throws CahErrors as it is read: resource_exhausted, invalid_argument, aborted. */
export function checkedBody(body: AsyncIterable<Uint8Array>, contentType: string, rule: Rule): Messages {
  const isJson = /json/i.test(contentType)
  const check = (bytes: Uint8Array) => checkMessage(bytes, isJson, rule)
  const pieces = new Pieces(body, rule)
  const isEnveloped = /^\s*application\/(?:grpc|connect\+)/i.test(contentType)
  return isEnveloped ? enveloped(pieces, rule, check) : bare(pieces, rule, check)
}

/** Of a GET. CahError invalid_argument. */
export function checkQuery(query: URLSearchParams, rule: Rule): void {
  const message = query.get("message") ?? ""
  const bytes = Buffer.from(message, query.get("base64") === "1" ? "base64url" : "utf8")
  checkMessage(bytes, query.get("encoding") !== "proto", rule)
}

function checkMessage(bytes: Uint8Array, isJson: boolean, { method, entries }: Rule): void {
  if (isJson) scanJson(method.input, bytes, entries)
  else scanBinary(method.input, bytes, entries)
}

async function* bare(pieces: Pieces, rule: Rule, check: (bytes: Uint8Array) => void): Messages {
  const held = new Held()
  pieces.begin()
  for (let piece = await pieces.next(); piece !== null; piece = await pieces.next()) {
    if (held.length + piece.length > rule.bytes) throw tooLarge(rule)
    held.add(piece)
  }
  pieces.stop()
  const whole = held.take(held.length)
  check(whole)
  yield whole
}

async function* enveloped(pieces: Pieces, rule: Rule, check: (bytes: Uint8Array) => void): Messages {
  const held = new Held()
  // A call of one message has no reason to wait with it; in a stream each has its time once it has begun.
  if (rule.method.methodKind === "unary" || rule.method.methodKind === "server_streaming") pieces.begin()
  for (let piece = await pieces.next(); piece !== null; piece = await pieces.next()) {
    pieces.begin()
    held.add(piece)
    while (held.length >= ENVELOPE_HEAD_BYTES) {
      const size = held.bytes.readUInt32BE(1)
      if (size > rule.bytes) throw tooLarge(rule)
      if (held.length < ENVELOPE_HEAD_BYTES + size) break
      const envelope = held.take(ENVELOPE_HEAD_BYTES + size)
      // With flags it is compressed or no message, and the hub takes neither: the protocol says so.
      if (envelope[0] === 0) check(envelope.subarray(ENVELOPE_HEAD_BYTES))
      pieces.stop()
      yield envelope
      if (held.length > 0) pieces.begin()
    }
  }
  pieces.stop()
  // An envelope that was cut: the decoder says so.
  if (held.length > 0) yield held.take(held.length)
}

/** Bytes that came, side by side: a list of pieces would cost a hundred bytes for each byte of a sender who sends them one by one. */
class Held {
  length = 0
  #buffer: Buffer = Buffer.alloc(0)

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length)
  }

  add(piece: Uint8Array): void {
    const length = this.length + piece.length
    if (length > this.#buffer.length) {
      // The first piece is often all there is: no copy. It is never written to, for the next one moves both.
      if (this.length === 0) this.#buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.length)
      else {
        const larger = Buffer.allocUnsafeSlow(2 * length)
        this.#buffer.copy(larger, 0, 0, this.length)
        larger.set(piece, this.length)
        this.#buffer = larger
      }
    } else this.#buffer.set(piece, this.length)
    this.length = length
  }

  /** The first so many, which are the taker's from then on. */
  take(count: number): Buffer {
    const taken = this.#buffer.subarray(0, count)
    const rest = this.#buffer.subarray(count, this.length)
    this.length = rest.length
    this.#buffer = rest
    return taken
  }
}

/** A body's pieces, with a time by which the message that has begun must be whole. */
class Pieces {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #ms: number
  #deadlineMs: number | null = null

  constructor(body: AsyncIterable<Uint8Array>, { ms }: Rule) {
    this.#source = body[Symbol.asyncIterator]()
    this.#ms = ms ?? MESSAGE_MS
  }

  begin(): void {
    this.#deadlineMs ??= performance.now() + this.#ms
  }

  stop(): void {
    this.#deadlineMs = null
  }

  /** Null: that was all. */
  async next(): Promise<Uint8Array | null> {
    const piece = this.#source.next()
    const { done, value } = this.#deadlineMs === null ? await piece : await this.#inTime(piece, this.#deadlineMs)
    return done ? null : value
  }

  #inTime<T>(piece: Promise<T>, deadlineMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(tooLate(this.#ms)), Math.max(0, deadlineMs - performance.now()))
      piece.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }
}

export function tooLate(ms: number): CahError {
  return new CahError("aborted", `a message did not come within ${ms / 1_000} s: send it faster or in parts`)
}

function tooLarge({ method, bytes }: Rule): CahError {
  return new CahError("resource_exhausted", `a ${method.input.name} has at most ${bytes} bytes`, { retry: "never" })
}
