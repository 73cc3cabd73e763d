// Against a stub of VBoxManage that records how it is called and keeps the machine's state in a file. The real one can't be installed here: what
// these tests prove is which commands are given, in which order, and what is made of the answers; not that VirtualBox obeys them.
import assert from "node:assert/strict"
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import type { Hypervisor, MachineEars, MachinePlan } from "../../core/ports.ts"
import { scratch, type TestContext } from "../../fixtures.ts"
import { namesIn, stateIn } from "./commands.ts"
import { findVirtualBox, openVirtualBox } from "./virtualbox.ts"

const stub = `#!/bin/sh
cd "$(dirname "$0")"
[ "$1" = -q ] && shift
echo "$*" >>calls
case $1 in
  --version) cat version ;;
  list) [ -e state ] && echo "\\"$(cat name)\\" {0123-abcd}" ;;
  showvminfo) [ -e state ] || { echo "VBoxManage: error: Could not find a registered machine" >&2; exit 1; }; echo "VMState=\\"$(cat state)\\"" ;;
  createvm) echo "$3" >name; echo poweroff >state ;;
  startvm) [ -e locked ] && { rm locked; echo "VBoxManage: error: already locked by a session" >&2; exit 1; }; echo running >state ;;
  unregistervm) rm -f state ;;
  controlvm) case $3 in
    pause) echo paused >state ;;
    resume) echo running >state ;;
    savestate) [ -e full ] && { echo "VBoxManage: error: disk full" >&2; exit 1; }; echo saved >state ;;
    poweroff) echo poweroff >state ;;
  esac ;;
esac
`

class Box {
  readonly directory: string
  readonly plan: MachinePlan
  stopped: string | null = null
  #woken: () => void = () => {}

  constructor(t: TestContext, version = "7.0.20r163906") {
    this.directory = scratch(t)
    writeFileSync(join(this.directory, "VBoxManage"), stub)
    chmodSync(join(this.directory, "VBoxManage"), 0o755)
    writeFileSync(join(this.directory, "version"), `${version}\n`)
    this.plan = {
      name: "cah-1a2b3c4d-vm_1_0",
      directory: this.directory,
      processors: 2,
      memoryBytes: 512 * 1024 ** 2,
      processorPercent: 60,
      image: { kernel: null, initrd: null, root: null, iso: "/p/appliance.iso" },
      imageDigest: "sha256:x",
      kernelCommand: "",
      settings: join(this.directory, "settings.iso"),
      scratch: { path: join(this.directory, "scratch.raw"), sizeBytes: 1024 ** 3 },
      relay: { command: [], socket: "", lock: "", refused: "" },
    }
  }

  async open(allowsLan = true, bytesPerSecond: number | null = 500 * 1024): Promise<Hypervisor> {
    const found = await findVirtualBox(this.directory)
    assert.ok("path" in found)
    return openVirtualBox(found, { allowsLan, network: { bytesPerSecond } })
  }

  readonly ears: MachineEars = {
    onLine: () => {},
    onDiskFull: () => {},
    onStopped: reason => {
      this.stopped = reason
      this.#woken()
    },
  }

  isStopped(): Promise<void> {
    return new Promise(resolve => {
      this.#woken = resolve
    })
  }

  /** Since last asked. */
  calls(): string[] {
    const path = join(this.directory, "calls")
    const text = existsSync(path) ? readFileSync(path, "utf8") : ""
    writeFileSync(path, "")
    return text.split("\n").filter(line => line !== "")
  }

  set(file: string, text: string): void {
    writeFileSync(join(this.directory, file), `${text}\n`)
  }
}

const never = new AbortController().signal

test("a machine is made of few devices, with the image as a DVD that nobody copies, and started without a window", async t => {
  const box = new Box(t)
  const hypervisor = await box.open()
  box.calls()
  const machine = await hypervisor.start(box.plan, false, box.ears, never)
  const calls = box.calls()
  const name = box.plan.name
  assert.deepEqual(calls[0], `showvminfo ${name} --machinereadable`)
  assert.match(calls[1]!, /^createmedium disk --filename \S+scratch\.vdi --size 1024 --variant Standard$/)
  assert.match(calls[2]!, /^createvm --name cah-1a2b3c4d-vm_1_0 --basefolder \S+ --ostype Debian_64 --register$/)
  const all = calls.join("\n")
  for (const part of [
    "--memory 512 --cpus 2",
    "--usb off",
    "--clipboard disabled --draganddrop disabled",
    "--vrde off",
    "--cpuexecutioncap 60",
    "--audio none",
    `bandwidthctl ${name} add cable --type network --limit 500K`,
    "--nicbandwidthgroup1 cable",
    "--port 0 --device 0 --type dvddrive --medium /p/appliance.iso",
    "--port 1 --device 0 --type dvddrive --medium ",
    "--port 2 --device 0 --type hdd --medium ",
  ]) {
    assert.ok(all.includes(part), part)
  }
  assert.equal(calls.at(-1), `startvm ${name} --type headless`)
  assert.ok(!/sharedfolder|natpf|clonemedium|--nic2/.test(all))
  await machine.destroy()
})

test("its verbs are one command each, and its end unregisters it and closes its media", async t => {
  const box = new Box(t)
  const machine = await (await box.open()).start(box.plan, false, box.ears, never)
  const name = box.plan.name
  box.calls()
  await machine.pause()
  await machine.resume()
  await machine.powerDown()
  await machine.plugCable(false)
  assert.deepEqual(box.calls(), [
    `controlvm ${name} pause`,
    `controlvm ${name} resume`,
    `controlvm ${name} acpipowerbutton`,
    `controlvm ${name} setlinkstate1 off`,
  ])
  await machine.destroy()
  assert.equal(box.stopped, "it was ended")
  const calls = box.calls()
  assert.deepEqual(calls.slice(0, 3), [
    `showvminfo ${name} --machinereadable`,
    `controlvm ${name} poweroff`,
    `unregistervm ${name}`,
  ])
  assert.deepEqual(
    calls.slice(3).map(call => call.split(" ").slice(0, 2).join(" ")),
    ["closemedium disk", "closemedium dvd", "closemedium dvd"],
  )
})

test("a saved machine stays registered, is found to fit, and goes on without being made anew", async t => {
  const box = new Box(t)
  const hypervisor = await box.open()
  const machine = await hypervisor.start(box.plan, false, box.ears, never)
  await machine.save()
  assert.equal(box.stopped, null)
  assert.deepEqual(await hypervisor.sweep(box.directory, box.plan.name), [])
  assert.deepEqual(await hypervisor.fits(box.plan), { hasSave: true, why: null })
  box.calls()
  const again = await hypervisor.start(box.plan, true, box.ears, never)
  assert.deepEqual(box.calls(), [`startvm ${box.plan.name} --type headless`])
  await again.destroy()
})

test("a save that VirtualBox refuses is told in its words", async t => {
  const box = new Box(t)
  const machine = await (await box.open()).start(box.plan, false, box.ears, never)
  box.set("full", "")
  await assert.rejects(machine.save(), { name: "Failure", message: "VirtualBox refused controlvm: disk full" })
  await machine.destroy()
})

test("a machine that ends by itself is noticed, told of and removed", async t => {
  const box = new Box(t)
  await (await box.open()).start(box.plan, false, box.ears, never)
  const stopped = box.isStopped()
  box.set("state", "aborted")
  await stopped
  assert.equal(box.stopped, "VirtualBox lost the virtual machine")
  assert.equal(existsSync(join(box.directory, "state")), false)
})

test("one that outlived its launcher is swept by its name; those of others are left alone", async t => {
  const box = new Box(t)
  const hypervisor = await box.open()
  box.set("name", box.plan.name)
  box.set("state", "running")
  assert.deepEqual(await hypervisor.sweep(box.directory, "another"), [])
  assert.deepEqual(await hypervisor.sweep(box.directory, box.plan.name), [
    `the virtual machine ${box.plan.name}, which was left running`,
  ])
  assert.equal(existsSync(join(box.directory, "state")), false)
})

test("a session that is locked for a moment is tried again", async t => {
  const box = new Box(t)
  box.set("locked", "")
  const machine = await (await box.open()).start(box.plan, false, box.ears, never)
  assert.equal(box.calls().filter(call => call.startsWith("startvm")).length, 2)
  await machine.destroy()
})

test("without the permission to reach the home network it refuses, and says what would do instead", async t => {
  const box = new Box(t)
  const hypervisor = await box.open(false)
  await assert.rejects(
    hypervisor.start(box.plan, false, box.ears, never),
    /cannot keep a virtual machine off your home network.*QEMU can/,
  )
})

test("what is not there, too old or half installed is told of in words", async t => {
  assert.deepEqual(await findVirtualBox(scratch(t)), { why: "VirtualBox is not installed (VBoxManage)" })
  const why = async (version: string): Promise<string> => {
    const found = await findVirtualBox(new Box(t, version).directory)
    return "why" in found ? found.why : "found"
  }
  assert.match(await why("5.2.44r139111"), /VirtualBox 5\.2\.44 is too old: 6\.1 or newer/)
  assert.match(
    await why("WARNING: The character device /dev/vboxdrv does not exist.\n7.0.20r163906"),
    /kernel module is not loaded/,
  )
  assert.match(await why("nonsense"), /VirtualBox does not work: nonsense/)
  assert.equal(await why("7.1.4r165100"), "found")
})

test("its answers are read as it writes them", () => {
  assert.equal(stateIn('name="x"\nVMState="gurumeditation"\nVMStateChangeTime="2026"\n'), "gurumeditation")
  assert.equal(stateIn("nothing"), null)
  assert.deepEqual(namesIn('"cah-1" {0a-1b}\n"my "own" vm" {2c-3d}\n"<inaccessible>" {4e}\n'), [
    "cah-1",
    'my "own" vm',
    "<inaccessible>",
  ])
})
