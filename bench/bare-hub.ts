// A hub with nothing but the essentials, to measure ours against: submit → offered → running → ended, each acknowledged, for agents
// over WebSockets. The simplest shape that is fast: one packed journal row per tick and one
// materialised row per job, written by a thread of its own with synchronous=FULL; nothing is said before COMMIT has
// returned; the frames of a tick leave in one write per agent; hot frames coded by hand, the same bytes as the real hub's.
// It has no users, no limits, no leases, no retries, no recovery, no other front; it checks no signature and trusts everybody.
//   node --import tsx bench/bare-hub.ts DIRECTORY       writes DIRECTORY/bare.json when it listens
import { writeFileSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Worker } from "node:worker_threads"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { type WebSocket, WebSocketServer } from "ws"
import { CampaignSpecSchema } from "../proto/gen/cah/v1/job_pb.ts"
import {
  SubmitRequestSchema,
  SubmitResponseSchema,
  SubmitStreamRequestSchema,
} from "../proto/gen/cah/v1/scientist_pb.ts"
import { decodeAgentFrame, encodeHubFrame, FRAME_MAX_BYTES, SUBPROTOCOL } from "../proto/wire/frame.ts"
import { envelope, messagesIn } from "./load/ask.ts"
import {
  AttemptAt,
  acceptedFrame,
  attemptBytes,
  kinds,
  type OfferParts,
  offerFrame,
  offerParts,
  phases,
} from "./wire.ts"

interface Agent {
  readonly number: number
  readonly webSocket: WebSocket
  readonly socket: Socket
  free: number
  /** Said once the present batch is on disk. */
  toSay: Buffer[]
}

interface Campaign {
  readonly id: number
  readonly parts: OfferParts
  readonly lines: readonly string[] | null
  readonly total: number
  next: number
}

/** What goes to disk as one transaction, and what is said after it. */
interface Batch {
  readonly submitted: { id: number; total: number; spec: Uint8Array; lines: readonly string[] }[]
  /** Four numbers for each change of a job: campaign, index, agent, phase. */
  readonly journal: number[]
  /** Three for each that ended: campaign, index, agent; and its result. */
  readonly ended: number[]
  readonly results: Uint8Array[]
  readonly agents: Set<Agent>
  readonly answers: (() => void)[]
}

const OFFERED = 3
const RESOLUTION_MS = 20
const directory = process.argv[2]!
const writer = new Worker(new URL("./bare-writer.mjs", import.meta.url), {
  workerData: { file: join(directory, "bare.db") },
  execArgv: [],
})
const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
loop.enable()

const queue: Campaign[] = []
/** Agents with a free slot, in turn. */
const idle: Agent[] = []
let agents = 0
let campaigns = 0
let batch = newBatch()
let committing = false
let scheduled = false
const attempt = new AttemptAt()

function newBatch(): Batch {
  return { submitted: [], journal: [], ended: [], results: [], agents: new Set(), answers: [] }
}

function wake(): void {
  if (scheduled || committing) return
  scheduled = true
  setImmediate(flush)
}

function flush(): void {
  scheduled = false
  if (committing) return
  place()
  const { submitted, journal, ended, results } = batch
  if (journal.length === 0 && submitted.length === 0) return
  committing = true
  const full = batch
  batch = newBatch()
  const said = [...full.agents].map(agent => ({ agent, frames: agent.toSay }))
  for (const { agent } of said) agent.toSay = []
  writer.once("message", () => {
    committing = false
    // Agents first, as the real hub has it: a job begins sooner by what it takes to make its scientist's answer.
    for (const { agent, frames } of said) {
      agent.socket.cork()
      for (const frame of frames) agent.webSocket.send(frame)
      agent.socket.uncork()
    }
    for (const answer of full.answers) answer()
    flush()
  })
  const packed = Uint32Array.from(journal)
  writer.postMessage({ submitted, journal: new Uint8Array(packed.buffer), ended, results })
}

/** Jobs in order to agents in turn, one each. */
function place(): void {
  let at = 0
  while (at < idle.length && queue.length > 0) {
    const agent = idle[at++]!
    if (agent.webSocket.readyState !== agent.webSocket.OPEN) continue
    const campaign = queue[0]!
    const index = campaign.next++
    if (campaign.next === campaign.total) queue.shift()
    say(agent, offerFrame(campaign.parts, attemptBytes(campaign.id, index, 1), campaign.lines?.[index] ?? null))
    batch.journal.push(campaign.id, index, agent.number, OFFERED)
    if (--agent.free > 0) idle.push(agent)
  }
  idle.splice(0, at)
}

function say(agent: Agent, frame: Buffer): void {
  agent.toSay.push(frame)
  batch.agents.add(agent)
}

// ---- agents ------------------------------------------------------------------------------------------------------

function onReport(agent: Agent, bytes: Buffer): void {
  attempt.read(bytes, 3)
  const phase = bytes[attempt.end + 1]!
  const { campaign, index } = attempt
  batch.journal.push(campaign, index, agent.number, phase)
  if (phase === phases.ended) {
    batch.ended.push(campaign, index, agent.number)
    batch.results.push(Uint8Array.from(bytes.subarray(attempt.end + 4)))
    if (agent.free++ === 0) idle.push(agent)
  }
  say(agent, acceptedFrame(bytes, attempt, phase))
  wake()
}

function onAgent(webSocket: WebSocket, socket: Socket): void {
  const agent: Agent = { number: ++agents, webSocket, socket, free: 0, toSay: [] }
  webSocket.send(
    encodeHubFrame({
      case: "challenge",
      value: { hubId: "bare", nonce: Buffer.alloc(32), protocolMin: 1, protocolMax: 1 },
    }),
  )
  webSocket.on("message", (bytes: Buffer) => {
    if (bytes[0] === kinds.report) {
      onReport(agent, bytes)
      return
    }
    const body = decodeAgentFrame(bytes)
    if (body.case === "hello") {
      webSocket.send(
        encodeHubFrame({
          case: "welcome",
          value: {
            nodeId: `n${agent.number}`,
            sessionEpoch: 1n,
            lease: { seconds: 600n },
            heartbeat: { seconds: 60n },
            protocol: 1,
          },
        }),
      )
      agent.free = body.value.node!.slots
      idle.push(agent)
      wake()
    } else if (body.case === "heartbeat") {
      const { sequence } = body.value
      webSocket.send(encodeHubFrame({ case: "heartbeatAnswer", value: { sequence, lease: { seconds: 600n } } }))
    }
  })
}

// ---- scientists --------------------------------------------------------------------------------------------------

async function onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/loop") {
    const p99 = loop.percentile(99) / 1e6
    response.end(JSON.stringify({ p99Ms: Math.max(0, (Number.isNaN(p99) ? 0 : p99) - RESOLUTION_MS) }))
    loop.reset()
    return
  }
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  const body = Buffer.concat(pieces)
  const isStream = request.url!.endsWith("/SubmitStream")
  const messages = isStream
    ? messagesIn(body).map(message => fromBinary(SubmitStreamRequestSchema, message))
    : [fromBinary(SubmitRequestSchema, body)]
  const spec = messages[0]!.spec!
  const lines = messages.flatMap(({ parameters }) => parameters.map(({ line }) => line))
  const total = lines.length === 0 ? spec.array : lines.length
  const specBytes = toBinary(CampaignSpecSchema, spec)
  const id = ++campaigns
  batch.submitted.push({ id, total, spec: specBytes, lines })
  queue.push({
    id,
    parts: offerParts("admin", specBytes, total),
    lines: lines.length === 0 ? null : lines,
    total,
    next: 0,
  })
  batch.answers.push(() => {
    const answer = toBinary(SubmitResponseSchema, create(SubmitResponseSchema, { campaign: BigInt(id), jobs: total }))
    response.setHeader("content-type", request.headers["content-type"]!)
    if (!isStream) return response.end(answer)
    const end = envelope(Buffer.from("{}"))
    end[0] = 2
    return response.end(Buffer.concat([envelope(answer), end]))
  })
  wake()
}

const server = createServer((request, response) => void onRequest(request, response))
const webSockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: FRAME_MAX_BYTES,
  handleProtocols: () => SUBPROTOCOL,
  clientTracking: false,
})
server.on("upgrade", (request, socket, head) => {
  const tcp = socket as Socket
  tcp.setNoDelay(true)
  webSockets.handleUpgrade(request, tcp, head, webSocket => onAgent(webSocket, tcp))
})
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as { port: number }
  writeFileSync(join(directory, "bare.json"), JSON.stringify({ url: `http://127.0.0.1:${port}` }))
})
process.on("SIGTERM", () => {
  writer.once("exit", () => process.exit(0))
  writer.postMessage(null)
})
