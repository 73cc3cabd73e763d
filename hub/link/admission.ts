// Who may begin a link at all, decided on the HTTP request, before the upgrade costs anything: browsers may not, strangers
// may not crowd others out, and a hub that is late already takes nobody new. Answers are HTTP, with a Retry-After that
// spreads those who are sent away. Counts links; holds no socket.
import type { IncomingMessage } from "node:http"
import { isIPv6 } from "node:net"
import { SUBPROTOCOL } from "../../proto/wire/frame.ts"
import {
  ACCEPTS_BURST,
  ACCEPTS_PER_SECOND,
  LINKS_MAX,
  LINKS_PER_ADDRESS_MAX,
  LOOP_LAG_MAX_MS,
  OVERLOAD_RETRY_MS,
  PENDING_HELLOS_MAX,
} from "../limits.ts"
import { Bucket } from "./bucket.ts"

/** An answer instead of an upgrade. */
export interface Refusal {
  readonly status: 400 | 403 | 404 | 429 | 503
  readonly reason: string
  /** For those who may come back. */
  readonly retryAfterSeconds?: number
}

export interface AdmissionLimits {
  readonly linksMax: number
  readonly linksPerAddressMax: number
  readonly pendingHellosMax: number
  readonly acceptsPerSecond: number
  readonly acceptsBurst: number
}

export const admissionLimits: AdmissionLimits = {
  linksMax: LINKS_MAX,
  linksPerAddressMax: LINKS_PER_ADDRESS_MAX,
  pendingHellosMax: PENDING_HELLOS_MAX,
  acceptsPerSecond: ACCEPTS_PER_SECOND,
  acceptsBurst: ACCEPTS_BURST,
}

export class Admissions {
  readonly #limits: AdmissionLimits
  readonly #random: () => number
  readonly #accepts: Bucket
  readonly #perAddress = new Map<string, number>()
  #links = 0
  #pendingHellos = 0

  constructor(limits: AdmissionLimits, random: () => number, nowMs: number) {
    this.#limits = limits
    this.#random = random
    this.#accepts = new Bucket(limits.acceptsPerSecond, limits.acceptsBurst, nowMs)
  }

  /** Null: welcome, and to be counted by entered(). */
  judge(request: IncomingMessage, address: string, now: { nowMs: number; lagMs: number }): Refusal | null {
    const path = (request.url ?? "").split("?", 1)[0]
    if (path !== "/agent") return { status: 404, reason: "agents connect to /agent; nothing else here is upgraded" }
    if (request.headers.origin !== undefined) {
      // A page in a volunteer's browser must not speak to the hub in the agent's place.
      return { status: 403, reason: "this is for agents; browsers may not connect" }
    }
    const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(",").map(protocol => protocol.trim())
    if (!protocols.includes(SUBPROTOCOL)) {
      return { status: 400, reason: `the WebSocket subprotocol must be ${SUBPROTOCOL}; upgrade the agent or the hub` }
    }
    if (now.lagMs > LOOP_LAG_MAX_MS) return this.overloaded("the hub is busy")
    if (this.#links >= this.#limits.linksMax) return this.overloaded("the hub has as many agents as it can serve")
    if (this.#pendingHellos >= this.#limits.pendingHellosMax) return this.overloaded("too many agents are joining")
    const here = this.#perAddress.get(addressBlock(address)) ?? 0
    if (here >= this.#limits.linksPerAddressMax && !isLoopback(address)) {
      return { ...this.overloaded(`${here} agents are connected from this address already`), status: 429 }
    }
    if (!this.#accepts.take(1, now.nowMs)) return this.overloaded("too many agents are joining")
    return null
  }

  overloaded(reason: string): Refusal {
    const spread = 1 + this.#random()
    return { status: 503, reason, retryAfterSeconds: Math.ceil((OVERLOAD_RETRY_MS * spread) / 1_000) }
  }

  entered(address: string): void {
    const block = addressBlock(address)
    this.#links++
    this.#pendingHellos++
    this.#perAddress.set(block, (this.#perAddress.get(block) ?? 0) + 1)
  }

  /** Its hello was settled. */
  greeted(): void {
    this.#pendingHellos--
  }

  left(address: string): void {
    const block = addressBlock(address)
    const rest = (this.#perAddress.get(block) ?? 1) - 1
    this.#links--
    if (rest === 0) this.#perAddress.delete(block)
    else this.#perAddress.set(block, rest)
  }
}

/** The whole answer, as bytes of HTTP/1.1. */
export function refusalResponse(refusal: Refusal): string {
  const words: Record<Refusal["status"], string> = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
  }
  const body = `${refusal.reason}\n`
  const retry = refusal.retryAfterSeconds === undefined ? [] : [`Retry-After: ${refusal.retryAfterSeconds}`]
  return [
    `HTTP/1.1 ${refusal.status} ${words[refusal.status]}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...retry,
    "",
    body,
  ].join("\r\n")
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "")
  return plain === "::1" || plain.startsWith("127.")
}

/** One IPv4 address, or the /64 that one subscriber of IPv6 has to choose from. */
function addressBlock(address: string): string {
  const plain = address.replace(/^::ffff:/, "")
  if (!isIPv6(plain)) return plain
  const [head = "", tail = ""] = plain.split("::", 2)
  const left = head === "" ? [] : head.split(":")
  const right = tail === "" ? [] : tail.split(":")
  const middle = new Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0")
  return [...left, ...middle, ...right].slice(0, 4).join(":")
}
