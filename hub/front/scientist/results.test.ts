// What jobs left behind, as the scientist's service tells and gives it: files, logs, errors and warnings.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Client, Code } from "@connectrpc/connect"
import { type CampaignSpecSchema, Outcome } from "../../../proto/gen/cah/v1/job_pb.ts"
import { Output, type ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { keep, openFront, refOf, type TestFront } from "../front.suite.ts"

type Spec = MessageInitShape<typeof CampaignSpecSchema>
type Ada = Client<typeof ScientistService>

const command = ["true"]
let keys = 0
const submit = (ada: Ada, spec: Spec) => ada.submit({ idempotencyKey: `key ${++keys}`, spec })

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const gathered: T[] = []
  for await (const each of source) gathered.push(each)
  return gathered
}

describe("a campaign's results", () => {
  let front: TestFront
  let ada: Ada
  before(async () => {
    front = await openFront()
    ada = front.scientist(await front.token("ada"))
    await front.node.join(front.engine, 16)
  })
  after(() => front.close())

  it("F6: a result's warnings are shown with its job, and counted with the campaign, apart from errors", async () => {
    const { campaign } = await submit(ada, { command, array: 3 })
    for (const index of [0, 1, 2]) {
      const offer = await front.node.offered(campaign, index)
      await front.node.finish(offer, { warnings: index === 0 ? "" : "result.csv matched nothing" })
    }
    const { errors, warnings, campaign: view } = await ada.getCampaign({ campaign })
    assert.deepEqual([errors, view?.counts?.finished], [[], 3])
    assert.deepEqual(
      warnings.map(({ text, count, example }) => [text, count, example?.index]),
      [["result.csv matched nothing", 2, 1]],
    )
    const { job } = await ada.getJob({ id: { campaign, index: 2 } })
    assert.equal(job?.result?.warnings, "result.csv matched nothing")
  })

  it("a result whose files the hub has lost is lost data, and not a wrong question", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const stageout = await keep(front, Buffer.from("soon gone"))
    await front.node.finish(await front.node.offered(campaign, 0), { stageout })
    assert.equal(await front.blobs.remove(stageout.digest, 0), true)
    await assert.rejects(all(ada.download({ job: { campaign, index: 0 }, output: Output.STAGEOUT })), {
      code: Code.DataLoss,
      rawMessage: /the hub has lost blob sha256:.*backup/,
    })
  })

  it("a list names outputs by digest where they would make it too large, and they can be had all the same", async () => {
    const { campaign } = await submit(ada, { command, array: 100 })
    const inline = Buffer.alloc(16 * 1024, "x")
    const stdout = { inline, blob: null, droppedBytes: 0 }
    for (let index = 0; index < 100; index++) {
      await front.node.finish(await front.node.offered(campaign, index), { stdout })
    }
    const { jobs } = await ada.listJobs({ campaign, limit: 1000 })
    assert.equal(jobs.filter(job => job.result?.stdout?.inline.length === inline.length).length, 64)
    const last = jobs.at(-1)?.result?.stdout
    assert.deepEqual([last?.inline.length, last?.blob?.digest], [0, refOf(inline).digest])
    const bytes = await all(ada.download({ job: { campaign, index: 99 }, output: Output.STDOUT }))
    assert.deepEqual([bytes[0]?.blob?.digest, bytes[1]?.data.length], [last?.blob?.digest, inline.length])
  })

  it("a job without files, and one that was cancelled, say so", async () => {
    const { campaign } = await submit(ada, { command, array: 2 })
    await front.node.finish(await front.node.offered(campaign, 0))
    await ada.cancel({ campaign })
    const files = (index: number) => all(ada.download({ job: { campaign, index }, output: Output.STAGEOUT }))
    await assert.rejects(files(0), { code: Code.NotFound, rawMessage: /returned no files/ })
    await assert.rejects(files(1), { code: Code.NotFound, rawMessage: /ended as cancelled and left nothing/ })
  })

  it("M5: failed jobs are tried again in their campaign, asked twice they are so once, and what needs it waits again", async () => {
    const { campaign } = await submit(ada, { command, array: 2 })
    const next = (await submit(ada, { command, array: 1, after: [{ campaign, success: true }] })).campaign
    const offered = [await front.node.offered(campaign, 0), await front.node.offered(campaign, 1)]
    await front.node.finish(offered[0]!)
    await front.node.finish(offered[1]!, { outcome: "failed", exitCode: 1 })
    const shown = async (id: bigint) => (await ada.getCampaign({ campaign: id })).campaign
    assert.deepEqual([(await shown(campaign))?.totals?.resubmissions, (await shown(next))?.counts?.cancelled], [0n, 1])
    const ask = { campaign, seenResubmissions: 0n }
    const { jobs, existed, dependants } = await ada.retryJobs(ask)
    assert.deepEqual([jobs, existed, dependants], [1, false, [next]])
    const again = await ada.retryJobs(ask)
    assert.deepEqual([again.jobs, again.existed, again.campaign], [0, true, campaign])
    assert.deepEqual([(await shown(campaign))?.totals?.resubmissions, (await shown(next))?.waitsFor], [1n, [campaign]])
    await assert.rejects(ada.retryJobs({ ...ask, seenResubmissions: 5n }), { code: Code.Aborted })
    const isSecond = (one: { campaign: number; attempt: number }) =>
      one.campaign === Number(campaign) && one.attempt === 2
    await front.node.until(() => front.node.offers.some(isSecond))
    await front.node.finish(front.node.offers.find(isSecond)!)
    await front.node.finish(await front.node.offered(next, 0))
    assert.deepEqual([(await shown(campaign))?.counts?.finished, (await shown(next))?.counts?.finished], [2, 1])
    const well = { code: Code.FailedPrecondition, rawMessage: /all jobs of campaign \d+ finished well/ }
    await assert.rejects(ada.retryJobs({ campaign }), well)
    const ranges = [{ first: 1, last: 2 }]
    await assert.rejects(ada.retryJobs({ campaign, ranges }), { code: Code.InvalidArgument, rawMessage: /range 1-2/ })
  })

  it("M1: what each attempt wrote that failed and was tried again is shown and downloaded by its number", async () => {
    const { campaign } = await submit(ada, { command, array: 1, retries: { max: 2 } })
    const text = (words: string) => ({ inline: Buffer.from(words), blob: null, droppedBytes: 0 })
    const name = { campaign: Number(campaign), index: 0 } as const
    const offered = (attempt: number) =>
      front.node.until(() => front.node.offers.some(one => one.campaign === name.campaign && one.attempt === attempt))
    for (const attempt of [1, 2]) {
      await offered(attempt)
      const offer = { ...name, campaign: name.campaign as never, attempt }
      await front.node.finish(offer, { outcome: "failed", exitCode: attempt, stdout: text(`try ${attempt}\n`) })
    }
    await offered(3)
    await front.node.finish({ ...name, campaign: name.campaign as never, attempt: 3 }, { stdout: text("well\n") })
    const job = { campaign, index: 0 }
    const { job: shown } = await ada.getJob({ id: job })
    assert.deepEqual(
      shown?.earlier.map(one => [one.attempt, one.node, one.result?.exitCode]),
      [
        [1, front.node.id, 1],
        [2, front.node.id, 2],
      ],
    )
    const read = async (attempt: number) =>
      Buffer.concat(
        (await all(ada.download({ job, output: Output.STDOUT, attempt }))).map(({ data }) => data),
      ).toString()
    assert.deepEqual(
      [await read(1), await read(2), await read(3), await read(0)],
      ["try 1\n", "try 2\n", "well\n", "well\n"],
    )
    await assert.rejects(read(4), {
      code: Code.NotFound,
      rawMessage: /of attempt 4 at job .* kept are those of 1, 2, 3/,
    })
    const eve = front.scientist(await front.token("eve"))
    await assert.rejects(all(eve.download({ job, output: Output.STDOUT, attempt: 1 })), { code: Code.NotFound })
  })

  it("the commonest errors of a campaign are summed up", async () => {
    const { campaign } = await submit(ada, { command, array: 3 })
    for (const [index, exitCode] of [3, 7, 7].entries()) {
      const offer = await front.node.offered(campaign, index)
      await front.node.finish(offer, { outcome: "failed", exitCode, message: "no scene" })
    }
    const { errors } = await ada.getCampaign({ campaign })
    assert.deepEqual(
      errors.map(({ outcome, exitCode, count, example }) => [outcome, exitCode, count, example?.index]),
      [
        [Outcome.FAILED, 7, 2, 1],
        [Outcome.FAILED, 3, 1, 0],
      ],
    )
  })
})
