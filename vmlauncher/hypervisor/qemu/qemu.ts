// The driver for QEMU: finds it, says whether it will do, and starts machines with it. What a machine is made of is in arguments.ts, what it does in
// machine.ts, what it leaves on disk in save.ts.
import { createHash } from "node:crypto"
import { accessSync, constants, readFileSync, rmSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { isAlive, leaderOf } from "../../../common/processes.ts"
import { Failure, type Hypervisor, type MachinePlan } from "../../core/ports.ts"
import { LATER_SECONDS } from "../../limits.ts"
import type { Memory } from "../../place.ts"
import { allPids, commandLineOf, signal } from "../../process.ts"
import { ask, SEARCH_PATH } from "../program.ts"
import { atLeast, type Found, type Installed } from "../versions.ts"
import { files, machineArguments } from "./arguments.ts"
import { startQemu } from "./machine.ts"
import { type Probed, type ProbeImage, probeKvm } from "./probe.ts"
import { removeSave, savedMemoryBytes, whySaveDoesNotFit } from "./save.ts"
import { tryQemu } from "./trial.ts"

export const qemuProgram = "qemu-system-x86_64"
/** Red Hat's and its relatives' has another name, and lies where no PATH leads. */
const kvmProgram = "qemu-kvm"
/** From here on it is known to do. Older ones, and others' builds, are tried. */
const KNOWN_FROM = "7.2"
const GONE_MS = 5_000

const places = [
  ...SEARCH_PATH.split(":").map(directory => join(directory, qemuProgram)),
  ...[...SEARCH_PATH.split(":"), "/usr/libexec"].map(directory => join(directory, kvmProgram)),
]

/** Whether one will do is found out by trying it; `memory` keeps the answer. */
export async function findQemu(memory: Memory | null = null, among: readonly string[] = places): Promise<Found> {
  const path = among.find(isProgram)
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
  if (basename(path) === qemuProgram && atLeast(version, KNOWN_FROM)) return { path, version, isKvmOnly: false }
  const { isKvmOnly, why } = await tryQemu(path, version, memory)
  return why === null ? { path, version, isKvmOnly } : { why: `QEMU ${version} (${path}) will not do: ${why}` }
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
  const { path, version, isKvmOnly } = installed
  const { acceleration, why } = await probeKvm(path, version, image, memory)
  if (isKvmOnly && acceleration !== "kvm") {
    const advice = "this QEMU cannot emulate, and without KVM no virtual machine can be run with it"
    throw new Failure(`${why.replace(/; the virtual machine is emulated.*/, "")}; ${advice}`, {
      laterSeconds: LATER_SECONDS,
    })
  }
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

function isQemu(program = ""): boolean {
  return [qemuProgram, kvmProgram].includes(basename(program))
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
  if (found === null || found.directory !== directory || !isQemu(found.arguments[0])) return false
  return found.arguments.some(argument => argument.startsWith(`${name},`))
}
