import assert from "node:assert/strict"
import { test } from "node:test"
import { create } from "@bufbuild/protobuf"
import fc from "fast-check"
import { CampaignSpecSchema } from "../../../proto/gen/cah/v1/job_pb.ts"
import type { CahError } from "../../core/errors.ts"
import type { CampaignId, Rules } from "../../core/model.ts"
import type { CampaignRow } from "../../core/rows.ts"
import { MemoryStore } from "../../store/memory/memory.ts"
import { campaignRow, commit } from "../../store/store.suite.ts"
import { orderOf } from "./order.ts"

const NOW = 1_700_000_000_000
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 2n ** 53n, 2n ** 63n))
const text = fc.string({ unit: "binary", maxLength: 8 })

test("O13: two keys that differ by half a character are no keys: the database could not tell them apart", () => {
  const spec = create(CampaignSpecSchema, { command: ["true"], array: 1 })
  for (const key of ["k\ud800", "k\udc00"]) {
    assert.throws(() => orderOf("ann", key, spec, null, [], NOW), {
      code: "invalid_argument",
      message: /idempotency_key contains half a surrogate pair/,
    })
  }
})

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
          const order = orderOf("ann", `key ${id}`, spec, null, [], NOW)
          const rules: Rules = order.rules
          row = campaignRow(++id, { ...order, ...order.needs, rules, id: id as CampaignId, hasParameters: false })
        } catch (thrown) {
          assert.equal((thrown as CahError).code, "invalid_argument", String(thrown))
          return
        }
        await commit(store, { kind: "campaign", row })
      },
    ),
    { numRuns: 2_000 },
  )
})
