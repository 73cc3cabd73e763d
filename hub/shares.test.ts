import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { Shares } from "./shares.ts"

describe("places shared by address", () => {
  it("S6: the address that has most gives way, its oldest first, and to one that has fewer only", () => {
    const shares = new Shares(4, 3)
    const gone: string[] = []
    const take = (block: string, name: string) => shares.take(block, () => gone.push(name))
    for (const name of ["a1", "a2", "a3"]) assert.ok(take("a", name))
    assert.equal(take("a", "a4"), null, "its own bound")
    const giveBack = take("b", "b1")
    assert.ok(giveBack && take("c", "c1"))
    assert.deepEqual(gone, ["a1"])
    assert.equal(take("b", "b2"), null, "then it would have as many as the one that gives way")
    assert.equal(take("a", "a5"), null)
    giveBack()
    giveBack()
    assert.equal(shares.taken, 3)
    assert.ok(take("b", "b3"))
    assert.deepEqual(gone, ["a1"])
  })

  it("S6: are never more than there are, nor more than one address may have, whatever happens", () => {
    const steps = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.boolean(), fc.nat(9)), { maxLength: 200 })
    fc.assert(
      fc.property(steps, all => {
        const shares = new Shares(8, 5)
        const held = new Map<string, Set<() => void>>()
        for (const [block, isTaking, which] of all) {
          const mine = held.get(block) ?? new Set()
          held.set(block, mine)
          if (!isTaking) {
            const giveBack = [...mine][which % Math.max(1, mine.size)]
            if (giveBack === undefined) continue
            mine.delete(giveBack)
            giveBack()
            continue
          }
          const had = shares.hasRoomFor(block)
          let giveBack: (() => void) | null = null
          giveBack = shares.take(block, () => mine.delete(giveBack!))
          assert.equal(giveBack !== null, had)
          if (giveBack !== null) mine.add(giveBack)
        }
        const sizes = [...held.values()].map(({ size }) => size)
        assert.equal(
          shares.taken,
          sizes.reduce((sum, size) => sum + size, 0),
        )
        assert.ok(shares.taken <= 8 && sizes.every(size => size <= 5))
        for (const [block, { size }] of held) assert.equal(shares.of(block), size)
      }),
    )
  })
})
