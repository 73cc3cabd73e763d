// Every message that the scan lets through can be decoded, and whatever a decoder would choke on is found before it.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { CampaignSpecSchema } from "../../../proto/gen/cah/v1/job_pb.ts"
import {
  CancelRequestSchema,
  SubmitRequestSchema,
  UploadRequestSchema,
} from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { MESSAGE_DIGITS_MAX } from "../../limits.ts"
import { scanBinary, scanJson } from "./scan.ts"

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex")
const json = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value))
const malformed = { code: "invalid_argument", message: /malformed/ }
const tooMany = { code: "invalid_argument", message: /more than 1000 fields and elements/ }
const submit = SubmitRequestSchema

describe("a message in protobuf's binary form", () => {
  const whole = create(submit, {
    idempotencyKey: "k",
    spec: {
      name: "a näme",
      command: ["sh", "-c", "true"],
      env: { A: "1", B: "" },
      walltime: { seconds: 90n, nanos: 5 },
      priority: -3,
      retries: { max: 2, exitCodes: [1, 300, 70_000] },
      reservation: { start: { seconds: -1n } },
    },
    parameters: [{ line: "x" }, {}],
    notices: [{ occasions: [1, 3], target: { case: "mail", value: "a@b" } }],
  })

  it("passes as an encoder writes it, each field and element counted once", () => {
    const written = toBinary(submit, whole)
    scanBinary(submit, written, 1_000)
    // 1 key, spec 1 with name, command 3, env 2 (2 each), walltime 1 (2), priority, retries 1 with max, packed 1 (3),
    // reservation 1 with start 1 (1); parameters 2 (1); notices 1 with packed 1 (2) and mail.
    const count = 1 + 1 + 1 + 3 + 2 * 3 + 3 + 1 + (1 + 1 + 1 + 3) + (1 + 1 + 1) + 3 + (1 + 1 + 2 + 1)
    scanBinary(submit, written, count)
    assert.throws(() => scanBinary(submit, written, count - 1), /more than 32 fields and elements/)
  })

  for (const [what, type, hex, error] of [
    ["empty submessages", submit, "1a00".repeat(2_000), tooMany],
    ["empty submessages two levels down", submit, `12 a01f ${"5a00".repeat(2_000)}`, tooMany],
    ["packed numbers", CampaignSpecSchema, `7a d30f 12 d00f ${"00".repeat(2_000)}`, tooMany],
    ["entries of a map", CampaignSpecSchema, "1a00".repeat(2_000), tooMany],
    ["unknown fields", submit, "f80100".repeat(2_000), tooMany],
    ["one field again and again", UploadRequestSchema, "0a00".repeat(2_000), tooMany],
    ["ranges", CancelRequestSchema, "1200".repeat(2_000), tooMany],
    ["a cut varint", submit, "0a", malformed],
    ["a length beyond the end", submit, "0a05 61", malformed],
    ["a length beyond its message", submit, "1203 0a05 61 6161616161", malformed],
    ["a string that is not UTF-8", submit, "0a02 c328", malformed],
    ["a number where a string belongs", submit, "0801", malformed],
    ["a group", submit, "f301 f401", malformed],
    ["field 0", submit, "00", malformed],
    ["a varint of eleven bytes", CancelRequestSchema, "08 ffffffffffffffffffff01", malformed],
    ["a tag of six bytes", submit, "8a8080808000 00", malformed],
  ] as [string, DescMessage, string, object][]) {
    it(`S2: of ${what} is refused before it is decoded`, () => {
      assert.throws(() => scanBinary(type, bytes(hex), 1_000), error)
    })
  }

  it("S17: can be decoded if it passes, whatever its bytes are", () => {
    const start = toBinary(submit, whole)
    const change = fc.tuple(fc.nat(start.length - 1), fc.uint8Array({ maxLength: 4 }), fc.nat(3))
    const mutated = fc.array(change, { minLength: 1, maxLength: 4 }).map(changes => {
      let made: Uint8Array = start
      for (const [at, put, cut] of changes) made = Buffer.concat([made.subarray(0, at), put, made.subarray(at + cut)])
      return made
    })
    let passed = 0
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 40 })), made => {
        try {
          scanBinary(submit, made, 1_000)
        } catch {
          return
        }
        passed++
        fromBinary(submit, made)
      }),
      { numRuns: 20_000, seed: 1 },
    )
    assert.ok(passed > 1_000, `${passed} passed`)
  })
})

describe("a message in JSON", () => {
  for (const [what, text, error] of [
    ["empty objects", `{"parameters":[${"{},".repeat(2_000)}{}]}`, tooMany],
    ["entries of a map", `{"spec":{"env":{${Array.from({ length: 2_000 }, (_, i) => `"k${i}":""`)}}}}`, tooMany],
    ["levels", `{"spec":${"[".repeat(900)}`, /nested more than 32 levels/],
    ["digits", `{"spec":{"gather":"${"9".repeat(MESSAGE_DIGITS_MAX + 1)}"}}`, /number of 16385 digits/],
  ] as [string, string, object][]) {
    it(`S2: of many ${what} is refused before it is decoded`, () => {
      assert.throws(() => scanJson(submit, json(text), 1_000), error)
    })
  }

  it("may have anything in its strings", () => {
    scanJson(submit, json({ spec: { command: ['[[[[{{{{,,,,,"\\', "9".repeat(MESSAGE_DIGITS_MAX)] } }), 4)
  })
})
