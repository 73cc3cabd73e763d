import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { LockTaken, takeLock } from "./lock.ts"
import { leaderOf } from "./processes.ts"

const root = mkdtempSync(join(tmpdir(), "cah-lock-"))
after(() => rmSync(root, { recursive: true, force: true }))
const scratch = () => mkdtempSync(join(root, "one-"))
const isTaken = (error: unknown) => error instanceof LockTaken && error.holder.pid === process.pid

test("a second program is told who has the lock, leaves nothing, and gets it once that is released", async () => {
  const directory = scratch()
  const path = join(directory, "lock")
  const lock = await takeLock(path, 0)
  await assert.rejects(takeLock(path, 0), isTaken)
  assert.deepEqual(readdirSync(directory), ["lock"])
  lock.release()
  const next = await takeLock(path, 0)
  assert.equal(JSON.parse(readFileSync(path, "utf8")).pid, process.pid)
  next.release()
  assert.deepEqual(readdirSync(directory), [])
})

test("one that waits gets it as soon as it is free", async () => {
  const path = join(scratch(), "lock")
  const lock = await takeLock(path, 0)
  const waiting = takeLock(path, 10_000)
  lock.release()
  ;(await waiting).release()
})

test("the lock of a holder that has died, whose pid another process may have by now, is taken over", async () => {
  const { pid } = spawnSync("true")
  for (const left of [
    JSON.stringify({ pid, startTicks: "1" }),
    JSON.stringify({ ...leaderOf(process.pid), startTicks: "0" }),
    '{"pid":4194305,"startTicks":"1"}',
    "",
    '{"pid":',
  ]) {
    const directory = scratch()
    writeFileSync(join(directory, "lock"), left)
    const lock = await takeLock(join(directory, "lock"), 0)
    assert.deepEqual(readdirSync(directory), ["lock"])
    lock.release()
  }
})

test("a lock of an earlier version, that names no place, is its holder's", async () => {
  const path = join(scratch(), "lock")
  writeFileSync(path, JSON.stringify(leaderOf(process.pid)))
  await assert.rejects(takeLock(path, 0), isTaken)
})

for (const left of ["", '{"pid":4194305,"startTicks":"1"}']) {
  test(`of many processes that start at once exactly one gets it${left === "" ? "" : ", also from a dead one"}`, async () => {
    const path = join(scratch(), "lock")
    if (left !== "") writeFileSync(path, left)
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => takeLock(path, 0)))
    assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1)
  })
}

test("V16: a lock that came with a copy of the directory is nobody's here, though its holder works in the original", async () => {
  const [original, copy] = [scratch(), scratch()]
  const lock = await takeLock(join(original, "lock"), 0)
  cpSync(original, copy, { recursive: true })
  const other = await takeLock(join(copy, "lock"), 0)
  // Told apart, and each still its own.
  for (const directory of [original, copy]) await assert.rejects(takeLock(join(directory, "lock"), 0), isTaken)
  other.release()
  lock.release()
})

test("V16: a directory that was only moved is the same", async () => {
  const place = scratch()
  mkdirSync(join(place, "before"))
  const lock = await takeLock(join(place, "before", "lock"), 0)
  renameSync(join(place, "before"), join(place, "after"))
  await assert.rejects(takeLock(join(place, "after", "lock"), 0), isTaken)
  renameSync(join(place, "after"), join(place, "before"))
  lock.release()
})
