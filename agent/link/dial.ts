// The agent's link as its engine sees it: dials out, keeps at most one session, and comes back whenever that ends, with full
// jitter and by the hub's word. Nothing ever connects to an agent. What is asked for while there is no link waits for one
// (transfers) or is dropped (reports and heartbeats: the core repeats them).

import type { ClientRequest, IncomingMessage } from "node:http"
import { connect as connectTcp, isIP } from "node:net"
import type { Duplex } from "node:stream"
import { type ConnectionOptions, checkServerIdentity, connect as connectTls } from "node:tls"
import WebSocket, { type ClientOptions } from "ws"
import { isLoopback } from "../../common/address.ts"
import { backoffMs } from "../../common/backoff.ts"
import { addressOf } from "../../proto/guest/settings.ts"
import { closeCodes, FRAME_MAX_BYTES, SUBPROTOCOL } from "../../proto/wire/frame.ts"
import type { Event, ReportPhase } from "../core/events.ts"
import type { AttemptName, BlobRef, Result } from "../core/model.ts"
import { type Clock, Failure, type GatherPage, type Link, type Log, type LogSource } from "../core/ports.ts"
import {
  CLOSE_MS,
  FRAGMENTS_MAX,
  HANDSHAKE_MS,
  LINK_WATCH_MS,
  REFUSAL_MAX_BYTES,
  SENT_AWAY_FIRST_MS,
  SENT_AWAY_MAX_MS,
  SESSION_GOOD_MS,
  SUPERSEDED_RETRY_MS,
} from "../limits.ts"
import { Backoff } from "./backoff.ts"
import { reportBody } from "./convert.ts"
import type { Identity } from "./identity.ts"
import { type Membership, passingMembership } from "./membership.ts"
import { type Holding, type NodeOffer, Session, type SessionEnd } from "./session.ts"

export type { Holding, NodeOffer } from "./session.ts"

export interface DialOptions {
  /** http(s)://host:port of the hub. */
  readonly hubUrl: string
  /** Where to connect instead, "10.0.2.100:80": whoever listens there passes bytes on to the hub. Names and certificates stay the hub's. */
  readonly via: string | null
  /** Plain http to another machine: only when somebody said so. */
  readonly insecure: boolean
  /** PEM certificates to trust instead of the system's. */
  readonly ca: string | Buffer | null
  readonly identity: Identity
  /** Left out: this link remembers it for itself. */
  readonly membership?: Membership
  readonly agentVersion: string
  /** For the first hello of a new key. */
  readonly enrolToken: string | null
  /** Both are asked anew at each hello. */
  node(): NodeOffer
  holdings(): readonly Holding[]
  onEvent(event: Event): void
  /** A link is open. With the hub's time, ms since 1970, if it told. */
  onWelcome?(hubMs: number | null): void
  /** By this machine's clock the hub's certificate is not valid: a sentence for people. */
  onDoubtfulClock?(reason: string): void
  readonly logSource: LogSource
  /** The hub does not want this node back: dialling has stopped. For people. `revoked`: it was stopped by somebody who may, and nothing is wrong. */
  onFinal(reason: string, revoked: boolean): void
  readonly clock: Clock
  readonly log: Log
  /** Where jitter comes from: [0, 1). */
  readonly random: () => number
}

/** A new link. Dials once start() is called. Failure (final) when the URL cannot be used. */
export function createLink(options: DialOptions): DialledLink {
  if (options.via !== null && addressOf(options.via) === null) {
    throw new Failure(`${options.via} is no address to connect to; it must be like 10.0.2.100:80`, { final: true })
  }
  return new DialledLink(options, agentUrl(options.hubUrl, options.insecure))
}

export class DialledLink implements Link {
  readonly #options: DialOptions
  readonly #membership: Membership
  readonly #url: URL
  readonly #backoff: Backoff
  readonly #watch: NodeJS.Timeout
  #state: "new" | "dialling" | "waiting" | "closed" = "new"
  #webSocket: WebSocket | null = null
  #session: Session | null = null
  #enrolToken: string | null
  /** In a row. */
  #timesSentAway = 0
  #redial: NodeJS.Timeout | null = null
  #whenOpen = new Set<() => void>()

  constructor(options: DialOptions, url: URL) {
    this.#options = options
    this.#membership = options.membership ?? passingMembership()
    this.#url = url
    this.#enrolToken = options.enrolToken
    this.#backoff = new Backoff(options.random)
    this.#watch = setInterval(() => this.#session?.watch(options.clock.nowMs()), LINK_WATCH_MS)
    this.#watch.unref()
  }

  get connected(): boolean {
    return this.#session?.isOpen ?? false
  }

  start(): void {
    if (this.#state === "new") this.#dial()
  }

  /** This machine stood still for a while. Whether the link is still one is asked at once, and nothing is waited for that was waited for before. */
  lapsed(): void {
    this.#backoff.sessionEnded(true)
    if (this.#state === "waiting") this.#dial()
    else if (this.#session !== null) this.#session.probe()
    // Half-way into a link, with a hub that has long given up waiting.
    else if (this.#state === "dialling") this.#webSocket?.terminate()
  }

  /** Ends the session, if there is one, and dials no more. Resolves when the socket is closed. */
  async close(): Promise<void> {
    this.#stop()
    const webSocket = this.#webSocket
    this.#session?.close()
    if (webSocket === null || webSocket.readyState === WebSocket.CLOSED) return
    await new Promise<void>(resolve => {
      webSocket.once("close", () => resolve())
      if (webSocket.readyState === WebSocket.CONNECTING) webSocket.terminate()
    })
  }

  // ---- Link ----

  report(name: AttemptName, phase: ReportPhase, result: Result | null): void {
    this.#session?.send(reportBody(name, phase, result))
  }

  heartbeat(sequence: number): void {
    this.#session?.send({ case: "heartbeat", value: { sequence: BigInt(sequence) } })
  }

  async *fetchBlob(
    name: AttemptName,
    blob: BlobRef,
    offsetBytes: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const session = await this.#open(signal)
    yield* session.transfers.fetch(name, blob, offsetBytes, signal)
  }

  async listGather(name: AttemptName, fromIndex: number, signal: AbortSignal): Promise<GatherPage> {
    const session = await this.#open(signal)
    return session.listGather(name, fromIndex, signal)
  }

  async upload(
    name: AttemptName,
    blob: BlobRef,
    open: (offsetBytes: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const session = await this.#open(signal)
    await session.transfers.upload(name, blob, open, signal)
  }

  // ---- dialling ----

  #dial(): void {
    this.#state = "dialling"
    if (this.#redial !== null) clearTimeout(this.#redial)
    this.#redial = null
    const { ca, via, agentVersion } = this.#options
    // Not written in place: the types of ws do not know the last two yet.
    const options: ClientOptions & { maxFragments: number; closeTimeout: number } = {
      perMessageDeflate: false,
      maxPayload: FRAME_MAX_BYTES,
      handshakeTimeout: HANDSHAKE_MS,
      followRedirects: false,
      headers: { "user-agent": `cah-agent/${agentVersion}` },
      ...(ca === null ? {} : { ca }),
      ...(via === null ? {} : { createConnection: through(via, this.#url) }),
      maxFragments: FRAGMENTS_MAX,
      closeTimeout: CLOSE_MS,
    }
    const webSocket = new WebSocket(this.#url, [SUBPROTOCOL], options)
    this.#webSocket = webSocket
    let stream: Duplex | null = null
    let refusal: Refusal | null = null
    let failure = ""
    let isBegun = false
    webSocket.on("upgrade", response => {
      stream = response.socket
    })
    webSocket.on("open", () => {
      if (stream === null) return
      isBegun = true
      this.#begin(webSocket, stream)
    })
    webSocket.on("unexpected-response", (request, response) => {
      void readRefusal(request, response).then(read => {
        refusal = read
        // Ends the handshake; "close" follows.
        webSocket.terminate()
      })
    })
    webSocket.on("error", error => {
      failure = whyFailed(error, this.#options.clock.wallMs())
      if (failure !== error.message) this.#options.onDoubtfulClock?.(failure)
    })
    webSocket.on("close", () => {
      // A session that began tells its own end.
      if (isBegun || this.#state !== "dialling") return
      const reason = refusal?.reason ?? `the hub cannot be reached: ${failure}`
      this.#again(reason, refusal?.retryAfterMs ?? null)
    })
  }

  #begin(webSocket: WebSocket, stream: Duplex): void {
    const { identity, agentVersion, logSource, clock, log, onEvent } = this.#options
    const session = new Session(
      {
        identity,
        agentVersion,
        enrolToken: this.#enrolToken,
        node: () => this.#options.node(),
        holdings: () => this.#options.holdings(),
        logSource,
        clock,
        log,
        isSheltered: this.#url.protocol === "wss:" || isLoopback(this.#url.hostname),
        onEvent: event => onEvent(event),
        opened: (hubId, hubMs) => this.#opened(hubId, hubMs),
        ended: end => this.#ended(end),
      },
      webSocket,
      stream,
    )
    this.#session = session
  }

  #opened(hubId: string, hubMs: number | null): void {
    const { hubId: before } = this.#membership
    if (before !== null && before !== hubId) {
      this.#options.log.warn({ before, now: hubId }, "this node has joined another hub than before")
    }
    this.#membership.welcomed(hubId)
    this.#timesSentAway = 0
    this.#options.log.info({ hub: this.#url.host, node: this.#options.identity.nodeId }, "connected to the hub")
    this.#enrolToken = null
    this.#options.onWelcome?.(hubMs)
    for (const resolve of [...this.#whenOpen]) resolve()
  }

  #ended(end: SessionEnd): void {
    this.#session = null
    if (end.openMs !== null) this.#options.onEvent({ kind: "LinkLost" })
    if (this.#state === "closed") return
    if (end.final && !this.#isForGood(end)) {
      this.#sentAway(end)
      return
    }
    if (end.final) {
      this.#stop()
      this.#options.log.error({ hub: this.#url.host }, `the hub sent this agent away for good: ${end.reason}`)
      this.#options.onFinal(end.reason, end.revoked)
      return
    }
    if (end.openMs !== null) this.#backoff.sessionEnded(end.openMs >= SESSION_GOOD_MS)
    if (end.code === closeCodes.superseded) {
      this.#again("another agent uses this node's key and took over", SUPERSEDED_RETRY_MS)
      return
    }
    this.#again(end.reason, end.retryAfterMs)
  }

  /**
   * Only a node that was stopped has its last word, and one that never joined: its token is wrong, and somebody waits to hear it. A node that
   * joined is refused by mistakes that others mend: a hub on another data directory, or one that is older than this agent.
   */
  #isForGood(end: SessionEnd): boolean {
    return end.revoked || (this.#membership.hubId === null && end.code !== closeCodes.version)
  }

  /** Said aloud, and tried again: soon, and later every hour. What ran and what is not delivered is kept. */
  #sentAway(end: SessionEnd): void {
    const { hubId } = this.#membership
    const isOther = hubId !== null && end.hubId !== null && hubId !== end.hubId
    const reason = isOther ? `another hub answers there than the one this node has joined: ${end.reason}` : end.reason
    const fields = { hub: this.#url.host, joined: hubId, answered: end.hubId }
    this.#options.log.error(
      fields,
      `the hub sent this agent away: ${reason}; it is asked again, at least every hour or so`,
    )
    this.#again(reason, backoffMs(++this.#timesSentAway, SENT_AWAY_FIRST_MS, SENT_AWAY_MAX_MS))
  }

  #again(reason: string, retryAfterMs: number | null): void {
    const waitMs = this.#backoff.next(retryAfterMs)
    this.#state = "waiting"
    const fields = { hub: this.#url.host, againMs: Math.round(waitMs) }
    this.#options.log.info(fields, `no link to the hub: ${reason}`)
    this.#redial = setTimeout(() => this.#dial(), waitMs)
  }

  /** For good: whoever waits for a link hears that there will be none. */
  #stop(): void {
    this.#state = "closed"
    if (this.#redial !== null) clearTimeout(this.#redial)
    clearInterval(this.#watch)
    for (const resolve of [...this.#whenOpen]) resolve()
  }

  /** The session, waiting for one if need be. */
  async #open(signal: AbortSignal): Promise<Session> {
    for (;;) {
      if (this.#session?.isOpen) return this.#session
      if (this.#state === "closed") throw new Failure("the link to the hub is closed", { final: false })
      if (signal.aborted) throw new Failure("given up while waiting for the hub", { final: false })
      await new Promise<void>(resolve => {
        const wake = () => {
          this.#whenOpen.delete(wake)
          signal.removeEventListener("abort", wake)
          resolve()
        }
        this.#whenOpen.add(wake)
        signal.addEventListener("abort", wake, { once: true })
      })
    }
  }
}

/** Where agents connect: the hub's URL with /agent, as WebSocket. */
export function agentUrl(hubUrl: string, insecure: boolean): URL {
  let url: URL
  try {
    url = new URL(hubUrl)
  } catch (cause) {
    throw new Failure(`${hubUrl} is no URL; it must be like https://hub.example.org:8080`, { final: true, cause })
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Failure(`${hubUrl} must begin with https:// (or http:// on this machine)`, { final: true })
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !insecure) {
    const advice = "use https://, or say --insecure if the network between is your own"
    throw new Failure(`${hubUrl} would carry everything in plain text to another machine; ${advice}`, { final: true })
  }
  const agent = new URL(url)
  agent.protocol = url.protocol === "https:" ? "wss:" : "ws:"
  agent.pathname = `${url.pathname.replace(/\/$/, "")}/agent`
  return agent
}

/** Opens the TCP connection to another address, while TLS asks for the hub's name and checks its certificate as ever. */
function through(via: string, url: URL): NonNullable<ClientOptions["createConnection"]> {
  const { host, port } = addressOf(via)!
  const hub = url.hostname.replace(/^\[|\]$/g, "")
  if (url.protocol === "ws:") return () => connectTcp({ host, port })
  const servername = isIP(hub) === 0 ? hub : ""
  return options =>
    connectTls({
      ...(options as ConnectionOptions),
      ...{ host, port, path: undefined, servername },
      // Where there is no name to ask for, the default would check for the other address.
      checkServerIdentity: (_, certificate) => checkServerIdentity(hub, certificate),
    })
}

interface Refusal {
  readonly reason: string
  readonly retryAfterMs: number | null
}

/** The hub's answer where an upgrade was asked for: its words, and when to come back. */
async function readRefusal(request: ClientRequest, response: IncomingMessage): Promise<Refusal> {
  let text = ""
  try {
    for await (const piece of response) {
      text += String(piece)
      if (text.length >= REFUSAL_MAX_BYTES) break
    }
  } catch {
    // Cut off: the status says enough.
  }
  request.destroy()
  const words = text
    .slice(0, REFUSAL_MAX_BYTES)
    .replace(/\p{Cc}+/gu, " ")
    .trim()
  const seconds = Number(response.headers["retry-after"])
  return {
    reason: `the hub answered ${response.statusCode}${words === "" ? "" : `: ${words}`}`,
    retryAfterMs: Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : null,
  }
}

/** A certificate is judged by a clock: of one that has ended, or has not begun, either may be wrong. Else the error's own words. */
export function whyFailed({ message, code }: Error & { code?: string }, wallMs: number): string {
  if (code !== "CERT_HAS_EXPIRED" && code !== "CERT_NOT_YET_VALID") return message
  const now = new Date(wallMs).toISOString().slice(0, 16).replace("T", " ")
  const what = code === "CERT_HAS_EXPIRED" ? "has expired" : "is not valid yet"
  return `by this computer's clock (${now} UTC) the hub's certificate ${what}: if date and time are right, ask the hub's operator to renew it`
}
