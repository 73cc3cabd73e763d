// The packaged launcher, the real appliance, QEMU and a real hub: the agent in the guest enrols and runs a job that counts seconds; the job lives through
// a suspend of a minute, and through a quit (its machine saved) and a new start; its output comes home whole. Prints how long each takes.
// Needs QEMU and dist/appliance/base; exits with 77 and the reason where either is missing.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end } from "../harness/processes.ts"
import { root } from "../scripts/files.ts"
import { whyNoQemu } from "../vmlauncher/fixtures.ts"
import { packageLauncher, releaseKey, Slot, signImage } from "./slot.ts"

const MIB = 1024 ** 2
const HELLO_MAX_MS = 90_000
const SUSPENDED_MS = 60_000
/** What the issue promises after a restore. */
const BACK_MAX_MS = 10_000
const SOON_MS = 30_000
const DONE_MAX_MS = 90_000
const SECONDS = 30

const key = releaseKey()
const appliance = join(root, "dist", "appliance", "base")

async function main(place: string): Promise<void> {
  const launcher = packageLauncher(place, key.publicPem)
  const image = join(place, "image")
  cpSync(appliance, image, { recursive: true })
  signImage(image, key)
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
  const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "volunteer" })
  const bounds = { rsc_memory_bound: (512 + 256) * MIB, rsc_disk_bound: 3_000 * MIB }
  const slot = new Slot(place, { launcher, image, hub: hub.url, enrolToken: secret, name: "attic", init: bounds })
  try {
    await story(slot, hub)
  } catch (error) {
    console.error(slot.stderr, slot.console.slice(-3_000))
    throw error
  } finally {
    slot.close()
    await end([hub.program])
  }
}

async function story(slot: Slot, hub: Hub): Promise<void> {
  const hellos = (): number => slot.console.split("cah: agent hello").length - 1
  const say = (what: string, ms: number): void => console.log(`${what.padEnd(52)} ${ms.toFixed(1)} ms`)
  slot.start()
  say("from the launcher's start to the agent's hello", await slot.until(() => hellos() === 1, HELLO_MAX_MS, "a hello"))
  const memory = [slot.pid, ...slot.processes()].map(pid => ({ pid, mib: residentMib(pid) }))
  console.log(
    `memory: ${memory.map(({ mib }) => `${mib} MiB`).join(" + ")} (launcher, QEMU, relay) for a guest of 512 MiB`,
  )

  const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", {
    idempotencyKey: `guest-${process.pid}-${Date.now()}`,
    spec: {
      name: "seconds",
      command: [`for n in $(seq ${SECONDS}); do echo $n >> seconds.txt; sleep 1; done`],
      stageout: ["seconds.txt"],
      walltime: "600s",
      array: 1,
    },
  })
  await slot.until(() => /"to":"running"/.test(slot.console), SOON_MS, "a running job")

  slot.client.send("control", "<suspend/>\n")
  await slot.until(() => slot.count("stands still") === 1, SOON_MS, "a pause")
  await wait(SUSPENDED_MS)
  const before = hellos()
  slot.client.send("control", "<resume/>\n")
  const back = await slot.until(() => hellos() > before, SOON_MS, "the agent's return after the pause")
  say("pause", slot.newestMs("stands still"))
  say("continue", slot.newestMs("goes on"))
  say(`the agent is back after ${SUSPENDED_MS / 1_000} s of pause in`, back)

  const quitMs = performance.now()
  slot.client.send("control", "<quit/>\n")
  if ((await slot.ended()) !== 0) throw new Error("quit must end with 0")
  say("from quit to the launcher's end", performance.now() - quitMs)
  say("of which the machine was being saved for", slot.newestMs("is saved"))
  console.log(`the saved machine takes ${(statSync(join(slot.directory, "vm.save")).size / 1e6).toFixed(0)} MB`)
  const restored = hellos()
  slot.start()
  const returned = await slot.until(() => hellos() > restored, SOON_MS, "the agent's return after the restore")
  say("of which QEMU took", slot.newestMs("goes on from where it was saved"))
  say("from the launcher's start to the agent's return", returned)
  if (returned > BACK_MAX_MS) throw new Error(`the agent took ${returned} ms to come back; ${BACK_MAX_MS} are promised`)

  const deadlineMs = performance.now() + DONE_MAX_MS
  for (let done = false; !done; await wait(200)) {
    const { campaign: now } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", { campaign })
    done = now.endedAt !== undefined
    if (done && now.counts?.finished !== 1) throw new Error(`the job did not finish: ${JSON.stringify(now.counts)}`)
    if (performance.now() > deadlineMs) throw new Error(`the job is not done: ${JSON.stringify(now.counts)}`)
  }
  const { jobs } = await hub.ask<{ jobs: { attempt?: number; losses?: number }[] }>("ScientistService/ListJobs", {
    campaign,
  })
  if (jobs[0]?.attempt !== 1) throw new Error(`it took more than one attempt: ${JSON.stringify(jobs[0])}`)
  console.log("the job lived through a pause of a minute, a save and a restore, in its first attempt")

  const abortMs = performance.now()
  slot.client.send("control", "<abort/>\n")
  if ((await slot.ended()) !== 194) throw new Error("abort must end with 194")
  say("from abort to the launcher's end", performance.now() - abortMs)
  await slot.until(() => slot.processes().length === 0, SOON_MS, "the end of all processes")
  const left = slot.leftovers().filter(name => name !== "scratch.raw" && name !== "network.json")
  if (left.length > 0) throw new Error(`left in the slot: ${left.join(", ")}`)
}

function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(
    existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/status`, "utf8") : "",
  )?.[1]
  return Math.round(Number(kib ?? 0) / 1024)
}

const missing =
  (await whyNoQemu()) ??
  (existsSync(appliance)
    ? null
    : "there is no dist/appliance/base: npm run appliance -- build appliance/recipes/base.yaml")
if (missing !== null) {
  console.log(missing)
  process.exit(77)
}
const place = mkdtempSync(join(tmpdir(), "cah-guest-"))
try {
  await main(place)
} finally {
  rmSync(place, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}
process.exit(0)
