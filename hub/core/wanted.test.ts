import assert from "node:assert/strict"
import { test } from "node:test"
import { Wanted } from "./wanted.ts"

test("counts the attempts that each job wants, and gives them out one by one in the order in which the jobs came", () => {
  const wanted = new Wanted()
  wanted.add(7)
  wanted.add(3, 3)
  wanted.add(9)
  wanted.add(7)
  assert.deepEqual([wanted.total, [...wanted], wanted.of(3), wanted.of(7), wanted.of(8)], [5, [7, 3, 9], 3, 1, 0])
  assert.deepEqual([wanted.take(3), wanted.take(7), wanted.take(7)], [true, true, false])
  assert.deepEqual([wanted.total, [...wanted], wanted.of(3)], [3, [3, 9], 2])
  assert.deepEqual([wanted.take(3), wanted.take(3), wanted.take(3)], [true, true, false])
  assert.deepEqual([wanted.total, [...wanted]], [1, [9]])
})

test("forgets what a job wanted, and takes the last word on how many", () => {
  const wanted = new Wanted()
  wanted.add(1, 4)
  wanted.add(1, 2)
  assert.equal(wanted.total, 2)
  wanted.add(2, 2)
  wanted.delete(1)
  wanted.delete(5)
  assert.deepEqual([wanted.total, wanted.has(1), wanted.of(1), [...wanted]], [2, false, 0, [2]])
  wanted.add(2)
  assert.equal(wanted.total, 1)
})
