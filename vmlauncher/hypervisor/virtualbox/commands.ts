// VBoxManage's command lines, verb by verb. Pure: names and plans in, arguments out. Written after its manual and after how others drive it; it could
// not be tried here, since it cannot be installed where this was made. As with QEMU: few devices, nothing shared with the host, no display.
import type { MachinePlan } from "../../core/ports.ts"

export type Command = readonly string[]

/** The network's only bandwidth group. */
const GROUP = "cable"
const CONTROLLER = "disks"

export interface Network {
  /** Both directions together: a group has one limit. Null: none. */
  readonly bytesPerSecond: number | null
}

/** The whole machine, in order. The image is a DVD, so that it is neither copied nor written; scratch is the only disk. */
export function create(plan: MachinePlan, scratch: string, console: string, network: Network | null): Command[] {
  const { name, directory, processors, memoryBytes, processorPercent, image, settings } = plan
  const set = (...options: string[]): Command => ["modifyvm", name, ...options]
  const attach = (port: string, type: string, medium: string): Command => [
    ...["storageattach", name, "--storagectl", CONTROLLER],
    ...["--port", port, "--device", "0", "--type", type, "--medium", medium],
  ]
  return [
    ["createvm", "--name", name, "--basefolder", directory, "--ostype", "Debian_64", "--register"],
    set("--memory", `${Math.floor(memoryBytes / 1024 ** 2)}`, "--cpus", `${processors}`),
    set("--acpi", "on", "--ioapic", "on", "--rtcuseutc", "on"),
    set("--boot1", "dvd", "--boot2", "none", "--boot3", "none", "--boot4", "none"),
    set("--vram", "9", "--audio", "none", "--usb", "off", "--clipboard", "disabled", "--draganddrop", "disabled"),
    set("--vrde", "off", "--lpt1", "off", "--uart2", "off"),
    set("--uart1", "0x3F8", "4", "--uartmode1", "client", console),
    set("--cpuexecutioncap", `${processorPercent}`),
    ...(network === null ? [set("--nic1", "none")] : withNetwork(name, network)),
    ["storagectl", name, "--name", CONTROLLER, "--add", "sata", "--controller", "IntelAhci", "--portcount", "3"],
    attach("0", "dvddrive", image.iso!),
    attach("1", "dvddrive", settings),
    attach("2", "hdd", scratch),
  ]
}

function withNetwork(name: string, { bytesPerSecond }: Network): Command[] {
  const nic = [
    "modifyvm",
    name,
    "--nic1",
    "nat",
    "--nictype1",
    "virtio",
    "--natdnsproxy1",
    "on",
    "--cableconnected1",
    "on",
  ]
  if (bytesPerSecond === null) return [nic]
  return [
    ["bandwidthctl", name, "add", GROUP, "--type", "network", "--limit", kilobytes(bytesPerSecond)],
    [...nic, "--nicbandwidthgroup1", GROUP],
  ]
}

/** Grows as the guest writes. */
export function createScratch(path: string, sizeBytes: number): Command {
  return [
    "createmedium",
    "disk",
    "--filename",
    path,
    "--size",
    `${Math.floor(sizeBytes / 1024 ** 2)}`,
    "--variant",
    "Standard",
  ]
}

export const verbs = {
  version: () => ["--version"],
  list: () => ["list", "vms"],
  info: (name: string) => ["showvminfo", name, "--machinereadable"],
  start: (name: string) => ["startvm", name, "--type", "headless"],
  pause: (name: string) => ["controlvm", name, "pause"],
  resume: (name: string) => ["controlvm", name, "resume"],
  save: (name: string) => ["controlvm", name, "savestate"],
  powerButton: (name: string) => ["controlvm", name, "acpipowerbutton"],
  powerOff: (name: string) => ["controlvm", name, "poweroff"],
  cap: (name: string, percent: number) => ["controlvm", name, "cpuexecutioncap", `${percent}`],
  cable: (name: string, isIn: boolean) => ["controlvm", name, "setlinkstate1", isIn ? "on" : "off"],
  limit: (name: string, bytesPerSecond: number) => [
    "bandwidthctl",
    name,
    "set",
    GROUP,
    "--limit",
    kilobytes(bytesPerSecond),
  ],
  discard: (name: string) => ["discardstate", name],
  unregister: (name: string) => ["unregistervm", name],
  closeDisk: (path: string) => ["closemedium", "disk", path],
  closeDvd: (path: string) => ["closemedium", "dvd", path],
} as const satisfies Record<string, (...args: never[]) => Command>

/** VBoxManage's "k" is kilobits, its "K" kilobytes. */
function kilobytes(bytesPerSecond: number): string {
  return `${Math.max(1, Math.floor(bytesPerSecond / 1024))}K`
}

/** VMState of `showvminfo --machinereadable`; null if it has none. */
export function stateIn(info: string): string | null {
  return /^VMState="([a-z]+)"/m.exec(info)?.[1] ?? null
}

/** Names in `list vms`: lines like "name" {uuid}. */
export function namesIn(list: string): string[] {
  return [...list.matchAll(/^"(.*)" \{[0-9a-f-]+\}/gm)].map(match => match[1]!)
}

/** Errors of VBoxManage that go away: another session holds the machine, or its service is just starting or ending. */
export function isPassing(complaint: string): boolean {
  return /VBOX_E_INVALID_OBJECT_STATE|E_ACCESSDENIED.*lock|already locked|Failed to create the VirtualBox object|NS_ERROR_ABORT|RPC_E/i.test(
    complaint,
  )
}
