// A launch in BOINC's words: one workunit with one result, which runs the virtual machine for as long as all goes well. Names, and what
// a computer must be and may use. Pure; who gets one is decided in schedule.ts.
import type { LaunchRow } from "../../core/volunteers.ts"
import {
  LAUNCH_DISK_BYTES_MAX,
  LAUNCH_HYPERVISOR_BYTES,
  LAUNCH_MEMORY_SHARE,
  LAUNCH_PROCESSOR_MEMORY_BYTES,
} from "../../limits.ts"
import type { Release } from "./release.ts"
import type { SchedulerRequest } from "./request.ts"

/** Unique for ever, also when a hub is made anew under the same URL: the time it was made is in it. */
export function workunitName({ id, madeAt }: Pick<LaunchRow, "id" | "madeAt">): string {
  return `vm_${id}_${Math.floor(madeAt / 1_000)}`
}

export function resultName(launch: Pick<LaunchRow, "id" | "madeAt">): string {
  return `${workunitName(launch)}_0`
}

/** The launch's id, or null: not a name of ours. Whether there is such a launch is for the caller to see. */
export function launchIdOf(resultName: string): number | null {
  const id = /^vm_(\d{1,15})_\d{1,12}_0$/.exec(resultName)?.[1]
  return id === undefined ? null : Number(id)
}

/** The file with the enrolment: to know its name is to have leave to fetch it. */
export function inputName({ id, secretName }: Pick<LaunchRow, "id" | "secretName">): string {
  return `volunteer_${id}_${secretName}.json`
}

export function logName(launch: Pick<LaunchRow, "id" | "madeAt">): string {
  return `${resultName(launch)}_log`
}

/** What a launch asks for. */
export interface Share {
  readonly processors: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

/**
 * What the virtual machine takes, and never all that the client may use: the client starts a task only where it fits beside those that
 * run, and one that asked for everything would wait for ever beside a graphics card's or another project's.
 */
export function shareOf(request: SchedulerRequest, leastBytes: number): Share {
  const { host, limits, graphicsCards, isAlone } = request
  const allowed = Math.max(1, Math.floor((host.processors * limits.processorsPercent) / 100))
  // A card's task keeps a processor busy; and of several projects each should find one.
  const processors = Math.max(1, allowed - Math.max(graphicsCards, isAlone ? 0 : 1))
  const useful = processors * LAUNCH_PROCESSOR_MEMORY_BYTES + LAUNCH_HYPERVISOR_BYTES
  const memoryBytes = allowedMemoryOf(request)
  return {
    processors,
    memoryBytes: Math.floor(Math.min(useful, Math.max(memoryBytes * LAUNCH_MEMORY_SHARE, leastBytes), memoryBytes)),
    // A part stays for the files themselves and for what the client counts otherwise.
    diskBytes: Math.min(Math.floor(limits.diskBytes * 0.8), LAUNCH_DISK_BYTES_MAX),
  }
}

/** What the computer's volunteer lets the client use, for all projects together. */
export function allowedMemoryOf({ host, limits }: SchedulerRequest): number {
  return Math.floor((host.memoryBytes * limits.memoryPercent) / 100)
}

/** Which of the release's versions the computer could run, the likeliest first; or, for its volunteer, why none. */
export function versionsFor(release: Release, request: SchedulerRequest): Release["appVersions"] | string {
  const { platforms, host } = request
  // What the client can run by another system's ways (FreeBSD runs programs of Linux) has no virtual machine to run.
  const system = systemOf(platforms[0] ?? "")
  const here = release.appVersions.filter(
    ({ platform }) => platforms.includes(platform) && systemOf(platform) === system,
  )
  if (here.length === 0) {
    const known = [...new Set(release.appVersions.map(version => version.platform))].join(", ")
    return `There is no version for this kind of computer yet (it is ${platforms[0] ?? "unknown"}; there is one for ${known}).`
  }
  const box = whyNoVirtualBox(host)
  const usable = here.filter(version => !isVirtualBox(version.planClass) || box === null)
  if (usable.length === 0) return box ?? ""
  // QEMU first: whether it is there the client does not say, but it confines better, and where it fails the other follows.
  return [...usable].sort((a, b) => Number(isVirtualBox(a.planClass)) - Number(isVirtualBox(b.planClass)))
}

/** "linux" of "x86_64-pc-linux-gnu"; Android's names have both. */
function systemOf(platform: string): string {
  return /android|linux|darwin|windows/.exec(platform)?.[0] ?? platform
}

/** Clients count a virtual machine's memory rightly when they find this in the plan class. */
function isVirtualBox(planClass: string): boolean {
  return planClass.includes("vbox")
}

function whyNoVirtualBox({ virtualBox, extensionsDisabled }: SchedulerRequest["host"]): string | null {
  if (virtualBox === "") return "This computer would need VirtualBox, and BOINC does not find it here."
  if (/unusable/i.test(virtualBox))
    return "VirtualBox is installed, but BOINC says that it cannot be used on this computer."
  if (extensionsDisabled) {
    return "VirtualBox needs the processor's virtualisation, which is switched off in this computer's firmware (BIOS)."
  }
  return null
}

/** In the unit that people know their computers by. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GB`
}
