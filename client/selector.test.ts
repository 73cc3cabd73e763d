import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { ClientError } from "./errors.ts"
import { mergeRanges, parseId, parseSelector, readName } from "./selector.ts"

const good: readonly [string, unknown][] = [
  ["12", [{ campaign: 12n, jobs: null }]],
  ["1_000", [{ campaign: 1000n, jobs: null }]],
  ["12.7", [{ campaign: 12n, jobs: [{ first: 7, last: 7 }] }]],
  ["12.0-99", [{ campaign: 12n, jobs: [{ first: 0, last: 99 }] }]],
  ["12.0-4:2", [{ campaign: 12n, jobs: [0, 2, 4].map(index => ({ first: index, last: index })) }]],
  ["1-10:4", [1n, 5n, 9n].map(campaign => ({ campaign, jobs: null }))],
  ["last", [{ campaign: "last", jobs: null }]],
  ["last.3", [{ campaign: "last", jobs: [{ first: 3, last: 3 }] }]],
  ["all", [{ campaign: "all", jobs: null }]],
  ["3, 5,3", [3n, 5n].map(campaign => ({ campaign, jobs: null }))],
  [
    "12.5-9,12.0-4,12.20",
    [
      {
        campaign: 12n,
        jobs: [
          { first: 0, last: 9 },
          { first: 20, last: 20 },
        ],
      },
    ],
  ],
  ["12.1,12", [{ campaign: 12n, jobs: null }]],
]
for (const [text, expected] of good) {
  test(`the selector ${text} is understood`, () => assert.deepEqual(parseSelector([text]), expected))
}

const bad = [
  "",
  ",",
  "0",
  "-1",
  "12.",
  "12.-3",
  "9-3",
  "1-10:0",
  "12.9-3",
  "all.1",
  "x",
  "12.7#2",
  "1__0",
  "_1",
  "12..3",
  "1-99999",
  "12.0-99999:2",
  "12.4294967296",
  "1".repeat(60),
]
for (const text of bad) {
  test(`the selector "${text.slice(0, 20)}" is refused with what would be taken`, () => {
    assert.throws(
      () => parseSelector([text]),
      (error: unknown) => error instanceof ClientError && error.code === "usage",
    )
  })
}

test("an id is one campaign or one job", () => {
  assert.deepEqual(parseId("12"), { campaign: 12n, jobs: null })
  assert.deepEqual(parseId("last.4"), { campaign: "last", jobs: [{ first: 4, last: 4 }] })
  assert.deepEqual(parseId("@wing.4"), { campaign: "@wing.4", jobs: null })
  for (const text of ["1-2", "1,2", "all", "12.0-3"]) assert.throws(() => parseId(text), /more than one/)
})

test("a name is a campaign's, and before its last dot perhaps jobs of one", () => {
  assert.deepEqual(readName("@wing"), { whole: "wing", short: "wing", jobs: null })
  assert.deepEqual(readName("@v1.2"), { whole: "v1.2", short: "v1", jobs: [{ first: 2, last: 2 }] })
  assert.deepEqual(readName("@a b.0-9:3").jobs?.length, 4)
  assert.deepEqual(readName("@.5"), { whole: ".5", short: ".5", jobs: null })
  assert.throws(() => parseSelector(["@x.5-1"]), /upwards/)
})

test("merged ranges cover the same numbers, sorted and apart", () => {
  const range = fc.tuple(fc.nat(50), fc.nat(9)).map(([first, length]) => ({ first, last: first + length }))
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), ranges => {
      const covered = (all: readonly { first: number; last: number }[]) =>
        Array.from({ length: 70 }, (_, index) => all.some(({ first, last }) => index >= first && index <= last))
      const merged = mergeRanges(ranges)
      assert.deepEqual(covered(merged), covered(ranges))
      for (const [at, next] of merged.slice(1).entries()) assert.ok(next.first > (merged[at]?.last ?? 0) + 1)
    }),
  )
})
