// One connection to the hub, from the open socket to its end: answers the challenge, says hello, passes on what the hub says
// as events and sends what the engine asks for. A hub is trusted with what is run, but not to fill our memory or to break
// the protocol. Knows nothing of dialling again.
import type { Duplex } from "node:stream"
import type { RawData, WebSocket } from "ws"
import { type Challenge, type Offer, StreamError } from "../../proto/gen/cah/v1/link_pb.ts"
import { AGENT_CHUNK, chunkFrame, type Frame, whole } from "../../proto/wire/bulk.ts"
import { Outbox } from "../../proto/wire/flow.ts"
import {
  type AgentBodyInit,
  type CloseCode,
  closeCodes,
  decodeHubFrame,
  encodeAgentFrame,
  FrameError,
  HOLDING_MAX,
  type HubBody,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
} from "../../proto/wire/frame.ts"
import { helloBytes } from "../../proto/wire/hello.ts"
import { afterAgentFrame, afterHubFrame, agreeOnVersion, type LinkPhase } from "../../proto/wire/link.ts"
import { messages } from "../../proto/wire/messages.ts"
import type { Event, ReportPhase } from "../core/events.ts"
import { type AttemptName, attemptId } from "../core/model.ts"
import { type Clock, Failure, type GatherPage, type Log, type LogSource } from "../core/ports.ts"
import { LAPSE_ANSWER_MS, PING_MISSES_MAX, PING_MS, STUCK_MS, WELCOME_MS } from "../limits.ts"
import {
  attemptOf,
  gatherPageOf,
  hubTimeOf,
  millisecondsOf,
  refusalBody,
  reportAnsweredOf,
  runSpecOf,
  welcomedOf,
  wireAttempt,
  wirePhases,
} from "./convert.ts"
import type { Identity } from "./identity.ts"
import { Transfers } from "./transfer.ts"

function gatherKey(name: AttemptName, fromIndex: number): string {
  return `${attemptId(name)} ${fromIndex}`
}

/** What the node gives, as the hello says it. */
export interface NodeOffer {
  readonly name: string
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly properties: Readonly<Record<string, string>>
}

export interface Holding {
  readonly name: AttemptName
  readonly phase: ReportPhase
}

export interface SessionWorld {
  readonly identity: Identity
  readonly agentVersion: string
  readonly enrolToken: string | null
  /** Asked anew at each hello. */
  node(): NodeOffer
  holdings(): readonly Holding[]
  readonly logSource: LogSource
  readonly clock: Clock
  readonly log: Log
  /** Nobody between here and the hub's TLS, or the hub, sees the bytes. */
  readonly isSheltered: boolean
  onEvent(event: Event): void
  /** Welcomed: the link can be used. Before the event that says so. With the hub's time, ms since 1970, if it told. */
  opened(hubId: string, hubMs: number | null): void
  /** Over. Called once. */
  ended(end: SessionEnd): void
}

export interface SessionEnd {
  /** For people. */
  readonly reason: string
  readonly code: number
  /** The hub does not want us back, or we cannot talk. */
  readonly final: boolean
  /** Final, and nobody's fault: somebody who may has stopped this node. */
  readonly revoked: boolean
  readonly retryAfterMs: number | null
  /** How long it was open; null if it was never welcomed. */
  readonly openMs: number | null
  /** Which hub it was; null: it has not said. */
  readonly hubId: string | null
}

export class Session {
  readonly transfers: Transfers
  readonly #world: SessionWorld
  readonly #webSocket: WebSocket
  readonly #stream: Duplex
  readonly #outbox: Outbox
  readonly #startedAtMs: number
  /** Who waits for which page of a gather. */
  readonly #gathers = new Map<string, { resolve(page: GatherPage): void; refused(why: string): void; lost(): void }>()
  #phase: LinkPhase = "connecting"
  #goodbye: Pick<SessionEnd, "reason" | "final" | "revoked" | "retryAfterMs"> | null = null
  #welcomedAtMs: number | null = null
  #hubId: string | null = null
  #isOver = false
  #heardAtMs: number
  #pings = 0
  /** When the hub was asked whether this link is still one; null: it was not, or has answered. */
  #probedAtMs: number | null = null
  #writes = 0
  #writesAtMs: number

  /** On a socket that is open. `stream` is the TCP or TLS socket under it. */
  constructor(world: SessionWorld, webSocket: WebSocket, stream: Duplex) {
    this.#world = world
    this.#webSocket = webSocket
    this.#stream = stream
    const nowMs = world.clock.nowMs()
    this.#startedAtMs = nowMs
    this.#heardAtMs = nowMs
    this.#writesAtMs = nowMs
    this.#outbox = new Outbox({
      pipe: { write: (frames, done) => this.#write(frames, done) },
      chunkFrame: (id, offset, data) => chunkFrame(AGENT_CHUNK, id, offset, data),
      endFrame: id => encodeAgentFrame({ case: "streamEnd", value: { stream: id } }),
      later: setImmediate,
      overflow: () => this.#close(closeCodes.tooSlow, "the hub does not take what is sent"),
    })
    this.transfers = new Transfers({
      outbox: this.#outbox,
      clock: world.clock,
      logSource: world.logSource,
      send: body => this.send(body),
      warn: (message, error) => world.log.warn({ error }, message),
    })
    webSocket.on("message", (data, isBinary) => this.#onMessage(data, isBinary))
    webSocket.on("ping", () => this.#heard())
    webSocket.on("pong", () => this.#heard())
    webSocket.on("close", (code, reason) => this.#end(code, reason.toString("utf8")))
  }

  get isOpen(): boolean {
    return this.#phase === "open"
  }

  /** Dropped silently when the link is not open. */
  send(body: AgentBodyInit): void {
    if (this.#phase === "open" || this.#phase === "draining") this.#outbox.control(encodeAgentFrame(body))
  }

  /** Asks for a page of what the attempt gathers. */
  listGather(name: AttemptName, fromIndex: number, signal: AbortSignal): Promise<GatherPage> {
    const key = gatherKey(name, fromIndex)
    return new Promise<GatherPage>((resolve, reject) => {
      const giveUp = (why: string) => reject(new Failure(why, { final: false }))
      const abort = () => giveUp("the stagein was given up")
      this.#gathers.set(key, {
        resolve,
        refused: why => giveUp(`the hub gives nothing to gather: ${why}`),
        lost: () => giveUp("the link to the hub was lost"),
      })
      signal.addEventListener("abort", abort, { once: true })
      if (signal.aborted) abort()
      else this.send({ case: "listGather", value: { attempt: wireAttempt(name), fromIndex } })
    }).finally(() => this.#gathers.delete(key))
  }

  /** Nobody was here for a while: the hub may have given this link up, and its goodbye may never come. */
  probe(): void {
    if (this.#isOver || this.#probedAtMs !== null) return
    this.#probedAtMs = this.#world.clock.nowMs()
    this.#webSocket.ping()
  }

  watch(nowMs: number): void {
    if (this.#isOver) return
    if (this.#probedAtMs !== null && nowMs - this.#probedAtMs >= LAPSE_ANSWER_MS) {
      this.#giveUp("the link did not survive that this machine stood still")
      return
    }
    if (this.#welcomedAtMs === null && nowMs - this.#startedAtMs >= WELCOME_MS) {
      this.#close(closeCodes.helloTimeout, "the hub did not welcome us in time")
      return
    }
    if (this.#outbox.writes !== this.#writes || !this.#outbox.isBlocked) {
      this.#writes = this.#outbox.writes
      this.#writesAtMs = nowMs
    } else if (nowMs - this.#writesAtMs >= STUCK_MS) {
      this.#close(closeCodes.tooSlow, "the hub does not take what is sent")
      return
    }
    if (nowMs - this.#heardAtMs >= PING_MS * (this.#pings + 1)) {
      if (this.#pings >= PING_MISSES_MAX) {
        this.#giveUp("nothing heard from the hub")
        return
      }
      this.#pings++
      this.#webSocket.ping()
    }
    this.transfers.watch(nowMs)
  }

  /** Ends the link on our own wish. */
  close(): void {
    this.#close(closeCodes.goingAway, "the agent stops")
  }

  // ---- frames ----

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#isOver) return
    this.#heard()
    try {
      if (!isBinary || !Buffer.isBuffer(data)) throw new FrameError("a text message; frames are binary")
      const body = decodeHubFrame(data)
      this.#phase = afterHubFrame(this.#phase, body.case)
      this.#onFrame(body)
    } catch (error) {
      const breach = error instanceof FrameError ? error : new FrameError("a frame that could not be handled")
      this.#world.log.error({ error }, `the hub broke the protocol: ${breach.message}`)
      this.#close(breach.closeCode, breach.message)
    }
  }

  #onFrame(body: HubBody): void {
    const { onEvent } = this.#world
    switch (body.case) {
      case "challenge":
        this.#onChallenge(body.value)
        return
      case "welcome":
        this.#welcomedAtMs = this.#world.clock.nowMs()
        this.#goodbye = null
        this.#world.opened(this.#hubId ?? "", hubTimeOf(body.value))
        onEvent(welcomedOf(body.value))
        return
      case "offer":
        this.#onOffer(body.value)
        return
      case "kill":
        onEvent({ kind: "KillAsked", name: attemptOf(body.value.attempt), reason: body.value.reason })
        return
      case "reportAnswer":
        onEvent(reportAnsweredOf(body.value))
        return
      case "heartbeatAnswer":
        // That it came is all: the lease is the hub's to keep.
        return
      case "followLog":
        this.transfers.follow(attemptOf(body.value.attempt), body.value)
        return
      case "goodbye": {
        const retryAfterMs = millisecondsOf(body.value.retryAfter)
        const { reason, final, revoked } = body.value
        this.#goodbye = { reason, final, revoked, retryAfterMs: retryAfterMs > 0 ? retryAfterMs : null }
        return
      }
      case "streamOpened":
        this.transfers.opened(body.value)
        return
      case "chunk":
        this.transfers.chunk(body.value.stream, body.value.offset, body.value.data)
        return
      case "credit":
        this.transfers.credit(body.value.stream, body.value.creditOffset)
        return
      case "streamEnd":
        this.transfers.end(body.value.stream, body.value.error, body.value.message)
        return
      case "streamStored":
        this.transfers.stored(body.value.stream)
        return
      case "gatherPage": {
        const key = gatherKey(attemptOf(body.value.attempt), body.value.fromIndex)
        const asked = this.#gathers.get(key)
        if (body.value.error !== StreamError.UNSPECIFIED) asked?.refused(body.value.message)
        else asked?.resolve(gatherPageOf(body.value))
        return
      }
      default:
        body satisfies never
    }
  }

  #onChallenge(challenge: Challenge): void {
    const { identity, agentVersion, enrolToken } = this.#world
    this.#hubId = challenge.hubId
    const agent = { min: PROTOCOL_MIN, max: PROTOCOL_MAX }
    const agreed = agreeOnVersion({ min: challenge.protocolMin, max: challenge.protocolMax }, agent)
    if ("upgrade" in agreed) {
      const versions = `it speaks versions ${challenge.protocolMin} to ${challenge.protocolMax}, this agent ${agent.min} to ${agent.max}`
      // We say hello all the same: the hub's operator sees it then, and the hub may know better words.
      this.#goodbye = {
        reason: `upgrade the ${agreed.upgrade}: ${versions}`,
        final: true,
        revoked: false,
        retryAfterMs: null,
      }
    }
    const { bootId, nodeId, publicKey } = identity
    const proof = helloBytes({ hubId: challenge.hubId, nonce: challenge.nonce, nodeId, bootId })
    const { properties, ...node } = this.#world.node()
    const holdings = this.#world.holdings().slice(0, HOLDING_MAX)
    this.#phase = afterAgentFrame(this.#phase, "hello")
    const frame = encodeAgentFrame({
      case: "hello",
      value: {
        protocolMin: PROTOCOL_MIN,
        protocolMax: PROTOCOL_MAX,
        agentVersion,
        publicKey,
        signature: identity.sign(proof),
        enrolToken: enrolToken ?? "",
        bootId,
        node: {
          name: node.name,
          slots: node.slots,
          memoryBytes: BigInt(node.memoryBytes),
          diskBytes: BigInt(node.diskBytes),
          properties: Object.entries(properties).map(([name, value]) => ({ name, value })),
        },
        holding: holdings.map(held => ({ attempt: wireAttempt(held.name), phase: wirePhases[held.phase] })),
      },
    })
    this.#outbox.control(frame)
  }

  #onOffer(offer: Offer): void {
    const name = attemptOf(offer.attempt)
    try {
      this.#world.onEvent({ kind: "Offered", name, spec: runSpecOf(offer) })
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.#world.log.warn({ attempt: name, error: error.cause }, `offer refused: ${error.message}`)
      this.send(refusalBody(name, error.message))
    }
  }

  // ---- endings ----

  /** Nobody answers: a goodbye would wait for ever. */
  #giveUp(reason: string): void {
    this.#close(closeCodes.silent, reason)
    this.#webSocket.terminate()
  }

  #close(code: CloseCode, reason: string): void {
    if (this.#isOver) return
    // A close frame has room for 123 bytes of UTF-8.
    this.#webSocket.close(code, Buffer.from(reason.replace(/[^\x20-\x7e]/g, "?")).subarray(0, 123))
    this.#end(code, reason)
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#phase = "closed"
    this.#outbox.close(new Failure("the link to the hub was lost", { final: false }))
    this.transfers.close()
    for (const { lost } of this.#gathers.values()) lost()
    const goodbye = this.#goodbye
    const { clock } = this.#world
    this.#world.ended({
      code,
      reason: goodbye?.reason ?? (reason === "" ? `closed with code ${code}` : reason),
      final: goodbye?.final ?? false,
      revoked: goodbye?.revoked ?? false,
      retryAfterMs: goodbye?.retryAfterMs ?? null,
      openMs: this.#welcomedAtMs === null ? null : clock.nowMs() - this.#welcomedAtMs,
      hubId: this.#hubId,
    })
  }

  // ---- the socket ----

  /**
   * RFC 6455 has a client mask what it sends with a random key, so that nobody can choose what a proxy on the way reads. Where none
   * can, a key of zeros spares both sides a pass over every byte (docs/adr/0021-sheltered-links-are-not-masked.md).
   */
  #write(frames: readonly Frame[], done: () => void): void {
    this.#stream.cork()
    if (this.#world.isSheltered && this.#webSocket.readyState === this.#webSocket.OPEN) {
      const buffers = messages(frames, "client")
      const last = buffers.pop()!
      for (const buffer of buffers) this.#stream.write(buffer)
      this.#stream.write(last, () => done())
      this.#stream.uncork()
      return
    }
    frames.forEach((frame, index) => {
      if (index === frames.length - 1) this.#webSocket.send(whole(frame), done)
      else this.#webSocket.send(whole(frame))
    })
    this.#stream.uncork()
  }

  #heard(): void {
    this.#heardAtMs = this.#world.clock.nowMs()
    this.#pings = 0
    this.#probedAtMs = null
  }
}
