import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch, whyNoQemu, writeAppliance } from "../../fixtures.ts"
import { Memory } from "../../place.ts"
import { probeKvm, whyForbidden } from "./probe.ts"
import { qemuProgram } from "./qemu.ts"

test("whether KVM works is found out by booting, said in a sentence, and found out once", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const directory = scratch(t)
  const kernel = join(writeAppliance(directory), "kernel")
  const memory = new Memory(join(directory, "host.json"))
  const probed = await probeKvm(qemuProgram, "7.2", { kernel, initrd: null, command: "console=ttyS0" }, memory)
  assert.match(probed.why, probed.acceleration === "kvm" ? /KVM works/ : /kvm.*emulated, which is slower/i)
  if (!existsSync("/dev/kvm")) return
  const startedMs = performance.now()
  const again = await probeKvm(qemuProgram, "7.2", { kernel: "/none", initrd: null, command: "" }, memory)
  assert.deepEqual(again, probed)
  assert.ok(performance.now() - startedMs < 100)
})

test("V5: whoever may not use KVM is told the command that mends it, where there is one", () => {
  assert.match(whyForbidden("boinc", "kvm"), /"sudo usermod -aG kvm boinc".*restart BOINC/)
  assert.match(whyForbidden("boinc", null), /open to root alone/)
})

test("what is remembered is not believed for ever, nor when it is damaged", t => {
  const memory = new Memory(join(scratch(t), "host.json"))
  assert.equal(memory.get("x"), undefined)
  memory.set("x", { a: 1 })
  memory.set("y", 2)
  assert.deepEqual([memory.get("x"), memory.get("y")], [{ a: 1 }, 2])
  // A place that cannot be written to is no reason to fail.
  new Memory("/dev/null/host.json").set("x", 1)
})
