// The links of the simulated world: what the hub says reaches a node after a while, in order, and the reverse; unless a
// fault delays, drops, doubles or overtakes it, or the link is half open and nobody knows.
import type { Event as AgentEvent } from "../../agent/core/events.ts"
import type { RunSpec } from "../../agent/core/model.ts"
import type { FullOffer, LinkSpeech } from "../core/effects.ts"
import type { Event } from "../core/events.ts"
import type { LinkId, NodeId } from "../core/model.ts"
import type { Links } from "../core/ports.ts"
import type { Faults } from "./faults.ts"
import type { Random } from "./random.ts"
import type { VirtualTime } from "./time.ts"

export interface Peer {
  readonly node: NodeId
  /** A frame from the hub. */
  hear(connection: Connection, event: AgentEvent): void
  lost(connection: Connection): void
}

/** What the network needs of the hub, which may be down. */
export interface HubPort {
  post(event: Event): void
  specOf(offer: FullOffer): RunSpec
}

/** One WebSocket, seen from both ends. */
export class Connection {
  readonly link: LinkId
  readonly peer: Peer
  /** What each end believes. */
  openAtHub = true
  openAtNode = true
  /** Frames vanish, in both directions. */
  blackhole = false
  epoch: number | null = null
  private readonly lastDelivery = { toHub: 0, toNode: 0 }
  private readonly network: Network

  constructor(network: Network, link: LinkId, peer: Peer) {
    this.network = network
    this.link = link
    this.peer = peer
  }

  toHub(make: (connection: Connection) => Event | null): void {
    this.deliver("toHub", () => {
      if (!this.openAtHub) return
      const event = make(this)
      if (event !== null) this.network.hub?.post(event)
    })
  }

  toNode(event: AgentEvent): void {
    this.deliver("toNode", () => {
      if (this.openAtNode) this.peer.hear(this, event)
    })
  }

  private deliver(way: "toHub" | "toNode", arrive: () => void): void {
    const { faults, random, time } = this.network
    if (this.blackhole || random.chance(faults.loss)) return
    const delay = random.between(...faults.delayMs)
    let at = Math.max(time.nowMs + delay, this.lastDelivery[way])
    if (random.chance(faults.reorder)) at = time.nowMs + delay
    else this.lastDelivery[way] = at
    time.after(at - time.nowMs, arrive)
    if (random.chance(faults.duplicate)) time.after(at - time.nowMs + random.between(0, 5_000), arrive)
  }

  /** The node's end closes. The hub hears of it, unless the link is half open: then its pings go unanswered first. */
  closeAtNode(): void {
    if (!this.openAtNode) return
    this.openAtNode = false
    this.network.time.after(this.closingDelay(), () => this.goneAtHub())
  }

  /** The hub's end closes, or the hub's process is gone. */
  closeAtHub(): void {
    if (!this.openAtHub) return
    this.goneAtHub()
    this.network.time.after(this.closingDelay(), () => this.goneAtNode())
  }

  goneAtHub(): void {
    if (!this.openAtHub) return
    this.openAtHub = false
    this.network.connections.delete(this.link)
    this.network.tellGone(this)
  }

  goneAtNode(): void {
    if (!this.openAtNode) return
    this.openAtNode = false
    this.peer.lost(this)
  }

  /** From now on nothing passes; both ends find out by their pings. */
  break(): void {
    this.blackhole = true
    const { faults, random, time } = this.network
    time.after(faults.detectMs * random.between(0.7, 1), () => this.goneAtHub())
    time.after(faults.detectMs * random.between(0.7, 1), () => this.goneAtNode())
  }

  private closingDelay(): number {
    const { faults, random } = this.network
    return this.blackhole ? faults.detectMs : random.between(...faults.delayMs)
  }
}

export class Network implements Links {
  readonly connections = new Map<LinkId, Connection>()
  hub: HubPort | null = null
  faults: Faults
  readonly random: Random
  readonly time: VirtualTime
  private lastLink = 0

  constructor(time: VirtualTime, random: Random, faults: Faults) {
    this.time = time
    this.random = random
    this.faults = faults
  }

  /** Null while the hub is down. */
  connect(peer: Peer): Connection | null {
    if (this.hub === null) return null
    const connection = new Connection(this, ++this.lastLink as LinkId, peer)
    this.connections.set(connection.link, connection)
    return connection
  }

  /** The hub's process is gone: its sockets close, and it hears nothing any more. */
  hubDown(): void {
    this.hub = null
    for (const connection of [...this.connections.values()]) connection.closeAtHub()
  }

  tellGone(connection: Connection): void {
    if (connection.epoch === null) return
    this.hub?.post({ kind: "NodeGone", node: connection.peer.node, epoch: connection.epoch })
  }

  offer(link: LinkId, offer: FullOffer): void {
    const { campaign, index, attempt } = offer
    const spec = this.hub?.specOf(offer)
    if (spec === undefined) return
    this.connections.get(link)?.toNode({ kind: "Offered", name: { campaign, index, attempt }, spec })
  }

  speak(speech: LinkSpeech): void {
    const connection = this.connections.get(speech.link)
    if (speech.kind === "Welcome") return this.welcome(connection, speech)
    if (connection === undefined) return
    switch (speech.kind) {
      case "Kill": {
        const { campaign, index, attempt, reason } = speech
        return connection.toNode({ kind: "KillAsked", name: { campaign, index, attempt }, reason })
      }
      case "AnswerReport": {
        const { campaign, index, attempt, phase, answer } = speech
        return connection.toNode({ kind: "ReportAnswered", name: { campaign, index, attempt }, phase, answer })
      }
      case "CloseLink":
        return connection.closeAtHub()
      case "AnswerHeartbeat":
        return
      default:
        return speech satisfies never
    }
  }

  private welcome(connection: Connection | undefined, speech: Extract<LinkSpeech, { kind: "Welcome" }>): void {
    if (connection === undefined) {
      // The socket closed while its hello was being written down.
      this.hub?.post({ kind: "NodeGone", node: speech.node, epoch: speech.epoch })
      return
    }
    connection.epoch = speech.epoch
    connection.toNode({ kind: "Welcomed", heartbeatMs: speech.heartbeatMs, reconciled: speech.reconciled })
  }

  drop(): void {
    for (const connection of [...this.connections.values()]) connection.closeAtHub()
  }

  /** Agents try by themselves. */
  resume(): void {}

  health() {
    return { links: this.connections.size, streams: 0, bufferedBytes: 0 }
  }
}
