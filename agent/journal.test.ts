import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "node:test"
import { name, scratch, spec } from "./fixtures.ts"
import { openJournal } from "./journal.ts"

const entry = (index: number) => ({
  name: { ...name, index },
  spec: spec({ env: { "1": "one", a: "é\n" } }),
  result: null,
})

test("what was saved is there after a restart, and what was forgotten is not", async () => {
  const directory = scratch()
  const { journal } = await openJournal(directory)
  await Promise.all([1, 2, 3].map(index => journal.save(entry(index))))
  await journal.forget(entry(2).name)
  await journal.forget(entry(99).name)
  const again = await openJournal(directory)
  assert.deepEqual(again.entries, [entry(1), entry(3)])
  assert.deepEqual(again.damaged, [])
})

test("of two saves for one attempt the later wins, and a forget after a save under way is not undone by it", async () => {
  const directory = scratch()
  const { journal } = await openJournal(directory)
  const first = journal.save(entry(1))
  const second = journal.save({ ...entry(1), spec: spec({ owner: "later" }) })
  await Promise.all([first, second])
  assert.equal((await openJournal(directory)).entries[0]!.spec.owner, "later")
  const third = journal.save(entry(1))
  await Promise.all([third, journal.forget(entry(1).name)])
  assert.deepEqual((await openJournal(directory)).entries, [])
})

test("a torn file, one with a flipped bit and one half-written are ignored, reported and put aside", async () => {
  const directory = scratch()
  const { journal } = await openJournal(directory)
  for (const index of [1, 2, 3]) await journal.save(entry(index))
  const [one, two] = (await readdir(directory)).sort().map(file => join(directory, file))
  await writeFile(one!, (await readFile(one!)).subarray(0, 100))
  await writeFile(two!, (await readFile(two!, "utf8")).replace('"ada"', '"eve"'))
  await writeFile(join(directory, "12.9-1.tmp"), "half")
  const again = await openJournal(directory)
  assert.deepEqual(again.entries, [entry(3)])
  assert.deepEqual(
    again.damaged.map(({ file }) => file),
    ["12.1-2.json.damaged", "12.2-2.json.damaged"],
  )
  assert.match(again.damaged[0]!.why, /digest/)
  assert.deepEqual((await openJournal(directory)).damaged, [], "reported once")
  assert.ok(!(await readdir(directory)).includes("12.9-1.tmp"))
})

test("on a full disk a save fails, leaves nothing half, and works again when there is room", {
  skip: process.getuid?.() !== 0 && "needs root to mount",
}, async () => {
  const directory = join(scratch(), "small")
  mkdirSync(directory)
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", directory])
  try {
    const { journal } = await openJournal(directory)
    await writeFile(join(directory, "ballast"), "x".repeat(12_000))
    const large = { ...entry(1), spec: spec({ env: { big: "x".repeat(9_000) } }) }
    await assert.rejects(journal.save(large), { code: "ENOSPC" })
    assert.deepEqual(await readdir(directory), ["ballast"])
    await writeFile(join(directory, "ballast"), "")
    await journal.save(large)
    assert.equal((await openJournal(directory)).entries.length, 1)
  } finally {
    execFileSync("umount", [directory])
  }
})
