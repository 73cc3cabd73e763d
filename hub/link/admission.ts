// Who may begin a link at all, decided on the HTTP request, before the upgrade costs anything: browsers may not, strangers
// may not crowd others out, and a hub that is late already takes nobody new. Answers are HTTP, with a Retry-After that
// spreads those who are sent away. What there is too little of is shared by address: of links that have not said hello the
// address that has most gives one up, and of accepts a second half is for addresses that took few. Counts links; holds no socket.
import type { IncomingMessage } from "node:http"
import { SUBPROTOCOL } from "../../proto/wire/frame.ts"
import {
  ACCEPTS_BURST,
  ACCEPTS_FREE_PER_ADDRESS,
  ACCEPTS_PER_ADDRESS_PER_SECOND,
  ACCEPTS_PER_SECOND,
  LINKS_MAX,
  LINKS_PER_ADDRESS_MAX,
  LOOP_LAG_MAX_MS,
  OVERLOAD_RETRY_MS,
  PENDING_HELLOS_MAX,
  PENDING_HELLOS_PER_ADDRESS_MAX,
} from "../limits.ts"
import type { Peer } from "../peers.ts"
import { Shares } from "../shares.ts"
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
  readonly pendingHellosPerAddressMax: number
  readonly acceptsPerSecond: number
  readonly acceptsBurst: number
}

export const admissionLimits: AdmissionLimits = {
  linksMax: LINKS_MAX,
  linksPerAddressMax: LINKS_PER_ADDRESS_MAX,
  pendingHellosMax: PENDING_HELLOS_MAX,
  pendingHellosPerAddressMax: PENDING_HELLOS_PER_ADDRESS_MAX,
  acceptsPerSecond: ACCEPTS_PER_SECOND,
  acceptsBurst: ACCEPTS_BURST,
}

/** Whose upgrade it is: the address's block, and whether bounds by address say anything of it. */
export type From = Pick<Peer, "address" | "block" | "isCounted">

/** Links that may be open, and their hellos that may be awaited. */
export class Admissions {
  readonly #limits: AdmissionLimits
  readonly #random: () => number
  readonly #accepts: Bucket
  readonly #hellos: Shares
  readonly #perBlock = new Map<string, number>()
  /** Of addresses that were accepted lately, which of them took little. */
  readonly #acceptsOf = new Map<string, Bucket>()
  #links = 0

  constructor(limits: AdmissionLimits, random: () => number, nowMs: number) {
    this.#limits = limits
    this.#random = random
    this.#accepts = new Bucket(limits.acceptsPerSecond, limits.acceptsBurst, nowMs)
    this.#hellos = new Shares(limits.pendingHellosMax, limits.pendingHellosMax)
  }

  /** Null: welcome, and to be counted by entered(). */
  judge(request: IncomingMessage, from: From, now: { nowMs: number; lagMs: number }): Refusal | null {
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
    const { linksPerAddressMax, pendingHellosPerAddressMax } = this.#limits
    const here = this.#perBlock.get(from.block) ?? 0
    if (from.isCounted && here >= linksPerAddressMax) {
      return { ...this.overloaded(`${here} agents are connected from this address already`), status: 429 }
    }
    if (from.isCounted && this.#hellos.of(from.block) >= pendingHellosPerAddressMax) {
      return { ...this.overloaded("too many agents are joining from this address"), status: 429 }
    }
    if (!this.#hellos.hasRoomFor(from.block)) return this.overloaded("too many agents are joining")
    if (!this.#mayAccept(from, now.nowMs)) return this.overloaded("too many agents are joining")
    return null
  }

  overloaded(reason: string): Refusal {
    const spread = 1 + this.#random()
    return { status: 503, reason, retryAfterSeconds: Math.ceil((OVERLOAD_RETRY_MS * spread) / 1_000) }
  }

  /** Counts a link. `giveWay` is called when its hello is awaited no longer, for another address's sake. */
  entered({ block }: From, giveWay: () => void): Entry {
    const greeted = this.#hellos.take(block, giveWay) ?? (() => {})
    this.#links++
    this.#perBlock.set(block, (this.#perBlock.get(block) ?? 0) + 1)
    let isOpen = true
    return {
      greeted,
      left: () => {
        if (!isOpen) return
        isOpen = false
        greeted()
        this.#links--
        const rest = (this.#perBlock.get(block) ?? 1) - 1
        if (rest === 0) this.#perBlock.delete(block)
        else this.#perBlock.set(block, rest)
      },
    }
  }

  /** An address that took few lately may take the last ones; others leave it half of what may be taken at once. */
  #mayAccept({ block, isCounted }: From, nowMs: number): boolean {
    const own =
      this.#acceptsOf.get(block) ?? new Bucket(ACCEPTS_PER_ADDRESS_PER_SECOND, ACCEPTS_FREE_PER_ADDRESS, nowMs)
    // Set anew, so that the first is the one that was not heard of for longest.
    this.#acceptsOf.delete(block)
    this.#acceptsOf.set(block, own)
    for (const oldest of this.#acceptsOf.keys()) {
      if (this.#acceptsOf.size <= this.#limits.linksMax) break
      this.#acceptsOf.delete(oldest)
    }
    const kept = !isCounted || own.take(1, nowMs) ? 0 : this.#limits.acceptsBurst / 2
    if (!this.#accepts.has(1 + kept, nowMs)) return false
    return this.#accepts.take(1, nowMs)
  }
}

/** One link among those that are counted. */
export interface Entry {
  /** Its hello was settled. */
  greeted(): void
  left(): void
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
