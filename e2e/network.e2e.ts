// Hub and agent on two networks with a bad line between them: late, losing, doubling and mixing up packets. Work with large
// inputs and outputs still ends right; and when the line goes silent in the middle of it, as when a router forgets a
// connection, both sides notice by themselves, the jobs go on, and their results arrive when the line is back: the same attempts.
// Needs root, ip, python3, /dev/net/tun and tunnetem.py (CAH_TUNNETEM, or ../shared/tools); exits with 77 and the reason
// where that is missing.
//   node --import tsx e2e/network.e2e.ts [--seed N]
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { accessSync, existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs, promisify } from "node:util"
import { pack } from "tar-stream"
import { nodeState, startAgent } from "../harness/agents.ts"
import { type CampaignAnswer, Hub, type JobAnswer } from "../harness/hub.ts"
import { end, type Program, tail } from "../harness/processes.ts"
import { WITHOUT_WALLS } from "../harness/walls.ts"
import { root } from "../scripts/files.ts"
import { type Blob, download, upload } from "./blobs.ts"
import { examine } from "./ledger.ts"

const { values } = parseArgs({ options: { seed: { type: "string" } } })
const seed = values.seed ?? String(Math.floor(Math.random() * 1_000_000))
const run = promisify(execFile)

/** delay ms, jitter ms, lost %, doubled %, early %. */
const LINE = ["100", "20", "5", "1", "5"]
/** The addresses that tunnetem.py gives the two ends. */
const HUB_HOST = "10.78.0.1"
/** Of the pid, so that two runs at once do not meet; names of interfaces have 15 characters at most. */
const space = `cah${process.pid}`
const [hubSpace, agentSpace] = [`${space}h`, `${space}a`]
/** By which we reach the hub past the bad line. */
const net = `10.${150 + (process.pid % 50)}.${(process.pid >> 6) % 250}`

const STAGEIN_BYTES = 2_000_000
const STAGEOUT_BYTES = 1_000_000
const SMALL_STAGEOUT_BYTES = 100_000
const JOBS = 2
/** docs/reliability.md, Faults: a dead line is noticed by then. */
const NOTICE_MAX_MS = 45_000
const LOOK_EVERY_MS = 100
const LONG_MS = 100_000

function tool(): string | null {
  const named = process.env.CAH_TUNNETEM
  if (named !== undefined) return existsSync(named) ? named : null
  const beside = join(root, "..", "shared", "tools", "tunnetem.py")
  return existsSync(beside) ? beside : null
}

function inside(name: string, command: readonly string[]): Promise<unknown> {
  return run("ip", ["netns", "exec", name, ...command])
}

/** Null when the networks stand, else why they cannot. */
async function networks(): Promise<string | null> {
  if (process.getuid?.() !== 0) return "needs root, to make network namespaces"
  if (tool() === null) return "there is no tunnetem.py: name it in CAH_TUNNETEM"
  try {
    accessSync("/dev/net/tun")
    await run("python3", ["--version"])
    for (const name of [hubSpace, agentSpace]) await run("ip", ["netns", "add", name])
    await run("ip", ["link", "add", `${space}0`, "type", "veth", "peer", "name", `${space}1`, "netns", hubSpace])
    await run("ip", ["addr", "add", `${net}.1/24`, "dev", `${space}0`])
    await run("ip", ["link", "set", `${space}0`, "up"])
    await inside(hubSpace, ["ip", "addr", "add", `${net}.2/24`, "dev", `${space}1`])
    await inside(hubSpace, ["ip", "link", "set", `${space}1`, "up"])
    return null
  } catch (error) {
    return `cannot make such networks here: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** The bad line. It prints what it did to the packets when it ends. */
class Line {
  readonly #child: ChildProcess
  readonly #ended: Promise<string>

  private constructor(child: ChildProcess, ended: Promise<string>) {
    this.#child = child
    this.#ended = ended
  }

  static async open(): Promise<Line> {
    const child = spawn("python3", [tool() ?? "", hubSpace, agentSpace, ...LINE], {
      env: { ...process.env, SEED: seed },
      stdio: ["ignore", "pipe", "inherit"],
    })
    let said = ""
    const ended = new Promise<string>(resolve => void child.once("close", () => resolve(said)))
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject)
      void ended.then(() => reject(new Error("tunnetem.py ended before it was ready")))
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text
        if (said.includes("ready")) resolve()
      })
    })
    return new Line(child, ended)
  }

  /** Silent, or as it was. */
  toggle(): void {
    this.#child.kill("SIGUSR1")
  }

  async close(): Promise<string> {
    this.#child.kill("SIGTERM")
    return (await this.#ended).replace("ready", "").trim()
  }
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

async function submit(hub: Hub, key: string, stagein: Blob, array: number, command: string): Promise<string> {
  const spec = { name: key, command: [command], stagein, stageout: ["output"], walltime: "120s", array }
  const answer = await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: key, spec })
  return answer.campaign
}

async function counts(hub: Hub, campaign: string): Promise<CampaignAnswer> {
  const answer = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", { campaign })
  return answer.campaign
}

/** All jobs finished, each in its first attempt, none ever lost. */
async function endedWell(hub: Hub, campaign: string, jobs: number): Promise<readonly JobAnswer[]> {
  await until(`campaign ${campaign}`, LONG_MS, async () => ((await counts(hub, campaign)).endedAt ? true : null))
  const all = await hub.jobs(campaign)
  const wrong = all.filter(job => job.outcome !== "OUTCOME_FINISHED" || job.attempt !== 1 || job.losses !== undefined)
  if (all.length !== jobs || wrong.length > 0) throw new Error(`not all ended well at once: ${JSON.stringify(all)}`)
  return all
}

/** From now until the agent's log has these words. */
async function agentSays(log: string, words: string): Promise<void> {
  const from = (await readFile(log, "utf8")).length
  await until(`the agent says "${words}"`, NOTICE_MAX_MS * 2, async () =>
    (await readFile(log, "utf8")).slice(from).includes(words) ? true : null,
  )
}

async function main(): Promise<void> {
  const place = await mkdtemp(join(tmpdir(), "cah-network-"))
  const data = join(place, "hub")
  const programs: Program[] = []
  const line = await Line.open()
  const since = (ms: number): string => `${((performance.now() - ms) / 1000).toFixed(1)} s`
  try {
    const within = ["ip", "netns", "exec", hubSpace]
    const hub = await Hub.start(data, join(place, "hub.log"), {
      host: "0.0.0.0",
      more: ["--insecure"],
      within,
      reach: `${net}.2`,
    })
    programs.push(hub.program)
    const agent = await startAgent(hub, {
      name: "home",
      place,
      flags: ["--slots", String(JOBS), ...WITHOUT_WALLS, "--insecure"],
      within: ["ip", "netns", "exec", agentSpace],
      hubUrl: `http://${HUB_HOST}:${new URL(hub.url).port}`,
    })
    programs.unshift(agent)

    const archive = pack()
    const input = randomBytes(STAGEIN_BYTES)
    archive.entry({ name: "input" }, input)
    archive.finalize()
    const stagein = await upload(hub, await buffer(archive))
    const startedMs = performance.now()
    const bad = await submit(hub, "bad line", stagein, 1, `head -c ${STAGEOUT_BYTES} input > output`)
    await endedWell(hub, bad, 1)
    const { bytes } = await download(hub, { campaign: bad, index: 0 })
    if (!bytes.includes(input.subarray(0, STAGEOUT_BYTES))) throw new Error("the stageout is not what the job wrote")
    console.log(`2 MB in, 1 MB out over the bad line: ${since(startedMs)}`)

    // Waits for us: no job ends before both sides have noticed.
    const go = join(place, "go")
    const wait = `until [ -e ${go} ]; do sleep 0.1; done; head -c ${SMALL_STAGEOUT_BYTES} input > output`
    const silent = await submit(hub, "silent line", stagein, JOBS, wait)
    await until("jobs run", LONG_MS, async () => ((await counts(hub, silent)).counts?.running === JOBS ? true : null))
    const silentMs = performance.now()
    line.toggle()
    const noticed: Record<string, number> = {}
    await Promise.all([
      agentSays(agent.log, "no link to the hub").then(() => {
        noticed.agent = performance.now() - silentMs
      }),
      until("the hub notices", NOTICE_MAX_MS * 2, async () =>
        (await nodeState(hub, "home")) === "NODE_STATE_AWAY" ? true : null,
      ).then(() => {
        noticed.hub = performance.now() - silentMs
      }),
    ])
    const seconds = Object.entries(noticed).map(([who, ms]) => `the ${who} after ${(ms / 1000).toFixed(1)} s`)
    console.log(`a silent line is noticed by ${seconds.join(", ")}`)
    await run("touch", [go])
    // The jobs end while nobody can hear of it.
    await until("jobs end on the node", LONG_MS, async () => {
      const log = await readFile(agent.log, "utf8")
      return log.split('"event":"CommandEnded"').length - 1 >= 1 + JOBS ? true : null
    })
    const backMs = performance.now()
    line.toggle()
    await endedWell(hub, silent, JOBS)
    console.log(`results are here ${since(backMs)} after the line came back, of the first attempts`)
    const late = Object.entries(noticed).filter(([, ms]) => ms > NOTICE_MAX_MS)
    if (late.length > 0) throw new Error(`${late.map(([who]) => who).join(" and ")} took longer than 45 s`)
    const complaints = examine(data, [{ key: "silent line", campaign: Number(silent), jobs: JOBS, ended: true }], true)
    if (complaints.length > 0) throw new Error(complaints.join("\n"))
  } catch (error) {
    for (const program of programs) console.error(await tail(program))
    throw error
  } finally {
    await end(programs)
    console.log(`packets: ${await line.close()}`)
    await rm(place, { recursive: true, force: true })
  }
}

console.log(`seed ${seed}`)
const cannot = await networks()
try {
  if (cannot === null) await main()
  else console.log(cannot)
} finally {
  // A network goes only with its last packet and socket, which linger: the pair of interfaces is taken away by name.
  await run("ip", ["link", "del", `${space}0`]).catch(() => undefined)
  for (const name of [hubSpace, agentSpace]) await run("ip", ["netns", "del", name]).catch(() => undefined)
}
process.exit(cannot === null ? 0 : 77)
