// The driver for VirtualBox, over VBoxManage. A machine is no child of ours but of VirtualBox's own service: it outlives us unless somebody ends it, so a
// small shell waits for our end and does. Its network cannot be confined to the hub as QEMU's can (NAT reaches the volunteer's home network):
// without a permission that only a person at a terminal can give, this driver refuses. Tested against a stub that records calls.

import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { backoffMs } from "../../../common/backoff.ts"
import { Failure, type Hypervisor, type Machine, type MachineEars, type MachinePlan } from "../../core/ports.ts"
import { LATER_SECONDS, VBOX_LOOK_MS, VBOX_RETRY_MS, VBOX_TRIES } from "../../limits.ts"
import { socketPath } from "../../place.ts"
import { allPids, commandLineOf, cpuMsOf, waitedMsOf } from "../../process.ts"
import { type Caller, expectCall } from "../caller.ts"
import { Lines } from "../lines.ts"
import { ask, SEARCH_PATH } from "../program.ts"
import { atLeast, type Found, type Installed } from "../versions.ts"
import { type Command, create, createScratch, isPassing, type Network, namesIn, stateIn, verbs } from "./commands.ts"

/** The first with a Debian 13 kernel's virtio drivers in working order, by its change log. Not tried. */
export const virtualBoxFloor = "6.1"

const consoleFile = "console.sock"
const scratchFile = "scratch.vdi"

export interface VirtualBoxOptions {
  /** The person at the terminal accepts that the guest can reach the home network. */
  readonly allowsLan: boolean
  readonly network: Network
}

export async function findVirtualBox(searchPath: string = SEARCH_PATH): Promise<Found> {
  const path = searchPath
    .split(":")
    .map(directory => join(directory, "VBoxManage"))
    .find(existsSync)
  if (path === undefined) return { why: "VirtualBox is not installed (VBoxManage)" }
  const { exitCode, stdout, stderr } = await ask(path, verbs.version())
  // "7.0.20r163906"; warnings about kernel modules come before it.
  const version = /^(\d+\.\d+\.\d+)/m.exec(stdout)?.[1]
  if (exitCode !== 0 || version === undefined)
    return { why: `VirtualBox does not work: ${firstLine(stderr || stdout)}` }
  if (/WARNING: The (character device|vboxdrv)/.test(stdout + stderr)) {
    return { why: "VirtualBox is installed, but its kernel module is not loaded" }
  }
  if (!atLeast(version, virtualBoxFloor))
    return { why: `VirtualBox ${version} is too old: ${virtualBoxFloor} or newer is needed` }
  return { path, version }
}

export const whyRefused =
  "VirtualBox cannot keep a virtual machine off your home network, so it is not used; QEMU can: install it (on Debian and Ubuntu: sudo apt install qemu-system-x86)"

export function openVirtualBox(installed: Installed, options: VirtualBoxOptions): Hypervisor {
  const manage = new VBoxManage(installed.path)
  return {
    name: "virtualbox",
    description: `VirtualBox ${installed.version}`,
    acceleration: null,
    why: "VirtualBox chooses by itself",
    async sweep(_directory, name) {
      const { stdout } = await manage.try(verbs.list())
      if (!namesIn(stdout).includes(name)) return []
      const state = await manage.state(name)
      // One that was saved waits for us; what runs has outlived its launcher.
      if (state === "saved") return []
      await manage.remove(name, state)
      return [`the virtual machine ${name}, which was left ${state ?? "in disorder"}`]
    },
    // What was saved is registered with its memory, and started with it.
    savedMemoryBytes: () => null,
    async fits(plan) {
      return { hasSave: (await manage.state(plan.name)) === "saved", why: null }
    },
    async start(plan, fromSave, ears, aborted) {
      if (!options.allowsLan) throw new Failure(whyRefused, { laterSeconds: null })
      if (plan.image.iso === null)
        throw new Failure("this image has no ISO, from which VirtualBox boots", { laterSeconds: null })
      const machine = new VirtualBoxMachine(manage, plan, ears)
      try {
        await machine.start(fromSave, options.network, aborted)
        return machine
      } catch (error) {
        await machine.clear()
        throw error
      }
    },
    async discardSave() {
      // Removed with the machine, which the next sweep or start finds.
    },
  }
}

class VBoxManage {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Failure with VirtualBox's own words. What passes by itself is tried again. */
  async run(command: Command): Promise<string> {
    for (let tries = 1; ; tries++) {
      const { exitCode, stdout, stderr } = await this.try(command)
      if (exitCode === 0) return stdout
      if (tries < VBOX_TRIES && isPassing(stderr)) {
        await wait(backoffMs(tries, VBOX_RETRY_MS, Number.POSITIVE_INFINITY))
        continue
      }
      throw new Failure(`VirtualBox refused ${command[0]}: ${firstLine(stderr || stdout)}`, {
        laterSeconds: LATER_SECONDS,
      })
    }
  }

  try(command: Command): ReturnType<typeof ask> {
    // Where VirtualBox keeps what it knows, also for a client that runs as a service without an environment.
    return ask(this.path, ["-q", ...command], { HOME: homedir() })
  }

  async state(name: string): Promise<string | null> {
    return stateIn((await this.try(verbs.info(name))).stdout)
  }

  /** Off, unregistered, forgotten. Steps that were done already complain, and are not asked about it. */
  async remove(name: string, state: string | null): Promise<void> {
    if (state === "saved") await this.try(verbs.discard(name))
    else if (state !== "poweroff" && state !== "aborted") await this.try(verbs.powerOff(name))
    await this.run(verbs.unregister(name))
  }
}

class VirtualBoxMachine implements Machine {
  readonly #manage: VBoxManage
  readonly #plan: MachinePlan
  readonly #ears: MachineEars
  readonly #scratch: string
  #guardian: ChildProcess | null = null
  #console: Caller | null = null
  #watch: NodeJS.Timeout | null = null
  #isGone = false
  #pid: number | null = null
  #cpuMs = 0
  /** VirtualBox stops the machine itself when it has had its share, and does not tell: all of the rest counts. */
  readonly #cap = { percent: 100, sinceMs: performance.now(), heldMs: 0 }

  constructor(manage: VBoxManage, plan: MachinePlan, ears: MachineEars) {
    this.#manage = manage
    this.#plan = plan
    this.#ears = ears
    this.#scratch = join(plan.directory, scratchFile)
    this.#cap.percent = plan.processorPercent
  }

  async start(fromSave: boolean, network: Network, aborted: AbortSignal): Promise<void> {
    const { name, directory, scratch } = this.#plan
    const console = socketPath(directory, consoleFile)
    rmSync(console, { force: true })
    this.#console = await expectCall(console)
    void this.#console.socket.then(
      socket => {
        const lines = new Lines(this.#ears.onLine)
        socket.on("data", (chunk: Buffer) => lines.write(chunk))
        socket.on("error", () => socket.destroy())
      },
      () => {},
    )
    this.#watchOver()
    const steps: Command[] = []
    if (!fromSave) {
      const state = await this.#manage.state(name)
      if (state !== null) await this.#manage.remove(name, state)
      if (!existsSync(this.#scratch)) steps.push(createScratch(this.#scratch, scratch.sizeBytes))
      steps.push(...create(this.#plan, this.#scratch, join(directory, consoleFile), network))
    }
    for (const step of [...steps, verbs.start(name)]) {
      if (aborted.aborted) throw new Failure("the start was called off", { laterSeconds: LATER_SECONDS })
      await this.#manage.run(step)
    }
    this.#watch = setInterval(() => void this.#look(), VBOX_LOOK_MS)
  }

  get otherPid(): number | null {
    this.#pid ??= allPids().find(pid => commandLineOf(pid)?.arguments.includes(this.#plan.name)) ?? null
    return this.#pid
  }

  async pause(): Promise<void> {
    await this.#manage.run(verbs.pause(this.#plan.name))
  }

  async resume(): Promise<void> {
    await this.#manage.run(verbs.resume(this.#plan.name))
  }

  async save(): Promise<void> {
    this.#stopWatching()
    try {
      await this.#manage.run(verbs.save(this.#plan.name))
    } catch (error) {
      this.#watch = setInterval(() => void this.#look(), VBOX_LOOK_MS)
      throw error
    }
    this.#end()
  }

  async powerDown(): Promise<void> {
    await this.#manage.run(verbs.powerButton(this.#plan.name))
  }

  async destroy(): Promise<void> {
    await this.clear()
    this.#ears.onStopped("it was ended")
  }

  limitProcessor(percent: number): void {
    this.#cap.heldMs = this.#cappedMs()
    this.#cap.sinceMs = performance.now()
    this.#cap.percent = percent
    void this.#manage.try(verbs.cap(this.#plan.name, percent))
  }

  heldMs(): number {
    return this.#cappedMs() + (this.otherPid === null ? 0 : waitedMsOf(this.otherPid))
  }

  #cappedMs(): number {
    const { percent, sinceMs, heldMs } = this.#cap
    return heldMs + (performance.now() - sinceMs) * (1 - percent / 100)
  }

  async plugCable(isIn: boolean): Promise<void> {
    await this.#manage.run(verbs.cable(this.#plan.name, isIn))
  }

  cpuMs(): number {
    if (this.otherPid !== null) this.#cpuMs = Math.max(this.#cpuMs, cpuMsOf(this.otherPid))
    return this.#cpuMs
  }

  /** Nothing of it is left but its scratch disk, which no medium registry holds any more. */
  async clear(): Promise<void> {
    this.#stopWatching()
    const { name, image, settings } = this.#plan
    const state = await this.#manage.state(name)
    if (state !== null) await this.#manage.remove(name, state)
    await this.#manage.try(verbs.closeDisk(this.#scratch))
    for (const dvd of [image.iso, settings]) if (dvd !== null) await this.#manage.try(verbs.closeDvd(dvd))
    this.#end()
  }

  /** VirtualBox does not tell when a machine ends. */
  async #look(): Promise<void> {
    const state = await this.#manage.state(this.#plan.name)
    if (this.#watch === null || this.#isGone || state === "running" || state === "paused" || state === "starting")
      return
    this.#stopWatching()
    await this.clear()
    this.#ears.onStopped(states[state ?? ""] ?? `VirtualBox says that the virtual machine is ${state ?? "gone"}`)
  }

  #stopWatching(): void {
    if (this.#watch !== null) clearInterval(this.#watch)
    this.#watch = null
  }

  #end(): void {
    this.#isGone = true
    this.#console?.close()
    rmSync(join(this.#plan.directory, consoleFile), { force: true })
    // Killed, not let go: its standard input ending is what it waits for.
    this.#guardian?.kill("SIGKILL")
  }

  #watchOver(): void {
    const script = 'cat >/dev/null; "$1" -q controlvm "$2" poweroff; sleep 2; "$1" -q unregistervm "$2"'
    this.#guardian = spawn("sh", ["-c", script, "cah-guardian", this.#manage.path, this.#plan.name], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    })
    this.#guardian.on("error", () => {})
    this.#guardian.unref()
  }
}

const states: Readonly<Record<string, string>> = {
  poweroff: "the virtual machine switched itself off",
  aborted: "VirtualBox lost the virtual machine",
  gurumeditation: "VirtualBox came to something that it cannot do (guru meditation)",
}

function firstLine(text: string): string {
  const lines = text.split("\n").map(line => line.replace(/^VBoxManage: error: /, "").trim())
  return lines.find(line => line !== "") ?? "no reason given"
}
