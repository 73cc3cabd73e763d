// What a message costs to decode, found on its bytes: a decoder makes an object of some hundred bytes from each two of a
// stranger's, so that four megabytes stop the hub for seconds. Every field, element and level is counted here first, at a few
// nanoseconds each, and no further than its bound. What passes is well formed for the message's type: the decoder then fails at
// nothing, so that a malformed message is its sender's fault everywhere and never "internal".
import { isUtf8 } from "node:buffer"
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf"
import { WireType } from "@bufbuild/protobuf/wire"
import { CahError } from "../../core/errors.ts"
import { MESSAGE_DEPTH_MAX, MESSAGE_DIGITS_MAX } from "../../limits.ts"

/** CahError invalid_argument for what is not of this type, or has more than `max` fields and elements at all levels. */
export function scanBinary(type: DescMessage, bytes: Uint8Array, max: number): void {
  new BinaryScan(type.name, bytes, max).message(shapeOf(type), bytes.length, 0)
}

/** Likewise for JSON: objects, arrays and what stands between commas. Whether it is JSON at all says the parser, quickly. */
export function scanJson(type: DescMessage, bytes: Uint8Array, max: number): void {
  let entries = 0
  let depth = 0
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = endOfString(type, bytes, at)
        continue
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (++depth > MESSAGE_DEPTH_MAX) throw unfit(type.name, `is nested more than ${MESSAGE_DEPTH_MAX} levels deep`)
        entries++
        break
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth--
        continue
      case COMMA:
        entries++
        break
      default:
        continue
    }
    if (entries > max) throw tooMany(type.name, max)
  }
}

const [QUOTE, BACKSLASH, COMMA, ZERO, NINE] = [0x22, 0x5c, 0x2c, 0x30, 0x39]
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d]

/** Where its closing quote stands. A number in quotes costs the square of its length to read: it has a bound of its own. */
function endOfString(type: DescMessage, bytes: Uint8Array, from: number): number {
  let digits = 0
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) {
      if (digits > MESSAGE_DIGITS_MAX) throw unfit(type.name, `has a number of ${digits} digits`)
      return at
    }
    if (byte === BACKSLASH) at++
    else if (byte >= ZERO && byte <= NINE) digits++
    else digits = Number.NEGATIVE_INFINITY
  }
  return bytes.length
}

// ---- protobuf's binary form ---------------------------------------------------------------------------------------

/** How a field stands in the bytes. */
interface Field {
  readonly wire: WireType
  /** Of its content, where it is a message. */
  readonly message: Shape | null
  readonly isText: boolean
  /** Elements of a list of numbers may stand in one field: bytes of each, or null for varints. Undefined: they may not. */
  readonly packed: 4 | 8 | null | undefined
}
type Shape = ReadonlyMap<number, Field>

const shapes = new WeakMap<DescMessage, Shape>()

/** By type: made once, at its first message. */
function shapeOf(type: DescMessage): Shape {
  const known = shapes.get(type)
  if (known !== undefined) return known
  const shape = new Map<number, Field>()
  // Before its fields, which may be of the same type.
  shapes.set(type, shape)
  for (const field of type.fields) shape.set(field.number, fieldOf(field))
  return shape
}

function fieldOf(field: DescField): Field {
  switch (field.fieldKind) {
    case "scalar":
      return ofScalar(field.scalar, false)
    case "enum":
      return ofScalar(ScalarType.INT32, false)
    case "message":
      return ofMessage(shapeOf(field.message))
    case "list":
      if (field.listKind === "message") return ofMessage(shapeOf(field.message))
      return ofScalar(field.listKind === "enum" ? ScalarType.INT32 : field.scalar, true)
    case "map": {
      const value =
        field.mapKind === "message"
          ? ofMessage(shapeOf(field.message))
          : ofScalar(field.mapKind === "enum" ? ScalarType.INT32 : field.scalar, false)
      const entry = new Map([
        [1, ofScalar(field.mapKey, false)],
        [2, value],
      ])
      return ofMessage(entry)
    }
  }
}

function ofMessage(message: Shape): Field {
  return { wire: WireType.LengthDelimited, message, isText: false, packed: undefined }
}

function ofScalar(scalar: ScalarType, isList: boolean): Field {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return {
        wire: WireType.LengthDelimited,
        message: null,
        isText: scalar === ScalarType.STRING,
        packed: undefined,
      }
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return { wire: WireType.Bit64, message: null, isText: false, packed: isList ? 8 : undefined }
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return { wire: WireType.Bit32, message: null, isText: false, packed: isList ? 4 : undefined }
    default:
      return { wire: WireType.Varint, message: null, isText: false, packed: isList ? null : undefined }
  }
}

class BinaryScan {
  readonly #name: string
  readonly #bytes: Uint8Array
  readonly #max: number
  #at = 0
  #entries = 0

  constructor(name: string, bytes: Uint8Array, max: number) {
    this.#name = name
    this.#bytes = bytes
    this.#max = max
  }

  message(shape: Shape, end: number, depth: number): void {
    if (depth > MESSAGE_DEPTH_MAX) throw unfit(this.#name, `is nested more than ${MESSAGE_DEPTH_MAX} levels deep`)
    while (this.#at < end) {
      const tag = this.#varint(end, 5)
      const [number, wire] = [tag >>> 3, tag & 7]
      if (number === 0) throw this.#malformed()
      this.#count()
      const field = shape.get(number)
      if (field === undefined || wire === field.wire) this.#content(field, wire, end, depth)
      else if (field.packed !== undefined && wire === WireType.LengthDelimited) this.#packed(field.packed, end)
      else throw this.#malformed()
    }
  }

  #content(field: Field | undefined, wire: number, end: number, depth: number): void {
    switch (wire) {
      case WireType.Varint:
        this.#varint(end, 10)
        return
      case WireType.Bit64:
        this.#skip(8, end)
        return
      case WireType.Bit32:
        this.#skip(4, end)
        return
      case WireType.LengthDelimited: {
        const from = this.#at
        const to = this.#lengthDelimited(end)
        if (field === undefined) return
        if (field.isText && !isUtf8(this.#bytes.subarray(this.#at - to, this.#at))) throw this.#malformed()
        if (field.message === null) return
        this.#at -= to
        this.message(field.message, this.#at + to, depth + 1)
        if (this.#at < from) throw this.#malformed()
        return
      }
      default:
        // Groups: no type of ours has one.
        throw this.#malformed()
    }
  }

  /** Goes past it, and says how long it was. */
  #lengthDelimited(end: number): number {
    const length = this.#varint(end, 5) >>> 0
    this.#skip(length, end)
    return length
  }

  #packed(size: 4 | 8 | null, end: number): void {
    const length = this.#lengthDelimited(end)
    if (size !== null) {
      if (length % size !== 0) throw this.#malformed()
      for (let n = 0; n < length / size; n++) this.#count()
      return
    }
    const to = this.#at
    this.#at -= length
    while (this.#at < to) {
      this.#varint(to, 10)
      this.#count()
    }
  }

  #skip(length: number, end: number): void {
    if (length > end - this.#at) throw this.#malformed()
    this.#at += length
  }

  /** Its lower 32 bits. */
  #varint(end: number, bytesMax: number): number {
    let value = 0
    for (let n = 0; n < bytesMax && this.#at < end; n++) {
      const byte = this.#bytes[this.#at++]!
      if (n < 5) value |= (byte & 0x7f) << (7 * n)
      // Five bytes have three bits more than a tag or a length may.
      if (byte < 0x80 && (bytesMax > 5 || n < 4 || byte < 0x10)) return value
    }
    throw this.#malformed()
  }

  #count(): void {
    if (++this.#entries > this.#max) throw tooMany(this.#name, this.#max)
  }

  #malformed(): CahError {
    return unfit(this.#name, "is malformed: its bytes are not protobuf of this type")
  }
}

function tooMany(name: string, max: number): CahError {
  return unfit(name, `has more than ${max} fields and elements: send it in several calls or messages`)
}

function unfit(name: string, why: string): CahError {
  return new CahError("invalid_argument", `the ${name} ${why}`)
}
