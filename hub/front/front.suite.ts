// For tests of the fronts: the real engine, port and interceptors over stores in memory, and one node that does what the
// test says. Nothing else imports this.

import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Client, createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { OperatorService } from "../../proto/gen/cah/v1/operator_pb.ts"
import { ScientistService } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { digestOf } from "../../proto/wire/digest.ts"
import { noLog } from "../../proto/wire/log.ts"
import { Accounts } from "../auth/accounts.ts"
import { Authenticator } from "../auth/authenticate.ts"
import { Enrolments } from "../auth/enrolments.ts"
import { Failures } from "../auth/failures.ts"
import { HubKey } from "../auth/key.ts"
import { Tokens } from "../auth/tokens.ts"
import { Backups } from "../backup/backups.ts"
import { MemoryBlobStore } from "../blobs/memory.ts"
import { Computers } from "../cases/computers.ts"
import { Quotas } from "../cases/quotas.ts"
import type { AttemptName, FullOffer, LinkSpeech } from "../core/effects.ts"
import type { ReportPhase } from "../core/events.ts"
import type { BlobRef, CampaignId, LinkId, NodeId, Result } from "../core/model.ts"
import type { BlobStore, Clock, Links, Log, LogTap, Timer } from "../core/ports.ts"
import type { ScopeName } from "../core/rows.ts"
import { HubEngine } from "../engine.ts"
import { createMetrics, type Metrics } from "../metrics.ts"
import { Peers } from "../peers.ts"
import { openPort } from "../port.ts"
import { Retention } from "../retention.ts"
import { MemoryStore } from "../store/memory/memory.ts"
import { Uploads } from "./boinc/upload.ts"
import { type FrontParts, front } from "./front.ts"
import { encodeSpec } from "./spec.ts"

const clock: Clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
const timer: Timer = {
  soon: run => void setImmediate(run),
  at(nowMs, run) {
    const timeout = setTimeout(run, Math.max(0, nowMs - clock.nowMs()))
    timeout.unref()
    return () => clearTimeout(timeout)
  },
}

export interface Lines {
  readonly log: Log
  readonly errors: { fields: Record<string, unknown>; message: string }[]
  readonly infos: { fields: Record<string, unknown>; message: string }[]
}

export function quietLog(): Lines {
  const errors: Lines["errors"] = []
  const infos: Lines["infos"] = []
  return {
    errors,
    infos,
    log: {
      debug() {},
      info: (fields, message) => void infos.push({ fields, message }),
      warn() {},
      error: (fields, message) => void errors.push({ fields, message }),
    },
  }
}

/** More than any test asks for that is not about them. */
export const noQuotas = { jobs: 1e9, submitsPerSecond: 1e6, bytes: 1e15, watches: 1e6 }

type Follower = Parameters<LogTap["follow"]>[3]

/** The one node: takes offers, reports what it is told to, and writes output for followers. */
export class TestNode implements Links, LogTap {
  readonly id = "node-1" as NodeId
  readonly offers: FullOffer[] = []
  readonly said: LinkSpeech[] = []
  readonly followers: { attempt: AttemptName; output: string; on: Follower; offset: number; stopped: boolean }[] = []
  epoch = 0
  private engine: HubEngine | null = null
  private waiting: { done: () => boolean; resolve: () => void }[] = []

  offer(_link: LinkId, offer: FullOffer): void {
    this.offers.push(offer)
    this.look()
  }

  speak(speech: LinkSpeech): void {
    this.said.push(speech)
    if (speech.kind === "Welcome") this.epoch = speech.epoch
    this.look()
  }

  drop(): void {}

  resume(): void {}

  health() {
    return { links: this.epoch > 0 ? 1 : 0, streams: 0, bufferedBytes: 0 }
  }

  follow(_node: NodeId, attempt: AttemptName, output: "stdout" | "stderr", on: Follower, offset: number) {
    const follower = { attempt, output, on, offset, stopped: false }
    this.followers.push(follower)
    this.look()
    return {
      stop() {
        follower.stopped = true
      },
    }
  }

  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve()
    return new Promise(resolve => this.waiting.push({ done, resolve }))
  }

  /** Comes with so many slots. */
  async join(engine: HubEngine, slots: number): Promise<void> {
    this.engine = engine
    engine.post({
      kind: "NodeHello",
      link: 1 as LinkId,
      node: this.id,
      account: "volunteer",
      host: null,
      network: "192.0.2.0/24",
      publicKey: new Uint8Array(32),
      agentVersion: "0.1.0",
      bootId: "boot",
      name: "<script>alert(1)</script>",
      slots,
      memoryBytes: 8 * 1024 ** 3,
      diskBytes: 8 * 1024 ** 3,
      properties: { cpu: "x" },
      holding: [],
    })
    await this.until(() => this.epoch > 0)
  }

  async report(
    { campaign, index, attempt }: AttemptName,
    phase: ReportPhase,
    result: Result | null = null,
  ): Promise<void> {
    const before = this.said.length
    const name = { campaign, index, attempt }
    this.engine!.post({ kind: "AttemptReported", node: this.id, epoch: this.epoch, ...name, phase, result })
    await this.until(() => this.said.slice(before).some(each => each.kind === "AnswerReport" && each.index === index))
  }

  async start(offer: AttemptName): Promise<void> {
    await this.report(offer, "staging")
    await this.report(offer, "running")
  }

  async finish(offer: AttemptName, change: Partial<Result> = {}): Promise<void> {
    await this.start(offer)
    await this.report(offer, "ended", { ...emptyResult, ...change })
  }

  async offered(campaign: bigint, index: number): Promise<FullOffer> {
    const find = () => this.offers.find(each => each.campaign === Number(campaign) && each.index === index)
    await this.until(() => find() !== undefined)
    return find()!
  }

  private look(): void {
    const ready = this.waiting.filter(each => each.done())
    this.waiting = this.waiting.filter(each => !ready.includes(each))
    for (const each of ready) each.resolve()
  }
}

export const RETENTION_MS = 30 * 86_400_000

export const emptyResult: Result = {
  outcome: "finished",
  exitCode: 0,
  message: "",
  warnings: "",
  stageout: null,
  stdout: noLog,
  stderr: noLog,
  runMs: 1_500,
  cpuMs: 1_000,
  peakMemoryBytes: 4_096,
}

export interface TestFront {
  readonly url: string
  readonly engine: HubEngine
  readonly store: MemoryStore
  readonly blobs: BlobStore
  readonly tokens: Tokens
  readonly enrolments: Enrolments
  readonly accounts: Accounts
  readonly node: TestNode
  readonly metrics: Metrics
  readonly lines: Lines
  readonly shutdown: AbortController
  /** A new token's secret. */
  token(principal: string, scopes?: readonly ScopeName[]): Promise<string>
  close(): Promise<void>
  scientist(secret: string): Client<typeof ScientistService>
  operator(secret: string): Client<typeof OperatorService>
}

/** A minute passes between any two failures, so that tests of many of them meet no limit. */
function patientFailures(): Failures {
  let minutes = 0
  return new Failures({ ...clock, nowMs: () => ++minutes * 60_000 })
}

export async function openFront({
  trusted = [],
  failures = patientFailures(),
  ...change
}: Partial<
  Pick<
    FrontParts,
    | "diskFloorBytes"
    | "quotas"
    | "damagedBlobs"
    | "certificate"
    | "clockDoubt"
    | "strangers"
    | "madeAnew"
    | "release"
    | "publicUrl"
    | "about"
    | "messageMs"
    | "bodyMs"
    | "logins"
    | "signups"
  >
> & { trusted?: string[]; failures?: Failures } = {}): Promise<TestFront> {
  const store = new MemoryStore({ wallMs: clock.wallMs })
  const blobs = new MemoryBlobStore({ wallMs: clock.wallMs })
  const lines = quietLog()
  const { log } = lines
  const engine = new HubEngine({ store, clock, timer, log })
  const node = new TestNode()
  engine.start(node)
  const metrics = createMetrics("0.0.0-test")
  const tokens = new Tokens({ store, engine, clock, log })
  const enrolments = new Enrolments({ store, engine, clock })
  const shutdown = new AbortController()
  const accounts = new Accounts({ store, engine, clock, passwordCost: 8 })
  const key = new HubKey(Buffer.alloc(32, 7))
  const directory = mkdtempSync(join(tmpdir(), "cah-front-"))
  const uploads = new Uploads({ store, key, log, directory, wallMs: clock.wallMs, hasRoom: async () => true })
  const retention = new Retention({
    store,
    clock,
    log,
    commit: writes => engine.commit(writes),
    isNeeded: () => false,
    keepMs: RETENTION_MS,
    timer,
    doubt: () => null,
  })
  const serve = front({
    engine,
    store,
    blobs,
    logTap: node,
    links: node,
    tokens,
    enrolments,
    backups: new Backups({
      directory: null,
      data: directory,
      blobs,
      openBlobs: async () => blobs,
      snapshot: async () => {},
      readCopy: () => assert.fail("nothing was copied"),
      wallMs: clock.wallMs,
      hubVersion: "1",
      log,
      alone: work => work(),
    }),
    authenticator: new Authenticator({ tokens, failures }),
    logins: failures,
    signups: failures,
    accounts,
    computers: new Computers({ store, engine, enrolments, clock, key }),
    uploads,
    key,
    release: null,
    publicUrl: null,
    projectName: "Test project",
    about: "",
    clock,
    metrics,
    log,
    version: "0.0.0-test",
    encodeSpec,
    retention,
    diskFloorBytes: 0,
    quotas: new Quotas(noQuotas, clock),
    damagedBlobs: () => 0,
    certificate: () => null,
    clockDoubt: () => null,
    strangers: () => 0,
    madeAnew: null,
    agentCommand: "cah-agent …",
    shutdown: shutdown.signal,
    ...change,
  })
  const port = await openPort({
    host: "127.0.0.1",
    port: 0,
    tls: null,
    peers: new Peers({ trusted, hasPublicUrl: (change.publicUrl ?? null) !== null }),
    plainText: "loopback",
    onRequest: serve,
    onUpgrade: (_request, socket) => socket.destroy(),
    log,
  })
  const url = `http://127.0.0.1:${port.port}`
  const transport = (secret: string) =>
    createGrpcTransport({
      baseUrl: url,
      interceptors: [
        next => request => {
          request.header.set("authorization", `Bearer ${secret}`)
          return next(request)
        },
      ],
    })
  return {
    url,
    engine,
    store,
    blobs,
    tokens,
    enrolments,
    accounts,
    node,
    metrics,
    lines,
    shutdown,
    async close() {
      await port.close(0)
      await retention.stop()
      await engine.drain()
      metrics.close()
      rmSync(directory, { recursive: true })
    },
    token: async (principal, scopes = ["read", "submit", "cancel"]) =>
      (await tokens.create(principal, scopes, null)).secret,
    scientist: secret => createClient(ScientistService, transport(secret)),
    operator: secret => createClient(OperatorService, transport(secret)),
  }
}

export function refOf(bytes: Uint8Array): BlobRef {
  return { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.byteLength }
}

/** As a link does it: the bytes are on disk before the row is. */
export async function keep({ blobs, engine }: TestFront, bytes: Uint8Array): Promise<BlobRef> {
  const blob = refOf(bytes)
  const writer = await blobs.openWriter("node", blob)
  await writer.write(bytes)
  await writer.finish()
  await engine.commit([{ kind: "blob", ...blob }])
  return blob
}

export function campaignNumber(id: bigint): CampaignId {
  return Number(id) as CampaignId
}
