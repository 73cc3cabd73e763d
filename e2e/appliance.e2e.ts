// The appliance, and jobs that it ran: the same tree twice from the recipe, small enough to download, booted under QEMU against a real
// hub, saved and brought back while a job runs, switched off by its power button, killed and booted again. With --all also the slow parts:
// the same image twice, twenty boots, a pause of a minute, the second recipe and a frame that it renders. Needs mmdebstrap and QEMU; exits with 77 and the
// reason where they are missing.
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { type BuildOptions, build, buildTree } from "../appliance/build.ts"
import { ApplianceError } from "../appliance/errors.ts"
import { readRecipe } from "../appliance/recipe.ts"
import { downloadBytes, grouped } from "../appliance/report.ts"
import { makeKey, readImage, signImage, verifyImage } from "../appliance/signature.ts"
import { needTools } from "../appliance/tools.ts"
import { nodeState } from "../harness/agents.ts"
import { Hub, type JobAnswer } from "../harness/hub.ts"
import { end } from "../harness/processes.ts"
import packaged from "../package.json" with { type: "json" }
import { imageDigest, MANIFEST_FILE } from "../proto/guest/manifest.ts"
import { bootSeries, describeBoots, enrolment } from "../release/appliance/boot.ts"
import { Machine } from "../release/appliance/machine.ts"
import { agentBundle, licencesOf, writeBundle } from "../release/bundle.ts"
import { root } from "../scripts/files.ts"

/** What a volunteer downloads: kernel, initrd and root of the base appliance. */
const DOWNLOAD_MAX_BYTES = 62_000_000
/** From the moment a restored machine runs to its welcome by the hub. */
const BACK_MAX_MS = 10_000
const BOOT_MAX_MS = 180_000
const JOB_MAX_MS = 90_000
/** An agent gives running jobs up and says so; then the disks are put away. */
const OFF_MAX_MS = 40_000
const LOOK_EVERY_MS = 100

const isWhole = process.argv.includes("--all")
const began = performance.now()

function say(text: string): void {
  process.stdout.write(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`)
}

function check(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`this is not so: ${what}`)
  say(what)
}

/** Other pieces boot it, too. Taken as it is if it is there, which CI has built just before: packing it takes longest. */
const kept = join(root, "dist", "appliance", "base")

async function optionsOf(place: string, name: string, out: string): Promise<BuildOptions> {
  const agent = join(place, "cah-agent.mjs")
  const licences = await licencesOf(await writeBundle(agentBundle, agent))
  return {
    recipe: readRecipe(join(root, "appliance", "recipes", `${name}.yaml`)),
    agent,
    licences,
    out,
    version: packaged.version,
    mirror: process.env.CAH_APT_MIRROR || null,
    withIso: true,
    onStep: () => {},
  }
}

async function built(place: string, name: string, out: string): Promise<string> {
  const { manifest } = await build(await optionsOf(place, name, out))
  say(`${name}: ${grouped(downloadBytes(manifest.files))} bytes to download, ${manifest.packages.length} packages`)
  return out
}

// ---- jobs -------------------------------------------------------------------------------------------------------

interface Ended extends JobAnswer {
  readonly stdout: string
  readonly message: string
}

let submitted = 0

async function submit(hub: Hub, command: string, more: object = {}): Promise<string> {
  const spec = { name: "appliance", command: [command], walltime: "300s", array: 1, ...more }
  const idempotencyKey = `appliance-${process.pid}-${++submitted}`
  return (await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey, spec })).campaign
}

/** The campaign's one job, once it fits. */
async function job(hub: Hub, campaign: string, fits: (job: JobAnswer) => boolean): Promise<JobAnswer> {
  const deadlineMs = performance.now() + JOB_MAX_MS
  for (;;) {
    const [found] = await hub.jobs(campaign)
    if (found !== undefined && fits(found)) return found
    if (performance.now() > deadlineMs) throw new Error(`job ${campaign}.0 hangs: ${JSON.stringify(found)}`)
    await pause(LOOK_EVERY_MS)
  }
}

async function ended(hub: Hub, campaign: string): Promise<Ended> {
  const found = await job(hub, campaign, one => one.phase === "PHASE_ENDED")
  const result = found.result as
    | { readonly stdout?: { readonly inline?: string }; readonly message?: string }
    | undefined
  const stdout = Buffer.from(result?.stdout?.inline ?? "", "base64")
    .toString()
    .trim()
  return { ...found, stdout, message: result?.message ?? "" }
}

const run = async (hub: Hub, command: string, more: object = {}): Promise<Ended> =>
  ended(hub, await submit(hub, command, more))

// ---- the guest --------------------------------------------------------------------------------------------------

/** The guest's life, all of it on one scratch disk. */
class Guest {
  readonly #hub: Hub
  readonly #image: string
  readonly #place: string
  readonly #token: string
  machine: Machine

  private constructor(hub: Hub, image: string, place: string, token: string, machine: Machine) {
    this.#hub = hub
    this.#image = image
    this.#place = place
    this.#token = token
    this.machine = machine
  }

  static async boot(hub: Hub, image: string, place: string): Promise<Guest> {
    await mkdir(place, { recursive: true })
    const token = await enrolment(hub)
    const guest = new Guest(hub, image, place, token, await Machine.start(options(hub, image, place, token)))
    await guest.hello()
    return guest
  }

  async bootAgain(restore?: string): Promise<void> {
    const known = options(this.#hub, this.#image, this.#place, this.#token)
    this.machine = await Machine.start(restore === undefined ? known : { ...known, restore })
  }

  /** ms from the start of QEMU. */
  async hello(): Promise<number> {
    const line = await this.machine.line(/^cah: (agent hello$|fatal )|Kernel panic/, BOOT_MAX_MS)
    if (line?.text === "cah: agent hello") return line.atMs
    throw new Error(`no hello: ${line?.text ?? "silence"}\n${this.machine.lines.map(one => one.text).join("\n")}`)
  }
}

function options(hub: Hub, image: string, place: string, enrolToken: string) {
  return { image, place, name: "guest", hubUrl: hub.url, hubPort: Number(new URL(hub.url).port), enrolToken }
}

async function nodeId(hub: Hub): Promise<string | undefined> {
  const { nodes } = await hub.ask<{ nodes?: { id: string; name: string }[] }>("ScientistService/ListNodes", {})
  return nodes?.find(node => node.name === "guest")?.id
}

async function away(hub: Hub): Promise<void> {
  while ((await nodeState(hub, "guest")) === "NODE_STATE_ONLINE") await pause(LOOK_EVERY_MS)
}

async function jobsOfAGuest(hub: Hub): Promise<void> {
  const who = await run(
    hub,
    "id -u; cat /sys/class/net/*/operstate 2>/dev/null | wc -l; ls /scratch 2>&1 | wc -l; dpkg --version | head -1",
  )
  check(/^65534\n/.test(who.stdout), `a job is nobody: ${JSON.stringify(who.stdout.split("\n"))}`)
  const image = (await hub.ask<{ nodes: { properties: Record<string, string> }[] }>("ScientistService/ListNodes", {}))
    .nodes[0]
  const { image: digest, limits, sandbox } = image?.properties ?? {}
  check(
    limits === "cgroup" && sandbox === "bwrap",
    "the node says that needs are enforced, and that jobs are walled in",
  )
  const mine = await run(hub, "echo mine", { property: `image = '${digest}'` })
  check(mine.stdout === "mine", "a job that names this image by digest runs")
  const hungry = await run(hub, `perl -e '$x = "x" x (200 * 1024 * 1024)'`, { needs: { memoryBytes: 64 * 1024 ** 2 } })
  check(/more than the 67108864 bytes of memory/.test(hungry.message), `a job beyond its memory: ${hungry.message}`)
  const many = await run(
    hub,
    `perl -e 'for (1..400) { my $p = fork // die "no more\\n"; if (!$p) { sleep 60; exit } }' 2>&1; echo $?`,
  )
  check(/^no more\n/.test(many.stdout), "a job on one slot cannot have 400 processes")
}

async function savedAndRestored(hub: Hub, guest: Guest, place: string): Promise<void> {
  const campaign = await submit(hub, "for i in $(seq 15); do sleep 1; done; echo survived")
  await job(hub, campaign, one => one.phase === "PHASE_RUNNING")
  const file = join(place, "saved")
  await guest.machine.save(file)
  await away(hub)
  // A clock of whole seconds cannot tell less.
  await pause(3_000)
  await guest.bootAgain(file)
  for (;;) {
    const { status } = (await guest.machine.command("query-status")) as { status: string }
    if (status !== "inmigrate") break
    await pause(20)
  }
  const from = performance.now()
  await guest.machine.command("cont")
  await guest.hello()
  const backMs = performance.now() - from
  check(backMs <= BACK_MAX_MS, `after a restore the agent is back in ${(backMs / 1_000).toFixed(1)} s`)
  const survivor = await ended(hub, campaign)
  check(
    survivor.stdout === "survived" && survivor.attempt === 1,
    "the job that ran meanwhile ended well, at its first attempt",
  )
}

async function paused(hub: Hub, guest: Guest): Promise<void> {
  const campaign = await submit(hub, "for i in $(seq 10); do sleep 1; done; echo survived")
  await job(hub, campaign, one => one.phase === "PHASE_RUNNING")
  await guest.machine.command("stop")
  await pause(60_000)
  await guest.machine.command("cont")
  const survivor = await ended(hub, campaign)
  check(survivor.stdout === "survived" && survivor.attempt === 1, "a job survives a pause of a minute")
}

async function switchedOffAndKilled(hub: Hub, guest: Guest): Promise<void> {
  const id = await nodeId(hub)
  await guest.machine.command("system_powerdown")
  const patience = new AbortController()
  const late = pause(OFF_MAX_MS, "late", { signal: patience.signal }).catch(() => "in time")
  const ending = await Promise.race([guest.machine.ended, late])
  patience.abort()
  check(ending !== "late", "the power button ends the machine")
  check(
    guest.machine.lines.some(line => line.text === "cah: off: the power button was pressed"),
    "in order",
  )
  for (const how of ["switched off", "killed while a job ran"]) {
    await guest.bootAgain()
    const helloMs = await guest.hello()
    check((await nodeId(hub)) === id, `after it was ${how} it is the same node, in ${(helloMs / 1_000).toFixed(1)} s`)
    const campaign = await submit(hub, "sleep 600")
    await job(hub, campaign, one => one.phase === "PHASE_RUNNING")
    await guest.machine.kill()
    await hub.ask("ScientistService/Cancel", { campaign })
  }
}

async function renders(hub: Hub, guest: Guest): Promise<void> {
  const scene =
    "camera { location <0,2,-4> look_at 0 } light_source { <5,5,-5> rgb 1 } sphere { 0, 1 pigment { rgb x } }"
  const frame = await run(
    hub,
    `echo '${scene}' >s.pov && povray +Is.pov +Os.png +W160 +H120 -D 2>/dev/null && head -c 4 s.png | tail -c 3`,
    {
      property: "image_name = 'povray'",
    },
  )
  check(frame.stdout === "PNG", "the povray appliance renders a frame")
  await guest.machine.kill()
}

// ---- all of it --------------------------------------------------------------------------------------------------

async function main(place: string): Promise<void> {
  const base = isWhole || !existsSync(join(kept, MANIFEST_FILE)) ? await built(place, "base", kept) : kept
  const { bytes: manifestBytes } = await readImage(base)
  say(`${base}: ${imageDigest(manifestBytes)}`)
  const signed = join(place, "signed")
  await cp(base, signed, { recursive: true })
  await makeKey(join(place, "release.key"))
  await signImage(signed, join(place, "release.key"))
  const manifest = await verifyImage(signed, join(place, "release.key.pub"))
  const bytes = downloadBytes(manifest.files)
  check(bytes <= DOWNLOAD_MAX_BYTES, `${grouped(bytes)} bytes are at most ${grouped(DOWNLOAD_MAX_BYTES)}`)

  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
  const guest = await Guest.boot(hub, base, join(place, "guest"))
  say("the agent inside has said hello")
  try {
    await jobsOfAGuest(hub)
    await savedAndRestored(hub, guest, place)
    if (isWhole) await paused(hub, guest)
    await switchedOffAndKilled(hub, guest)
    if (isWhole) {
      const image = await built(place, "povray", join(place, "povray"))
      await renders(hub, await Guest.boot(hub, image, join(place, "renderer")))
      const onBoot = (): void => {}
      say(describeBoots(await bootSeries({ image: base, times: 20, memoryMb: 512, onBoot })))
    }
  } finally {
    await end([hub.program])
  }
  const [first, second] = [
    await buildTree(await optionsOf(place, "base", "")),
    await buildTree(await optionsOf(place, "base", "")),
  ]
  check(first.sha256 === second.sha256, `two trees are the same: sha256:${first.sha256}`)
  if (isWhole) {
    const image = await built(place, "base", join(place, "base-again"))
    const manifestOf = (one: string): Promise<string> => readFile(join(one, "manifest.json"), "utf8")
    check((await manifestOf(base)) === (await manifestOf(image)), "two builds have the same digests, file by file")
  }
}

const place = await mkdtemp(join(tmpdir(), "cah-e2e-appliance-"))
try {
  needTools(["mmdebstrap", "mksquashfs", "xorriso", "qemu-system-x86_64"])
  await main(place)
} catch (error) {
  if (!(error instanceof ApplianceError) || !error.message.includes("not found; install:")) throw error
  process.stdout.write(`skipped: ${error.message}\n`)
  process.exitCode = 77
} finally {
  await rm(place, { recursive: true, force: true })
}
