// The hub is killed, and its disk loses power, at moments that nobody chose, while scientists submit and an agent works. Afterwards
// nothing that was acknowledged may be missing: no submit, no result; and nothing may have run twice, since the agent lived on.
//   node --import tsx e2e/crash.e2e.ts [--rounds 6] [--seed N]
// Power is cut in every second round where this machine can do it (root, loop devices); else all rounds are kills, and that is said.
import { randomUUID } from "node:crypto"
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, start, tail } from "../harness/processes.ts"
import { wallFlags } from "../harness/walls.ts"
import { chance, seedFrom } from "./chance.ts"
import { CuttableDisk } from "./disk.ts"
import { type Acknowledged, examine } from "./ledger.ts"

const { values } = parseArgs({ options: { rounds: { type: "string", default: "6" }, seed: { type: "string" } } })
const rounds = Number(values.rounds)
const seed = seedFrom(values.seed)

/** Scientists, each of whom submits the next campaign when the last has ended. */
const SCIENTISTS = 6
const JOBS_EACH = 3
const SLOTS = 2
/** A round's crash comes after so many campaigns of it have ended, by the seed, and then so many ms. */
const ENDED_MIN = 2
const ENDED_SPREAD = 6
const DELAY_SPREAD_MS = 120
const ROUND_MAX_MS = 60_000
const LOOK_EVERY_MS = 25

const acknowledged: Acknowledged[] = []
let ended = 0

async function scientist(hub: Hub, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    const key = randomUUID()
    const message = {
      idempotencyKey: key,
      spec: {
        name: "crash",
        command: ["echo $CAH_ARRAY_INDEX > out.txt"],
        stageout: ["*.txt"],
        walltime: "60s",
        array: JOBS_EACH,
      },
    }
    // Asked again with the same key while the hub is away, as any client would.
    const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", message)
    acknowledged.push({ key, campaign: Number(campaign), jobs: JOBS_EACH })
    for (;;) {
      const { campaign: now } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", {
        campaign,
      })
      if (now.endedAt !== undefined) break
      await pause(LOOK_EVERY_MS)
    }
    ended += 1
  }
}

async function until(what: string, met: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + ROUND_MAX_MS
  while (!met()) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${ROUND_MAX_MS / 1000} s`)
    await pause(LOOK_EVERY_MS)
  }
}

async function main(): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), "cah-crash-"))
  const random = chance(seed)
  const disk = await CuttableDisk.make(place)
  if (typeof disk === "string") console.log(`no power cuts, only kills: ${disk}`)
  const data = join(typeof disk === "string" ? place : disk.path, "hub")
  await mkdir(join(place, "logs"))
  const programs: Program[] = []
  let hub: Hub | null = null
  const stop = new AbortController()
  const complaints: string[] = []
  try {
    hub = await Hub.start(data, join(place, "logs/hub.log"))
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "crash" })
    const enrol = [
      "--hub",
      hub.url,
      "--enroll",
      secret,
      "--state",
      join(place, "agent"),
      "--name",
      "home",
      "--slots",
      String(SLOTS),
      ...(await wallFlags(place, line => process.stderr.write(`${line}\n`))),
    ]
    const agent = start("home", ["agent/bin/cah-agent.mjs", ...enrol], {}, join(place, "logs/home.log"))
    programs.push(agent)
    await ready(agent, async () => {
      const { nodes } = (await hub?.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})) ?? {}
      return nodes?.some(node => node.state === "NODE_STATE_ONLINE") ? true : null
    })

    const failed: unknown[] = []
    const scientists = Array.from({ length: SCIENTISTS }, () =>
      scientist(hub as Hub, stop.signal).catch((error: unknown) => void failed.push(error)),
    )
    for (let round = 1; round <= rounds; round++) {
      const wanted = ended + ENDED_MIN + Math.floor(random() * ENDED_SPREAD)
      await until(`round ${round}`, () => ended >= wanted || failed.length > 0)
      if (failed.length > 0) throw failed[0]
      await pause(random() * DELAY_SPREAD_MS)
      const cut = typeof disk !== "string" && round % 2 === 1
      if (cut) {
        // Stopped first: what is on its way through the system call cannot be acknowledged any more.
        process.kill(hub.program.pid, "SIGSTOP")
        await disk.cut()
      }
      await hub.killAtOnce()
      if (cut) {
        await disk.unmount()
        await disk.mount()
      }
      const known = acknowledged.length
      const found = examine(data, acknowledged.slice(0, known), false)
      complaints.push(...found.map(one => `round ${round}: ${one}`))
      console.log(
        `round ${round}: ${cut ? "power cut" : "SIGKILL"} after ${known} submits and ${ended} ended; ${found.length} complaints`,
      )
      await hub.startAgain()
    }
    stop.abort()
    await Promise.all(scientists)
    if (failed.length > 0) throw failed[0]
    complaints.push(...examine(data, acknowledged, true))
    console.log(
      `${acknowledged.length} campaigns of ${JOBS_EACH} jobs acknowledged, ${rounds} crashes, ${complaints.length} complaints`,
    )
    return complaints
  } catch (error) {
    for (const complaint of complaints) console.error(`✗ ${complaint}`)
    for (const program of [...(hub === null ? [] : [hub.program]), ...programs]) console.error(await tail(program))
    throw error
  } finally {
    stop.abort()
    await end([...programs, ...(hub === null ? [] : [hub.program])])
    if (typeof disk !== "string") await disk.unmount()
    await rm(place, { recursive: true, force: true })
  }
}

console.log(`seed ${seed}`)
const complaints = await main()
for (const complaint of complaints) console.error(`✗ ${complaint}`)
process.exit(complaints.length === 0 ? 0 : 1)
