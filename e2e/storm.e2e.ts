// A thousand agents lose their hub at the same moment, in the middle of their jobs, and all come back to the next one. They must
// all be back within two minutes, none may have lost its attempt, and every job must have been counted once. What it costs the
// hub (start, lag of its loop, memory) is printed.
//   node --import tsx e2e/storm.e2e.ts [--agents 1000]
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, start, tail } from "../harness/processes.ts"
import { examine } from "./ledger.ts"

const { values } = parseArgs({ options: { agents: { type: "string", default: "1000" } } })
const agents = Number(values.agents)

/** A process of agents needs a core for a while when all of them dial. */
const AGENTS_PER_PROCESS = 1_250
/** So that jobs run when the hub dies, and others wait. */
const JOBS_PER_AGENT = 2
const RUN_MS = 8_000
/** L2, docs/reliability.md. */
const BACK_MAX_MS = 120_000
const DONE_MAX_MS = 120_000
const LOOK_EVERY_MS = 250

async function swarm(hub: Hub, number: number, count: number, place: string): Promise<Program> {
  const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", {
    account: "swarm",
    uses: count,
  })
  const name = `swarm-${number}`
  const flags = ["--hub", hub.url, "--enroll", secret, "--agents", String(count), "--slots", "1"]
  const args = ["--import", "tsx", "bench/swarm.ts", ...flags, "--run-ms", String(RUN_MS)]
  const before = await links(hub)
  const program = start(name, args, {}, join(place, `${name}.log`))
  await ready(program, async () => ((await links(hub)) === before + count ? true : null))
  return program
}

async function links(hub: Hub): Promise<number> {
  return (await hub.metrics()).get("cah_links") ?? 0
}

async function until<T>(what: string, maxMs: number, look: () => Promise<T | null>): Promise<T> {
  const deadlineMs = performance.now() + maxMs
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${maxMs / 1000} s`)
    await pause(LOOK_EVERY_MS)
  }
}

async function campaignOf(hub: Hub, campaign: string): Promise<CampaignAnswer> {
  return (await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", { campaign })).campaign
}

/** Looks at the hub until all agents are back. */
async function comeBack(hub: Hub, sinceMs: number): Promise<void> {
  let [lag, memory, most] = [0, 0, 0]
  const half: number[] = []
  await until(`${agents} agents are back`, BACK_MAX_MS, async () => {
    const samples = await hub.metrics()
    lag = Math.max(lag, samples.get('cah_event_loop_lag_seconds{percentile="100"}') ?? 0)
    memory = Math.max(memory, samples.get("cah_process_resident_memory_bytes") ?? 0)
    most = samples.get("cah_links") ?? 0
    if (most >= agents / 2 && half.length === 0) half.push(performance.now() - sinceMs)
    return most === agents ? true : null
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${most} are`)
  })
  const seconds = (ms: number | undefined): string => `${((ms ?? 0) / 1000).toFixed(1)} s`
  console.log(
    `all ${agents} agents are back ${seconds(performance.now() - sinceMs)} after the kill, half of them after ` +
      `${seconds(half[0])}; the loop was late by ${Math.round(lag * 1000)} ms at most, RSS ${Math.round(memory / 2 ** 20)} MiB`,
  )
}

async function main(): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), "cah-storm-"))
  const data = join(place, "hub")
  const hub = await Hub.start(data, join(place, "hub.log"))
  const programs: Program[] = []
  try {
    const processes = Math.ceil(agents / AGENTS_PER_PROCESS)
    for (let number = 0; number < processes; number++) {
      const share = Math.floor((agents * (number + 1)) / processes) - Math.floor((agents * number) / processes)
      programs.push(await swarm(hub, number, share, place))
    }
    const jobs = agents * JOBS_PER_AGENT
    const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", {
      idempotencyKey: "storm",
      spec: { name: "storm", command: ["true"], array: jobs },
    })
    const acknowledged = [{ key: "storm", campaign: Number(campaign), jobs }]
    await until("all agents have a job", DONE_MAX_MS, async () =>
      ((await campaignOf(hub, campaign)).counts?.running ?? 0) >= agents / 2 ? true : null,
    )
    await hub.killAtOnce()
    const killedMs = performance.now()
    const complaints = examine(data, acknowledged, false)
    const startMs = performance.now()
    await hub.startAgain()
    console.log(`the hub is ready ${Math.round(performance.now() - startMs)} ms after it is started again`)
    await comeBack(hub, killedMs)
    await until("all jobs end", DONE_MAX_MS, async () => ((await campaignOf(hub, campaign)).endedAt ? true : null))
    const { counts } = await campaignOf(hub, campaign)
    if (counts?.finished !== jobs || counts.total !== jobs) {
      complaints.push(`of ${jobs} jobs these ended well: ${JSON.stringify(counts)}`)
    }
    await end([...programs, hub.program])
    // No attempt may be the second: the ledger says of each job that was lost.
    complaints.push(...examine(data, acknowledged, true))
    console.log(`${jobs} jobs, each in its first attempt; ${complaints.length} complaints`)
    return complaints
  } catch (error) {
    for (const program of [hub.program, ...programs]) console.error(await tail(program))
    throw error
  } finally {
    await end([...programs, hub.program])
    await rm(place, { recursive: true, force: true })
  }
}

const complaints = await main()
for (const complaint of complaints.slice(0, 20)) console.error(`✗ ${complaint}`)
process.exit(complaints.length === 0 ? 0 : 1)
