import assert from "node:assert/strict"
import { test } from "node:test"
import { Guest } from "./guest.ts"
import { Lines } from "./hypervisor/lines.ts"
import { CONSOLE_LINE_MAX_BYTES, CONSOLE_LINES_KEPT } from "./limits.ts"

test("the supervisor's lines, the agent's log and the kernel's last words become events", () => {
  const guest = new Guest()
  const heard = (line: string): unknown => {
    const event = guest.hear(line)
    return "reason" in event ? [event.kind, event.reason] : event.kind
  }
  assert.equal(heard("cah: up"), "Heard")
  assert.equal(heard("cah: agent hello"), "GuestHello")
  assert.equal(heard('{"level":30,"hub":"h","msg":"connected to the hub"}'), "Heard")
  assert.deepEqual(heard("cah: fatal there is no disk to write to"), [
    "GuestFailed",
    "the virtual machine could not start: there is no disk to write to",
  ])
  assert.deepEqual(heard("[   12.3] Kernel panic - not syncing: Fatal exception in interrupt ]---"), [
    "GuestFailed",
    "the virtual machine's kernel panicked (Fatal exception in interrupt)",
  ])
  assert.deepEqual(heard("cah: fatal the hub sent this node away: unknown token"), [
    "GuestRefused",
    "the hub sent this node away: unknown token",
  ])
  assert.equal(heard("cah: off: the agent cannot go on"), "Heard")
  assert.equal(heard("cah: off: the power button was pressed"), "Heard")
})

test("V3 V13: what the agent says of its work and of being stopped becomes events of their own", () => {
  const guest = new Guest()
  const idle = ["cah: agent idle", "cah: agent busy"].map(line => guest.hear(line).kind)
  assert.deepEqual(idle, ["GuestIdle", "GuestBusy"])
  assert.deepEqual(guest.hear("cah: clock it is late"), { kind: "ClockDoubted", reason: "it is late" })
  assert.deepEqual(guest.hear("cah: dismissed this node was stopped on the hub"), {
    kind: "GuestDismissed",
    reason: "this node was stopped on the hub",
  })
})

test("the last lines are kept, and forgotten when the machine begins anew", () => {
  const guest = new Guest()
  for (let n = 0; n < 100; n++) guest.hear(`line ${n}`)
  assert.equal(guest.lastLines.length, CONSOLE_LINES_KEPT)
  assert.equal(guest.lastLines.at(-1), "line 99")
  guest.forget()
  assert.deepEqual(guest.lastLines, [])
})

test("lines are cut, cleaned and bounded, however they come", () => {
  const said: string[] = []
  const lines = new Lines(line => said.push(line))
  for (const chunk of [
    "one\r\ntw",
    "o\n\n\x1b[2J\x1b[31mred\x1b[0m\x07\n",
    `${"x".repeat(CONSOLE_LINE_MAX_BYTES + 1)}`,
    "rest",
  ]) {
    lines.write(Buffer.from(chunk))
  }
  lines.end()
  assert.deepEqual(said, ["one", "two", "red", "x".repeat(CONSOLE_LINE_MAX_BYTES), "rest"])
})
