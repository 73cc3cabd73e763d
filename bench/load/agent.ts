// One simulated agent: the real protocol (challenge, signed hello, welcome, offers, reports, answers, heartbeats, pings, coming
// back with the real agent's jitter and a hello that names what it holds), but its commands do nothing, or nothing for a
// while, and its hot frames are coded by hand. As the real agent does for a job without stagein and outputs, it reports
// "running" and "ended", in two writes at least one turn of the event loop apart. What came and went is counted by tally.ts.

import { PING_MISSES_MAX, PING_MS, REPORT_REPEAT_MS, SESSION_GOOD_MS, SUPERSEDED_RETRY_MS } from "../../agent/limits.ts"
import { Backoff } from "../../agent/link/backoff.ts"
import type { Identity } from "../../agent/link/identity.ts"
import type { Challenge } from "../../proto/gen/cah/v1/link_pb.ts"
import { decodeHubFrame, encodeAgentFrame, PROTOCOL_MAX, PROTOCOL_MIN } from "../../proto/wire/frame.ts"
import { helloBytes } from "../../proto/wire/hello.ts"
import {
  AttemptAt,
  afterVarint,
  heartbeatFrame,
  kinds,
  type PhaseNumber,
  phases,
  putReport,
  reportLength,
} from "../wire.ts"
import type { RunMs } from "./protocol.ts"
import { AgentSocket } from "./socket.ts"
import type { Tally } from "./tally.ts"

export interface AgentSettings {
  readonly url: URL
  readonly enrolToken: string
  readonly name: string
  readonly slots: number
  /** How long commands take. 0: they have ended in the next turn of the event loop. */
  readonly runMs: RunMs
  /** Report "staging" and "returning" too, as for jobs that have something to stage and to return. */
  readonly fourReports: boolean
}

interface Held {
  readonly campaign: number
  readonly index: number
  readonly attempt: number
  readonly bytes: Buffer
  phase: PhaseNumber
  answered: boolean
  reportedAtMs: number
}

const name = new AttemptAt()

export class LoadAgent {
  readonly #settings: AgentSettings
  readonly #identity: Identity
  readonly #tally: Tally
  readonly #backoff = new Backoff(Math.random)
  /** Commands are over before anything can be lost. */
  readonly #isNoop: boolean
  /** By "campaign.index#attempt". Only of commands that take time. */
  readonly #held = new Map<string, Held>()
  /** Attempts whose commands did nothing, to be reported as ended in the next turn. */
  #ending: Buffer[] = []
  #enrolToken: string
  #socket: AgentSocket | null = null
  #welcomedAtMs: number | null = null
  #retryAfterMs: number | null = null
  #heartbeatMs = 0
  #nextHeartbeatMs = 0
  #sequence = 0
  #heardAtMs = 0
  #pings = 0
  #isOver = false

  constructor(settings: AgentSettings, identity: Identity, tally: Tally) {
    this.#settings = settings
    this.#isNoop = settings.runMs[1] === 0
    this.#enrolToken = settings.enrolToken
    this.#identity = identity
    this.#tally = tally
  }

  get isConnected(): boolean {
    return this.#welcomedAtMs !== null
  }

  dial(): void {
    if (this.#isOver) return
    this.#socket = new AgentSocket(this.#settings.url, {
      opened: () => {},
      message: (bytes, start, end) => this.#onMessage(bytes, start, end),
      drained: () => {
        this.#heardAtMs = performance.now()
        this.#pings = 0
        // Two: what runs in this turn's own check phase is still this turn.
        if (this.#ending.length > 0) setImmediate(() => setImmediate(() => this.#endAll()))
      },
      closed: (why, retryAfterMs) => this.#onClosed(why, retryAfterMs),
    })
  }

  stop(): void {
    this.#isOver = true
    this.#socket?.destroy()
  }

  /** Looks at the clock, once a second as the real agent does. */
  watch(nowMs: number): void {
    const socket = this.#socket
    if (socket === null || this.#welcomedAtMs === null) return
    if (nowMs >= this.#nextHeartbeatMs) {
      this.#nextHeartbeatMs = nowMs + this.#heartbeatMs
      socket.send(heartbeatFrame(++this.#sequence))
      this.#tally.beats++
    }
    for (const held of this.#held.values()) {
      if (!held.answered && nowMs - held.reportedAtMs >= REPORT_REPEAT_MS) this.#report(held)
    }
    socket.flush()
    if (nowMs - this.#heardAtMs >= PING_MS * (this.#pings + 1)) {
      if (this.#pings++ >= PING_MISSES_MAX) {
        socket.destroy()
        this.#onClosed("nothing heard from the hub", null)
      } else socket.ping()
    }
  }

  // ---- frames ----

  #onMessage(bytes: Buffer, start: number, end: number): void {
    switch (bytes[start]) {
      case kinds.offer:
        return this.#onOffer(bytes, afterVarint(bytes, start + 1))
      case kinds.reportAnswer:
        return this.#onAnswer(bytes, start + 2)
      case kinds.heartbeatAnswer:
        this.#tally.heartbeats++
        return
      default:
        return this.#onRareFrame(bytes.subarray(start, end))
    }
  }

  #onOffer(bytes: Buffer, body: number): void {
    name.read(bytes, body + 1)
    const isNew = this.#tally.offered(name.campaign, name.index, name.attempt)
    if (this.#isNoop) {
      if (this.#settings.fourReports) this.#put(bytes, name, phases.staging)
      this.#put(bytes, name, phases.running)
      this.#ending.push(Buffer.from(bytes.subarray(name.start, name.end)))
      return
    }
    const key = `${name.campaign}.${name.index}#${name.attempt}`
    const known = this.#held.get(key)
    if (known !== undefined) return this.#report(known)
    if (!isNew) this.#tally.oddities.push(`attempt ${key} was offered again after it had ended`)
    const { campaign, index, attempt } = name
    const held: Held = {
      campaign,
      index,
      attempt,
      bytes: Buffer.from(bytes.subarray(name.start, name.end)),
      phase: phases.running,
      answered: false,
      reportedAtMs: 0,
    }
    this.#held.set(key, held)
    if (this.#settings.fourReports) this.#put(held.bytes, whole(held.bytes), phases.staging)
    this.#report(held)
    const [least, most] = this.#settings.runMs
    setTimeout(() => this.#onCommandEnded(held), least + Math.random() * (most - least))
  }

  #onCommandEnded(held: Held): void {
    held.phase = phases.ended
    held.answered = false
    if (this.#welcomedAtMs === null) {
      this.#tally.endedAway++
      return
    }
    if (this.#settings.fourReports) this.#put(held.bytes, whole(held.bytes), phases.returning)
    this.#report(held)
    this.#socket!.flush()
  }

  /** What came since the last turn is over by now. */
  #endAll(): void {
    const ending = this.#ending
    this.#ending = []
    // Lost with the link, which tally.ts holds against the run.
    if (this.#welcomedAtMs === null) return
    for (const attempt of ending) {
      if (this.#settings.fourReports) this.#put(attempt, whole(attempt), phases.returning)
      this.#put(attempt, whole(attempt), phases.ended)
    }
    this.#socket!.flush()
  }

  /** Says where it is. */
  #report(held: Held): void {
    held.reportedAtMs = performance.now()
    this.#put(held.bytes, whole(held.bytes), held.phase)
  }

  #put(bytes: Uint8Array, attempt: { readonly start: number; readonly end: number }, phase: PhaseNumber): void {
    const socket = this.#socket!
    const length = reportLength(attempt.end - attempt.start, phase)
    const start = socket.begin(length)
    putReport(socket.scratch, start, bytes, attempt, phase)
    socket.seal(start, length)
    this.#tally.reports++
  }

  #onAnswer(bytes: Buffer, body: number): void {
    const attemptLength = bytes[body + 1]!
    const phase = bytes[body + attemptLength + 3]!
    const answer = bytes[body + attemptLength + 5]!
    this.#tally.answers++
    if (phase !== phases.ended && this.#isNoop) {
      if (answer > ALREADY) this.#tally.oddities.push(`a report of phase ${phase} was answered with ${answer}`)
      return
    }
    name.read(bytes, body + 1)
    const key = `${name.campaign}.${name.index}#${name.attempt}`
    if (phase === phases.ended) {
      this.#held.delete(key)
      this.#tally.ended(name.campaign, name.index, name.attempt, answer)
      return
    }
    const held = this.#held.get(key)
    if (held !== undefined && held.phase === phase) held.answered = true
    if (answer > ALREADY) this.#tally.oddities.push(`${key}: a report of phase ${phase} was answered with ${answer}`)
  }

  #onRareFrame(bytes: Buffer): void {
    const body = decodeHubFrame(bytes)
    switch (body.case) {
      case "challenge":
        return this.#sayHello(body.value)
      case "welcome":
        this.#welcomedAtMs = performance.now()
        this.#enrolToken = ""
        this.#heartbeatMs = Number(body.value.heartbeat?.seconds ?? 60n) * 1_000
        // Spread: agents that were started in a row should not all beat in the same second.
        this.#nextHeartbeatMs = this.#welcomedAtMs + Math.random() * this.#heartbeatMs
        this.#tally.welcomed(this.#welcomedAtMs)
        for (const { attempt, what } of body.value.reconciled) {
          const key = `${attempt!.campaign}.${attempt!.index}#${attempt!.attempt}`
          const held = this.#held.get(key)!
          if (what === CONTINUE) this.#report(held)
          else {
            // Its result was taken already, or nobody wants it.
            this.#held.delete(key)
            this.#tally.reconciled({ ...held, hasEnded: held.phase === phases.ended }, what)
          }
        }
        return
      case "goodbye":
        this.#retryAfterMs = Number(body.value.retryAfter?.seconds ?? 0n) * 1_000 || null
        if (body.value.final) this.#tally.oddities.push(`sent away for good: ${body.value.reason}`)
        return
      case "kill":
        this.#tally.oddities.push(`asked to kill ${body.value.attempt?.campaign}.${body.value.attempt?.index}`)
        return
      default:
        this.#tally.oddities.push(`a ${body.case} that no benchmark asks for`)
    }
  }

  #sayHello({ hubId, nonce }: Challenge): void {
    const { nodeId, publicKey, bootId, sign } = this.#identity
    const hello = encodeAgentFrame({
      case: "hello",
      value: {
        publicKey,
        bootId,
        protocolMin: PROTOCOL_MIN,
        protocolMax: PROTOCOL_MAX,
        agentVersion: "bench",
        signature: sign(helloBytes({ hubId, nonce, nodeId, bootId })),
        enrolToken: this.#enrolToken,
        node: { name: this.#settings.name, slots: this.#settings.slots, memoryBytes: 8n << 30n, diskBytes: 50n << 30n },
        holding: [...this.#held.values()].map(({ campaign, index, attempt, phase }) => ({
          attempt: { campaign: BigInt(campaign), index, attempt },
          phase,
        })),
      },
    })
    this.#socket!.send(hello)
  }

  #onClosed(why: string, refusedForMs: number | null): void {
    if (this.#isOver) return
    const nowMs = performance.now()
    if (this.#welcomedAtMs !== null) {
      this.#backoff.sessionEnded(nowMs - this.#welcomedAtMs >= SESSION_GOOD_MS)
      this.#tally.lost(why)
      if (this.#isNoop) this.#tally.oddities.push(`a link was lost: ${why}`)
    } else this.#tally.refused(why)
    this.#welcomedAtMs = null
    this.#socket = null
    const isSuperseded = why.includes("a newer session")
    const waitMs = this.#backoff.next(isSuperseded ? SUPERSEDED_RETRY_MS : (refusedForMs ?? this.#retryAfterMs))
    this.#retryAfterMs = null
    setTimeout(() => this.dial(), waitMs)
  }
}

function whole(attempt: Buffer): { readonly start: number; readonly end: number } {
  return { start: 0, end: attempt.length }
}

/** Answer.ALREADY and Reconcile.CONTINUE of link.proto. */
const ALREADY = 2
const CONTINUE = 1
