// All links: accepts upgrades, numbers links, passes on what the engine says, and looks at every link's deadlines with one
// timer. What one agent says is session.ts's business. One upgrade handler for plain text and TLS alike.
import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { type Server, WebSocketServer } from "ws"
import { FRAME_MAX_BYTES, SUBPROTOCOL } from "../../proto/wire/frame.ts"
import type { AttemptName, FullOffer, LinkSpeech } from "../core/effects.ts"
import { CahError } from "../core/errors.ts"
import type { LinkId, NodeId } from "../core/model.ts"
import type { BlobStore, Clock, Links, Log } from "../core/ports.ts"
import {
  CLOSE_MS,
  DRAIN_RETRY_MAX_MS,
  DRAIN_RETRY_MIN_MS,
  FRAGMENTS_MAX,
  HELLO_MS,
  LINK_WATCH_MS,
  LINKS_BUFFER_MAX_BYTES,
  PING_MS,
  SPARING_AGENTS_MAX,
  STUCK_MS,
  WELCOME_MS,
} from "../limits.ts"
import type { Metrics } from "../metrics.ts"
import { peerOf } from "../peers.ts"
import { SparingLog } from "../sparing.ts"
import { type AdmissionLimits, Admissions, admissionLimits, type Refusal, refusalResponse } from "./admission.ts"
import { Budget } from "./budget.ts"
import type { Desk } from "./desk.ts"
import { LoopLag } from "./lag.ts"
import { type LinkSession, LinkSocket } from "./pipe.ts"
import { type LinkTimes, Session, type SessionWorld } from "./session.ts"
import type { Follower, Output } from "./taps.ts"

export interface LinkServerOptions {
  readonly hubId: string
  readonly desk: Desk
  readonly blobs: BlobStore
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Where jitter comes from: [0, 1). */
  readonly random: () => number
  /** Told of all bytes of streams, for whoever counts them by node. */
  moved?(node: NodeId, direction: "in" | "out", bytes: number): void
  /** How late the event loop is. Measured here if nobody else does. */
  lagMs?(): number
  /** Other bounds than those of limits.ts, in tests. */
  readonly limits?: Partial<AdmissionLimits & LinkTimes & { watchMs: number; stuckMs: number }>
}

export class LinkServer implements Links {
  readonly #options: LinkServerOptions
  readonly #world: SessionWorld
  readonly #admissions: Admissions
  readonly #webSockets: Server<typeof LinkSocket>
  readonly #sessions = new Map<LinkId, Session>()
  /** Links that are over, of nodes whose uploads are not closed yet. */
  readonly #settling = new Map<NodeId, Set<{ readonly session: Session; readonly files: Promise<void> }>>()
  readonly #timer: NodeJS.Timeout
  readonly #lag: LoopLag
  #lastLink = 0
  #draining = false
  /** The hub dropped all links, and did not ask for more yet. */
  #dropped = false
  #whenEmpty: (() => void)[] = []
  #sockets = 0

  constructor(options: LinkServerOptions) {
    this.#options = options
    const { hubId, desk, blobs, clock, log, metrics } = options
    const times = { helloMs: HELLO_MS, welcomeMs: WELCOME_MS, pingMs: PING_MS, ...options.limits }
    this.#admissions = new Admissions({ ...admissionLimits, ...options.limits }, options.random, clock.nowMs())
    this.#world = {
      hubId,
      desk,
      blobs,
      clock,
      log,
      metrics,
      times,
      strangers: new SparingLog(log),
      agents: new SparingLog(log, SPARING_AGENTS_MAX),
      budget: new Budget(LINKS_BUFFER_MAX_BYTES),
      open: { transfers: 0 },
      stuckMs: options.limits?.stuckMs ?? STUCK_MS,
      moved: (node, direction, bytes) => options.moved?.(node, direction, bytes),
      settled: (node, except) => this.#settled(node, except),
      closed: () => this.#closed(),
      gone: (session, files) => this.#gone(session, files),
    }
    // Not written in place: the types of ws do not know the last two yet.
    const webSocketOptions = {
      noServer: true,
      perMessageDeflate: false,
      maxPayload: FRAME_MAX_BYTES,
      handleProtocols: () => SUBPROTOCOL,
      clientTracking: false,
      WebSocket: LinkSocket,
      maxFragments: FRAGMENTS_MAX,
      closeTimeout: CLOSE_MS,
    }
    this.#webSockets = new WebSocketServer(webSocketOptions)
    this.#lag = new LoopLag(() => clock.nowMs())
    this.#timer = setInterval(() => this.#watch(), options.limits?.watchMs ?? LINK_WATCH_MS)
    this.#timer.unref()
  }

  /** For HTTP/1 upgrades, whatever their path: what is not for agents is answered with 404. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const from = peerOf(request)
    const now = { nowMs: this.#options.clock.nowMs(), lagMs: this.#options.lagMs?.() ?? this.#lag.ms }
    const refusal = this.#draining
      ? this.#admissions.overloaded("the hub is going down")
      : this.#dropped
        ? // Its hello would be dropped, and the agent wait for nothing.
          this.#admissions.overloaded("the hub has trouble with its disk")
        : this.#admissions.judge(request, from, now)
    if (refusal !== null) {
      this.#refuse(socket, refusal)
      return
    }
    this.#webSockets.handleUpgrade(request, socket, head, webSocket => {
      const entry = this.#admissions.entered(from, () => session.giveWay())
      this.#sockets++
      const link = ++this.#lastLink as LinkId
      const session = new Session(this.#world, link, { webSocket, stream: socket, address: from.address, entry })
      this.#sessions.set(link, session)
    })
  }

  /** Tells every agent to come back later, each at another time, and closes. Resolves when every link and file is closed. */
  async drain(reason = "the hub is going down"): Promise<void> {
    this.#draining = true
    this.#sendAway(reason)
    if (this.#sockets > 0) await new Promise<void>(resolve => this.#whenEmpty.push(resolve))
    await Promise.all([...this.#settling.values()].flatMap(left => [...left].map(({ files }) => files)))
    clearInterval(this.#timer)
    this.#lag.stop()
  }

  // ---- Links ----

  offer(link: LinkId, offer: FullOffer): void {
    this.#sessions.get(link)?.offer(offer)
  }

  speak(speech: LinkSpeech): void {
    const isHeard = this.#sessions.get(speech.link)?.speak(speech) ?? false
    // The link closed between its hello and this welcome, and could not name the epoch then.
    if (speech.kind === "Welcome" && !isHeard) {
      this.#options.desk.post({ kind: "NodeGone", node: speech.node, epoch: speech.epoch })
    }
  }

  drop(reason: string): void {
    this.#dropped = true
    this.#sendAway(reason)
  }

  resume(): void {
    this.#dropped = false
  }

  health(): { links: number; streams: number; bufferedBytes: number } {
    let streams = 0
    for (const session of this.#sessions.values()) streams += session.streams
    return { links: this.#sessions.size, streams, bufferedBytes: this.#world.budget.bytes }
  }

  /** As LogTap.follow, of the node on this link; null: on none. */
  follow(link: LinkId | null, attempt: AttemptName, output: Output, on: Follower, offset: number): { stop(): void } {
    const transfers = link === null ? null : (this.#sessions.get(link)?.transfers ?? null)
    if (transfers === null) {
      throw new CahError("unavailable", "the node is not connected now; its output can be followed when it is back")
    }
    return transfers.follow(attempt, output, on, offset)
  }

  // ---- inside ----

  /** Each is to come back at another time. */
  #sendAway(reason: string): void {
    const { random } = this.#options
    for (const session of [...this.#sessions.values()]) {
      session.drain(reason, DRAIN_RETRY_MIN_MS + random() * (DRAIN_RETRY_MAX_MS / 2 - DRAIN_RETRY_MIN_MS))
    }
  }

  #watch(): void {
    const nowMs = this.#options.clock.nowMs()
    for (const session of [...this.#sessions.values()]) session.watch(nowMs)
  }

  #refuse(socket: Duplex, refusal: Refusal): void {
    const result = refusal.status === 503 || refusal.status === 429 ? "busy" : "refused"
    this.#options.metrics.agentConnects.inc({ result })
    // Gone while we answer: nothing is lost.
    socket.on("error", () => socket.destroy())
    socket.once("finish", () => socket.destroy())
    socket.end(refusalResponse(refusal))
  }

  #closed(): void {
    this.#sockets--
    if (this.#sockets === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  #gone(session: Session, files: Promise<void>): void {
    this.#sessions.delete(session.link)
    if (session.node === null) return
    const { node } = session
    const left = { session, files }
    const all = this.#settling.get(node) ?? new Set()
    this.#settling.set(node, all.add(left))
    void files.finally(() => {
      all.delete(left)
      if (all.size === 0 && this.#settling.get(node) === all) this.#settling.delete(node)
    })
  }

  async #settled(node: NodeId, except: LinkSession): Promise<void> {
    const older = [...(this.#settling.get(node) ?? [])].filter(({ session }) => session !== except)
    await Promise.all(older.map(({ files }) => files))
  }
}
