import assert from "node:assert/strict"
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { totalmem } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { readIso } from "../proto/guest/iso.ts"
import { parseSettings } from "../proto/guest/settings.ts"
import type { Allowance } from "./core/ports.ts"
import { scratch, type TestContext, testKeyPem, whyNoQemu, writeAppliance } from "./fixtures.ts"
import { Memory, names } from "./place.ts"
import { machineName, prepare, type Task } from "./prepare.ts"

const MIB = 1024 ** 2
const allowance: Allowance = {
  processors: 2,
  memoryBytes: 64 * MIB,
  diskBytes: 300 * MIB,
  processorPercent: 50,
  upBytesPerSecond: null,
  downBytesPerSecond: null,
  budget: null,
}

function task(t: TestContext, change: Partial<Task> = {}): Task & { said: string[] } {
  const place = scratch(t)
  const image = writeAppliance(join(place, "image"))
  const said: string[] = []
  return {
    directory: join(place, "state"),
    title: "",
    locate: name => join(image, name),
    releaseKeyPem: testKeyPem,
    hub: "https://hub.example.org",
    enrolToken: "cahe_1",
    name: "attic",
    caPem: null,
    allowance: () => allowance,
    hypervisor: "auto",
    allowsLan: false,
    relayCommand: ["vmlauncher", "relay"],
    memory: new Memory(join(place, "host.json")),
    say: message => said.push(message),
    said,
    ...change,
  }
}

test("a plan is made of what is allowed, and the guest is told of it and of nothing secret but its token", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const given = task(t)
  const { plan, hasSave } = await prepare(given)
  const made = plan(false)
  assert.deepEqual([hasSave, made.processors, made.processorPercent, made.scratch.sizeBytes], [false, 2, 50, 300 * MIB])
  const { name, bytes } = readIso(readFileSync(made.settings))
  const settings = parseSettings(Buffer.from(bytes).toString())
  assert.equal(name, "CAH.JSON")
  assert.deepEqual([settings.hub, settings.via, settings.slots], ["https://hub.example.org", "10.0.2.100:80", 2])
  assert.equal(settings.image.digest, made.imageDigest)
  assert.equal(statSync(made.settings).mode & 0o77, 0)
  assert.match(given.said.at(-1)!, /image tiny 1; 2 processors, 64 MiB of memory, 300 MiB of disk$/)
})

test("a disk keeps the size that it was made with", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const given = task(t)
  await prepare(given)
  const disk = join(given.directory, names.scratch)
  writeFileSync(disk, "")
  truncateSync(disk, 400 * MIB)
  const { plan } = await prepare(given)
  assert.equal(plan(false).scratch.sizeBytes, 400 * MIB)
})

test("what stands in the way is said with what to do, and when to try again", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const refused = async (change: Partial<Task>, message: RegExp, laterSeconds: number | null): Promise<void> => {
    await assert.rejects(prepare(task(t, change)), { name: "Failure", message, laterSeconds })
  }
  await refused({ releaseKeyPem: null }, /no release key inside: say which with --release-key/, null)
  await refused(
    { allowance: () => ({ ...allowance, memoryBytes: 8 * MIB }) },
    /leave 8 MiB of memory.*needs 32 MiB; allow more/,
    3_600,
  )
  await refused(
    { hypervisor: "virtualbox" },
    /no virtual machine can be run here: this image has no files for it/,
    3_600,
  )
})

test("a machine gets no more memory than is free, and one that was saved what it had", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const given = task(t, { allowance: () => ({ ...allowance, memoryBytes: 2 ** 50 }) })
  const { plan } = await prepare(given)
  assert.ok(plan(false).memoryBytes < totalmem())
  writeFileSync(join(given.directory, "vm.save"), "x")
  writeFileSync(join(given.directory, "vm.save.json"), JSON.stringify({ memoryBytes: 100 * MIB }))
  assert.equal((await prepare(given)).plan(true).memoryBytes, 100 * MIB)
  const image = writeAppliance(join(given.directory, "hungry"), undefined, { minMemoryMb: 1_000_000 })
  const hungry = { ...given, locate: (name: string) => join(image, name) }
  await assert.rejects(prepare(hungry), {
    message: /^not enough memory: 977 GiB of memory are needed, and .* are free now$/,
  })
})

test("V8: each new start goes by the limits of that moment; what was saved keeps what it had", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  let memoryBytes = 64 * MIB
  const { plan } = await prepare(task(t, { allowance: () => ({ ...allowance, memoryBytes }) }))
  memoryBytes = 48 * MIB
  assert.deepEqual([plan(true).memoryBytes, plan(false).memoryBytes], [64 * MIB, 48 * MIB])
  memoryBytes = 8 * MIB
  assert.throws(() => plan(false), { name: "Failure", message: /leave 8 MiB of memory/, laterSeconds: 3_600 })
})

test("machines are named after their directory and their task", () => {
  const name = machineName({ directory: "/var/lib/boinc/slots/0", title: "vm_1_0" })
  assert.match(name, /^cah-[0-9a-f]{8}-vm_1_0$/)
  assert.notEqual(name, machineName({ directory: "/srv/boinc/slots/0", title: "vm_1_0" }))
  assert.match(machineName({ directory: "/x", title: "" }), /^cah-[0-9a-f]{8}$/)
  assert.match(machineName({ directory: "/x", title: 'a,b "c" $d' }), /^cah-[0-9a-f]{8}-a-b--c---d$/)
})

test("a directory of a person's own is nobody else's", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const given = task(t)
  await prepare(given)
  assert.equal(statSync(given.directory).mode & 0o77, 0)
  assert.equal(existsSync(join(given.directory, names.settings)), true)
})
