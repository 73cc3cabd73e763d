import assert from "node:assert/strict"
import { test } from "node:test"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import fc from "fast-check"
import { CampaignSpecSchema } from "../../proto/gen/cah/v1/job_pb.ts"
import { orderOf } from "../cases/order.ts"
import type { CahError } from "../core/errors.ts"
import type { CampaignId, Rules } from "../core/model.ts"
import type { CampaignRow } from "../core/rows.ts"
import { MemoryStore } from "../store/memory/memory.ts"
import { campaignRow, commit } from "../store/store.suite.ts"
import { encodeSpec, specOf } from "./spec.ts"

const parts = { encode: encodeSpec, wallMs: 1_700_000_000_000 }
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 2n ** 53n, 2n ** 63n))
const text = fc.string({ unit: "binary", maxLength: 8 })

test("O13: whatever numbers and texts an order has, it is refused in words or fits the tables", async () => {
  const store = new MemoryStore()
  let id = 0
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        name: text,
        project: text,
        priority: fc.oneof(fc.integer(), fc.integer({ min: -10, max: 10 })),
        seconds: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: 1n, max: 10_000n })),
        nanos: fc.integer(),
        slots: fc.nat(0xffffffff),
        memoryBytes: uint64,
        diskBytes: uint64,
        array: fc.integer({ min: 1, max: 0xffffffff }),
        lossMax: fc.nat(0xffffffff),
        gather: uint64,
      }),
      async given => {
        const { name, project, priority, array, lossMax, gather, ...rest } = given
        const spec = create(CampaignSpecSchema, {
          command: ["true"],
          name,
          project,
          priority,
          array,
          lossMax,
          gather,
          walltime: { seconds: rest.seconds, nanos: rest.nanos },
          needs: { slots: rest.slots, memoryBytes: rest.memoryBytes, diskBytes: rest.diskBytes },
        })
        let row: CampaignRow
        try {
          const order = orderOf("ann", { key: `key ${id}`, spec: specOf(spec), notices: [] }, null, parts)
          const rules: Rules = order.rules
          row = campaignRow(++id, { ...order, ...order.needs, rules, id: id as CampaignId, hasParameters: false })
        } catch (thrown) {
          assert.match((thrown as CahError).code, /^(invalid_argument|not_found)$/, String(thrown))
          return
        }
        await commit(store, { kind: "campaign", row })
      },
    ),
    { numRuns: 2_000 },
  )
})

const number = fc.nat(0xffffffff)
const campaign = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n })
const duration = fc.option(fc.nat().map(durationFromMs), { nil: undefined })
const moment = fc.integer({ min: -1e12, max: 1e14 }).map(timestampFromMs)
const needs = fc.option(fc.record({ slots: number, memoryBytes: campaign, diskBytes: campaign }), { nil: undefined })
const blob = fc.record({ digest: fc.constant(`sha256:${"0a".repeat(32)}`), sizeBytes: campaign })
const words = fc.array(text, { maxLength: 3 })

test("a specification comes out of the hub's words with the bytes that it went in with, whatever it says", () => {
  const every = fc.record({
    name: text,
    command: words,
    env: fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }),
    stagein: fc.option(blob, { nil: undefined }),
    stageout: words,
    walltime: duration,
    needs,
    grace: duration,
    array: number,
    priority: fc.integer(),
    project: text,
    shapes: fc.array(fc.record({ needs, walltime: duration }), { maxLength: 2 }),
    property: text,
    hold: fc.boolean(),
    retries: fc.option(fc.record({ max: number, exitCodes: fc.array(number, { maxLength: 2 }) }), { nil: undefined }),
    after: fc.array(fc.record({ campaign, success: fc.boolean() }), { maxLength: 2 }),
    gather: campaign,
    deadline: fc.option(moment, { nil: undefined }),
    lossMax: fc.option(number, { nil: undefined }),
    bestEffort: fc.boolean(),
    reservation: fc.option(fc.record({ start: moment, end: fc.option(moment, { nil: undefined }) }), {
      nil: undefined,
    }),
    container: fc.boolean(),
    inside: campaign,
    requireStageout: fc.boolean(),
    parameterNames: words,
    maxFails: number,
    atOnce: number,
  })
  // A field that is added to the contract belongs into the hub's words, and into this list.
  const known = CampaignSpecSchema.fields.map(({ localName }) => localName).sort()
  fc.assert(
    fc.property(every, given => {
      assert.deepEqual(Object.keys(given).sort(), known)
      const env = Object.fromEntries(Object.entries(given.env).sort(([a], [b]) => (a < b ? -1 : 1)))
      const wire = create(CampaignSpecSchema, { ...given, env } as MessageInitShape<typeof CampaignSpecSchema>)
      const bytes = toBinary(CampaignSpecSchema, wire)
      assert.deepEqual(Buffer.from(encodeSpec(specOf(wire))), Buffer.from(bytes))
    }),
    { numRuns: 300 },
  )
})

test("what a later contract adds to a specification stays in it for nodes that know it", () => {
  const known = toBinary(CampaignSpecSchema, create(CampaignSpecSchema, { command: ["true"], array: 2 }))
  const sent = Buffer.concat([known, Buffer.from([0xa2, 0x3f, 0x02, 0x68, 0x69])])
  const spec = specOf(fromBinary(CampaignSpecSchema, sent))
  assert.deepEqual(Buffer.from(encodeSpec(spec)), sent)
})

test("a moment that no calendar has is refused in words", () => {
  for (const seconds of [2n ** 62n, -(2n ** 62n)]) {
    const spec = create(CampaignSpecSchema, { deadline: { seconds } })
    assert.throws(() => specOf(spec), {
      code: "invalid_argument",
      message: /the deadline .* is no moment of the years 1 to 9999/,
    })
  }
})
