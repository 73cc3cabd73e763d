import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Client, Code } from "@connectrpc/connect"
import type { CampaignSpecSchema } from "../../../proto/gen/cah/v1/job_pb.ts"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { openFront, type TestFront } from "../front.suite.ts"

type Spec = MessageInitShape<typeof CampaignSpecSchema>
type Ada = Client<typeof ScientistService>

const command = ["true"]
let keys = 0
const submit = (ada: Ada, spec: Spec, lines: string[] = []) =>
  ada.submit({ idempotencyKey: `key ${++keys}`, spec, parameters: lines.map(line => ({ line })) })

describe("a campaign", () => {
  let front: TestFront
  let ada: Ada
  before(async () => {
    front = await openFront()
    ada = front.scientist(await front.token("ada"))
  })
  after(() => front.close())

  it("with rules that make no sense is refused, each with the reason", async () => {
    const past = { seconds: 1n, nanos: 0 }
    const cases: [Spec, RegExp][] = [
      [{ property: "mem >" }, /column/],
      [{ retries: { max: 1_000 } }, /1000 retries are too many/],
      [{ retries: { max: 1, exitCodes: [0] } }, /retry exit code 0/],
      [{ lossMax: 100_000 }, /loss_max 100000/],
      [{ deadline: past }, /has passed/],
      [{ shapes: Array.from({ length: 17 }, () => ({})) }, /17 shapes/],
      [{ parameterNames: ["a"] }, /no parameters/],
    ]
    for (const [rules, rawMessage] of cases) {
      await assert.rejects(submit(ada, { command, array: 1, ...rules }), { code: Code.InvalidArgument, rawMessage })
    }
    const named = { command, parameterNames: ["a", "b"] }
    await assert.rejects(submit(ada, named, ['["1","2"]', '["1"]']), {
      rawMessage: /line 1 is not a JSON array of 2/,
    })
    await assert.rejects(submit(ada, { ...named, parameterNames: ["a", "a"] }, ["[]"]), { rawMessage: /once each/ })
    assert.equal((await submit(ada, named, ['["1","2"]'])).jobs, 1)
  })

  it("that waits for others says so until they have ended, and is refused when they are not there or failed", async () => {
    const first = await submit(ada, { command, array: 2, hold: true })
    const second = await submit(ada, { command, array: 1, after: [{ campaign: first.campaign, success: true }] })
    const shown = async (campaign: bigint) => (await ada.getCampaign({ campaign })).campaign
    assert.equal((await shown(first.campaign))?.held, true)
    assert.deepEqual((await shown(second.campaign))?.waitsFor, [first.campaign])
    await ada.setHold({ campaign: first.campaign, held: false })
    assert.equal((await shown(first.campaign))?.held, false)
    await ada.cancel({ campaign: first.campaign })
    assert.equal((await shown(second.campaign))?.counts?.cancelled, 1)
    const needs = (campaign: bigint) => submit(ada, { command, array: 1, after: [{ campaign, success: true }] })
    await assert.rejects(needs(first.campaign), { code: Code.FailedPrecondition, rawMessage: /must end well first/ })
    await assert.rejects(needs(999n), { code: Code.NotFound, rawMessage: /no campaign 999 to wait for/ })
    const eve = front.scientist(await front.token("eve"))
    const theirs = submit(eve, { command, array: 1, after: [{ campaign: first.campaign }] })
    await assert.rejects(theirs, { code: Code.NotFound })
  })
})
