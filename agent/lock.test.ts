import assert from "node:assert/strict"
import { readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { Failure } from "./core/ports.ts"
import { scratch } from "./fixtures.ts"
import { lockState } from "./lock.ts"

test("a second agent on one state directory is refused with the first one's pid", async () => {
  const state = scratch()
  const lock = await lockState(state)
  await assert.rejects(
    lockState(state),
    (error: unknown) => error instanceof Failure && error.message.includes(`pid ${process.pid}`),
  )
  assert.deepEqual(readdirSync(state), ["lock"], "the refused one leaves nothing")
  await lock.release()
  await (await lockState(state)).release()
})

test("of many that start at once exactly one gets it", async () => {
  const state = scratch()
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => lockState(state)))
  assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1)
})

test("the lock of one that died, whose pid another process may have by now, is taken over", async () => {
  for (const left of [`{"pid":${process.pid},"startTicks":"1"}`, '{"pid":4194305,"startTicks":"1"}', "", '{"pid":']) {
    const state = scratch()
    writeFileSync(join(state, "lock"), left)
    const lock = await lockState(state)
    assert.deepEqual(readdirSync(state), ["lock"])
    await lock.release()
  }
})

test("of many that find a dead one's lock exactly one takes it over", async () => {
  const state = scratch()
  writeFileSync(join(state, "lock"), '{"pid":4194305,"startTicks":"1"}')
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => lockState(state)))
  assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1)
})
