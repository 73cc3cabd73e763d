import assert from "node:assert/strict"
import { test } from "node:test"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { ArchiveError, ENTRIES_MAX, Places, printable } from "./rules.ts"

test("one entry more than the bound is refused", () => {
  const places = new Places()
  for (let i = 0; i < ENTRIES_MAX; i++) places.take(`f${i}`, "file")
  assert.throws(
    () => places.take("one-more", "file"),
    (error: unknown) => error instanceof ArchiveError && error.rule === "entries",
  )
})

test("a hostile name is shown without its control characters, and cut", () => {
  assert.equal(printable("a\u001b[2J\u202eb"), '"a\\u001b[2J\\u202eb"')
  assert.ok(printable("x".repeat(5_000)).length < 250)
})

test("S5: what is remembered of an entry does not grow with its path", () => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  const heapOf = (name: (i: number) => string): number => {
    collect()
    const before = process.memoryUsage().heapUsed
    const places = new Places()
    for (let i = 0; i < 20_000; i++) places.take(name(i), "file")
    collect()
    const after = process.memoryUsage().heapUsed
    assert.ok(places.entries >= 20_000)
    return after - before
  }
  heapOf(i => `${i}`)
  const short = heapOf(i => `s${i}`)
  const long = heapOf(i => `${"l".repeat(250)}/${"l".repeat(250)}/${i}`)
  assert.ok(long < short * 1.5 + 1e6, `${long} bytes against ${short}`)
})

test("S5: the paths of one archive have a bound together", () => {
  const places = new Places()
  const wide = "w".repeat(250)
  assert.throws(() => {
    for (let i = 0; i < ENTRIES_MAX; i++) places.take(`${wide}/${wide}/${wide}/${i}`, "file")
  }, /the paths in it are more than 33554432 bytes/)
})

test("S5: an implied folder counts once, whether or not it is named later", () => {
  const places = new Places(3)
  assert.deepEqual(places.take("a/b/c", "file"), ["a", "a/b"])
  assert.deepEqual(places.take("a/b", "directory"), [])
  assert.throws(() => places.take("a/b/d", "file"), /more than 3 files and folders/)
})
