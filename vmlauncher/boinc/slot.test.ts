import assert from "node:assert/strict"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "../fixtures.ts"
import { resolveLink, takeTrickles, writeFinish, writeTemporaryExit, writeTrickle } from "./slot.ts"
import { parseVolunteer, readVolunteer } from "./volunteer.ts"

test("a soft link leads where it says, and a file that is none is the thing itself", t => {
  const slot = scratch(t)
  writeFileSync(join(slot, "kernel"), "<soft_link>../../projects/hub/kernel_1</soft_link>\n")
  writeFileSync(join(slot, "root"), Buffer.alloc(10_000, 7))
  assert.equal(resolveLink(join(slot, "."), "kernel"), join(slot, "../../projects/hub/kernel_1"))
  assert.equal(resolveLink(slot, "root"), join(slot, "root"))
  assert.equal(resolveLink(slot, "missing"), join(slot, "missing"))
})

test("a temporary exit is whole seconds and one line, within what the client takes", t => {
  const slot = scratch(t)
  writeTemporaryExit(slot, 90_000.5, "no\nhypervisor  here")
  assert.equal(readFileSync(join(slot, "boinc_temporary_exit"), "utf8"), "86400\nno hypervisor here\n")
  writeTemporaryExit(slot, 1, "x".repeat(10_000))
  assert.ok(readFileSync(join(slot, "boinc_temporary_exit"), "utf8").length < 300)
})

test("finish and trickle are never half there, and leave no other file", t => {
  const slot = scratch(t)
  writeFinish(slot, 0)
  writeTrickle(slot, "vmstatus", "<vm_state>running</vm_state>\n")
  assert.deepEqual(readdirSync(slot).sort(), ["boinc_finish_called", "trickle_up.xml"])
  assert.equal(
    readFileSync(join(slot, "trickle_up.xml"), "utf8"),
    "<variety>vmstatus</variety>\n<vm_state>running</vm_state>\n",
  )
})

test("trickles down are taken in order, once, and a huge one is dropped", t => {
  const slot = scratch(t)
  writeFileSync(join(slot, "trickle_down_20"), "<finish/>\n")
  writeFileSync(join(slot, "trickle_down_10"), Buffer.alloc(100_000, 0x61))
  writeFileSync(join(slot, "trickle_down_x"), "not one")
  assert.deepEqual(takeTrickles(slot), ["", "<finish/>\n"])
  assert.deepEqual(takeTrickles(slot), [])
  assert.ok(existsSync(join(slot, "trickle_down_x")))
})

test("volunteer.json is read with every field checked, and its token never repeated", t => {
  const good = { format: 1, hub: "https://hub.example.org:8443", enrolToken: "cahe_1", name: "attic", caPem: null }
  assert.equal(parseVolunteer(JSON.stringify(good)).name, "attic")
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ format: 2 }, /format must be 1, not 2/],
    [{ hub: "ftp://x" }, /hub must be a URL/],
    [{ hub: "https://me:secret@x" }, /hub must be a URL/],
    [{ name: "a b" }, /name must be 1 to 64/],
    [{ caPem: "x" }, /certificates in PEM/],
    [{ more: 1 }, /"more" is not known here/],
  ]
  for (const [change, message] of refused)
    assert.throws(() => parseVolunteer(JSON.stringify({ ...good, ...change })), message)
  assert.throws(
    () => parseVolunteer(JSON.stringify({ ...good, enrolToken: "se cret" })),
    error => !`${error}`.includes("se cret"),
  )
  const slot = scratch(t)
  assert.throws(() => readVolunteer(join(slot, "volunteer.json")), /volunteer\.json is not there/)
  mkdirSync(join(slot, "x"))
  writeFileSync(join(slot, "volunteer.json"), "{")
  assert.throws(() => readVolunteer(join(slot, "volunteer.json")), { name: "Failure", message: /not JSON/ })
})
