// Kinds of orders at the rim: what is refused, with which words; holds of jobs, the dry run, explanations, what is kept.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt"
import { type Client, Code, type ConnectError } from "@connectrpc/connect"
import { ErrorDetailSchema, Reason, Retry } from "../../../proto/gen/cah/v1/error_pb.ts"
import { type CampaignSpecSchema, Phase } from "../../../proto/gen/cah/v1/job_pb.ts"
import { Cause, type NoticeSchema, Occasion, type ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { campaignNumber, emptyResult, keep, openFront, RETENTION_MS, type TestFront } from "../front.suite.ts"

type Spec = MessageInitShape<typeof CampaignSpecSchema>
type Notice = MessageInitShape<typeof NoticeSchema>

const command = ["true"]
const giga = 1024n ** 3n
let keys = 0

describe("an order", () => {
  let front: TestFront
  let ada: Client<typeof ScientistService>
  before(async () => {
    front = await openFront()
    ada = front.scientist(await front.token("ada"))
  })
  after(() => front.close())
  const submit = (spec: Spec, notices: Notice[] = []) =>
    ada.submit({ idempotencyKey: `key ${++keys}`, spec: { command, array: 1, ...spec }, notices })
  /** Cancels it, and lets the node stop what it has of it. */
  const quit = async (campaign: bigint) => {
    await ada.cancel({ campaign })
    for (const offer of front.node.offers.filter(one => BigInt(one.campaign) === campaign)) {
      await front.node.report(offer, "ended", { ...emptyResult, outcome: "lost" })
    }
  }
  const inHours = (hours: number) => timestampFromMs(Date.now() + hours * 3_600_000)

  it("is taken with a warning while no node has joined", async () => {
    const { campaign, warnings } = await submit({})
    assert.deepEqual(warnings, ["no node has joined this hub yet: it waits for the first"])
    const why = await ada.explain({ campaign })
    assert.deepEqual([why.cause, why.index, why.sentence], [Cause.NO_NODES, 0, "no node has joined this hub yet"])
    await quit(campaign)
  })

  it("F7: with more words or variables than a node takes is refused at submit, in one message or a stream", async () => {
    const words = (count: number) => Array.from({ length: count }, () => "a")
    const env = Object.fromEntries(words(1_025).map((_, i) => [`V${i}`, "x"]))
    const cases: [Spec, RegExp][] = [
      [{ command: words(9_000) }, /the command has 9000 words: 4096 at most/],
      [{ env }, /1025 environment variables are too many: 1024 at most/],
    ]
    for (const [spec, rawMessage] of cases) {
      await assert.rejects(submit(spec), { code: Code.InvalidArgument, rawMessage })
      const stream = (async function* () {
        yield { idempotencyKey: `key ${++keys}`, spec: { command, array: 1, ...spec } }
      })()
      await assert.rejects(ada.submitStream(stream), { code: Code.InvalidArgument, rawMessage })
    }
    const long = ada.submit({
      idempotencyKey: `key ${++keys}`,
      spec: { command: ["a", "b"] },
      parameters: [{ line: "short" }, { line: "1 ".repeat(5_000) }],
    })
    await assert.rejects(long, { code: Code.InvalidArgument, rawMessage: /job 1: the command has 5002 words/ })
  })

  it("M3: M4: with bounds is taken with them, and the explanation names them", async () => {
    const { campaign } = await submit({ array: 9, atOnce: 1, maxFails: 2 })
    const { rules } = front.engine.campaign(Number(campaign) as never)!
    assert.deepEqual([rules.atOnceMax, rules.failMax], [1, 2])
    const plan = await ada.plan({ spec: { command, array: 9, atOnce: 1 } })
    assert.ok(plan.jobsAtOnce <= 1)
    await quit(campaign)
  })

  it("that makes no sense is refused, each with the reason", async () => {
    const cases: [Spec, RegExp][] = [
      [{ bestEffort: true, reservation: { start: inHours(1) } }, /best effort .* can't be reserved/],
      [{ bestEffort: true, container: true }, /could vanish at any moment/],
      [{ container: true, inside: 1n }, /can't run inside another/],
      [{ bestEffort: true, inside: 1n }, /has no meaning there/],
      [{ property: "slots > 1", inside: 1n }, /ask for the property there/],
      [{ reservation: {} }, /has no start/],
      [{ reservation: { start: inHours(2), end: inHours(1) } }, /before it starts/],
      [{ reservation: { start: inHours(-1) } }, /has passed/],
      [{ reservation: { start: inHours(24 * 90) } }, /too far ahead: 30 days/],
    ]
    for (const [spec, rawMessage] of cases) {
      await assert.rejects(submit(spec), { code: Code.InvalidArgument, rawMessage }, JSON.stringify(Object.keys(spec)))
    }
    await assert.rejects(submit({ inside: 999n }), { code: Code.NotFound, rawMessage: /no campaign 999 to run inside/ })
  })

  it("with a notice that can't be delivered is refused, and none of its secrets goes to nodes or comes back", async () => {
    const occasions = [Occasion.END]
    const mail = (value: string): Notice => ({ occasions, target: { case: "mail", value } })
    const hook = (url: string, secret = "0123456789abcdef"): Notice => ({
      occasions,
      target: { case: "webhook", value: { url, secret } },
    })
    const cases: [Notice, RegExp][] = [
      [{ occasions: [], target: { case: "mail", value: "ada@example.org" } }, /names no occasion/],
      [{ occasions: [99 as Occasion], target: { case: "mail", value: "ada@example.org" } }, /does not know/],
      [{ occasions }, /has no target/],
      [mail("ada"), /"ada" is not a mail address/],
      [mail("-oQ/tmp@example.org"), /is not a mail address/],
      [mail("ada@example.org, eve@example.org"), /is not a mail address/],
      [mail("ada@example.org\nBcc: eve@example.org"), /is not a mail address/],
      [hook("ftp://example.org/"), /is not an http or https address/],
      [hook("https://ada:secret@example.org/"), /must not hold a password/],
      [hook("https://example.org/", "short"), /16 to 256 characters/],
    ]
    for (const [notice, rawMessage] of cases) {
      await assert.rejects(submit({}, [notice]), { code: Code.InvalidArgument, rawMessage })
    }
    await assert.rejects(
      submit(
        {},
        Array.from({ length: 11 }, () => mail("a@b.c")),
      ),
      { rawMessage: /11 notices/ },
    )
    const { campaign } = await submit({ hold: true }, [hook("https://example.org/hook", "a secret that stays here")])
    const row = front.store.campaign(campaignNumber(campaign))!
    assert.match(JSON.stringify(row.rules), /a secret that stays here/)
    assert.equal(Buffer.from(row.spec).includes("secret"), false)
    const shown = await ada.getCampaign({ campaign })
    assert.equal(
      JSON.stringify(shown, (_key, value) => (typeof value === "bigint" ? `${value}` : value)).includes("secret"),
      false,
    )
    await quit(campaign)
  })

  it("that no node can ever run is refused with what comes nearest, and taken with that as a warning under hold", async () => {
    await front.node.join(front.engine, 4)
    const large = submit({ needs: { slots: 8, memoryBytes: 64n * giga } })
    await assert.rejects(large, {
      code: Code.FailedPrecondition,
      rawMessage:
        /no node can ever run it: it needs core 8, and the largest has 4; it needs mem 64G, and the largest has 8G/,
    })
    await assert.rejects(submit({ property: "gpu = 'a100' AND slots > 1" }), {
      code: Code.FailedPrecondition,
      rawMessage: /the one node there is has not gpu = 'a100'/,
    })
    const { warnings, campaign } = await submit({ needs: { slots: 8 }, hold: true })
    assert.match(warnings[0] ?? "", /it needs core 8, and the largest has 4/)
    const { campaign: moldable } = await submit({ needs: { slots: 8 }, shapes: [{ needs: { slots: 2 } }], hold: true })
    for (const one of [campaign, moldable]) await ada.cancel({ campaign: one })
  })

  it("is told before it is made how it would go", async () => {
    const spec = { command, array: 10, needs: { slots: 2 }, walltime: { seconds: 600n } }
    const plan = await ada.plan({ spec })
    assert.deepEqual(
      [plan.refusal, plan.jobs, plan.nodesOnline, plan.jobsNow, plan.jobsAtOnce, plan.jobsAhead, plan.atMost?.seconds],
      ["", 10, 1, 2, 2, 0n, 3_000n],
    )
    assert.match((await ada.plan({ spec: { ...spec, needs: { slots: 99 } } })).refusal, /no node can ever run it/)
    await assert.rejects(submit({ needs: { slots: 99 } }), (error: ConnectError) => {
      const [detail] = error.findDetails(ErrorDetailSchema)
      assert.deepEqual(
        [error.code, detail?.reason, detail?.retry],
        [Code.FailedPrecondition, Reason.NO_NODE, Retry.NEVER],
      )
      return true
    })
    assert.equal((await ada.plan({ spec, jobs: 7 })).jobs, 7)
    await assert.rejects(ada.plan({ spec: {} }), { code: Code.InvalidArgument, rawMessage: /command is empty/ })
    const stagein = { digest: `sha256:${"1".repeat(64)}`, sizeBytes: 1_000n }
    assert.equal((await ada.plan({ spec: { ...spec, stagein } })).stageinBytes, 1_000n)
  })

  it("for a reservation gets an honest answer", async () => {
    const { expectation, campaign } = await submit({ reservation: { start: inHours(0.1) } })
    assert.ok(
      expectation !== undefined && expectation.confidence > 0.9 && expectation.nodes === 1,
      JSON.stringify(expectation?.confidence),
    )
    const why = await ada.explain({ campaign })
    assert.equal(why.cause, Cause.RESERVED_FOR_LATER)
    assert.ok(Math.abs(timestampMs(why.notBefore!) - Date.now() - 360_000) < 60_000)
    await ada.cancel({ campaign })
    await assert.rejects(submit({ array: 50, reservation: { start: inHours(1) } }), {
      code: Code.FailedPrecondition,
      rawMessage: /the reservation can't be promised: .* about \d of the 50 places/,
    })
  })

  it("has its jobs held and resumed one by one, and says so wherever they are listed", async () => {
    const { campaign } = await submit({ array: 6, hold: true })
    assert.equal((await ada.setHold({ campaign, held: true, ranges: [{ first: 2, last: 4 }] })).jobs, 3)
    const indices = async (phase: Phase) => (await ada.listJobs({ campaign, phase })).jobs.map(({ id }) => id?.index)
    assert.deepEqual(await indices(Phase.HELD), [2, 3, 4])
    assert.deepEqual(await indices(Phase.QUEUED), [0, 1, 5])
    assert.deepEqual(await indices(Phase.UNSPECIFIED), [0, 1, 2, 3, 4, 5])
    assert.equal((await ada.explain({ campaign, index: 3 })).cause, Cause.CAMPAIGN_HELD)
    await assert.rejects(ada.setHold({ campaign, held: true, ranges: [{ first: 4, last: 6 }] }), {
      code: Code.InvalidArgument,
      rawMessage: /range 4-6 is not within campaign/,
    })
    assert.equal((await ada.setHold({ campaign, held: false, ranges: [{ first: 0, last: 3 }] })).jobs, 2)
    await ada.setHold({ campaign, held: false })
    const why = await ada.explain({ campaign, index: 4 })
    assert.deepEqual([why.cause, why.remedies[0]?.change], [Cause.JOB_HELD, `cah resume ${campaign}.4`])
    const what = why.remedies[0]?.what
    assert.deepEqual(what?.case === "resume" && [what.value.campaign, what.value.index], [campaign, 4])
    await quit(campaign)
  })

  it("that waits is explained with what would run it now", async () => {
    const { campaign: running } = await submit({ needs: { slots: 3, memoryBytes: 6n * giga } })
    const offer = await front.node.offered(running, 0)
    await front.node.start(offer)
    const { campaign } = await submit({ needs: { slots: 1, memoryBytes: 4n * giga } })
    const why = await ada.explain({ campaign })
    assert.equal(why.cause, Cause.NODES_BUSY)
    assert.match(why.sentence, /1 node could run it, and all are busy; it is next/)
    assert.deepEqual(
      why.obstacles.map(({ lacks, nodes }) => [lacks, nodes]),
      [["mem 4G free", 1]],
    )
    assert.deepEqual(
      why.remedies.map(({ change, nodes, what }) => [change, nodes, what.case === "needs" && what.value.memoryBytes]),
      [["-l mem=2G", 1, 2n * giga]],
    )
    const ended = await ada.explain({ campaign: running, index: 0 })
    assert.match(ended.sentence, /it is under way: running on/)
    await ada.cancel({ campaign })
    await quit(running)
    assert.equal((await ada.explain({ campaign: running })).cause, Cause.ENDED)
  })

  it("that has ended is kept for a while, and forgotten at once when its owner says so", async () => {
    const { campaign } = await submit({ hold: true })
    await assert.rejects(ada.forget({ campaign }), {
      code: Code.FailedPrecondition,
      rawMessage: /has not ended: cancel it first/,
    })
    await ada.cancel({ campaign })
    const shown = (await ada.getCampaign({ campaign })).campaign
    assert.equal(timestampMs(shown!.expiresAt!) - timestampMs(shown!.endedAt!), RETENTION_MS)
    await ada.forget({ campaign })
    await assert.rejects(ada.getCampaign({ campaign }), { code: Code.NotFound })
    assert.ok((await submit({ hold: true })).campaign > campaign, "its number is not given again")
  })

  it("whose results another gathers is not forgotten before", async () => {
    const { campaign } = await submit({ hold: true })
    const { campaign: film } = await submit({ gather: campaign, hold: true })
    await ada.setHold({ campaign, held: false })
    const offer = await front.node.offered(campaign, 0)
    await front.node.finish(offer)
    await assert.rejects(ada.forget({ campaign }), { rawMessage: new RegExp(`campaign ${film} gathers`) })
    await ada.cancel({ campaign: film })
    await ada.forget({ campaign })
  })

  it("shows what the caller has uploaded, and takes it back when nothing under way needs it", async () => {
    const blob = await keep(front, new Uint8Array([1, 2, 3]))
    await front.engine.commit([{ kind: "blobOwner", digest: blob.digest, owner: "ada", as: "uploaded" }])
    const stagein = { digest: blob.digest, sizeBytes: 3n }
    const { campaign } = await submit({ stagein, hold: true })
    const [listed] = (await ada.listBlobs({})).blobs
    assert.deepEqual([listed?.blob?.digest, listed?.campaigns], [blob.digest, [campaign]])
    const eve = front.scientist(await front.token("eve"))
    assert.deepEqual((await eve.listBlobs({})).blobs, [])
    await assert.rejects(eve.removeBlob({ digest: blob.digest }), { code: Code.NotFound })
    await assert.rejects(ada.removeBlob({ digest: "nonsense" }), { code: Code.InvalidArgument })
    await assert.rejects(ada.removeBlob({ digest: blob.digest }), {
      rawMessage: /has it as its stagein and has not ended/,
    })
    await ada.cancel({ campaign })
    await ada.removeBlob({ digest: blob.digest })
    assert.deepEqual((await ada.listBlobs({})).blobs, [])
  })

  it("F17: does not show as a stagein what jobs gave back, until a campaign names it as one", async () => {
    const blob = await keep(front, new Uint8Array([4, 5, 6]))
    await front.engine.commit([{ kind: "blobOwner", digest: blob.digest, owner: "ada", as: "returned" }])
    assert.deepEqual((await ada.listBlobs({})).blobs, [])
    await assert.rejects(ada.removeBlob({ digest: blob.digest }), {
      code: Code.FailedPrecondition,
      rawMessage: /is what a job of yours gave back: it goes with its campaign, `cah forget`/,
    })
    const { campaign } = await submit({ stagein: { digest: blob.digest, sizeBytes: 3n }, hold: true })
    const [listed] = (await ada.listBlobs({})).blobs
    assert.deepEqual([listed?.blob?.digest, listed?.campaigns], [blob.digest, [campaign]])
    await ada.cancel({ campaign })
    await ada.removeBlob({ digest: blob.digest })
    assert.deepEqual((await ada.listBlobs({})).blobs, [])
    assert.equal(front.store.ownedBytes("ada"), 3, "it is still what a job gave back")
  })

  it("counts for its owner's share, which an admin sets", async () => {
    const { secret } = await front.tokens.create("root", ["admin"], null)
    const root = front.operator(secret)
    await root.setShare({ owner: "ada", share: 2.5 })
    const { shares } = await root.listShares({})
    const [of] = shares
    assert.deepEqual([of?.owner, of?.share], ["ada", 2.5])
    assert.deepEqual(front.store.shares(), [{ owner: "ada", share: 2.5 }])
    await root.setShare({ owner: "ada", share: 1 })
    assert.deepEqual(front.store.shares(), [])
    for (const share of [0, -1, Number.NaN, 1e6]) {
      await assert.rejects(root.setShare({ owner: "ada", share }), {
        code: Code.InvalidArgument,
        rawMessage: /out of range/,
      })
    }
  })
})
