import assert from "node:assert/strict"
import { test } from "node:test"
import type { MachinePlan } from "../../core/ports.ts"
import { atLeast } from "../versions.ts"
import { machineArguments, runArguments } from "./arguments.ts"

const plan: MachinePlan = {
  name: "cah-1a2b3c4d-vm_1_0",
  directory: "/slot",
  processors: 2,
  memoryBytes: 512 * 1024 ** 2,
  processorPercent: 100,
  image: { kernel: "/p/kernel", initrd: "/p/initrd", root: '/p/a,b "c"', iso: null },
  imageDigest: "sha256:x",
  kernelCommand: "console=ttyS0 quiet",
  settings: "/slot/settings.iso",
  scratch: { path: "/slot/scratch.raw", sizeBytes: 1e9 },
  relay: {
    command: ["/p/it's, here/vmlauncher", "relay"],
    socket: "relay.sock",
    lock: "relay.lock.",
    refused: "relay.refused",
  },
}

/** The value after each mention of an option. */
function valuesOf(option: string, args = machineArguments(plan, "tcg")): string[] {
  return args.flatMap((arg, n) => (arg === option ? [args[n + 1]!] : []))
}

test("the devices are these and no others", () => {
  assert.deepEqual(
    valuesOf("-device").map(device => device.split(",")[0]),
    ["virtio-blk-pci", "virtio-blk-pci", "virtio-blk-pci", "virtio-rng-pci", "virtio-net-pci"],
  )
  const args = machineArguments(plan, "tcg")
  for (const bare of ["-nodefaults", "-no-user-config"]) assert.ok(args.includes(bare))
  assert.deepEqual([valuesOf("-display"), valuesOf("-vga"), valuesOf("-monitor")], [["none"], ["none"], ["none"]])
  assert.match(valuesOf("-machine")[0]!, /usb=off.*sata=off.*smbus=off/)
})

test("the guest sees root, settings and scratch in this order, and can write to the last alone", () => {
  const disks = valuesOf("-blockdev").map(text => JSON.parse(text))
  assert.deepEqual(
    disks.map(disk => [disk["node-name"], disk["read-only"], disk.file.filename]),
    [
      ["root", true, '/p/a,b "c"'],
      ["settings", true, "/slot/settings.iso"],
      ["scratch", false, "/slot/scratch.raw"],
    ],
  )
  assert.deepEqual(
    valuesOf("-device")
      .filter(device => device.includes("werror=enospc"))
      .map(device => device.split(",")[1]),
    ["drive=scratch"],
  )
})

test("the cable is confined, and what answers on it is our relay behind its gate, whatever its path holds", () => {
  const [cable, ...others] = valuesOf("-netdev")
  assert.deepEqual(others, [])
  assert.match(cable!, /^user,id=cable,restrict=on,ipv6=off,guestfwd=tcp:10\.0\.2\.100:80-cmd:'sh' '-c' /)
  // QEMU halves the commas; a shell takes the words.
  assert.ok(cable!.endsWith(`'gate' '/p/it'\\''s,, here/vmlauncher' 'relay' 'relay.sock'`), cable)
  assert.match(cable!, /flock -n 9 && exec "\$@"/)
})

test("emulation leaves out what it gets wrong, and KVM takes the processor as it is", () => {
  assert.deepEqual(valuesOf("-cpu"), ["Nehalem,-cx16"])
  assert.deepEqual(valuesOf("-cpu", machineArguments(plan, "kvm")), ["host"])
  assert.match(valuesOf("-accel")[0]!, /^tcg,tb-size=\d+$/)
})

test("it runs behind QEMU's own sandbox, controlled by whoever it calls", () => {
  assert.match(runArguments(false).join(" "), /-sandbox on,obsolete=deny,resourcecontrol=deny,spawn=allow/)
  assert.match(runArguments(false).join(" "), /socket,id=control,path=qmp\.sock,server=off/)
  assert.ok(!runArguments(false).includes("-incoming"))
  assert.deepEqual(valuesOf("-incoming", runArguments(true)), ["fd:3"])
})

test("versions are compared by their numbers", () => {
  assert.ok(atLeast("7.2.22", "7.2") && atLeast("10.0", "7.2") && atLeast("7.2", "7.2"))
  assert.ok(!atLeast("7.1.9", "7.2") && !atLeast("6.9", "7.2"))
})
