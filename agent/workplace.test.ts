import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { chmod, mkdir, readdir, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "node:test"
import { name, scratch } from "./fixtures.ts"
import { openWorkplace } from "./workplace.ts"

test("an attempt's directory is made afresh, and goes as a whole", async () => {
  const state = scratch()
  const place = await openWorkplace(state)
  await place.prepare(name)
  await mkdir(place.work(name))
  await place.prepare(name)
  assert.deepEqual(await readdir(place.directory(name)), ["spool"])
  await place.remove(name)
  await place.remove(name)
  assert.deepEqual(await readdir(place.root), [])
})

test("directories that a job closed are removed too, and links are not followed while doing so", async () => {
  const state = scratch()
  const place = await openWorkplace(state)
  const precious = join(state, "precious")
  await mkdir(precious)
  await writeFile(join(precious, "file"), "")
  await place.prepare(name)
  await mkdir(join(place.work(name), "closed"), { recursive: true })
  await symlink(precious, join(place.work(name), "closed", "link"))
  await chmod(join(place.work(name), "closed"), 0)
  await place.remove(name)
  assert.ok(existsSync(join(precious, "file")))
  assert.ok(!existsSync(place.directory(name)))
})

test("at start, what no journal entry answers for is swept", async () => {
  const place = await openWorkplace(scratch())
  await place.prepare(name)
  await place.prepare({ ...name, attempt: 3 })
  assert.deepEqual(await place.sweep([name]), ["12.7-3"])
  assert.deepEqual(await readdir(place.root), ["12.7-2"])
})
