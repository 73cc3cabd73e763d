import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "./fixtures.ts"
import { takeLock } from "./lock.ts"
import { isAlive, leaderOf } from "./process.ts"

test("a second launcher is told who has the lock, and gets it once that is released", async t => {
  const path = join(scratch(t), "lock")
  const lock = await takeLock(path, 0)
  await assert.rejects(takeLock(path, 0), {
    name: "Failure",
    message: `another launcher (process ${process.pid}) is at work here`,
    laterSeconds: 60,
  })
  lock.release()
  const next = await takeLock(path, 0)
  assert.equal(JSON.parse(readFileSync(path, "utf8")).pid, process.pid)
  next.release()
  assert.equal(existsSync(path), false)
})

test("one that waits gets it as soon as it is free", async t => {
  const path = join(scratch(t), "lock")
  const lock = await takeLock(path, 0)
  const waiting = takeLock(path, 10_000)
  lock.release()
  ;(await waiting).release()
})

test("the lock of a holder that has died, or was cut short by a power cut, is taken over", async t => {
  const directory = scratch(t)
  const path = join(directory, "lock")
  const { pid } = spawnSync("true")
  for (const left of [
    JSON.stringify({ pid, startTicks: "1" }),
    "",
    '{"pid":',
    JSON.stringify({ ...leaderOf(process.pid), startTicks: "0" }),
  ]) {
    writeFileSync(path, left)
    ;(await takeLock(path, 0)).release()
  }
  assert.deepEqual(readdirSync(directory), [])
})

test("V16: a lock that came with a copy of the directory is nobody's here, though its holder works in the original", async t => {
  const [original, copy] = [scratch(t), scratch(t)]
  const lock = await takeLock(join(original, "lock"), 0)
  cpSync(original, copy, { recursive: true })
  const other = await takeLock(join(copy, "lock"), 0)
  // Told apart, and each still its own.
  for (const directory of [original, copy]) {
    await assert.rejects(takeLock(join(directory, "lock"), 0), /another launcher .* is at work here/)
  }
  other.release()
  lock.release()
})

test("V16: a directory that was only moved is the same", async t => {
  const place = scratch(t)
  mkdirSync(join(place, "before"))
  const lock = await takeLock(join(place, "before", "lock"), 0)
  renameSync(join(place, "before"), join(place, "after"))
  await assert.rejects(takeLock(join(place, "after", "lock"), 0), /another launcher/)
  renameSync(join(place, "after"), join(place, "before"))
  lock.release()
})

test("a process is known by its number and its start", () => {
  assert.ok(isAlive(leaderOf(process.pid)))
  assert.equal(isAlive({ ...leaderOf(process.pid), startTicks: "1" }), false)
  assert.equal(isAlive({ pid: 2 ** 22 + 1, startTicks: "" }), false)
})
