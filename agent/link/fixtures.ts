// For tests of the agent's link: a hub that follows a script frame by frame over a real loopback WebSocket, well-behaved or
// not, and a link with everything around it recorded.
import { generateKeyPairSync, sign } from "node:crypto"
import { once } from "node:events"
import { createServer, type IncomingMessage, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import {
  type AgentBody,
  decodeAgentFrame,
  encodeHubFrame,
  FRAME_MAX_BYTES,
  type HubBodyInit,
  SUBPROTOCOL,
} from "../../proto/wire/frame.ts"
import { nodeIdOf } from "../../proto/wire/hello.ts"
import type { Event } from "../core/events.ts"
import type { Log } from "../core/ports.ts"
import { createLink, type DialledLink, type DialOptions } from "./dial.ts"
import type { Identity } from "./identity.ts"

export const attempt = { campaign: 12, index: 7, attempt: 2 }
export const wireAttempt = { campaign: 12n, index: 7, attempt: 2 }

/** Things that happened, and a way to wait for one. */
export class Happenings<T> {
  readonly all: T[] = []
  #waiting: (() => void)[] = []
  #read = 0

  push(one: T): void {
    this.all.push(one)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** The next one that fits, after those already taken. */
  async next(fits: (one: T) => boolean = () => true): Promise<T> {
    for (;;) {
      while (this.#read < this.all.length) {
        const one = this.all[this.#read++]!
        if (fits(one)) return one
      }
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }
}

type ValueOf<Kind extends AgentBody["case"]> = Extract<AgentBody, { case: Kind }>["value"]

/** The hub's end of one connection. */
export class HubEnd {
  readonly frames = new Happenings<AgentBody>()
  readonly closed: Promise<{ code: number; reason: string }>
  readonly webSocket: WebSocket

  constructor(webSocket: WebSocket) {
    this.webSocket = webSocket
    webSocket.on("message", data => this.frames.push(decodeAgentFrame(data as Buffer)))
    webSocket.on("error", () => {})
    this.closed = new Promise(resolve => {
      webSocket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }))
    })
  }

  send(body: HubBodyInit): void {
    this.webSocket.send(encodeHubFrame(body))
  }

  async next<Kind extends AgentBody["case"]>(kind: Kind): Promise<ValueOf<Kind>> {
    return (await this.frames.next(one => one.case === kind)).value as ValueOf<Kind>
  }

  challenge(nonce = new Uint8Array(32), protocol = 1, hubId = "hub"): void {
    this.send({ case: "challenge", value: { hubId, nonce, protocolMin: protocol, protocolMax: protocol } })
  }

  async welcome(): Promise<ValueOf<"hello">> {
    this.challenge()
    const hello = await this.next("hello")
    this.send({ case: "welcome", value: { sessionEpoch: 1n, heartbeat: { seconds: 30n }, protocol: 1 } })
    return hello
  }
}

export class FakeHub {
  readonly connections = new Happenings<HubEnd>()
  /** Answers instead of an upgrade, while there are any. */
  readonly refusals: string[] = []
  readonly requests: IncomingMessage[] = []
  readonly #server: Server
  readonly #scheme: "http" | "https"
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: FRAME_MAX_BYTES,
    handleProtocols: () => SUBPROTOCOL,
  })
  readonly #sockets = new Set<Socket>()

  static async start(tls: { cert: Buffer; key: Buffer } | null = null): Promise<FakeHub> {
    const hub = new FakeHub(tls)
    hub.#server.listen(0, "127.0.0.1")
    await once(hub.#server, "listening")
    return hub
  }

  private constructor(tls: { cert: Buffer; key: Buffer } | null) {
    this.#server = tls === null ? createServer() : createTlsServer(tls)
    this.#scheme = tls === null ? "http" : "https"
    this.#server.on("connection", socket => {
      this.#sockets.add(socket)
      socket.on("close", () => this.#sockets.delete(socket))
    })
    this.#server.on("upgrade", (request, socket, head) => {
      this.requests.push(request)
      const refusal = this.refusals.shift()
      if (refusal !== undefined) {
        socket.end(refusal)
        return
      }
      this.#webSockets.handleUpgrade(request, socket, head, webSocket => this.connections.push(new HubEnd(webSocket)))
    })
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    const closed = once(this.#server, "close")
    this.#server.close()
    await closed
  }
}

export function someIdentity(): Identity {
  const { privateKey, publicKey: key } = generateKeyPairSync("ed25519")
  const publicKey = Uint8Array.from(key.export({ type: "spki", format: "der" }).subarray(-32))
  return { nodeId: nodeIdOf(publicKey), publicKey, bootId: "boot-1", sign: bytes => sign(null, bytes, privateKey) }
}

export interface RecordedLink {
  readonly link: DialledLink
  readonly events: Happenings<Event>
  readonly finals: Happenings<string>
  readonly logged: Happenings<{ fields: Record<string, unknown>; message: string }>
  readonly identity: Identity
}

/** A link that dials without any wait unless told otherwise. */
export function recordedLink(hubUrl: string, options: Partial<DialOptions> = {}): RecordedLink {
  const events = new Happenings<Event>()
  const finals = new Happenings<string>()
  const logged = new Happenings<{ fields: Record<string, unknown>; message: string }>()
  const say = (fields: Record<string, unknown>, message: string) => logged.push({ fields, message })
  const log: Log = { debug: say, info: say, warn: say, error: say }
  const identity = options.identity ?? someIdentity()
  const link = createLink({
    hubUrl,
    via: null,
    insecure: false,
    ca: null,
    identity,
    agentVersion: "0.1.0",
    enrolToken: "token",
    node: () => ({ name: "attic", slots: 2, memoryBytes: 4_000, diskBytes: 8_000, properties: { os: "linux" } }),
    holdings: () => [],
    onEvent: event => events.push(event),
    onFinal: (reason, revoked) => finals.push(revoked ? `revoked: ${reason}` : reason),
    logSource: () => null,
    clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
    log,
    random: () => 0,
    ...options,
  })
  return { link, events, finals, logged, identity }
}
