import assert from "node:assert/strict"
import { test } from "node:test"
import { folderOf } from "./folder.ts"

test("F14: folders of jobs sort as the jobs do", () => {
  for (const jobs of [1, 9, 10, 11, 100, 101, 1_000]) {
    const names = Array.from({ length: jobs }, (_, index) => folderOf(index, jobs))
    assert.deepEqual([...names].sort(), names)
    assert.deepEqual(names.map(Number), [...names.keys()])
  }
  assert.deepEqual([folderOf(0, 1), folderOf(7, 10), folderOf(7, 12), folderOf(7, 0)], ["0", "7", "07", "7"])
})
