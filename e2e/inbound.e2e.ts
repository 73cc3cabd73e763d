// An agent in a network namespace whose firewall drops every connection that comes in still does its work, because it is the one
// that dials. That the firewall bites is shown first: a server beside the agent cannot be reached from here.
// Needs root, ip and nft; exits with 77 and the reason where that is missing.
import { execFile } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { promisify } from "node:util"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, start, tail } from "../harness/processes.ts"
import { wallFlags } from "../harness/walls.ts"

const run = promisify(execFile)
/** Of the pid, so that two runs at once do not meet; names of interfaces have 15 characters at most. */
const space = `cah${process.pid}`
const net = `10.${200 + (process.pid % 50)}.${(process.pid >> 6) % 250}`
const [here, there] = [`${net}.1`, `${net}.2`]
const OPEN_PORT = 9
/** A dropped connection is not refused: there is no answer at all. */
const NO_ANSWER_MS = 1_500
const JOBS = 6
const LOOK_EVERY_MS = 100
const DONE_MAX_MS = 60_000

const rules = `table inet cah {
  chain in {
    type filter hook input priority 0; policy drop;
    iif "lo" accept
    ct state established,related accept
  }
}`

async function wall(): Promise<string | null> {
  if (process.getuid?.() !== 0) return "needs root, to make a network namespace"
  try {
    await run("ip", ["netns", "add", space])
    await run("ip", ["link", "add", `${space}a`, "type", "veth", "peer", "name", `${space}b`, "netns", space])
    await run("ip", ["addr", "add", `${here}/24`, "dev", `${space}a`])
    await run("ip", ["link", "set", `${space}a`, "up"])
    await inside(["ip", "addr", "add", `${there}/24`, "dev", `${space}b`])
    await inside(["ip", "link", "set", `${space}b`, "up"])
    await inside(["ip", "link", "set", "lo", "up"])
    return null
  } catch (error) {
    return `cannot make a network namespace here: ${error instanceof Error ? error.message : String(error)}`
  }
}

function inside(command: readonly string[]): Promise<unknown> {
  return run("ip", ["netns", "exec", space, ...command])
}

/** Whether somebody answers, and if it is by refusing. */
function reach(host: string, port: number): Promise<"open" | "refused" | "silent"> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: NO_ANSWER_MS })
    const say = (what: "open" | "refused" | "silent"): void => {
      socket.destroy()
      resolve(what)
    }
    socket.once("connect", () => say("open"))
    socket.once("error", () => say("refused"))
    socket.once("timeout", () => say("silent"))
  })
}

async function main(): Promise<void> {
  const place = await mkdtemp(join(tmpdir(), "cah-inbound-"))
  const programs: Program[] = []
  try {
    // Before the wall a closed port answers with a refusal: the two can speak. After it, silence.
    const before = await reach(there, OPEN_PORT)
    if (before !== "refused")
      throw new Error(`the namespace should refuse connections before the firewall, but is ${before}`)
    await inside(["nft", rules])
    const after = await reach(there, OPEN_PORT)
    if (after !== "silent") throw new Error(`the firewall should drop connections, but the port is ${after}`)
    console.log("connections into the agent's network are dropped")

    const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"), { host: here, more: ["--insecure"] })
    programs.push(hub.program)
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "inbound" })
    const agent = start(
      "home",
      [
        "agent/bin/cah-agent.mjs",
        "--hub",
        hub.url,
        "--enroll",
        secret,
        "--state",
        join(place, "agent"),
        "--name",
        "home",
        "--insecure",
        ...(await wallFlags(place, line => process.stderr.write(`${line}\n`))),
      ],
      {},
      join(place, "home.log"),
      ["ip", "netns", "exec", space],
    )
    programs.unshift(agent)
    await ready(agent, async () => {
      const { nodes } = await hub.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
      return nodes?.some(node => node.state === "NODE_STATE_ONLINE") ? true : null
    })
    const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", {
      idempotencyKey: `inbound-${process.pid}-${Date.now()}`,
      spec: {
        name: "inbound",
        command: ["echo $CAH_ARRAY_INDEX > out.txt"],
        stageout: ["*.txt"],
        walltime: "60s",
        array: JOBS,
      },
    })
    const deadlineMs = performance.now() + DONE_MAX_MS
    for (;;) {
      const { campaign: now } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", {
        campaign,
      })
      if (now.endedAt !== undefined) {
        if (now.counts?.finished !== JOBS)
          throw new Error(`of ${JOBS} jobs these ended well: ${JSON.stringify(now.counts)}`)
        break
      }
      if (performance.now() > deadlineMs)
        throw new Error(`not done after ${DONE_MAX_MS / 1000} s: ${JSON.stringify(now.counts)}`)
      await pause(LOOK_EVERY_MS)
    }
    console.log(`${JOBS} jobs done by an agent that nobody can connect to`)
  } catch (error) {
    for (const program of programs) console.error(await tail(program))
    throw error
  } finally {
    await end(programs)
    await rm(place, { recursive: true, force: true })
  }
}

const cannot = await wall()
try {
  if (cannot === null) await main()
  else console.log(cannot)
} finally {
  await run("ip", ["netns", "del", space]).catch(() => undefined) // takes both ends of the pair with it
}
process.exit(cannot === null ? 0 : 77)
