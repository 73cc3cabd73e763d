// The volunteer's whole way, killed: a stock boinc-client, the launcher, QEMU with the real appliance and the hub each get SIGKILL at moments that a
// seed chooses, while campaigns run in the guest. After each kill whatever belonged to the killed must be gone, never do two machines run, and what the
// hub acknowledged is there. In the end every campaign is complete, counted and credited once, and no process, socket or disk is left.
//   node --import tsx e2e/volunteer-kills.e2e.ts [--kills 1] [--seed N] [--appliance base|povray]
// --kills: of each of the four. `npm run chaos -- volunteer` does ten of each. Exits with 77 and the reason where something is missing.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { existsSync, readdirSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import Database from "better-sqlite3"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, tail } from "../harness/processes.ts"
import { BoincClient, processesBelow } from "./boinc/client.ts"
import { isAlive, type Kind, type Running, runningBelow } from "./boinc/machine.ts"
import { makeRelease, whyNoVolunteer } from "./boinc/release.ts"
import { chance, seedFrom } from "./chance.ts"
import { type Acknowledged, examine } from "./ledger.ts"

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1" },
    seed: { type: "string" },
    appliance: { type: "string", default: "base" },
  },
})
const kills = Number(values.kills)
const seed = seedFrom(values.seed)
const victims = ["client", "launcher", "QEMU", "hub"] as const
type Victim = (typeof victims)[number]

const JOBS_EACH = 4
const JOB_SECONDS = 2
/** A kill while the machine works comes so long after a job of it has begun… */
const WORK_SPREAD_MS = 3_000
/** …and one on its way so long after the kill before: a boot takes 10 to 20 s. */
const WAY_SPREAD_MS = 15_000
/** A hub or a client that is started again is away for so long at most. */
const AWAY_SPREAD_MS = 8_000
/** QEMU ends with its launcher at once, and relays with QEMU. */
const GONE_MS = 5_000
/** A launcher sees every 10 s whether its client lives, and may then take what the client itself would give it to save its machine. */
const LEFT_ALONE_MS = 70_000
const BOOT_MAX_MS = 240_000
const DONE_MAX_MS = 240_000
/** QEMU starts each relay by a fork of itself, which looks like a machine until it has become the relay. */
const FORK_MAX_MS = 2_000
const SOON_MS = 90_000
const LOOK_EVERY_MS = 100
const MEMORY_BYTES = 1_200 * 1024 ** 2
/** Written by the client once a task has been at work for a while, and what relays lock, which comes with the first connection. */
const clientsOwn = /^(boinc_task_state\.xml|relay\.lock\.\d|network\.json|trickle_\w+\.xml)$/

const missing = whyNoVolunteer()
if (missing !== null) {
  console.log(`skipped: ${missing}`)
  process.exit(77)
}

const startedMs = performance.now()
const took = (sinceMs: number): string => `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`
function note(what: string): void {
  console.log(`${((performance.now() - startedMs) / 1_000).toFixed(0).padStart(5)} s  ${what}`)
}

const random = chance(seed)
const place = await mkdtemp(join(tmpdir(), "cah-kills-"))
const data = join(place, "hub")
/** What the volunteer's programs leave in a temporary directory would be found here. */
const temporary = join(place, "tmp")
await mkdir(temporary)

interface Cast {
  hub: Hub | null
  client: BoincClient | null
  scientist: Scientist | null
}
const on: Cast = { hub: null, client: null, scientist: null }

// ---- the scientist ----------------------------------------------------------------------------------------------

/** Submits the next campaign when the last has ended, so that there is work whenever somebody is killed. */
class Scientist {
  readonly #hub: Hub
  readonly acknowledged: Acknowledged[] = []
  #isStopped = false
  /** Null, or why it gave up. */
  failure: unknown = null
  readonly done: Promise<void>

  constructor(of: Hub) {
    this.#hub = of
    this.done = this.#work().catch((error: unknown) => {
      this.failure = error
    })
  }

  /** After the campaign under way. */
  stop(): void {
    this.#isStopped = true
  }

  async #work(): Promise<void> {
    while (!this.#isStopped) {
      const key = randomUUID()
      const command = [
        `for n in $(seq ${JOB_SECONDS}); do sleep 1; done; echo "$CAH_ARRAY_INDEX of ${key}" | tee out.txt`,
      ]
      const spec = { name: "kills", command, stageout: ["out.txt"], walltime: "600s", array: JOBS_EACH }
      const { campaign } = await this.#hub.ask<{ campaign: string }>("ScientistService/Submit", {
        idempotencyKey: key,
        spec,
      })
      const mine: Acknowledged = { key, campaign: Number(campaign), jobs: JOBS_EACH }
      this.acknowledged.push(mine)
      for (;;) {
        const { campaign: now } = await this.#hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", {
          campaign,
        })
        if (now.endedAt !== undefined) break
        await pause(LOOK_EVERY_MS)
      }
      mine.ended = true
    }
  }

  /** The hub goes on calling a job running while its node is away: both must be so. */
  async isAtWork(): Promise<boolean> {
    const campaign = this.acknowledged.at(-1)?.campaign
    if (campaign === undefined || !(await isOnline(this.#hub))) return false
    return (await this.#hub.jobs(String(campaign))).some(job => job.phase === "PHASE_RUNNING")
  }
}

// ---- all of it --------------------------------------------------------------------------------------------------

async function main(): Promise<void> {
  note(`seed ${seed}; ${kills} of each: ${victims.join(", ")}`)
  const release = await makeRelease(place, values.appliance)
  const hub = await Hub.start(data, join(place, "hub.log"), {
    host: "127.0.0.1",
    more: ["--release", release.directory],
  })
  on.hub = hub
  const memory = Math.ceil((MEMORY_BYTES / totalmem()) * 100)
  const allowed = { processors: 50, memory }
  const client = await BoincClient.start(join(place, "client"), allowed, { TMPDIR: temporary })
  on.client = client
  const said = await client.answer(["--create_account", hub.url, "kim@example.org", "correct horse", "Kim"])
  await client.command(["--project_attach", hub.url, /account key: (\S+)/.exec(said)?.[1] ?? ""])
  const scientist = new Scientist(hub)
  on.scientist = scientist
  await atWork(scientist)
  const [task] = await client.tasks()
  const files = filesInSlots(client)
  note("the guest is at work")

  const watch = new Watch(client.directory)
  const beganMs = performance.now()
  for (let round = 1; round <= kills; round++) {
    for (const victim of shuffled(victims)) {
      // By chance in the middle of its work, or anywhere on its way there.
      if (random() < 0.5) {
        await atWork(scientist)
        await pause(random() * WORK_SPREAD_MS)
      } else {
        await pause(random() * WAY_SPREAD_MS)
      }
      const moment = await momentOf(hub, scientist)
      const what = await strike[victim](hub, client)
      note(`round ${round}: ${victim} killed (${moment}); ${what}`)
      assert.equal(watch.failure, null)
    }
  }

  const healMs = performance.now()
  scientist.stop()
  await until("the last campaign is complete", async () => scientist.acknowledged.at(-1)?.ended === true, DONE_MAX_MS)
  await scientist.done
  if (scientist.failure !== null) throw scientist.failure
  note(`${victims.length * kills} kills in ${took(beganMs)}; ${took(healMs)} after the last the campaign was complete`)
  assert.deepEqual(await client.tasks().then(tasks => tasks.map(({ name }) => name)), [task?.name], "still one task")
  const { nodes } = await hub.ask<{ nodes: object[] }>("ScientistService/ListNodes", {})
  assert.equal(nodes.length, 1, "it has been one node all the time")
  const more = filesInSlots(client).filter(name => !files.includes(name) && !clientsOwn.test(name))
  assert.deepEqual(more, [], "files in the slot that a machine at work does not have")
  await everyAnswerIsRight(hub, scientist)
  await nothingStays(hub, client)
  watch.stop()
  await end([hub.program])
  await booksAreRight(scientist)
  note(`looked ${watch.looks} times at what ran: never more than one machine`)
}

async function atWork(of: Scientist): Promise<void> {
  await until("a job runs in the guest", () => of.isAtWork(), BOOT_MAX_MS)
}

async function isOnline(at: Hub): Promise<boolean> {
  const { nodes } = await at.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
  return (nodes ?? []).some(node => node.state === "NODE_STATE_ONLINE")
}

async function momentOf(at: Hub, of: Scientist): Promise<string> {
  if (!(await isOnline(at))) return "the agent away"
  return (await of.isAtWork()) ? "a job running" : "the agent online"
}

function shuffled<T>(all: readonly T[]): T[] {
  const rest = [...all]
  return all.map(() => rest.splice(Math.floor(random() * rest.length), 1)[0] as T)
}

async function until(what: string, ask: () => Promise<boolean>, patienceMs: number): Promise<void> {
  const deadlineMs = performance.now() + patienceMs
  while (!(await ask())) {
    if (on.scientist !== null && on.scientist.failure !== null) throw on.scientist.failure
    if (performance.now() > deadlineMs) throw new Error(`not within ${patienceMs / 1_000} s: ${what}`)
    await pause(LOOK_EVERY_MS)
  }
}

// ---- the kills --------------------------------------------------------------------------------------------------

/** Each kills, waits until what belonged to the killed is gone, starts again what nobody else would, and says how it went. */
const strike: Readonly<Record<Victim, (hub: Hub, client: BoincClient) => Promise<string>>> = {
  QEMU: async (_, { directory }) => {
    const { ms, count } = await killOne(directory, "QEMU", kind => kind !== "launcher")
    return `its ${count} processes were gone in ${ms} ms`
  },

  launcher: async (_, { directory }) => {
    const { ms, count } = await killOne(directory, "launcher", () => true)
    return `its ${count} processes were gone in ${ms} ms`
  },

  /** As a service does it, which starts it again at once; or as on a computer where nobody does for a while. */
  client: async (_, victim) => {
    const doomed = await runningBelow(victim.directory)
    const isAtOnce = random() < 0.5
    const beganMs = performance.now()
    await victim.kill()
    if (isAtOnce) {
      await victim.begin()
      await gone(doomed, LEFT_ALONE_MS)
      return `started again at once; what the old one had begun was gone in ${took(beganMs)}`
    }
    const nobody = async () => (await runningBelow(victim.directory)).length === 0
    await until("a client's death ends all that it began", nobody, LEFT_ALONE_MS)
    const what = `all that it had begun was gone in ${took(beganMs)}`
    await pause(random() * AWAY_SPREAD_MS)
    await victim.begin()
    return what
  },

  hub: async victim => {
    await victim.killAtOnce()
    const known = on.scientist?.acknowledged.map(each => ({ ...each })) ?? []
    assert.deepEqual(examine(data, known, false, { mayRepeat: true }), [])
    await pause(random() * AWAY_SPREAD_MS)
    await victim.startAgain()
    return `nothing of ${known.length} campaigns is missing`
  },
}

async function killOne(directory: string, kind: Kind, isDoomed: (kind: Kind) => boolean) {
  let all: Running[] = []
  await until(
    `a ${kind} to kill`,
    async () => {
      all = await runningBelow(directory)
      return all.some(one => one.kind === kind)
    },
    BOOT_MAX_MS,
  )
  const beganMs = performance.now()
  for (const one of all.filter(each => each.kind === kind)) process.kill(one.pid, "SIGKILL")
  const doomed = all.filter(one => isDoomed(one.kind))
  await gone(doomed, GONE_MS)
  return { ms: Math.round(performance.now() - beganMs), count: doomed.length }
}

async function gone(doomed: readonly Running[], withinMs: number): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  for (;;) {
    const left = doomed.filter(isAlive)
    if (left.length === 0) return
    const who = left.map(({ kind, pid }) => `${kind} ${pid}`).join(", ")
    if (performance.now() > deadlineMs) throw new Error(`still there after ${withinMs / 1_000} s: ${who}`)
    await pause(20)
  }
}

/** Two machines would write one disk. */
class Watch {
  looks = 0
  failure: string | null = null
  readonly #since = new Map<number, number>()
  #isStopped = false

  constructor(directory: string) {
    void this.#look(directory)
  }

  stop(): void {
    this.#isStopped = true
  }

  async #look(directory: string): Promise<void> {
    while (!this.#isStopped) {
      const machines = (await runningBelow(directory)).filter(({ kind }) => kind === "QEMU")
      const now = performance.now()
      for (const pid of this.#since.keys()) if (!machines.some(one => one.pid === pid)) this.#since.delete(pid)
      for (const { pid } of machines) if (!this.#since.has(pid)) this.#since.set(pid, now)
      const lasting = machines.filter(one => isAlive(one) && now - (this.#since.get(one.pid) ?? now) > FORK_MAX_MS)
      if (lasting.length > 1) this.failure = `machines that run at once: ${lasting.map(({ pid }) => pid).join(", ")}`
      this.looks += 1
      await pause(LOOK_EVERY_MS)
    }
  }
}

// ---- afterwards -------------------------------------------------------------------------------------------------

async function everyAnswerIsRight(at: Hub, { acknowledged }: Scientist): Promise<void> {
  let lost = 0
  for (const { key, campaign } of acknowledged) {
    const jobs = await at.jobs(String(campaign))
    const answers = jobs.map(({ result }) => {
      const { inline = "" } = (result as { stdout?: { inline?: string } } | undefined)?.stdout ?? {}
      return Buffer.from(inline, "base64").toString()
    })
    const right = Array.from({ length: JOBS_EACH }, (_, index) => `${index} of ${key}\n`)
    assert.deepEqual(answers, right)
    lost += jobs.reduce((sum, { losses = 0 }) => sum + losses, 0)
  }
  const jobs = acknowledged.length * JOBS_EACH
  note(
    `campaigns: ${acknowledged.length}; jobs: ${jobs}, each with its right answer; attempts lost on the way: ${lost}`,
  )
}

/** By the database itself, once nobody writes it. */
async function booksAreRight({ acknowledged }: Scientist): Promise<void> {
  assert.deepEqual(examine(data, acknowledged, true, { mayRepeat: true }), [])
  const database = new Database(join(data, "hub.db"), { readonly: true })
  try {
    const { lines, jobs } = database
      .prepare("SELECT count(*) AS lines, count(DISTINCT campaign * 1000 + idx) AS jobs FROM credit")
      .get() as { lines: number; jobs: number }
    assert.deepEqual({ lines, jobs }, { lines: acknowledged.length * JOBS_EACH, jobs: acknowledged.length * JOBS_EACH })
  } finally {
    database.close()
  }
  note("the books are right: every campaign counted, every job credited once")
}

function filesInSlots({ directory }: BoincClient): string[] {
  const slots = join(directory, "slots")
  return readdirSync(slots).flatMap(slot => readdirSync(join(slots, slot)))
}

async function nothingStays({ url }: Hub, of: BoincClient): Promise<void> {
  await of.command(["--project", url, "detach"])
  await until("the project is gone", async () => !existsSync(of.projectDirectory(url)), SOON_MS)
  await until("no process is left", async () => (await runningBelow(of.directory)).length === 0, SOON_MS)
  await of.quit()
  assert.deepEqual(await processesBelow(of.directory), [])
  assert.deepEqual(filesInSlots(of), [])
  assert.deepEqual(await readdir(temporary), [])
  const ours = (await readdir(of.directory, { recursive: true })).filter(path =>
    /\.(raw|save|sock|iso|part)$/.test(path),
  )
  assert.deepEqual(ours, [])
  note("removed the project: no process, socket, disk or other file of ours is left")
}

async function whatWasSaid(of: BoincClient): Promise<string> {
  const texts = [await of.said()]
  for (const slot of await readdir(join(of.directory, "slots")).catch(() => [])) {
    texts.push(await readFile(of.inSlot(Number(slot), "stderr.txt"), "utf8").catch(() => ""))
  }
  return texts.join("\n")
}

const interrupted = new Promise<never>((_, reject) => {
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => reject(new Error(`ended by ${name}`)))
})
try {
  await Promise.race([main(), interrupted])
} catch (error) {
  console.error(error)
  if (on.client !== null) console.error((await whatWasSaid(on.client)).slice(-8_000))
  if (on.hub !== null) console.error(await tail(on.hub.program))
  process.exitCode = 1
} finally {
  on.scientist?.stop()
  await on.client?.kill()
  for (const pid of await processesBelow(place)) process.kill(pid, "SIGKILL")
  if (on.hub !== null) await end([on.hub.program])
  await rm(place, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}
process.exit()
