// The hub's database handles are the same number without agents, with one and with a thousand connected: the thesis's wall was
// one database connection for each request. A thousand real WebSockets, then a campaign over all of them. Beside the hub's own
// count stands the kernel's: open files of the hub's process whose name is the database's.
//   node --import tsx e2e/thousand.e2e.ts [--agents 1000] [--jobs 5000]
import { mkdtemp, readdir, readlink, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, start, tail } from "../harness/processes.ts"

const { values } = parseArgs({
  options: { agents: { type: "string", default: "1000" }, jobs: { type: "string", default: "5000" } },
})
const agents = Number(values.agents)
const jobs = Number(values.jobs)
const LOOK_EVERY_MS = 100
const DONE_MAX_MS = 120_000

interface Handles {
  readonly said: number
  readonly kernel: number | null
}

async function handles(hub: Hub): Promise<Handles> {
  const said = (await hub.metrics()).get("cah_db_handles") ?? Number.NaN
  return { said, kernel: await openFiles(hub.program.pid, "hub.db") }
}

/** Descriptors of the process on files whose name begins so; null where there is no /proc. */
async function openFiles(pid: number, name: string): Promise<number | null> {
  const directory = `/proc/${pid}/fd`
  const descriptors = await readdir(directory).catch(() => null)
  if (descriptors === null) return null
  const targets = await Promise.all(descriptors.map(fd => readlink(join(directory, fd)).catch(() => "")))
  return targets.filter(target => target.split("/").at(-1)?.startsWith(name)).length
}

async function swarm(hub: Hub, number: number, count: number, place: string): Promise<Program> {
  const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", {
    account: "swarm",
    uses: count,
  })
  const flags = ["--hub", hub.url, "--enroll", secret, "--agents", String(count), "--slots", "1"]
  const before = (await hub.metrics()).get("cah_links") ?? 0
  const name = `swarm-${number}`
  const program = start(name, ["--import", "tsx", "bench/swarm.ts", ...flags], {}, join(place, `${name}.log`))
  await ready(program, async () => ((await hub.metrics()).get("cah_links") === before + count ? true : null))
  return program
}

async function campaign(hub: Hub): Promise<void> {
  const spec = { name: "thousand", command: ["true"], array: jobs }
  const submitted = await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: "thousand", spec })
  const deadlineMs = performance.now() + DONE_MAX_MS
  for (;;) {
    const { campaign: now } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", submitted)
    if (now.endedAt !== undefined) {
      if (now.counts?.["finished"] !== jobs) throw new Error(`not all finished: ${JSON.stringify(now.counts)}`)
      return
    }
    if (performance.now() > deadlineMs) throw new Error(`not ended: ${JSON.stringify(now.counts)}`)
    await pause(LOOK_EVERY_MS)
  }
}

async function main(): Promise<boolean> {
  const place = await mkdtemp(join(tmpdir(), "cah-thousand-"))
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
  const programs: Program[] = []
  try {
    const seen: Handles[] = [await handles(hub)]
    programs.push(await swarm(hub, 1, 1, place))
    seen.push(await handles(hub))
    programs.push(await swarm(hub, 2, agents - 1, place))
    seen.push(await handles(hub))
    await campaign(hub)
    seen.push(await handles(hub))
    const [first] = seen
    console.log(`database handles with 0, 1 and ${agents} agents, and after ${jobs} jobs over all of them:`)
    console.log(`  by the hub    ${seen.map(({ said }) => said).join(", ")}`)
    console.log(`  by the kernel ${seen.map(({ kernel }) => kernel ?? "?").join(", ")} open files`)
    return seen.every(({ said, kernel }) => said === first?.said && kernel === first?.kernel)
  } catch (error) {
    for (const program of [hub.program, ...programs]) console.error(await tail(program))
    throw error
  } finally {
    await end([...programs, hub.program])
    await rm(place, { recursive: true, force: true })
  }
}

process.exit((await main()) ? 0 : 1)
