import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { test } from "node:test"
import { isAlive, leaderOf, readProcess } from "./processes.ts"

test("a process is known by its number and its start", () => {
  assert.ok(isAlive(leaderOf(process.pid)))
  assert.equal(isAlive({ ...leaderOf(process.pid), startTicks: "1" }), false)
  assert.equal(isAlive({ pid: 2 ** 22 + 1, startTicks: "" }), false)
})

test("what /proc says of this process is told, and nothing of one that is gone", () => {
  const own = readProcess(process.pid)
  assert.deepEqual([own?.pid, own?.parent, own?.zombie], [process.pid, process.ppid, false])
  assert.ok(own !== null && own.cpuMs > 0 && Number(own.startTicks) > 0)
  assert.equal(readProcess(spawnSync("true").pid), null)
})
