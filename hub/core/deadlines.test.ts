import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { Deadlines } from "./deadlines.ts"

test("what is due is taken in the order of its time, and nothing before its time", () => {
  const operations = fc.array(fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant("take" as const)), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(operations, steps => {
      const deadlines = new Deadlines<number>()
      const model: number[] = []
      for (const operation of steps) {
        if (operation !== "take") {
          deadlines.add(operation, operation)
          model.push(operation)
          model.sort((a, b) => a - b)
        } else {
          const due = model[0] !== undefined && model[0] <= 25 ? model.shift()! : null
          assert.equal(deadlines.take(25), due)
        }
        assert.equal(deadlines.next(), model[0] ?? null)
        assert.equal(deadlines.size, model.length)
      }
    }),
  )
})
