import assert from "node:assert/strict"
import { it } from "node:test"
import { assert as check, nat, property, string, uniqueArray } from "fast-check"
import { firstAfter } from "./page.ts"

it("O9: a page is what sorting all would give, and pages one after the other are all of it", () => {
  void check(
    property(uniqueArray(string({ minLength: 1 })), nat(7), (ids, more) => {
      const limit = more + 1
      const all = ids.map(id => ({ id }))
      const paged: string[] = []
      for (let after = ""; ; after = paged.at(-1)!) {
        const page = firstAfter(all, after, limit)
        paged.push(...page.map(({ id }) => id))
        if (page.length < limit) break
      }
      assert.deepEqual(
        paged,
        [...ids].sort((a, b) => (a < b ? -1 : 1)),
      )
    }),
  )
})

it("O9: a page of a hundred thousand compares each id a few times, not as often as sorting does", () => {
  let looks = 0
  const all = Array.from({ length: 100_000 }, (_, at) => {
    const id = `n${((at * 48_271) % 100_003).toString(16).padStart(16, "0")}`
    return {
      get id() {
        looks++
        return id
      },
    }
  })
  assert.equal(firstAfter(all, "", 1_000).length, 1_000)
  // Sorted, each id is looked at some 34 times.
  assert.ok(looks < 5 * all.length, `${looks} looks`)
})
