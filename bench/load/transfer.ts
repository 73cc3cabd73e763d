// Blobs between a hub and agents whose link is the real agent's code, without its disk: what comes is hashed and dropped, what goes is
// made of random bytes in memory, hashed before the clock starts. The same bytes from and to bare HTTP. Meanwhile one of the agents
// repeats a report that was answered before, and measures how long the answer takes behind all the chunks of its link.

import { createHash, randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { setTimeout as pause } from "node:timers/promises"
import type { Event, ReportPhase } from "../../agent/core/events.ts"
import type { AttemptName, BlobRef } from "../../agent/core/model.ts"
import { createLink, type DialledLink } from "../../agent/link/dial.ts"
import { Rpc } from "../../client/rpc.ts"
import { uploadFile } from "../../client/transfer.ts"
import type { Digest } from "../../proto/wire/digest.ts"
import { noLog } from "../../proto/wire/log.ts"
import { arraySubmission, submit } from "./ask.ts"
import { newIdentity } from "./identity.ts"
import type { LoadAnswer, TransferOrder, Transferred } from "./protocol.ts"

/** As chunks on a link. */
const PIECE_BYTES = 64 * 1024
/** Random, and repeated: nothing on the way compresses. */
const BLOCK_BYTES = 1024 * 1024
/** Between the answer to a control frame and the next. */
const ASK_EVERY_MS = 5
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
const onward = new AbortController().signal

interface Content {
  readonly blob: BlobRef
  pieces(from: number): Generator<Buffer>
}

function newContent(sizeBytes: number): Content {
  const block = randomBytes(BLOCK_BYTES)
  function* pieces(from: number): Generator<Buffer> {
    for (let at = from; at < sizeBytes; ) {
      const start = at % BLOCK_BYTES
      const piece = block.subarray(start, Math.min(start + PIECE_BYTES, BLOCK_BYTES, start + sizeBytes - at))
      yield piece
      at += piece.length
    }
  }
  const hash = createHash("sha256")
  for (const piece of pieces(0)) hash.update(piece)
  return { blob: { digest: `sha256:${hash.digest("hex")}` as Digest, sizeBytes }, pieces }
}

/** What was prepared last. */
let ready: (() => Promise<Transferred>) | null = null

export async function prepareTransfer(order: TransferOrder): Promise<LoadAnswer> {
  ready = order.to === "hub" ? await withHub(order) : await withHttp(order)
  return { kind: "transferPrepared" }
}

export async function transfer(): Promise<LoadAnswer> {
  if (ready === null) throw new Error("no transfer was prepared")
  const run = ready
  ready = null
  return { kind: "transferred", transferred: await run() }
}

// ---- the hub -----------------------------------------------------------------------------------------------------

async function withHub({ url, bearer, enrolTokens, direction, agents, bytesEach }: TransferOrder) {
  const contents = Array.from({ length: direction === "stagein" ? 1 : agents }, () => newContent(bytesEach))
  const stagein = direction === "stagein" ? contents[0]!.blob : null
  if (stagein !== null) await putStagein({ url, bearer }, contents[0]!)
  const crowd = Array.from({ length: agents }, (_, i) => new TransferAgent(url, enrolTokens[0]!, i))
  const wireBlob = stagein === null ? {} : { stagein: { ...stagein, sizeBytes: BigInt(stagein.sizeBytes) } }
  const spec = { name: direction, command: ["true"], ...wireBlob }
  await submit(new URL(url), bearer, arraySubmission(`transfer-${process.pid}-${Date.now()}`, agents, spec))
  await Promise.all(crowd.map(agent => agent.reach(direction === "stagein" ? "staging" : "returning")))

  return async () => {
    const isOver = { yes: false }
    const roundTrips = crowd[0]!.roundTrips(isOver)
    const start = process.hrtime.bigint()
    const results = await Promise.all(
      crowd.map((agent, i) => (stagein === null ? agent.upload(contents[i]!) : agent.fetch(stagein))),
    )
    const seconds = secondsSince(start)
    isOver.yes = true
    const roundTripMs = await roundTrips
    await Promise.all(crowd.map((agent, i) => agent.end(results[i]!)))
    await Promise.all(crowd.map(agent => agent.close()))
    return { seconds, roundTripMs }
  }
}

/** As a scientist's client does it. */
async function putStagein({ url, bearer }: { url: string; bearer: string }, content: Content): Promise<void> {
  const place = await mkdtemp(join(tmpdir(), "cah-bench-stagein-"))
  const file = join(place, "stagein")
  try {
    await writeFile(file, content.pieces(0))
    const { digest, sizeBytes } = content.blob
    const rpc = new Rpc({ url: new URL(url), token: bearer, ca: null })
    await uploadFile(rpc, { digest, sizeBytes: BigInt(sizeBytes) }, file)
    rpc.close()
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

/** The real agent's link, and an engine that does as it is told here. */
class TransferAgent {
  readonly #link: DialledLink
  readonly #offered: Promise<AttemptName>
  readonly #answers = new Map<ReportPhase, () => void>()
  #onOffered: (name: AttemptName) => void = () => {}
  #at: ReportPhase = "staging"
  #isOver = false

  constructor(hubUrl: string, enrolToken: string, number: number) {
    this.#offered = new Promise(resolve => {
      this.#onOffered = resolve
    })
    const none = { name: `transfer-${number}`, slots: 1, memoryBytes: 8e9, diskBytes: 50e9, properties: {} }
    this.#link = createLink({
      hubUrl,
      insecure: false,
      ca: null,
      via: null,
      identity: newIdentity(number),
      agentVersion: "bench",
      enrolToken,
      node: () => none,
      holdings: () => [],
      onEvent: event => this.#onEvent(event),
      logSource: () => null,
      onFinal: reason => fail(`sent away for good: ${reason}`),
      clock,
      log: silent,
      random: Math.random,
    })
    this.#link.start()
  }

  #onEvent(event: Event): void {
    if (event.kind === "Offered") this.#onOffered(event.name)
    else if (event.kind === "ReportAnswered") {
      if (event.answer !== "accepted" && event.answer !== "already")
        fail(`"${event.phase}" was answered: ${event.answer}`)
      this.#answers.get(event.phase)?.()
    } else if (event.kind !== "Welcomed" && !this.#isOver) fail(`${event.kind} in the middle of a transfer`)
  }

  /** Up to that phase, as the hub knows it. */
  async reach(phase: "staging" | "returning"): Promise<void> {
    await this.#offered
    for (const next of phase === "staging" ? (["staging"] as const) : (["running", "returning"] as const)) {
      await this.#report(next, null)
    }
  }

  async fetch(blob: BlobRef): Promise<null> {
    const hash = createHash("sha256")
    for await (const piece of this.#link.fetchBlob(await this.#offered, blob, 0, onward)) hash.update(piece)
    const digest = `sha256:${hash.digest("hex")}`
    if (digest !== blob.digest) throw new Error(`the stagein ${blob.digest} came as ${digest}`)
    return null
  }

  async upload({ blob, pieces }: Content): Promise<BlobRef> {
    await this.#link.upload(await this.#offered, blob, from => Readable.from(pieces(from)), onward)
    return blob
  }

  async end(stageout: BlobRef | null): Promise<void> {
    const times = { runMs: 1, cpuMs: 1, peakMemoryBytes: 0 }
    const result = {
      outcome: "finished",
      exitCode: 0,
      message: "",
      warnings: "",
      stageout,
      stdout: noLog,
      stderr: noLog,
    } as const
    await this.#report("ended", { ...result, ...times })
  }

  /** Says again where it is, until told to stop. */
  async roundTrips(isOver: { readonly yes: boolean }): Promise<number[]> {
    const ms: number[] = []
    while (!isOver.yes) {
      const startMs = performance.now()
      await this.#report(this.#at, null)
      ms.push(performance.now() - startMs)
      await pause(ASK_EVERY_MS)
    }
    return ms
  }

  close(): Promise<void> {
    this.#isOver = true
    return this.#link.close()
  }

  async #report(phase: ReportPhase, result: Parameters<DialledLink["report"]>[2]): Promise<void> {
    this.#at = phase
    const name = await this.#offered
    await new Promise<void>(resolve => {
      this.#answers.set(phase, resolve)
      this.#link.report(name, phase, result)
    })
  }
}

/** From a callback that nobody awaits: the process ends, and with it the run. */
function fail(why: string): never {
  throw new Error(why)
}

// ---- bare HTTP ---------------------------------------------------------------------------------------------------

async function withHttp({ url, direction, agents, bytesEach }: TransferOrder) {
  const contents = Array.from({ length: direction === "stagein" ? 1 : agents }, () => newContent(bytesEach))
  if (direction === "stagein") await put(url, contents[0]!)
  return async () => {
    const start = process.hrtime.bigint()
    await Promise.all(
      Array.from({ length: agents }, (_, i) =>
        direction === "stagein" ? get(url, contents[0]!) : put(url, contents[i]!),
      ),
    )
    return { seconds: secondsSince(start), roundTripMs: [] }
  }
}

function nameOf({ blob }: Content): string {
  return blob.digest.slice("sha256:".length)
}

async function get(url: string, content: Content): Promise<void> {
  const hash = createHash("sha256")
  await new Promise<void>((resolve, reject) => {
    const asked = request(new URL(nameOf(content), url), { agent: false }, response => {
      response.on("data", (piece: Buffer) => hash.update(piece))
      response.on("end", resolve)
      response.on("error", reject)
    })
    asked.on("error", reject)
    asked.end()
  })
  if (hash.digest("hex") !== nameOf(content)) throw new Error("bare HTTP gave other bytes")
}

async function put(url: string, content: Content): Promise<void> {
  const headers = { "content-length": content.blob.sizeBytes }
  const asked = request(new URL(nameOf(content), url), { agent: false, method: "PUT", headers })
  const answered = new Promise<void>((resolve, reject) => {
    asked.on("error", reject)
    asked.on("response", response => {
      response.resume()
      response.on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error("bare HTTP refused"))))
    })
  })
  await pipeline(Readable.from(content.pieces(0)), asked)
  await answered
}

function secondsSince(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1e9
}
