// From what the volunteer has and allows to a plan of a machine: image verified, hypervisor chosen, leftovers swept, room made sure of. Everything that
// stands in the way is a Failure with a sentence that says what to do.
import { createHash } from "node:crypto"
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freeBytes } from "../common/disk.ts"
import { writeIso } from "../proto/guest/iso.ts"
import { printSettings, SETTINGS_FILE } from "../proto/guest/settings.ts"
import { type Allowance, Failure, type Hypervisor, type MachinePlan } from "./core/ports.ts"
import { sizeInWords } from "./core/text.ts"
import type { Prepared } from "./engine.ts"
import { guestGate } from "./hypervisor/qemu/arguments.ts"
import { findQemu, openQemu } from "./hypervisor/qemu/qemu.ts"
import { findVirtualBox, openVirtualBox, whyRefused } from "./hypervisor/virtualbox/virtualbox.ts"
import { type Image, openImage } from "./image/image.ts"
import { DISK_MIN_BYTES, LATER_SECONDS, MEMORY_SPARE_BYTES, SAVE_SPARE_BYTES } from "./limits.ts"
import { type Memory, names } from "./place.ts"

const MIB = 1024 ** 2

export interface Task {
  readonly directory: string
  /** What the machine is called after: a BOINC result, or nothing. */
  readonly title: string
  readonly locate: (name: string) => string
  readonly releaseKeyPem: string | null
  readonly hub: string
  readonly enrolToken: string
  readonly name: string
  readonly caPem: string | null
  /** As it is now. */
  readonly allowance: () => Allowance
  readonly hypervisor: "auto" | "qemu" | "virtualbox"
  readonly allowsLan: boolean
  readonly relayCommand: readonly string[]
  readonly memory: Memory
  readonly say: (message: string) => void
}

export async function prepare(task: Task): Promise<Prepared> {
  const { directory, say } = task
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  // In a slot the client has its own idea of who may look.
  if (task.title === "") chmodSync(directory, 0o700)
  if (task.releaseKeyPem === null) {
    throw new Failure("this launcher has no release key inside: say which with --release-key", { laterSeconds: null })
  }
  const image = await openImage(task.locate, task.releaseKeyPem)
  const { name: imageName, version } = image.manifest
  const hypervisor = await choose(task, image)
  const name = machineName(task)
  for (const what of await hypervisor.sweep(directory, name)) say(`removed what an earlier run left: ${what}`)
  const savedBytes = hypervisor.savedMemoryBytes(directory)
  const memoryBytes = chooseMemory(task.allowance(), image, savedBytes)
  needDisk(task)
  const planNow = (fromSave: boolean): MachinePlan => {
    return plan(task, image, hypervisor, name, fromSave ? memoryBytes : chooseMemory(task.allowance(), image, null))
  }
  const first = plan(task, image, hypervisor, name, memoryBytes)
  const { hasSave, why } = await hypervisor.fits(first)
  if (why !== null)
    say(`the saved virtual machine does not fit any more (${why}); it starts anew, and its unfinished jobs with it`)
  const [memory, scratch] = [sizeInWords(first.memoryBytes), sizeInWords(first.scratch.sizeBytes)]
  const room = `${first.processors} processor${first.processors > 1 ? "s" : ""}, ${memory} of memory, ${scratch} of disk`
  say(`${hypervisor.description}; image ${imageName} ${version}; ${room}${hasSave ? "; a saved machine goes on" : ""}`)
  return { directory, hypervisor, hasSave, plan: planNow }
}

// ---- hypervisor -------------------------------------------------------------------------------------------------

async function choose(task: Task, image: Image): Promise<Hypervisor> {
  const { kernel, initrd, iso } = image.paths
  const reasons: string[] = []
  if (task.hypervisor !== "virtualbox" && kernel !== null && initrd !== null) {
    const found = await findQemu(task.memory)
    if ("path" in found) {
      const probe = { kernel, initrd, command: image.manifest.kernelCommand }
      const qemu = await openQemu(found, probe, task.memory)
      task.say(qemu.why)
      return qemu
    }
    reasons.push(found.why)
  }
  if (task.hypervisor !== "qemu" && iso !== null) {
    const found = await findVirtualBox()
    if ("path" in found && task.allowsLan) {
      const { upBytesPerSecond: up, downBytesPerSecond: down } = task.allowance()
      const bytesPerSecond = up === null ? down : Math.min(up, down ?? up)
      return openVirtualBox(found, { allowsLan: true, network: { bytesPerSecond } })
    }
    reasons.push("path" in found ? whyRefused : found.why)
  }
  const why = reasons.length === 0 ? "this image has no files for it" : reasons.join("; ")
  // QEMU may be installed within the hour, and to look again costs nothing. With files for VirtualBox alone there is nothing to wait for:
  // the hub has others to give.
  const laterSeconds = kernel === null || initrd === null ? null : LATER_SECONDS
  throw new Failure(`no virtual machine can be run here: ${why}`, { laterSeconds })
}

/** Of the directory, so that two clients on one computer do not meet; of the result, so that a person sees whose it is. */
export function machineName({ title, directory }: Pick<Task, "title" | "directory">): string {
  const mark = createHash("sha256").update(directory).digest("hex").slice(0, 8)
  return ["cah", mark, title.replace(/[^\w-]/g, "-").slice(0, 40)].filter(part => part !== "").join("-")
}

// ---- room -------------------------------------------------------------------------------------------------------

/** What is allowed, as far as it is free now: a machine that makes the computer swap helps nobody. One that was saved keeps what it had. */
function chooseMemory({ memoryBytes }: Allowance, image: Image, savedBytes: number | null): number {
  const minBytes = image.manifest.minMemoryMb * MIB
  if (memoryBytes < minBytes) {
    const has = sizeInWords(Math.max(0, memoryBytes))
    const advice = "allow more memory in the computing preferences (or --memory)"
    const why = `the limits leave ${has} of memory for the virtual machine, and it needs ${sizeInWords(minBytes)}`
    throw new Failure(`${why}; ${advice}`, { laterSeconds: LATER_SECONDS })
  }
  const freeNow = availableMemory()
  const room = freeNow - MEMORY_SPARE_BYTES
  if (room < minBytes) {
    const why = `${sizeInWords(minBytes + MEMORY_SPARE_BYTES)} of memory are needed, and ${sizeInWords(freeNow)} are free now`
    throw new Failure(`not enough memory: ${why}`, { laterSeconds: LATER_SECONDS })
  }
  if (savedBytes !== null && savedBytes >= minBytes && savedBytes <= Math.min(memoryBytes, room)) return savedBytes
  return Math.floor(Math.min(memoryBytes, room) / MIB) * MIB
}

function availableMemory(): number {
  try {
    const kib = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "latin1"))?.[1]
    return kib === undefined ? Number.POSITIVE_INFINITY : Number(kib) * 1_024
  } catch {
    // Not Linux: the hypervisor will say.
    return Number.POSITIVE_INFINITY
  }
}

function needDisk({ directory }: Task): void {
  const free = freeBytes(directory)
  const has = statSync(join(directory, names.scratch), { throwIfNoEntry: false })?.blocks ?? 0
  if (free + has * 512 >= DISK_MIN_BYTES + SAVE_SPARE_BYTES) return
  const why = `${sizeInWords(DISK_MIN_BYTES + SAVE_SPARE_BYTES)} are needed, and ${sizeInWords(free)} are free`
  throw new Failure(`not enough disk: ${why}`, { laterSeconds: LATER_SECONDS })
}

/** What a disk was made with it keeps. A new one gets what is allowed, and no more than there is once the memory has its room to be saved. */
function scratchBytes({ directory, allowance }: Task, memoryBytes: number): number {
  const existing = statSync(join(directory, names.scratch), { throwIfNoEntry: false })?.size
  if (existing !== undefined && existing > 0) return existing
  const { diskBytes } = allowance()
  const room = freeBytes(directory) - memoryBytes - SAVE_SPARE_BYTES
  return Math.max(DISK_MIN_BYTES, Math.floor(Math.min(diskBytes, room) / MIB) * MIB)
}

// ---- plan -------------------------------------------------------------------------------------------------------

function plan(task: Task, image: Image, { name: driver }: Hypervisor, name: string, memoryBytes: number): MachinePlan {
  const { directory, allowance } = task
  const { processors, processorPercent } = allowance()
  const settings = join(directory, names.settings)
  const sizeBytes = scratchBytes(task, memoryBytes)
  writeSettings(settings, task, image, driver, { memoryBytes, diskBytes: sizeBytes })
  return {
    name,
    directory,
    processors,
    memoryBytes,
    processorPercent,
    image: image.paths,
    imageDigest: image.digest,
    kernelCommand: image.manifest.kernelCommand,
    settings,
    scratch: { path: join(directory, names.scratch), sizeBytes },
    relay: { command: task.relayCommand, socket: names.relay, lock: names.relayLock, refused: names.relayRefused },
  }
}

type Room = Pick<Allowance, "memoryBytes" | "diskBytes">

function writeSettings(path: string, task: Task, image: Image, driver: string, room: Room): void {
  const { processors } = task.allowance()
  const { name, version } = image.manifest
  const text = printSettings({
    hub: task.hub,
    via: driver === "qemu" ? `${guestGate.host}:${guestGate.port}` : null,
    enrolToken: task.enrolToken,
    name: task.name,
    slots: processors,
    ...room,
    image: { name, version, digest: image.digest },
    caPem: task.caPem,
  })
  const bytes = writeIso({ name: SETTINGS_FILE, bytes: Buffer.from(text) })
  // Not over one that a machine may have open.
  rmSync(path, { force: true })
  writeFileSync(path, bytes, { mode: 0o600 })
}
