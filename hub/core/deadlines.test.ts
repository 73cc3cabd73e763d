import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { Deadlines } from "./deadlines.ts"

test("what is due is taken in the order of its time, then of its adding, and nothing before its time", () => {
  const operations = fc.array(fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant("take" as const)), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(operations, steps => {
      const deadlines = new Deadlines<number>()
      const model: { atMs: number; number: number }[] = []
      for (const [number, operation] of steps.entries()) {
        if (operation !== "take") {
          deadlines.add(operation, number)
          model.push({ atMs: operation, number })
          model.sort((a, b) => a.atMs - b.atMs || a.number - b.number)
        } else {
          const due = model[0] !== undefined && model[0].atMs <= 25 ? model.shift()!.number : null
          assert.equal(deadlines.take(25), due)
        }
        assert.equal(deadlines.next(), model[0]?.atMs ?? null)
        assert.equal(deadlines.size, model.length)
      }
    }),
  )
})
