import assert from "node:assert/strict"
import { readdirSync } from "node:fs"
import { test } from "node:test"
import { Failure } from "./core/ports.ts"
import { scratch } from "./fixtures.ts"
import { lockState } from "./lock.ts"

test("a second agent on one state directory is refused with the first one's pid, the directory, and what to do", async () => {
  const state = scratch()
  const lock = await lockState(state)
  await assert.rejects(
    lockState(state),
    (error: unknown) =>
      error instanceof Failure &&
      error.message.includes(`pid ${process.pid}`) &&
      error.message.includes(`(${state}); stop it, or give this one its own with --state`),
  )
  assert.deepEqual(readdirSync(state), ["lock"], "the refused one leaves nothing")
  lock.release()
  ;(await lockState(state)).release()
})
