// By hand and by the generated code: the same bytes written, the same words read, and where the hand knows nothing, nothing.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { type AgentBodyInit, decodeAgentFrame, encodeAgentFrame, encodeHubFrame } from "../../proto/wire/frame.ts"
import type { AttemptName } from "../core/effects.ts"
import type { ReportPhase } from "../core/events.ts"
import type { CampaignId } from "../core/model.ts"
import { answerBody, offerBody, reportOf } from "./convert.ts"
import { offerFrame, quickHeartbeat, quickReport, reportAnswerFrame } from "./hot.ts"

const name = fc.record(
  {
    campaign: fc.oneof(
      fc.integer({ min: 1, max: 300 }),
      fc.maxSafeNat().filter(id => id > 0),
    ),
    index: fc.oneof(fc.nat(300), fc.nat(0xffff_ffff)),
    attempt: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 0xffff_ffff })),
  },
  { noNullPrototype: true },
) as fc.Arbitrary<AttemptName>
const phase = fc.constantFrom<ReportPhase>("staging", "running", "returning", "ended")

const duration = fc.record({ seconds: fc.bigInt({ min: 0n, max: 10n ** 9n }), nanos: fc.nat(1_200_000_000) })
const log = fc.constantFrom(undefined, {}, {}, { inline: new Uint8Array([1]) }, { droppedBytes: 5n })
const result = fc.record(
  {
    outcome: fc.constantFrom(Outcome.FINISHED, Outcome.FAILED, Outcome.LOST, Outcome.REFUSED, Outcome.CANCELLED),
    exitCode: fc.oneof(fc.constant(0), fc.integer({ min: -3, max: 300 })),
    message: fc.constantFrom("", "", "killed"),
    warnings: fc.constantFrom("", "", "", "a.csv matched nothing"),
    stdout: log,
    stderr: log,
    runTime: fc.option(duration, { nil: undefined }),
    cpuTime: fc.option(duration, { nil: undefined }),
    peakMemoryBytes: fc.bigInt({ min: 0n, max: 2n ** 60n }),
  },
  { requiredKeys: ["outcome"], noNullPrototype: true },
)

function report(of: AttemptName, wire: Phase, ended: object | undefined): AgentBodyInit {
  const { campaign, index, attempt } = of
  const value = { attempt: { campaign: BigInt(campaign), index, attempt }, phase: wire }
  return { case: "report", value: ended === undefined ? value : { ...value, result: ended } }
}

/** What the long way makes of the bytes; null: it refuses them. */
function slowly(bytes: Uint8Array) {
  try {
    const body = decodeAgentFrame(bytes)
    return body.case === "report" ? reportOf(body.value) : null
  } catch {
    return null
  }
}

test("a report that is read by hand says what the generated code would have said", () => {
  let quick = 0
  const reports = fc.tuple(name, fc.constantFrom(4, 5, 6, 7, 7, 7), fc.option(result, { nil: undefined }))
  fc.assert(
    fc.property(reports, ([of, wire, ended]) => {
      const bytes = encodeAgentFrame(report(of, wire as Phase, ended))
      const read = quickReport(bytes)
      if (read === null) return
      quick++
      assert.deepEqual(read, slowly(bytes))
    }),
    { numRuns: 3_000 },
  )
  assert.ok(quick > 100, `${quick} were read by hand`)
})

test("the usual reports of a job that leaves nothing are read by hand", () => {
  for (const wire of [Phase.STAGING, Phase.RUNNING, Phase.RETURNING]) {
    const read = quickReport(
      encodeAgentFrame(report({ campaign: 12 as CampaignId, index: 7, attempt: 2 }, wire, undefined)),
    )
    assert.deepEqual([read?.campaign, read?.index, read?.attempt, read?.result], [12, 7, 2, null])
  }
  const ended = {
    outcome: Outcome.FAILED,
    exitCode: 3,
    stdout: {},
    stderr: {},
    runTime: { nanos: 5_000_000 },
    cpuTime: {},
  }
  const read = quickReport(
    encodeAgentFrame(report({ campaign: 1 as CampaignId, index: 0, attempt: 1 }, Phase.ENDED, ended)),
  )
  assert.deepEqual([read?.result?.outcome, read?.result?.exitCode, read?.result?.runMs], ["failed", 3, 5])
})

test("whatever bytes come, the hand reads nothing that the generated code would read differently, or refuse", () => {
  const base = fc.tuple(name, fc.constantFrom(5, 7), fc.option(result, { nil: undefined }))
  const edits = fc.array(fc.tuple(fc.nat(60), fc.nat(255), fc.constantFrom("set", "insert", "remove")), {
    maxLength: 3,
  })
  fc.assert(
    fc.property(base, edits, ([of, wire, ended], changes) => {
      const bytes = [...encodeAgentFrame(report(of, wire as Phase, ended))]
      for (const [at, value, kind] of changes) {
        bytes.splice(at % bytes.length, kind === "insert" ? 0 : 1, ...(kind === "remove" ? [] : [value]))
        if (bytes.length === 0) return
      }
      const frame = Uint8Array.from(bytes)
      const read = quickReport(frame)
      if (read !== null) assert.deepEqual(read, slowly(frame))
    }),
    { numRuns: 20_000 },
  )
})

test("a heartbeat is read by hand", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), sequence => {
      const frame = encodeAgentFrame({ case: "heartbeat", value: { sequence: BigInt(sequence) } })
      assert.equal(quickHeartbeat(frame), sequence)
    }),
  )
  assert.equal(quickHeartbeat(Uint8Array.of(0x12, 0x05, 0x08)), null)
})

test("answers and offers are the same bytes as the generated code's", () => {
  fc.assert(
    fc.property(name, phase, fc.constantFrom("accepted", "already", "stale" as const), (of, at, answer) => {
      const slow = encodeHubFrame(answerBody(of, at, answer))
      assert.deepEqual([...reportAnswerFrame(of, at, answer)], [...slow])
    }),
  )
  const offer = fc.record(
    {
      owner: fc.string({ unit: "grapheme" }),
      spec: fc.uint8Array({ maxLength: 400 }),
      line: fc.option(fc.string({ unit: "grapheme", maxLength: 300 })),
      total: fc.nat(0xffff_ffff),
      inside: fc.boolean(),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(name, offer, (of, rest) => {
      const whole = { ...of, ...rest, shape: null }
      assert.deepEqual([...offerFrame(whole)!], [...encodeHubFrame(offerBody(whole))])
      assert.deepEqual([...offerFrame(whole)!], [...encodeHubFrame(offerBody(whole))], "and again")
    }),
    { numRuns: 500 },
  )
  const shape = { needs: { slots: 1, memoryBytes: 0, diskBytes: 0 }, walltimeMs: 1_000 }
  const of = { campaign: 1 as CampaignId, index: 0, attempt: 1 }
  assert.equal(
    offerFrame({ ...of, owner: "a", spec: new Uint8Array(), line: null, total: 1, shape, inside: false }),
    null,
  )
})
