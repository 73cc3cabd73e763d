// What one link gives to those that work on it: the socket to its outbox, itself to its streams. Classes with methods where objects
// of functions would do, because there are as many as agents: tsx gives each function that an object names a table of its
// own, which is 300 bytes, seven times for every agent.
import type { Duplex } from "node:stream"
import { type RawData, WebSocket } from "ws"
import { chunkFrame, type Frame, HUB_CHUNK } from "../../proto/wire/bulk.ts"
import type { Outbox, OutboxOptions, Pipe } from "../../proto/wire/flow.ts"
import { encodeHubFrame, type HubBodyInit } from "../../proto/wire/frame.ts"
import { messages } from "../../proto/wire/messages.ts"
import type { NodeId } from "../core/model.ts"
import type { Entry } from "./admission.ts"
import type { TransferLink, TransferWorld } from "./transfer.ts"

/** What the socket, its pipe and its streams need of the session (session.ts). */
export interface LinkSession {
  readonly outbox: Outbox
  /** From the challenge to the hello. */
  readonly helloMs: number
  send(body: HubBodyInit): void
  onMessage(data: RawData, isBinary: boolean): void
  onPing(): void
  onHeard(): void
  onClose(): void
  onError(error: Error): void
  /** Bytes of blobs were sent to the node. */
  onSent(bytes: number): void
  /** The agent takes too little of what is sent. */
  tooSlow(): void
}

/** A WebSocket that knows its session, so that listeners are the same functions for all. */
export class LinkSocket extends WebSocket {
  session: LinkSession | null = null
}

export function listen(webSocket: LinkSocket, session: LinkSession): void {
  webSocket.session = session
  webSocket.on("message", onMessage)
  webSocket.on("ping", onPing)
  webSocket.on("pong", onPong)
  webSocket.on("close", onClose)
  webSocket.on("error", onError)
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  sessionOf(this).onMessage(data, isBinary)
}

function onPing(this: WebSocket): void {
  sessionOf(this).onPing()
}

function onPong(this: WebSocket): void {
  sessionOf(this).onHeard()
}

function onClose(this: WebSocket): void {
  sessionOf(this).onClose()
}

function onError(this: WebSocket, error: Error): void {
  sessionOf(this).onError(error)
}

/** The types of ws know of no class of ours. */
function sessionOf(webSocket: WebSocket): LinkSession {
  return (webSocket as LinkSocket).session!
}

export interface SessionSocket {
  readonly webSocket: LinkSocket
  /** What is under it: held together while the frames of one write are put in. */
  readonly stream: Duplex
  /** The agent's own, also where it comes through a proxy. */
  readonly address: string
  /** Its place among the links. */
  readonly entry: Entry
}

export class LinkPipe implements OutboxOptions, Pipe {
  readonly #world: Pick<TransferWorld, "budget">
  readonly #socket: SessionSocket
  readonly #session: Pick<LinkSession, "tooSlow">

  constructor(world: Pick<TransferWorld, "budget">, socket: SessionSocket, session: Pick<LinkSession, "tooSlow">) {
    this.#world = world
    this.#socket = socket
    this.#session = session
  }

  get pipe(): Pipe {
    return this
  }

  write(frames: readonly Frame[], done: () => void): void {
    const { webSocket, stream } = this.#socket
    // Closing: what ws would do with a message then.
    if (webSocket.readyState !== webSocket.OPEN) {
      process.nextTick(done)
      return
    }
    const buffers = messages(frames, "server")
    const last = buffers.pop()!
    stream.cork()
    for (const buffer of buffers) stream.write(buffer)
    stream.write(last, () => done())
    stream.uncork()
  }

  chunkFrame(stream: number, offset: number, data: Uint8Array): Frame {
    return chunkFrame(HUB_CHUNK, stream, offset, data)
  }

  endFrame(stream: number): Uint8Array {
    return encodeHubFrame({ case: "streamEnd", value: { stream } })
  }

  /** Before the promises of this turn go on: what the engine says is written before the scientists' answers are made. */
  later(run: () => void): void {
    process.nextTick(run)
  }

  overflow(): void {
    this.#session.tooSlow()
  }

  account(bytes: number): void {
    this.#world.budget.account(bytes)
  }
}

interface SettleWorld {
  /** Resolves when older links of this node have let go of their uploads. */
  settled(node: NodeId, except: LinkSession): Promise<void>
}

/** A link that was welcomed, for its streams. */
export class NodeLink implements TransferLink {
  readonly node: NodeId
  readonly outbox: Outbox
  readonly helloMs: number
  readonly #world: SettleWorld
  readonly #session: LinkSession

  constructor(world: SettleWorld, node: NodeId, session: LinkSession) {
    this.node = node
    this.outbox = session.outbox
    this.helloMs = session.helloMs
    this.#world = world
    this.#session = session
  }

  send(body: HubBodyInit): void {
    this.#session.send(body)
  }

  sent(bytes: number): void {
    this.#session.onSent(bytes)
  }

  settled(): Promise<void> {
    return this.#world.settled(this.node, this.#session)
  }
}
