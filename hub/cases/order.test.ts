import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { Notice } from "../core/model.ts"
import { Lines, orderOf } from "./order.ts"
import { plain, type Specification } from "./specification.ts"

const parts = { encode: () => new Uint8Array(), wallMs: 1_700_000_000_000 }
const spec: Specification = { ...plain, command: ["true"] }

function order(change: Partial<Specification> = {}, key = "k", notices: Notice[] = []) {
  return orderOf("ann", { key, spec: { ...spec, ...change }, notices }, null, parts)
}

describe("an order", () => {
  it("of a specification without a wish has the hub's defaults", () => {
    const { needs, walltimeMs, rules, total, held, waitsFor, lines } = order()
    assert.deepEqual(
      { needs, walltimeMs, total, held, waitsFor, lines },
      {
        needs: { slots: 1, memoryBytes: 0, diskBytes: 0 },
        walltimeMs: 2 * 3_600_000,
        total: 1,
        held: false,
        waitsFor: [],
        lines: null,
      },
    )
    assert.deepEqual([rules.retryMax, rules.lossMax, rules.failMax, rules.deadlineAt], [0, 10, null, null])
  })

  it("O13: with two keys that differ by half a character has no key: the database could not tell them apart", () => {
    for (const key of ["k\ud800", "k\udc00"]) {
      assert.throws(() => order({}, key), {
        code: "invalid_argument",
        message: /idempotency_key contains half a surrogate pair/,
      })
    }
  })

  const wrong: readonly (readonly [string, Partial<Specification>, RegExp])[] = [
    ["no command", { command: [] }, /the command is empty/],
    ["no job", { array: 0 }, /a campaign has at least one job/],
    ["half a byte", { needs: { slots: 1, memoryBytes: 0.5, diskBytes: 0 } }, /memory_bytes 0.5 is out of range/],
    ["less than no disk", { needs: { slots: 1, memoryBytes: 0, diskBytes: -1 } }, /disk_bytes -1 is out of range/],
    ["no time", { walltimeMs: 0 }, /walltime 0 s is out of range: 1 s to/],
    ["a deadline in the past", { deadlineAt: parts.wallMs }, /the deadline 2023-11-14T.* has passed/],
    ["names without lines", { parameterNames: ["a"] }, /parameter_names are given, and no parameters/],
    [
      "best effort that is reserved",
      { bestEffort: true, reservation: { startAt: 2e12, endAt: null } },
      /too far|can't be/,
    ],
    ["an end before its start", { reservation: { startAt: 2e12, endAt: 1e12 } }, /before it starts/],
  ]
  for (const [what, change, message] of wrong) {
    it(`with ${what} is refused`, () => assert.throws(() => order(change), { code: "invalid_argument", message }))
  }

  it("gathers what it waits for, and tells each occasion once", () => {
    const target = { kind: "mail", address: "ann@example.org" } as const
    const { waitsFor, rules } = order({ gather: 7 as never }, "k", [{ occasions: ["end", "end"], target }])
    assert.deepEqual(waitsFor, [{ campaign: 7, success: true }])
    assert.deepEqual(rules.notices, [{ occasions: ["end"], target }])
    assert.throws(() => order({}, "k", [{ occasions: [], target }]), /notice 0 names no occasion/)
    const mailer = { kind: "mail", address: "-oQ/tmp@example.org" } as const
    assert.throws(() => order({}, "k", [{ occasions: ["end"], target: mailer }]), /is not a mail address/)
  })

  it("has another digest with other lines, also where their bytes are the same together", () => {
    const digest = (lines: string[]) => orderOf("ann", { key: "k", spec, notices: [] }, lines, parts).specDigest
    assert.equal(digest(["a", "b"]), digest(["a", "b"]))
    assert.notEqual(digest(["ab", ""]), digest(["a", "b"]))
  })
})

describe("lines of parameters", () => {
  it("are held to the names that the specification gives them", () => {
    const lines = new Lines().of({ ...spec, parameterNames: ["a", "b"] })
    lines.add(['["1","2"]'])
    assert.throws(() => lines.add(['["1"]']), /parameter line 1 is not a JSON array of 2 strings/)
    assert.throws(() => new Lines().of({ ...spec, parameterNames: ["a", "a"] }), /once each/)
  })
})
