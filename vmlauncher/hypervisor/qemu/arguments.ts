// QEMU's command line for a machine: as few devices as will do, nothing to see, nothing shared with the host, one cable that ends in our relay.
// Pure: a plan in, arguments out. What a save must fit is the same arguments, so every choice is made here. Paths go in as JSON, in
// which a comma is only a comma.
import type { MachinePlan, RelayPlan } from "../../core/ports.ts"
import { RELAYS_MAX, TCG_CODE_MIB } from "../../limits.ts"

export type Acceleration = "kvm" | "tcg"

/** Names of files in the machine's directory. QEMU runs there, so they are short enough for a socket's path. */
export const files = {
  qmp: "qmp.sock",
  pid: "qemu.pid",
  save: "vm.save",
  savePart: "vm.save.part",
  saveSocket: "save.sock",
  saveNote: "vm.save.json",
} as const

/** The file descriptor that a saved machine is read from. */
export const INCOMING_FD = 3

/** Where the guest finds the hub, whatever the hub's own address is. Nothing else answers in that network. */
export const guestGate = { host: "10.0.2.100", port: 80 } as const

/**
 * Nehalem is the oldest that Debian's kernel likes. Without cx16, since under emulation a compare-and-exchange of 16 bytes now and then
 * came back with wrong flags, and the kernel's allocator fell over it: 3 of 61 boots, against 0 of 70.
 */
const processors: Readonly<Record<Acceleration, readonly string[]>> = {
  kvm: ["-accel", "kvm", "-cpu", "host"],
  tcg: ["-accel", `tcg,tb-size=${TCG_CODE_MIB}`, "-cpu", "Nehalem,-cx16"],
}

/** Without a display, a monitor, USB, audio, a bus for disks, ballooning, or anything else that QEMU adds by itself. */
const bare = [
  ["-no-user-config", "-nodefaults"],
  ["-machine", "q35,usb=off,vmport=off,sata=off,smbus=off,hpet=off,dump-guest-core=off"],
  ["-display", "none", "-vga", "none", "-monitor", "none", "-parallel", "none"],
  // A guest that restarts itself has lost its way: it ends, and we start it.
  ["-no-reboot"],
].flat()

/**
 * What QEMU may ask the kernel for once it runs. "elevateprivileges" must stay allowed, for its denial forbids setsid() too, with which each relay
 * begins; instead setpriv sees to it that nothing QEMU starts ever gains a right.
 */
const sandbox = ["-sandbox", "on,obsolete=deny,resourcecontrol=deny,spawn=allow"]

/** Before QEMU's own command: it dies with whoever started it, and its children gain no rights. */
export const wrapper = ["setpriv", "--no-new-privs", "--pdeathsig", "KILL", "--"] as const

export function machineArguments(plan: MachinePlan, acceleration: Acceleration): string[] {
  const { image, memoryBytes } = plan
  return [
    ...["-name", `${plan.name},process=${plan.name.slice(0, 15)}`],
    ...bare,
    ...processors[acceleration],
    ...["-smp", `${plan.processors}`],
    ...["-m", `${Math.floor(memoryBytes / 1024 ** 2)}M`],
    ...["-rtc", "base=utc"],
    ...["-kernel", image.kernel!, "-initrd", image.initrd!, "-append", plan.kernelCommand],
    ...disk("root", file(image.root!, "read-only"), "read-only"),
    ...disk("settings", file(plan.settings, "read-only"), "read-only"),
    ...disk("scratch", file(plan.scratch.path, "writable"), "writable"),
    ...randomness,
    ...network(plan.relay),
    ...console,
  ]
}

/** What starts the machine, beside what makes it: control, and the end that it must share with us. */
export function runArguments(fromSave: boolean): string[] {
  return [
    // QEMU calls us: if we are gone already, it ends at once.
    ...["-chardev", `socket,id=control,path=${files.qmp},server=off`, "-mon", "chardev=control,mode=control"],
    ...["-pidfile", files.pid],
    ...sandbox,
    ...(fromSave ? ["-incoming", `fd:${INCOMING_FD}`] : []),
  ]
}

/** A boot that only shows whether the acceleration works: kernel and initrd, no disks, no cable. */
export function probeArguments(
  image: { kernel: string; initrd: string | null },
  command: string,
  memoryBytes: number,
): string[] {
  return [
    ...["-name", "cah-probe"],
    ...bare,
    ...processors.kvm,
    ...["-m", `${Math.floor(memoryBytes / 1024 ** 2)}M`, "-kernel", image.kernel],
    ...(image.initrd === null ? [] : ["-initrd", image.initrd]),
    ...["-append", command],
    ...console,
    ...sandbox,
  ]
}

/**
 * All that a machine is made of, stopped before its first instruction and without an image: whether this QEMU knows every option and device. Orders
 * come by its standard input.
 */
export function trialArguments(acceleration: Acceleration): string[] {
  const nothing = (name: string): object => ({ driver: "null-co", "read-only": name !== "scratch", size: 1024 ** 2 })
  return [
    ...["-name", "cah-trial", "-S"],
    ...bare,
    ...processors[acceleration],
    ...["-m", "64M", "-rtc", "base=utc"],
    ...disk("root", nothing("root"), "read-only"),
    ...disk("scratch", nothing("scratch"), "writable"),
    ...randomness,
    ...network({ command: ["false"], socket: "none", lock: "none", refused: "none" }),
    ...["-chardev", "null,id=console", "-serial", "chardev:console"],
    ...["-chardev", "stdio,id=control,signal=off", "-mon", "chardev=control,mode=control"],
    ...sandbox,
  ]
}

const randomness = ["-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"]

/** The guest's first serial port is our ear. */
const console = ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]

type Access = "read-only" | "writable"

function file(path: string, access: Access): object {
  return { driver: "file", filename: path, "read-only": access === "read-only" }
}

/** In the order in which the guest sees them. A full disk stops the machine; other errors are the guest's to hear of. */
function disk(name: string, file: object, access: Access): string[] {
  const readOnly = access === "read-only"
  const discard = readOnly ? {} : { discard: "unmap", "detect-zeroes": "unmap" }
  const block = { driver: "raw", "node-name": name, "read-only": readOnly, ...discard, file }
  return [
    ...["-blockdev", JSON.stringify(block)],
    ...["-device", `virtio-blk-pci,drive=${name},serial=cah-${name}${readOnly ? "" : ",werror=enospc,rerror=report"}`],
  ]
}

/**
 * A network of its own in which one address and port answer, by a process that brings the bytes to us. Everything else is dropped by QEMU.
 * QEMU starts that process for each connection, and a guest gone wild opens thousands: so a shell of a megabyte comes first, and only who gets
 * one of a few locks becomes a relay. The kernel gives a lock back when its holder ends. The others leave a mark, by which we notice.
 */
function network(relay: RelayPlan): string[] {
  const locks = Array.from({ length: RELAYS_MAX }, (_, n) => n).join(" ")
  const gate = `for n in ${locks}; do exec 9>${relay.lock}$n || exit; flock -n 9 && exec "$@"; done; echo >>${relay.refused}`
  const words = ["sh", "-c", gate, "gate", ...relay.command, relay.socket]
  const command = words.map(quoted).join(" ").replaceAll(",", ",,")
  return [
    ...[
      "-netdev",
      `user,id=cable,restrict=on,ipv6=off,guestfwd=tcp:${guestGate.host}:${guestGate.port}-cmd:${command}`,
    ],
    ...["-device", "virtio-net-pci,netdev=cable,id=nic,romfile="],
  ]
}

/** As the shell would take it for one word: that is how QEMU reads the command. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
