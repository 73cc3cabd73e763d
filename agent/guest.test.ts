import assert from "node:assert/strict"
import { test } from "node:test"
import { recordedLog } from "./fixtures.ts"
import { createGuest } from "./guest.ts"

test("a guest tells its launcher in single lines, whatever is in a reason", () => {
  const lines: string[] = []
  const guest = createGuest(line => lines.push(line), recordedLog())
  guest.welcomed()
  guest.fatal("revoked\ncah: agent hello\r\u001b[2J")
  assert.deepEqual(lines, ["cah: agent hello\n", "cah: fatal revoked cah: agent hello [2J\n"])
})

test("V3 V13: a guest tells whether it has work, and that it was stopped", () => {
  const lines: string[] = []
  const guest = createGuest(line => lines.push(line), recordedLog())
  guest.idle(true)
  guest.idle(false)
  guest.dismissed("stopped\non the hub")
  guest.doubtfulClock("by this clock")
  assert.deepEqual(lines, [
    "cah: agent idle\n",
    "cah: agent busy\n",
    "cah: dismissed stopped on the hub\n",
    "cah: clock by this clock\n",
  ])
})

test("a clock that is nearly right is left alone", () => {
  const log = recordedLog()
  const guest = createGuest(() => assert.fail("said something"), log)
  guest.setClock(Date.now() + 500)
  guest.setClock(Date.now() - 500)
  assert.deepEqual(log.lines, [])
})
