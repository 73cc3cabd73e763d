// Against the QEMU that is here, under other names and numbers: what other distributions' lack is played by refusing it.
import assert from "node:assert/strict"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch, type TestContext, whyNoQemu } from "../../fixtures.ts"
import { Memory } from "../../place.ts"
import { findQemu, openQemu } from "./qemu.ts"

/** A program by this name that says this version, and has none of what `lacks` matches. */
function played(
  t: TestContext,
  name: string,
  version: string,
  lacks: readonly (readonly [string, string])[] = [],
): string {
  const path = join(scratch(t), name)
  const refusals = lacks.map(
    ([pattern, says]) => `case "$*" in *"${pattern}"*) echo "${name}: ${says}" >&2; exit 1;; esac`,
  )
  const lines = [
    "#!/bin/sh",
    `[ "$1" = --version ] && { echo "QEMU emulator version ${version} (Debian 1:6.2+dfsg-2ubuntu6.27)"; exit; }`,
    ...refusals,
    'exec qemu-system-x86_64 "$@"',
  ]
  writeFileSync(path, `${lines.join("\n")}\n`)
  chmodSync(path, 0o755)
  return path
}

const noTcg = ["-accel tcg", "-accel tcg,tb-size=96: invalid accelerator tcg"] as const

test("V17: an older QEMU is tried, and taken if it knows all that a machine is made of", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const memory = new Memory(join(scratch(t), "host.json"))
  const path = played(t, "qemu-system-x86_64", "6.2.0")
  const found = { path, version: "6.2.0", isKvmOnly: false }
  assert.deepEqual(await findQemu(memory, ["/nowhere/qemu-system-x86_64", path]), found)
  // Tried once: the answer is kept.
  writeFileSync(path, '#!/bin/sh\n[ "$1" = --version ] && { echo QEMU emulator version 6.2.0; exit; }\nexit 1\n')
  assert.deepEqual(await findQemu(memory, [path]), found)
})

test("V17: one that lacks something is refused in its own words, and tried again the next time", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const memory = new Memory(join(scratch(t), "host.json"))
  const noUser = ["-netdev", "-netdev user,id=cable: Parameter 'type' expects a netdev backend type"] as const
  const lacking = played(t, "qemu-kvm", "9.1.0", [noUser])
  const found = await findQemu(memory, [lacking])
  assert.ok("why" in found)
  assert.match(found.why, /^QEMU 9\.1\.0 \(.*qemu-kvm\) will not do: .*expects a netdev backend type$/)
  const whole = await findQemu(memory, [played(t, "qemu-kvm", "9.1.0")])
  assert.ok("path" in whole)
})

test("V17: one without emulation is taken where KVM works, and else says what is missing", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const closed = played(t, "qemu-kvm", "8.2.0", [
    noTcg,
    ["-accel kvm", "Could not access KVM kernel module: Permission denied"],
  ])
  const kvmOnly = { path: closed, version: "8.2.0", isKvmOnly: true }
  assert.deepEqual(await findQemu(null, [closed]), kvmOnly)
  const noDevice = ["-accel kvm", "'virtio-rng-pci' is not a valid device model name"] as const
  const found = await findQemu(null, [played(t, "qemu-kvm", "8.2.0", [noTcg, noDevice])])
  assert.match("why" in found ? found.why : "", /will not do: 'virtio-rng-pci' is not a valid device model name$/)
  const said = (acceleration: "kvm" | "tcg") => ({
    get: () => ({
      acceleration,
      why: "KVM does not work (test); the virtual machine is emulated, which is slower",
      atMs: Date.now(),
    }),
    set: () => {},
  })
  const image = { kernel: "", initrd: null, command: "" }
  await assert.rejects(openQemu(kvmOnly, image, said("tcg") as unknown as Memory), {
    name: "Failure",
    message: /; this QEMU cannot emulate, and without KVM no virtual machine can be run with it$/,
    laterSeconds: 3_600,
  })
})
