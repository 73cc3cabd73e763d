import assert from "node:assert/strict"
import { test } from "node:test"
import { readValues, writeValues } from "./parameters.ts"

test("values come back as they were given, whatever is in them", () => {
  const values = ["", "a b", "'\"\n\\", "é"]
  assert.deepEqual(readValues(writeValues(values), 4), values)
})

test("anything but so many strings is nothing", () => {
  for (const line of ["", "x", "{}", "null", '["a"]', '["a","b","c"]', '["a",1]', '["a",["b"]]']) {
    assert.equal(readValues(line, 2), null, line)
  }
})
