// The driver for QEMU: finds it, says whether it will do, and starts machines with it. What a machine is made of is in arguments.ts, what it does in
// machine.ts, what it leaves on disk in save.ts.
import { createHash } from "node:crypto"
import { accessSync, constants, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import type { Hypervisor, MachinePlan } from "../../core/ports.ts"
import type { Memory } from "../../place.ts"
import { allPids, commandLineOf, isAlive, leaderOf, signal } from "../../process.ts"
import { ask, SEARCH_PATH } from "../program.ts"
import { atLeast, type Found, type Installed } from "../versions.ts"
import { files, machineArguments } from "./arguments.ts"
import { startQemu } from "./machine.ts"
import { type Probed, type ProbeImage, probeKvm } from "./probe.ts"
import { removeSave, savedMemoryBytes, whySaveDoesNotFit } from "./save.ts"

export const qemuProgram = "qemu-system-x86_64"
/** Older ones were not tried. */
export const qemuFloor = "7.2"
const GONE_MS = 5_000

export async function findQemu(): Promise<Found> {
  const path = SEARCH_PATH.split(":")
    .map(directory => join(directory, qemuProgram))
    .find(isProgram)
  if (path === undefined) {
    return { why: `QEMU is not installed (${qemuProgram}; on Debian and Ubuntu: sudo apt install qemu-system-x86)` }
  }
  // It ties a machine's life to ours; without it a kill of the launcher could leave one behind.
  if (!SEARCH_PATH.split(":").some(directory => isProgram(join(directory, "setpriv")))) {
    return { why: "setpriv is not installed (package util-linux)" }
  }
  const { exitCode, stdout, stderr } = await ask(path, ["--version"])
  const version = /version (\d+(?:\.\d+)+)/.exec(stdout)?.[1]
  if (exitCode !== 0 || version === undefined)
    return { why: `${path} does not tell its version: ${(stderr || stdout).trim()}` }
  if (!atLeast(version, qemuFloor)) return { why: `QEMU ${version} is too old: ${qemuFloor} or newer is needed` }
  return { path, version }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** `image` is for the probe. The machine itself comes with its plan. */
export async function openQemu(installed: Installed, image: ProbeImage, memory: Memory): Promise<Hypervisor & Probed> {
  const { path, version } = installed
  const { acceleration, why } = await probeKvm(path, version, image, memory)
  /** All that a saved memory depends on: another device, size or version, and it would be read as nonsense. */
  const fingerprintOf = (plan: MachinePlan): string => {
    const args = machineArguments(plan, acceleration)
    return createHash("sha256")
      .update(JSON.stringify([version, plan.imageDigest, args]))
      .digest("hex")
  }
  return {
    name: "qemu",
    description: `QEMU ${version} with ${acceleration === "kvm" ? "KVM" : "emulation (TCG)"}`,
    acceleration,
    why,
    sweep,
    savedMemoryBytes,
    async fits(plan) {
      const trouble = whySaveDoesNotFit(plan.directory, plan.scratch.path, fingerprintOf(plan))
      if (trouble !== null && trouble !== "") removeSave(plan.directory)
      return { hasSave: trouble === "", why: trouble === "" ? null : trouble }
    },
    async start(plan, fromSave, ears, aborted) {
      return await startQemu({
        program: path,
        acceleration,
        plan,
        fromSave,
        ears,
        signal: aborted,
        fingerprint: fingerprintOf(plan),
      })
    },
    async discardSave(directory) {
      removeSave(directory)
    },
  }
}

/** A QEMU that outlived its launcher cannot be, and is looked for all the same: by its number and name, and by name among all processes. */
async function sweep(directory: string, name: string): Promise<string[]> {
  const swept: string[] = []
  for (const pid of new Set([...pidFile(directory), ...allPids()])) {
    if (!isOurs(pid, directory, name)) continue
    const stray = leaderOf(pid)
    signal(pid, "SIGKILL")
    for (let leftMs = GONE_MS; isAlive(stray) && leftMs > 0; leftMs -= 20) await wait(20)
    swept.push(`a virtual machine that still ran (process ${pid})`)
  }
  const sockets = [files.qmp, files.saveSocket]
  for (const file of [files.pid, files.savePart, ...sockets]) {
    const path = join(directory, file)
    if (statSync(path, { throwIfNoEntry: false }) === undefined) continue
    rmSync(path, { force: true })
    swept.push(file)
  }
  return swept
}

function pidFile(directory: string): number[] {
  try {
    const pid = Number(readFileSync(join(directory, files.pid), "latin1"))
    return Number.isInteger(pid) && pid > 1 ? [pid] : []
  } catch {
    return []
  }
}

/** Numbers are given out again: the name must be ours, and the place. */
function isOurs(pid: number, directory: string, name: string): boolean {
  const found = commandLineOf(pid)
  if (found === null || found.directory !== directory || !found.arguments[0]?.endsWith(qemuProgram)) return false
  return found.arguments.some(argument => argument.startsWith(`${name},`))
}
