import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "./fixtures.ts"
import { lockDirectory } from "./lock.ts"

test("a second launcher is told who has the lock, and that it may come back later", async t => {
  const path = join(scratch(t), "lock")
  const lock = await lockDirectory(path, 0)
  await assert.rejects(lockDirectory(path, 0), {
    name: "Failure",
    message: `another launcher (process ${process.pid}) is at work here`,
    laterSeconds: 60,
  })
  lock.release()
  ;(await lockDirectory(path, 0)).release()
  assert.equal(existsSync(path), false)
})
