// The volunteer's whole way: a hub with a release, a stock Debian boinc-client that attaches to its URL, the launcher and the appliance
// that it downloads, QEMU, the agent inside, a campaign, and everything that a volunteer may do meanwhile. Prints how long each
// takes. At the end no process and no file of ours is left.
//   npm run e2e -- volunteer [--appliance povray|base] [--tree DIRECTORY]
// --tree: another checkout whose launcher and appliance are tried. The appliance is dist/appliance/NAME there, built first if it is missing.
// Needs boinc-client and QEMU; exits with 77 and the reason where something is missing.
import assert from "node:assert/strict"
import { existsSync, readdirSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, runToEnd, tail } from "../harness/processes.ts"
import { root } from "../scripts/files.ts"
import { BoincClient, processesBelow, type Task } from "./boinc/client.ts"
import { makeRelease, whyNoVolunteer } from "./boinc/release.ts"

const { values } = parseArgs({ options: { appliance: { type: "string" }, tree: { type: "string", default: root } } })
const { tree } = values
const name = values.appliance ?? (existsSync(join(tree, "dist/appliance/povray/manifest.json")) ? "povray" : "base")

/** A guest under emulation on a machine that is busy with other things: minutes, when it should be seconds. */
const BOOT_MAX_MS = 180_000
const JOBS_MAX_MS = 240_000
const SOON_MS = 90_000
const LOOK_EVERY_MS = 100
/** What the client may use: enough for one guest, on whatever machine this is. */
const MEMORY_BYTES = 1_200 * 1024 ** 2

const missing = whyNoVolunteer(tree)
if (missing !== null) {
  console.log(`skipped: ${missing}`)
  process.exit(77)
}

const startedMs = performance.now()
function note(what: string, sinceMs?: number): void {
  const at = ((performance.now() - startedMs) / 1_000).toFixed(0).padStart(5)
  const took = sinceMs === undefined ? "" : ` (${((performance.now() - sinceMs) / 1_000).toFixed(1)} s)`
  console.log(`${at} s  ${what}${took}`)
}

const place = await mkdtemp(join(tmpdir(), "cah-volunteer-"))
const programs: Program[] = []
const clients: BoincClient[] = []
try {
  await main()
} catch (error) {
  console.error(error)
  for (const client of clients) console.error((await whatWasSaid(client)).slice(-6_000))
  for (const program of programs) console.error(await tail(program))
  process.exitCode = 1
} finally {
  for (const client of clients) await client.kill()
  for (const pid of await processesBelow(place)) process.kill(pid, "SIGKILL")
  await end(programs)
  await rm(place, { recursive: true, force: true })
}
process.exit()

async function main(): Promise<void> {
  const release = await makeRelease(place, name, tree)
  const megabytes = (release.downloadBytes / 1e6).toFixed(1)
  note(`a release with the ${name} appliance: ${release.files} files, ${megabytes} MB to download`)
  const where = { host: "127.0.0.1", more: ["--release", release.directory] }
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"), where)
  programs.push(hub.program)
  const { url } = hub
  const memory = Math.ceil((MEMORY_BYTES / totalmem()) * 100)
  const client = await BoincClient.start(join(place, "client"), { processors: 50, memory })
  clients.push(client)
  const said = await client.answer(["--create_account", url, "vera@example.org", "correct horse", "Vera"])
  const key = /account key: (\S+)/.exec(said)?.[1] ?? ""

  // ---- from the URL to work ----
  const attachMs = performance.now()
  await client.command(["--project_attach", url, key])
  const task = await client.executing(SOON_MS)
  note("attached by URL; launcher and appliance are downloaded, and the launcher runs", attachMs)
  await online(client, hub)
  note("the guest has booted under QEMU, and its agent is online", attachMs)
  await campaign(hub)
  const page = await volunteersPage(hub, key)
  assert.match(page, /for \d+ finished jobs/)

  // ---- suspend and resume, in the middle of a job that counts seconds ----
  const counting = await submitCounting(hub)
  await jobIs(hub, counting, "PHASE_RUNNING")
  await suspendAndResume(client, url, task)
  await jobEnded(hub, counting)
  note("a job that was in the middle of it when the task was suspended ended well")

  // ---- quit, and a new start ----
  const quitMs = performance.now()
  await client.quit()
  note("the client was told to quit, as at a shutdown, and is gone with all of its processes", quitMs)
  assert.deepEqual(await processesBelow(client.directory), [])
  const againMs = performance.now()
  await client.begin()
  await client.executing(SOON_MS)
  await online(client, hub)
  note("started again: the agent is back online", againMs)

  // ---- abort, and the one that follows ----
  const abortMs = performance.now()
  await client.command(["--task", url, task.name, "abort"])
  await client.until("all of the task's processes are gone", async () => {
    const left = (await processesBelow(client.directory)).filter(pid => pid !== client.pid)
    return left.length === 0 ? true : null
  })
  note("aborted by the volunteer: no process of it is left", abortMs)
  await client.command(["--project", url, "update"])
  await client.until("the hub knows", async () => {
    return (await volunteersPage(hub, key)).includes("was aborted in BOINC") ? true : null
  })
  assert.equal((await nodeStates(hub)).includes("NODE_STATE_ONLINE"), false)

  // ---- gone ----
  await client.command(["--project", url, "detach"])
  await client.until("the project is gone", async () => (existsSync(client.projectDirectory(url)) ? null : true))
  const slots = join(client.directory, "slots")
  const files = readdirSync(slots).flatMap(slot => readdirSync(join(slots, slot)))
  assert.deepEqual(files, [])
  assert.deepEqual(
    (await processesBelow(client.directory)).filter(pid => pid !== client.pid),
    [],
  )
  await client.quit()
  note("removed the project: no file and no process of ours is left")
}

async function nodeStates(hub: Hub): Promise<string[]> {
  const { nodes } = await hub.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
  return (nodes ?? []).map(node => node.state)
}

function online(client: BoincClient, hub: Hub): Promise<true> {
  return client.until(
    "the guest's agent is online",
    async () => ((await nodeStates(hub)).includes("NODE_STATE_ONLINE") ? true : null),
    BOOT_MAX_MS,
  )
}

// ---- work -------------------------------------------------------------------------------------------------------

/** As a scientist does it: frames where there is POV-Ray, else something that needs only what the base appliance has. */
async function campaign(hub: Hub): Promise<void> {
  const frames = 3
  const beganMs = performance.now()
  const results = join(place, "results")
  const job =
    name === "povray"
      ? `povray scene.pov -D -GA -V +WT1 +W160 +H90 +Oframe$CAH_ARRAY_INDEX.png +KI0 +KF1 +KFI0 +KFF${frames} +SF$CAH_ARRAY_INDEX +EF$CAH_ARRAY_INDEX`
      : "sort scene.pov | sha256sum > frame$CAH_ARRAY_INDEX.png"
  const flags = [
    "--name",
    "frames",
    "--array",
    String(frames),
    "--stagein",
    join(root, "demo/scene"),
    "--stageout",
    "frame*.png",
  ]
  const environment = { CAH_HUB: hub.url, CAH_TOKEN: hub.token }
  await runToEnd(
    ["client/bin/cah.mjs", "sub", ...flags, "--wait", "--get", results, "--", "sh", "-c", job],
    environment,
  )
  const files = (await readdir(results, { recursive: true })).filter(file => file.endsWith(".png"))
  assert.equal(files.length, frames, files.join(", "))
  for (const file of files) {
    const bytes = await readFile(join(results, file))
    if (name === "povray") assert.equal(bytes.toString("latin1", 1, 4), "PNG", file)
    assert.ok(bytes.length > 60, file)
  }
  note(
    `${frames} ${name === "povray" ? "frames were rendered by POV-Ray" : "jobs were done"} in the guest, and came back`,
    beganMs,
  )
}

async function submitCounting(hub: Hub): Promise<string> {
  const command = ["for n in $(seq 15); do echo $n >> seconds.txt; sleep 1; done"]
  const spec = { name: "seconds", command, stageout: ["seconds.txt"], walltime: "600s", array: 1 }
  return (await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: "seconds", spec })).campaign
}

async function jobIs(hub: Hub, id: string, phase: string): Promise<void> {
  const deadlineMs = performance.now() + JOBS_MAX_MS
  for (;;) {
    const [job] = await hub.jobs(id)
    if (job?.phase === phase) return
    if (performance.now() > deadlineMs) throw new Error(`the job is ${job?.phase} and not ${phase}`)
    await pause(LOOK_EVERY_MS)
  }
}

async function jobEnded(hub: Hub, id: string): Promise<void> {
  const deadlineMs = performance.now() + JOBS_MAX_MS
  for (;;) {
    const { campaign: now } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", {
      campaign: id,
    })
    if (now.endedAt !== undefined) {
      assert.equal(now.counts?.finished, 1, JSON.stringify(now.counts))
      const [job] = await hub.jobs(id)
      assert.equal(job?.attempt, 1, "in one attempt")
      return
    }
    if (performance.now() > deadlineMs) throw new Error(`not ended: ${JSON.stringify(now.counts)}`)
    await pause(LOOK_EVERY_MS)
  }
}

// ---- what the volunteer does ------------------------------------------------------------------------------------

/** Whether it is kept in memory or put away on disk is the client's choice; either way nothing computes meanwhile. */
async function suspendAndResume(client: BoincClient, url: string, task: Task): Promise<void> {
  const suspendMs = performance.now()
  await client.command(["--task", url, task.name, "suspend"])
  const how = await client.until("the guest computes no more", async () => {
    const before = await computed(client)
    if (before === null) return "put away on disk"
    await pause(500)
    const after = await computed(client)
    return after !== null && after - before <= 2 ? "standing still in memory" : null
  })
  note(`suspended: the guest is ${how}`, suspendMs)
  await pause(3_000)
  const resumeMs = performance.now()
  await client.command(["--task", url, task.name, "resume"])
  await client.until("the guest computes again", async () => {
    const before = await computed(client)
    if (before === null) return null
    await pause(200)
    const after = await computed(client)
    return after !== null && after - before > 2 ? true : null
  })
  note("resumed: the guest computes again", resumeMs)
}

/** Clock ticks that QEMU has used; null: there is none. */
async function computed(client: BoincClient): Promise<number | null> {
  for (const pid of await processesBelow(client.directory)) {
    const command = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")
    if (!command.startsWith("/usr/bin/qemu-system") && !command.startsWith("qemu-system")) continue
    const fields = (await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")).split(") ").at(-1)?.split(" ")
    if (fields !== undefined) return Number(fields[11]) + Number(fields[12])
  }
  return null
}

async function volunteersPage(hub: Hub, key: string): Promise<string> {
  const body = new URLSearchParams({ key })
  const answer = await fetch(`${hub.url}/volunteer/login`, { method: "POST", body, redirect: "manual" })
  const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? ""
  return (await fetch(`${hub.url}/volunteer`, { headers: { cookie } })).text()
}

/** The client's log, and what the launcher told the volunteer. */
async function whatWasSaid(client: BoincClient): Promise<string> {
  const texts = [await client.said()]
  for (const slot of await readdir(join(client.directory, "slots")).catch(() => [])) {
    texts.push(await readFile(client.inSlot(Number(slot), "stderr.txt"), "utf8").catch(() => ""))
  }
  return texts.join("\n")
}
