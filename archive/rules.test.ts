import assert from "node:assert/strict"
import { test } from "node:test"
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
