// One agent's link: its frames become events for the engine, what the engine says becomes frames. The agent is a stranger:
// whatever it sends ends in an event that makes sense, in an answer, or in this link being closed with a code that says
// why; never in an assertion. Bytes of streams go to transfer.ts. Decides nothing about jobs.
import { randomBytes } from "node:crypto"
import type { RawData } from "ws"
import { networkOf } from "../../common/address.ts"
import type { Hello, ListGather, Report } from "../../proto/gen/cah/v1/link_pb.ts"
import { Outbox } from "../../proto/wire/flow.ts"
import {
  type AgentBody,
  CHUNK_MAX_BYTES,
  type CloseCode,
  closeCodes,
  decodeAgentFrame,
  encodeHubFrame,
  FrameError,
  type HubBodyInit,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  safeInteger,
} from "../../proto/wire/frame.ts"
import { helloBytes, NONCE_BYTES, nodeIdOf } from "../../proto/wire/hello.ts"
import { afterAgentFrame, agreeOnVersion, type LinkPhase } from "../../proto/wire/link.ts"
import type { FullOffer, LinkSpeech } from "../core/effects.ts"
import { CahError } from "../core/errors.ts"
import type { LinkId, NodeId } from "../core/model.ts"
import {
  CLOSE_MS,
  CONTROL_BYTES_BURST,
  CONTROL_BYTES_PER_SECOND,
  FRAMES_BURST,
  FRAMES_PER_SECOND,
  LINK_QUESTIONS_MAX,
  NONCE_MS,
  PING_MISSES_MAX,
} from "../limits.ts"
import type { SparingLog } from "../sparing.ts"
import { Bucket } from "./bucket.ts"
import {
  answerBody,
  attemptOf,
  gatherBody,
  helloOf,
  isSignedBy,
  noGatherBody,
  offerBody,
  reportOf,
  speechBody,
  wireDuration,
} from "./convert.ts"
import { blobsOf } from "./desk.ts"
import { offerFrame, quickHeartbeat, quickReport, reportAnswerFrame } from "./hot.ts"
import { LinkPipe, type LinkSession, listen, NodeLink, type SessionSocket } from "./pipe.ts"
import { Transfers, type TransferWorld } from "./transfer.ts"

export interface SessionWorld extends TransferWorld {
  readonly hubId: string
  /** For lines about nodes that come and go. */
  readonly agents: SparingLog
  /** Resolves when older links of this node have let go of their uploads. */
  settled(node: NodeId, except: LinkSession): Promise<void>
  /** A socket is closed. Called once for each. */
  closed(): void
  /** Over: nothing more comes from it. `files` resolves when it has let go of its uploads. Called once. */
  gone(session: Session, files: Promise<void>): void
  readonly times: LinkTimes
}

/** To an agent whose node was revoked, whoever did it: its own volunteer, mostly. */
const STOPPED = "this node was stopped on the hub, by its owner or by the hub's operator"

export interface LinkTimes {
  readonly helloMs: number
  readonly welcomeMs: number
  readonly pingMs: number
}

export class Session implements LinkSession {
  readonly link: LinkId
  readonly outbox: Outbox
  readonly #world: SessionWorld
  readonly #socket: SessionSocket
  /** Of the challenge, until it was answered. */
  #nonce: Uint8Array | null = randomBytes(NONCE_BYTES)
  readonly #frames: Bucket
  readonly #bytes: Bucket
  readonly #openedAtMs: number
  #phase: LinkPhase = "connecting"
  #node: NodeId | null = null
  #joining: { node: NodeId; account: string; name: string; isNew: boolean } | null = null
  /** Of the session, once the engine has welcomed it. */
  #epoch: number | null = null
  #protocol = PROTOCOL_MAX
  /** Made when there is something for it: most links move no bytes, most of the time. */
  #transfers: Transfers | null = null
  #helloMs = Number.POSITIVE_INFINITY
  #heardAtMs: number
  #pings = 0
  /** Answers that the hub owes it, those of streams apart, which are bounded anyway. */
  #asked = 0
  #writes = 0
  #writesAtMs: number

  constructor(world: SessionWorld, link: LinkId, socket: SessionSocket) {
    this.#world = world
    this.#socket = socket
    this.link = link
    const nowMs = world.clock.nowMs()
    this.#openedAtMs = nowMs
    this.#heardAtMs = nowMs
    this.#writesAtMs = nowMs
    this.#frames = new Bucket(FRAMES_PER_SECOND, FRAMES_BURST, nowMs)
    this.#bytes = new Bucket(CONTROL_BYTES_PER_SECOND, CONTROL_BYTES_BURST, nowMs)
    this.outbox = new Outbox(new LinkPipe(world, socket, this))
    listen(socket.webSocket, this)
    this.#phase = "challenged"
    this.send({
      case: "challenge",
      value: { hubId: world.hubId, nonce: this.#nonce!, protocolMin: PROTOCOL_MIN, protocolMax: PROTOCOL_MAX },
    })
  }

  get node(): NodeId | null {
    return this.#node
  }

  get streams(): number {
    return this.#transfers?.size ?? 0
  }

  /** Open: welcomed, and not on its way out. */
  get transfers(): Transfers | null {
    return this.#phase === "open" ? this.#streams() : null
  }

  /** From the challenge to the hello. */
  get helloMs(): number {
    return this.#helloMs
  }

  get address(): string {
    return this.#socket.address
  }

  send(body: HubBodyInit): void {
    if (this.#phase !== "closed") this.outbox.control(encodeHubFrame(body))
  }

  // ---- what the engine says ----

  offer(offer: FullOffer): void {
    if (this.#phase !== "closed") this.outbox.control(offerFrame(offer) ?? encodeHubFrame(offerBody(offer)))
  }

  /** False if the link has gone meanwhile. */
  speak(speech: LinkSpeech): boolean {
    if (this.#phase === "closed") return false
    if (speech.kind === "CloseLink") {
      this.#closeBecause(speech.why)
      return true
    }
    if (speech.kind === "Welcome") {
      if (this.#phase !== "greeted") return false
      this.#epoch = speech.epoch
      this.#phase = "open"
      this.#greeted("accepted")
      const { node, account, name, isNew } = this.#joining!
      const fields = { node, name, account, link: this.link, address: this.#socket.address }
      this.#world.agents.say("info", node, isNew ? "a new agent joined" : "agent joined", fields)
    }
    if (speech.kind === "AnswerReport") {
      this.outbox.control(reportAnswerFrame(speech, speech.phase, speech.answer))
      return true
    }
    this.send(speechBody(speech, { wallMs: this.#world.clock.wallMs(), protocol: this.#protocol }))
    return true
  }

  /** Says goodbye, lets what is on its way arrive, and closes. Transfers stop at the edge of a chunk. */
  drain(reason: string, retryAfterMs: number): void {
    if (this.#phase === "closed") return
    this.#goodbye(reason, { retryAfterMs }, closeCodes.goingAway)
  }

  /** Another address's agents wait, and this one has most that have not said hello: it was the first of them. */
  giveWay(): void {
    this.#greeted("busy")
    this.#close(closeCodes.tryAgainLater, "too many agents are joining from this address; come back later")
  }

  // ---- time ----

  /** Looks at the link's deadlines. Called about once a second. */
  watch(nowMs: number): void {
    if (this.#phase === "closed") return
    const { times, stuckMs } = this.#world
    if (this.#phase === "challenged" && nowMs - this.#openedAtMs >= times.helloMs) {
      this.#greeted("timeout")
      this.#close(closeCodes.helloTimeout, `no hello within ${times.helloMs / 1_000} s`)
      return
    }
    if (this.#phase === "greeted" && nowMs - this.#openedAtMs >= times.welcomeMs) {
      this.#greeted("timeout")
      this.#close(closeCodes.tryAgainLater, "the hub could not answer in time; come back later")
      return
    }
    if (this.outbox.writes !== this.#writes || !this.outbox.isBlocked) {
      this.#writes = this.outbox.writes
      this.#writesAtMs = nowMs
    } else if (nowMs - this.#writesAtMs >= stuckMs) {
      this.tooSlow()
      return
    }
    // The hub does not listen: that the agent says nothing is no sign of it.
    if (this.#asked >= LINK_QUESTIONS_MAX) this.#heardAtMs = nowMs
    const silentMs = nowMs - this.#heardAtMs
    if (silentMs >= times.pingMs * (this.#pings + 1)) {
      if (this.#pings >= PING_MISSES_MAX) {
        this.#sayOf(this.#node ?? this.#socket.address, "link is dead: nothing was heard", {
          silentMs: Math.round(silentMs),
        })
        this.#close(closeCodes.silent, "nothing heard")
        this.#socket.webSocket.terminate()
        return
      }
      this.#pings++
      this.#socket.webSocket.ping()
    }
    this.#transfers?.watch(nowMs)
  }

  // ---- what the socket says ----

  onPing(): void {
    this.onHeard()
    try {
      this.#charge(1, 0)
    } catch (thrown) {
      this.#failed(thrown)
    }
  }

  /** Each chunk has a credit for its answer. */
  onSent(bytes: number): void {
    this.#frames.give(bytes / CHUNK_MAX_BYTES)
  }

  onHeard(): void {
    this.#heardAtMs = this.#world.clock.nowMs()
    this.#pings = 0
  }

  onClose(): void {
    this.#socket.entry.left()
    this.#world.closed()
    this.#leave()
  }

  /** ws closes by itself after an error, with the code that fits (1009 for a message too large). */
  onError(error: Error): void {
    this.#world.log.debug({ link: this.link, node: this.#node, error }, "link failed")
  }

  onMessage(data: RawData, isBinary: boolean): void {
    if (this.#phase === "closed") return
    this.onHeard()
    try {
      if (!isBinary || !Buffer.isBuffer(data)) throw new FrameError("a text message; frames are binary")
      if (this.#phase === "open" && this.#onQuickFrame(data)) return
      const body = decodeAgentFrame(data)
      const isStreamData = body.case === "chunk"
      // A full chunk is free: its stream's credit bounds it. Crumbs cost nearly what other frames do.
      this.#charge(isStreamData ? 1 - body.value.data.length / CHUNK_MAX_BYTES : 1, isStreamData ? 0 : data.length)
      this.#phase = afterAgentFrame(this.#phase, body.case)
      this.#onFrame(body)
    } catch (thrown) {
      this.#failed(thrown)
    }
  }

  // ---- frames ----

  /** The usual frames of an open link. False: it is another, or not a plain one. */
  #onQuickFrame(data: Buffer): boolean {
    const [node, epoch] = [this.#node, this.#epoch]
    const report = quickReport(data)
    const sequence = report === null ? quickHeartbeat(data) : null
    if (node === null || epoch === null || (report === null && sequence === null)) return false
    this.#charge(1, data.length)
    const { desk } = this.#world
    // Without outputs there is nothing to ask. Name by name: a spread costs more than reading the frame.
    if (report !== null) {
      const { campaign, index, attempt, phase, result } = report
      desk.post({ kind: "AttemptReported", node, epoch, campaign, index, attempt, phase, result })
    } else desk.post({ kind: "HeartbeatReceived", node, epoch, sequence: sequence! })
    return true
  }

  #onFrame(body: AgentBody): void {
    if (body.case === "hello") {
      this.#onHello(body.value).catch(thrown => this.#failed(thrown))
      return
    }
    // The table of link.ts lets nothing but a hello through before the welcome.
    if (this.#node === null || this.#epoch === null) return
    switch (body.case) {
      case "heartbeat":
        this.#world.desk.post({
          kind: "HeartbeatReceived",
          node: this.#node,
          epoch: this.#epoch,
          sequence: safeInteger(body.value.sequence, "a heartbeat's number"),
        })
        return
      case "report":
        this.#onReport(body.value, this.#node, this.#epoch)
        return
      case "listGather":
        this.#onListGather(body.value, this.#node).catch(thrown => this.#failed(thrown))
        return
      case "streamOpen":
        this.#streams().open(body.value)
        return
      case "streamOpened":
        this.#streams().opened(body.value)
        return
      case "chunk": {
        const { stream, offset, data } = body.value
        if (!this.#streams().chunk(stream, offset, data)) this.#charge(0, data.length)
        return
      }
      case "credit":
        this.#streams().credit(body.value.stream, body.value.creditOffset)
        return
      case "streamEnd":
        this.#streams().end(body.value.stream, body.value.error, body.value.message)
        return
      default:
        body satisfies never
    }
  }

  /** Of a link that was welcomed. */
  #streams(): Transfers {
    this.#transfers ??= new Transfers(this.#world, new NodeLink(this.#world, this.#node!, this))
    return this.#transfers
  }

  /** Of an attempt that is not its own, or no more, it hears so: an agent that is written by others may wait for ever. */
  async #onListGather({ attempt, fromIndex }: ListGather, node: NodeId): Promise<void> {
    const name = attemptOf(attempt)
    try {
      this.send(gatherBody(name, fromIndex, await this.#ask(this.#world.desk.gather(node, name, fromIndex))))
    } catch (thrown) {
      if (!(thrown instanceof CahError)) throw thrown
      this.send(noGatherBody(name, fromIndex, thrown))
    }
  }

  #onReport(frame: Report, node: NodeId, epoch: number): void {
    const { desk } = this.#world
    const report = reportOf(frame)
    const event = { kind: "AttemptReported", node, epoch, ...report } as const
    if (report.result === null || blobsOf(report.result).length === 0) {
      desk.post(event)
      return
    }
    this.#ask(desk.report(event))
      .then(answer => {
        if (answer === "blobMissing") this.send(answerBody(report, report.phase, answer))
        else if (answer !== "passed") throw new FrameError(answer.breach)
      })
      .catch(thrown => this.#failed(thrown))
  }

  /** While the hub owes this link many answers nothing more is read from it. */
  async #ask<T>(question: Promise<T>): Promise<T> {
    const { webSocket } = this.#socket
    if (++this.#asked === LINK_QUESTIONS_MAX) webSocket.pause()
    try {
      return await question
    } finally {
      if (this.#asked-- === LINK_QUESTIONS_MAX) webSocket.resume()
    }
  }

  async #onHello(hello: Hello): Promise<void> {
    const { desk, clock, hubId } = this.#world
    this.#helloMs = clock.nowMs() - this.#openedAtMs
    const agreed = agreeOnVersion(
      { min: PROTOCOL_MIN, max: PROTOCOL_MAX },
      { min: hello.protocolMin, max: hello.protocolMax },
    )
    if ("upgrade" in agreed) {
      const ranges = `the agent speaks versions ${hello.protocolMin} to ${hello.protocolMax} of the protocol, this hub ${PROTOCOL_MIN} to ${PROTOCOL_MAX}`
      this.#refuse("version", `upgrade the ${agreed.upgrade}: ${ranges}`, closeCodes.version)
      return
    }
    this.#protocol = agreed.version
    const node = nodeIdOf(hello.publicKey) as NodeId
    const words = helloOf(hello, node)
    const proof = helloBytes({ hubId, nonce: this.#nonce!, nodeId: node, bootId: hello.bootId })
    this.#nonce = null
    const isFresh = this.#helloMs <= NONCE_MS
    if (!isFresh || !(await isSignedBy(hello.publicKey, proof, hello.signature))) {
      this.#refuse("denied", "the signature does not fit this hub's challenge and the agent's key")
      return
    }
    // A copy: the frame's memory is many times larger, and the key stays.
    const publicKey = Uint8Array.from(hello.publicKey)
    const { address } = this.#socket
    const admission = await desk.admit({ node, publicKey, enrolToken: hello.enrolToken, address })
    // Closed while we were waiting: the core must not hear of it, or it would end the session of a link that came since.
    if (this.#phase !== "greeted") return
    if (admission.kind === "revoked") {
      this.#refuse("denied", STOPPED, closeCodes.denied, true)
      return
    }
    if (admission.kind === "refused") {
      this.#refuse("denied", admission.why)
      return
    }
    const { account, host, isNew } = admission
    const network = networkOf(address)
    this.#node = node
    this.#joining = { node, account, name: words.name, isNew }
    desk.post({ kind: "NodeHello", link: this.link, node, account, host, network, publicKey, ...words })
  }

  // ---- endings ----

  #refuse(result: "denied" | "version", reason: string, code: CloseCode = closeCodes.denied, revoked = false): void {
    if (this.#phase === "closed") return
    this.#greeted(result)
    this.#sayOf(this.#socket.address, "agent refused", { reason })
    this.#goodbye(reason, { final: true, revoked }, code)
  }

  #closeBecause(why: "superseded" | "revoked" | "silent"): void {
    switch (why) {
      case "superseded":
        this.#close(closeCodes.superseded, "a newer session of this node took over")
        return
      case "silent":
        this.#close(closeCodes.silent, "the node's lease ran out without a heartbeat")
        return
      case "revoked":
        this.#greeted("denied")
        this.#goodbye(STOPPED, { final: true, revoked: true }, closeCodes.denied)
        return
      default:
        why satisfies never
    }
  }

  /** Something that agents bring about by themselves, so that there may be much of it. */
  #sayOf(who: string, message: string, fields: Record<string, unknown> = {}): void {
    const { address } = this.#socket
    this.#world.strangers.say("info", who, message, { link: this.link, node: this.#node, address, ...fields })
  }

  /** Whatever a frame led to: a breach closes the link, anything else is our own fault and is logged as such. */
  #failed(thrown: unknown): void {
    if (this.#phase === "closed") return
    const { strangers } = this.#world
    if (thrown instanceof FrameError) {
      this.#greeted("breach")
      this.#sayOf(this.#node ?? this.#socket.address, "agent broke the protocol", { reason: thrown.message })
      this.#close(thrown.closeCode, thrown.message)
      return
    }
    this.#greeted("failed")
    const error = CahError.from(thrown)
    // The store may be in trouble, say: the agent loses nothing by coming back later.
    const fields = { link: this.link, node: this.#node, reason: error.message, error: error.cause ?? error }
    strangers.say("error", this.#node ?? this.#socket.address, "a frame could not be handled", fields)
    this.#close(closeCodes.tryAgainLater, "the hub failed inside; come back later")
  }

  /** It takes too little of what is sent. */
  tooSlow(): void {
    this.#sayOf(this.#node ?? this.#socket.address, "link is stuck: the agent does not take what is sent")
    this.#close(closeCodes.tooSlow, "what the hub sent was not taken in time")
  }

  #goodbye(reason: string, how: { retryAfterMs: number } | { final: true; revoked: boolean }, code: CloseCode): void {
    const rest = "final" in how ? how : { retryAfter: wireDuration(how.retryAfterMs) }
    const files = this.#transfers?.close() ?? Promise.resolve()
    this.send({ case: "goodbye", value: { reason, ...rest } })
    const flushed = this.outbox.empty()
    this.#leave(files)
    const close = () => this.#closeSocket(code, reason)
    const late = setTimeout(close, CLOSE_MS)
    void flushed.then(() => {
      clearTimeout(late)
      close()
    })
  }

  #close(code: CloseCode, reason: string): void {
    if (this.#phase === "closed") return
    this.#leave()
    this.#closeSocket(code, reason)
  }

  #closeSocket(code: CloseCode, reason: string): void {
    this.outbox.close(new CahError("aborted", "the link was closed"))
    // What it says is not heard any more; but its own close frame is.
    if (this.#asked >= LINK_QUESTIONS_MAX) this.#socket.webSocket.resume()
    // A close frame has room for 123 bytes of UTF-8.
    this.#socket.webSocket.close(code, Buffer.from(reason.replace(/[^\x20-\x7e]/g, "?")).subarray(0, 123))
  }

  /** From here on nothing from the agent is listened to, and the engine knows. */
  #leave(files: Promise<void> = this.#transfers?.close() ?? Promise.resolve()): void {
    const isSocketGone = this.#socket.webSocket.readyState === this.#socket.webSocket.CLOSED
    if (isSocketGone) this.outbox.close(new CahError("aborted", "the link was closed"))
    if (this.#phase === "closed") return
    this.#greeted("failed")
    this.#phase = "closed"
    if (this.#node !== null && this.#epoch !== null) {
      this.#world.desk.post({ kind: "NodeGone", node: this.#node, epoch: this.#epoch })
      this.#world.agents.say("info", this.#node, "agent left", { node: this.#node, link: this.link })
    }
    this.#world.gone(this, files)
  }

  #isGreeted = false

  /** Counted once per link, by the first thing that settles how its hello went. */
  #greeted(result: "accepted" | "denied" | "version" | "breach" | "timeout" | "failed" | "busy"): void {
    if (this.#isGreeted) return
    this.#isGreeted = true
    this.#world.metrics.agentConnects.inc({ result })
    this.#socket.entry.greeted()
  }

  #charge(frames: number, bytes: number): void {
    const nowMs = this.#world.clock.nowMs()
    if (!this.#frames.take(frames, nowMs)) {
      throw new FrameError(`more than ${FRAMES_PER_SECOND} frames a second`)
    }
    if (!this.#bytes.take(bytes, nowMs)) {
      throw new FrameError(`more than ${CONTROL_BYTES_PER_SECOND} bytes a second outside of streams`)
    }
  }
}
