// For tests of links: an engine that says what it is told to, a server on a loopback port, and an agent that follows a
// script frame by frame, well-behaved or not. Speaks the wire itself, so that it can also break it.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import WebSocket, { type ClientOptions } from "ws"
import type { Phase as WirePhase } from "../../proto/gen/cah/v1/job_pb.ts"
import type { Digest } from "../../proto/wire/digest.ts"
import {
  type AgentBody,
  type AgentBodyInit,
  decodeHubFrame,
  encodeAgentFrame,
  type HubBody,
  SUBPROTOCOL,
} from "../../proto/wire/frame.ts"
import { helloBytes, nodeIdOf } from "../../proto/wire/hello.ts"
import type { AttemptName } from "../core/effects.ts"
import type { Event, NodeHello } from "../core/events.ts"
import { type BlobRef, type Campaign, type CampaignId, jobId, type Node, type NodeId } from "../core/model.ts"
import { noPresence } from "../core/placing/presence.ts"
import { noUsage } from "../core/placing/usage.ts"
import type { BlobStore, Engine, Links, Log, LogTap } from "../core/ports.ts"
import type { CampaignRow, RowWrite } from "../core/rows.ts"
import { noRules } from "../core/rules.ts"
import { type DeskParts, HubDesk } from "../desk/desk.ts"
import { createMetrics, type Metrics } from "../metrics.ts"
import { Peers } from "../peers.ts"
import { channel, type Late } from "./channel.fixtures.ts"
import type { Desk } from "./desk.ts"
import { LinkServer, type LinkServerOptions } from "./server.ts"

export const HUB_ID = "hub-of-the-test"
export const attempt: AttemptName = { campaign: 12 as CampaignId, index: 7, attempt: 2 }
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
  async next<S extends T>(fits: (one: T) => one is S): Promise<S>
  async next(fits: (one: T) => boolean): Promise<T>
  async next(fits: (one: T) => boolean): Promise<T> {
    for (;;) {
      while (this.#read < this.all.length) {
        const one = this.all[this.#read++]!
        if (fits(one)) return one
      }
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }
}

/** An engine without decisions: welcomes every node, remembers every event. */
export class ScriptedEngine implements Pick<Engine, "post" | "node" | "campaign" | "commit"> {
  readonly events = new Happenings<Event>()
  readonly nodeById = new Map<NodeId, Node>()
  readonly campaignById = new Map<CampaignId, Campaign>()
  /** Rows of blobs. */
  readonly rows = new Map<Digest, number>()
  /** Stageouts of campaigns that others gather. */
  readonly gathered = new Map<CampaignId, { index: number; blob: BlobRef }[]>()
  /** Blobs of these rows that only other scientists have. */
  readonly foreign = new Set<Digest>()
  links: Links | null = null
  welcomes = true

  post(event: Event): void {
    this.events.push(event)
    if (event.kind === "NodeHello" && this.welcomes) this.welcome(event)
    if (event.kind === "HeartbeatReceived") {
      const link = this.nodeById.get(event.node)?.link ?? null
      if (link !== null)
        this.links?.speak({ kind: "AnswerHeartbeat", link, sequence: event.sequence, leaseMs: 600_000 })
    }
  }

  welcome(hello: NodeHello): void {
    const old = this.nodeById.get(hello.node)
    if (old !== undefined && old.link !== null) {
      this.links?.speak({ kind: "CloseLink", link: old.link, why: "superseded" })
    }
    const epoch = (old?.epoch ?? 0) + 1
    const { kind: _, holding: __, node: id, ...rest } = hello
    const held = old?.held ?? new Map()
    const node: Node = {
      revoked: false,
      drained: false,
      quarantine: null,
      quarantines: 0,
      leaseUntilMs: 0,
      missedFromMs: 0,
      leaseArmed: false,
      facts: {},
      number: 0,
      presence: noPresence(0),
      ...rest,
      id,
      epoch,
      held,
    }
    this.nodeById.set(id, node)
    this.links?.speak({
      kind: "Welcome",
      link: hello.link,
      node: id,
      epoch,
      leaseMs: 600_000,
      heartbeatMs: 30_000,
      reconciled: hello.holding.map(({ phase: _phase, ...name }) => ({ ...name, answer: "continue" })),
    })
  }

  /** The node holds the attempt, whose campaign has this stagein. */
  gives(node: NodeId, name: AttemptName, stagein: BlobRef | null, gather: CampaignId | null = null): void {
    const needs = { slots: 1, memoryBytes: 0, diskBytes: 0 }
    const of = { owner: "ada", project: "", bestEffort: false }
    const account = { ...of, ownerUsage: noUsage(0), projectUsage: noUsage(0) }
    this.nodeById.get(node)!.held.set(jobId(name.campaign, name.index), {
      ...name,
      needs,
      account,
      container: false,
      inside: null,
      stopping: null,
    })
    this.campaignById.set(name.campaign, {
      id: name.campaign,
      owner: "ada",
      stagein,
      rules: { ...noRules, gather },
    } as Campaign)
  }

  node(id: NodeId): Node | null {
    return this.nodeById.get(id) ?? null
  }

  campaign(id: CampaignId): Campaign | null {
    return this.campaignById.get(id) ?? null
  }

  commit(writes: RowWrite[]): Promise<void> {
    for (const write of writes) if (write.kind === "blob") this.rows.set(write.digest, write.sizeBytes)
    return Promise.resolve()
  }
}

export interface Hub {
  readonly engine: ScriptedEngine
  readonly desk: HubDesk
  /** The output of nodes, as fronts follow it. */
  readonly tap: LogTap
  readonly blobs: BlobStore
  readonly links: LinkServer
  readonly metrics: Metrics
  readonly port: number
  readonly url: string
  readonly logged: Happenings<{ level: string; message: string }>
  close(): Promise<void>
}

/** Whether links ask by calls or by messages: the same tests must pass either way. */
let way: "calls" | "messages" = "calls"

export function byMessages(): void {
  way = "messages"
}

type HubOptions = Partial<LinkServerOptions & Pick<DeskParts, "enrol">> &
  Pick<LinkServerOptions, "blobs"> & {
    readonly port?: number
    /** The desk that links ask, given the one that answers by the engine. */
    readonly between?: (desk: Desk) => Desk
    /** Links ask by messages, and are answered as late as this says. */
    readonly late?: Late
    /** As the one port has it: who is asking. */
    readonly peers?: Peers
  }

export async function startHub(options: HubOptions): Promise<Hub> {
  const engine = new ScriptedEngine()
  const metrics = createMetrics("test")
  const logged = new Happenings<{ level: string; message: string }>()
  const say = (level: string) => (_: unknown, message: string) => logged.push({ level, message })
  const log: Log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") }
  const { port: wantedPort, blobs, peers = new Peers(), between = one => one, late, enrol, ...overrides } = options
  const clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
  const desk = new HubDesk({
    engine: engine as unknown as Engine,
    reader: {
      hasBlob: digest => engine.rows.get(digest) ?? null,
      campaign: id => (engine.gathered.has(id) ? ({ id, total: 2_000 } as CampaignRow) : null),
      stageouts: (id, from, limit) => (engine.gathered.get(id) ?? []).filter(one => one.index >= from).slice(0, limit),
      hasStageout: (id, digest) => (engine.gathered.get(id) ?? []).some(one => one.blob.digest === digest),
      ownsBlob: digest => engine.rows.has(digest) && !engine.foreign.has(digest),
    },
    blobs,
    clock,
    enrol:
      enrol ??
      (async ({ enrolToken }) =>
        enrolToken === "token" ? { account: "ada", host: null } : { refused: "the enrolment token is not valid" }),
  })
  const ends = way === "messages" || late !== undefined ? channel(between(desk), late) : null
  const links = new LinkServer({
    hubId: HUB_ID,
    desk: ends?.links ?? between(desk),
    clock,
    log,
    metrics,
    random: Math.random,
    lagMs: () => 0,
    ...overrides,
    blobs,
  })
  if (ends !== null) ends.links.links = links
  engine.links = ends?.hub ?? links
  const tap: LogTap = { follow: (node, ...rest) => links.follow(engine.node(node)?.link ?? null, ...rest) }
  const server = createServer()
  server.on("upgrade", (request, socket, head) => {
    peers.meet(request)
    links.handleUpgrade(request, socket, head)
  })
  server.listen(wantedPort ?? 0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const close = async () => {
    const closed = once(server, "close")
    server.close()
    await links.drain()
    ends?.close()
    metrics.close()
    await closed
  }
  return { engine, desk, tap, blobs, links, metrics, port, url: `http://127.0.0.1:${port}`, logged, close }
}

export interface Key {
  readonly privateKey: KeyObject
  readonly publicKey: Uint8Array
  readonly node: NodeId
}

export function newKey(): Key {
  const pair = generateKeyPairSync("ed25519")
  const publicKey = Uint8Array.from(pair.publicKey.export({ type: "spki", format: "der" }).subarray(-32))
  return { privateKey: pair.privateKey, publicKey, node: nodeIdOf(publicKey) as NodeId }
}

type HelloInit = Extract<AgentBodyInit, { case: "hello" }>["value"]

type ValueOf<Kind extends HubBody["case"]> = Extract<HubBody, { case: Kind }>["value"]

export class ScriptedAgent {
  readonly frames = new Happenings<HubBody>()
  readonly closed: Promise<{ code: number; reason: string }>
  readonly webSocket: WebSocket
  readonly key: Key

  constructor(
    hub: { readonly port: number },
    key = newKey(),
    options: ClientOptions & { protocols?: string[]; address?: string } = {},
  ) {
    this.key = key
    const { protocols = [SUBPROTOCOL], address = `ws://127.0.0.1:${hub.port}/agent`, ...rest } = options
    this.webSocket = new WebSocket(address, protocols, { perMessageDeflate: false, ...rest })
    this.webSocket.on("message", data => this.frames.push(decodeHubFrame(data as Buffer)))
    this.closed = new Promise(resolve => {
      this.webSocket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }))
    })
    // What went wrong shows in the close code or in refusal().
    this.webSocket.on("error", () => {})
  }

  /** The HTTP answer where an upgrade was refused. */
  refusal(): Promise<{ status: number; retryAfter: string | undefined; text: string }> {
    return new Promise(resolve => {
      this.webSocket.on("unexpected-response", (_, response) => {
        let text = ""
        response.on("data", piece => {
          text += piece
        })
        response.on("end", () => {
          resolve({ status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], text })
        })
      })
    })
  }

  async next<Kind extends HubBody["case"]>(kind: Kind): Promise<ValueOf<Kind>> {
    const frame = await this.frames.next(one => one.case === kind)
    return frame.value as ValueOf<Kind>
  }

  send(body: AgentBodyInit): void {
    this.webSocket.send(encodeAgentFrame(body))
  }

  #challenge: Promise<ValueOf<"challenge">> | null = null

  challenge(): Promise<ValueOf<"challenge">> {
    this.#challenge ??= this.next("challenge")
    return this.#challenge
  }

  /** The hello that an honest agent would say to this challenge, with some of it replaced. */
  async hello(replaced: Partial<NonNullable<HelloInit>> = {}): Promise<void> {
    const { hubId, nonce } = await this.challenge()
    const bootId = "boot-1"
    const proof = helloBytes({ hubId, nonce, nodeId: this.key.node, bootId })
    const value = {
      protocolMin: 1,
      protocolMax: 1,
      agentVersion: "0.1.0",
      publicKey: this.key.publicKey,
      signature: Uint8Array.from(sign(null, proof, this.key.privateKey)),
      enrolToken: "token",
      bootId,
      node: {
        name: "attic",
        slots: 2,
        memoryBytes: 4_000n,
        diskBytes: 8_000n,
        properties: [{ name: "os", value: "linux" }],
      },
      ...replaced,
    }
    this.send({ case: "hello", value: value as NonNullable<HelloInit> })
  }

  async join(): Promise<this> {
    await this.hello()
    await this.next("welcome")
    return this
  }

  report(phase: WirePhase, result?: Extract<AgentBody, { case: "report" }>["value"]["result"]): void {
    const value = { attempt: wireAttempt, phase, ...(result === undefined ? {} : { result }) }
    this.send({ case: "report", value })
  }
}
