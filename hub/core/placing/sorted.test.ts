import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { Heap, type Ranked } from "../heap.ts"
import { Sorted } from "./sorted.ts"

test("a sorted set is what a sorted array would be, whatever is added and taken out", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 3_000 })), { maxLength: 5_000 }), changes => {
      const sorted = new Sorted<number>((a, b) => a - b)
      const twin = new Set<number>()
      for (const [isAdded, value] of changes) {
        if (isAdded && !twin.has(value)) sorted.add(value)
        else if (!isAdded) assert.equal(sorted.remove(value), twin.has(value))
        if (isAdded) twin.add(value)
        else twin.delete(value)
        assert.equal(sorted.isEmpty, twin.size === 0)
      }
      const wanted = [...twin].sort((a, b) => a - b)
      assert.deepEqual([...sorted], wanted)
      assert.equal(sorted.first, wanted[0])
    }),
    { numRuns: 30 },
  )
})

test("a visit sees each entry in order, one that it moves to a later place once more there, and ends when it is told to", () => {
  const places = fc.array(fc.tuple(fc.integer({ min: 0, max: 2_000 }), fc.nat(900)), { maxLength: 300 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 0, max: 2_000 }), places, (size, end, moves) => {
      interface Entry {
        at: number
        readonly number: number
      }
      const sorted = new Sorted<Entry>((a, b) => a.at - b.at || a.number - b.number)
      for (let number = 0; number < size; number++) sorted.add({ at: number, number })
      const by = new Map(moves)
      const seen: Entry[] = []
      sorted.visit(entry => {
        const distance = by.get(entry.number)
        if (distance !== undefined) {
          by.delete(entry.number)
          sorted.remove(entry)
          entry.at += distance
          sorted.add(entry)
          return "again"
        }
        seen.push(entry)
        return seen.length > end ? "enough" : "on"
      })
      // A chunk that was split may be seen again in part.
      const order = [...new Set(seen)]
      assert.deepEqual(order, [...sorted].slice(0, order.length))
      if (seen.length <= end) assert.equal(order.length, size)
    }),
    { numRuns: 50 },
  )
})

test("a heap gives its entries by key and number, however keys are moved and entries taken out", () => {
  const change = fc.tuple(fc.constantFrom("move", "remove", "take"), fc.nat(200), fc.nat(20))
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 200 }), fc.array(change, { maxLength: 200 }), (keys, changes) => {
      const heap = new Heap<Ranked>()
      const inside = keys.map((key, number) => ({ key, number, at: -1 }))
      for (const entry of inside) heap.add(entry)
      const least = () => [...inside].sort((a, b) => a.key - b.key || a.number - b.number)[0]
      for (const [kind, which, key] of changes) {
        const entry = kind === "take" ? heap.top : inside[which % inside.length]
        if (entry === undefined) break
        if (kind === "move") {
          entry.key = key
          heap.moved(entry)
        } else {
          heap.remove(entry)
          inside.splice(inside.indexOf(entry as (typeof inside)[number]), 1)
          assert.equal(entry.at, -1)
        }
        assert.equal(heap.top, least())
        assert.equal(heap.size, inside.length)
      }
    }),
  )
})
