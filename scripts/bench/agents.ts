// A process of simulated agents and of the scientist who submits to them: the load that the real hub and the bare one are measured
// under, the same for both. Takes orders from scripts/bench/load.ts over its IPC channel, and ends when that closes.
import { setTimeout as pause } from "node:timers/promises"
import { LoadAgent } from "./load/agent.ts"
import { arraySubmission, differentSubmission, submit } from "./load/ask.ts"
import { newIdentity } from "./load/identity.ts"
import type { CampaignRan, Latencies, LoadAnswer, LoadLook, LoadOrder } from "./load/protocol.ts"
import { Tally } from "./load/tally.ts"

/** As many handshakes at once: their signatures are checked in parallel, and more would only wait for each other. */
const DIALS_AT_ONCE = 50
const WATCH_MS = 1_000
const LOOK_EVERY_MS = 5
/** No job may take longer to its end than this, or the run is stuck. */
const STUCK_MS = 120_000

const tally = new Tally()
const agents: LoadAgent[] = []
let submissions = 0

setInterval(() => {
  const nowMs = performance.now()
  for (const agent of agents) agent.watch(nowMs)
}, WATCH_MS)

async function connectAll(order: Extract<LoadOrder, { kind: "connect" }>): Promise<LoadAnswer> {
  const startMs = performance.now()
  const url = new URL(order.url)
  const before = tally.links
  const fresh = Array.from({ length: order.agents }, (_, i) => {
    const number = order.firstNumber + i
    const enrolToken = order.enrolTokens[Math.floor((i * order.enrolTokens.length) / order.agents)]!
    const { slots, runMs, fourReports } = order
    const settings = { url, enrolToken, name: `bench-${number}`, slots, runMs, fourReports }
    return new LoadAgent(settings, newIdentity(number), tally)
  })
  let dialled = 0
  while (tally.links < before + fresh.length) {
    while (dialled < fresh.length && dialled - (tally.links - before) < DIALS_AT_ONCE) fresh[dialled++]!.dial()
    await pause(LOOK_EVERY_MS)
    if (tally.found.length > 0) throw new Error(tally.found[0])
  }
  agents.push(...fresh)
  return { kind: "connected", seconds: (performance.now() - startMs) / 1_000 }
}

async function campaign(order: Extract<LoadOrder, { kind: "campaign" }>): Promise<LoadAnswer> {
  const { jobs, bearer } = order
  const make = order.different ? differentSubmission : arraySubmission
  const submission = make(`bench-${process.pid}-${++submissions}`, jobs)
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  const since = (ns: bigint): number => Number(ns - start) / 1e9
  const id = await submit(new URL(order.url), bearer, submission)
  const acceptSeconds = since(process.hrtime.bigint())
  await advancing(id, tally.whenEnded(id, jobs))
  const seconds = since(process.hrtime.bigint())
  const firstOfferSeconds = since(await tally.whenOffered(id))
  const { user, system } = process.cpuUsage(cpu)
  const ran: CampaignRan = {
    ...tally.campaign(id),
    seconds,
    acceptSeconds,
    firstOfferSeconds,
    loadCpuSeconds: (user + system) / 1e6,
  }
  tally.forget(id)
  return { kind: "ran", ran }
}

/** Rejects when nothing of the campaign has moved for too long, or something went wrong. */
async function advancing(id: number, over: Promise<void>): Promise<void> {
  let isOver = false
  void over.then(() => {
    isOver = true
  })
  let ended = -1
  let sinceMs = performance.now()
  while (!isOver) {
    await Promise.race([over, pause(WATCH_MS)])
    const now = tally.campaign(id)
    if (now.ended !== ended) {
      ended = now.ended
      sinceMs = performance.now()
    } else if (performance.now() - sinceMs > STUCK_MS) {
      throw new Error(`nothing ended for ${STUCK_MS / 1_000} s: ${JSON.stringify(now)}; ${tally.found.join("; ")}`)
    }
  }
}

async function latency(order: Extract<LoadOrder, { kind: "latency" }>): Promise<LoadAnswer> {
  const url = new URL(order.url)
  const runningMs: number[] = []
  const endedMs: number[] = []
  for (let i = 0; i < order.jobs; i++) {
    const submission = arraySubmission(`bench-${process.pid}-${++submissions}`, 1)
    const start = process.hrtime.bigint()
    const id = await submit(url, order.bearer, submission)
    const offered = await tally.whenOffered(id)
    await tally.whenEnded(id, 1)
    runningMs.push(Number(offered - start) / 1e6)
    endedMs.push(Number(process.hrtime.bigint() - start) / 1e6)
    const { offered: jobs, offeredAgain, ended, endedAgain } = tally.campaign(id)
    if (jobs !== 1 || ended !== 1 || offeredAgain + endedAgain > 0) throw new Error(`job ${id}.0 ran more than once`)
    tally.forget(id)
    await pause(order.pauseMs)
  }
  const latencies: Latencies = { runningMs, endedMs }
  return { kind: "latencies", latencies }
}

function look(): LoadAnswer {
  const { links, lostLinks, heartbeats, reports, answers, lastWelcomeMs, refusals, found } = tally
  const shown: LoadLook = {
    links,
    lostLinks,
    heartbeats,
    reports,
    answers,
    lastWelcomeMs,
    refusals: [...refusals],
    oddities: found,
  }
  return { kind: "looked", look: shown }
}

async function carryOut(order: LoadOrder): Promise<LoadAnswer> {
  switch (order.kind) {
    case "connect":
      return connectAll(order)
    case "campaign":
      return campaign(order)
    case "latency":
      return latency(order)
    case "look":
      return look()
    default:
      return order satisfies never
  }
}

process.on("message", (order: LoadOrder) => {
  carryOut(order).then(
    answer => process.send!(answer),
    (error: unknown) =>
      process.send!({ kind: "failed", message: String(error instanceof Error ? error.stack : error) }),
  )
})
process.on("disconnect", () => process.exit(0))
