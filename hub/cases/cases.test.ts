import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { describe, it, type TestContext } from "node:test"
import { digestOf } from "../../proto/wire/digest.ts"
import type { BlobRef, CampaignId } from "../core/model.ts"
import { UPLOADS_PER_OWNER_MAX } from "../limits.ts"
import { campaignRow, commit, jobRow, resultRow } from "../store/store.suite.ts"
import { callerOf, openCases } from "./cases.suite.ts"
import { plain, type Submission } from "./specification.ts"

const ada = callerOf("ada")
const eve = callerOf("eve")
const root = callerOf("root", ["admin"])
const first = 1 as CampaignId

function submission(key: string, change: Partial<Submission["spec"]> = {}): Submission {
  return { key, spec: { ...plain, command: ["true"], ...change }, notices: [] }
}

async function open(t: TestContext, options: Parameters<typeof openCases>[0] = {}) {
  const opened = await openCases(options)
  t.after(() => opened.close())
  return opened
}

function refOf(bytes: Uint8Array): BlobRef {
  return { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.byteLength }
}

describe("submitting", () => {
  it("again with the same key gives the same campaign, and with other work it is refused", async t => {
    const { cases } = await open(t)
    const { submits } = cases
    const made = await submits.submit(ada, submission("k", { array: 3 }), null)
    assert.deepEqual([made.jobs, made.existed], [3, false])
    const again = await submits.submit(ada, submission("k", { array: 3 }), null)
    assert.deepEqual([again.campaign, again.existed], [made.campaign, true])
    await assert.rejects(submits.submit(ada, submission("k", { array: 4 }), null), { code: "already_exists" })
    const others = await submits.submit(eve, submission("k", { array: 4 }), null)
    assert.notEqual(others.campaign, made.campaign)
  })

  it("in pieces gives the campaign that it gives at once", async t => {
    const { cases } = await open(t)
    const { submits } = cases
    const intake = submits.intake(ada)
    intake.begin(submission("k"))
    intake.add(["one", "two"])
    intake.add(["three"])
    const made = await intake.place()
    intake.end()
    const again = await submits.submit(ada, submission("k"), ["one", "two", "three"])
    assert.deepEqual([made.jobs, again.campaign, again.existed], [3, made.campaign, true])
  })

  it("in pieces is refused before its lines are sent, and without a beginning", async t => {
    const { cases } = await open(t)
    const intake = cases.submits.intake(ada)
    assert.throws(() => intake.begin(submission("k", { command: [] })), { code: "invalid_argument" })
    assert.throws(() => intake.place(), { code: "invalid_argument", message: /no spec/ })
    intake.end()
  })

  it("waits for nothing of others, and takes no stagein that is not its owner's", async t => {
    const { cases } = await open(t)
    const { submits } = cases
    const { campaign } = await submits.submit(eve, submission("k"), null)
    const after = [{ campaign, success: false }]
    await assert.rejects(submits.submit(ada, submission("a", { after }), null), { code: "not_found" })
    const stagein = refOf(Buffer.from("hello"))
    await assert.rejects(submits.submit(ada, submission("b", { stagein }), null), /is not on the hub: upload it/)
  })

  it("is bounded by time and by jobs under way", async t => {
    const { cases } = await open(t, { quotas: { jobs: 5 } })
    await cases.submits.submit(ada, submission("a", { array: 4 }), null)
    await assert.rejects(cases.submits.submit(ada, submission("b", { array: 2 }), null), { code: "resource_exhausted" })
    const { jobs, most } = cases.quota(ada)
    assert.deepEqual([jobs, most.jobs], [4, 5])
  })
})

describe("jobs", () => {
  /** Ten jobs: 0 and 1 have a row, 3 is held beyond the cursor, 5 to 7 were cancelled before they began; the others nobody has touched. */
  const prepared = {
    async prepare(store: Parameters<typeof commit>[0]) {
      const counts = { ...campaignRow(1).counts, queued: 5, finished: 1, held: 1, cancelled: 3 }
      const changes = { owner: "ada", total: 10, cursor: 2, counts }
      await commit(
        store,
        { kind: "campaign", row: campaignRow(1, changes) },
        { kind: "job", row: jobRow(1, 0, { phase: "ended", outcome: "finished", node: null, tries: [] }) },
        { kind: "result", row: resultRow(1, 0) },
        { kind: "job", row: jobRow(1, 1, { phase: "queued", node: null, tries: [] }) },
        { kind: "job", row: jobRow(1, 3, { phase: "held", node: null, tries: [] }) },
        { kind: "cancelledRange", campaign: first, range: { first: 5, last: 7 }, why: "cancelled" },
      )
    },
  }
  const any = { fromIndex: 0, limit: 0, phase: undefined, outcome: undefined, parameters: false }

  it("without a row are listed as queued among those that have one, whatever is asked for", async t => {
    const { jobs } = (await open(t, prepared)).cases
    const list = (wanted: Partial<typeof any> | object) =>
      jobs.list(ada, first, { ...any, ...wanted }).map(({ job }) => `${job.index} ${job.outcome ?? job.phase}`)
    assert.deepEqual(list({}), [
      "0 finished",
      "1 queued",
      "2 queued",
      "3 held",
      "4 queued",
      "5 cancelled",
      "6 cancelled",
      "7 cancelled",
      "8 queued",
      "9 queued",
    ])
    assert.deepEqual(list({ phase: "queued" }), ["1 queued", "2 queued", "4 queued", "8 queued", "9 queued"])
    assert.deepEqual(list({ phase: "held" }), ["3 held"])
    assert.deepEqual(list({ outcome: "cancelled", fromIndex: 6 }), ["6 cancelled", "7 cancelled"])
    assert.deepEqual(list({ fromIndex: 3, limit: 3 }), ["3 held", "4 queued", "5 cancelled"])
  })

  it("are shown one by one, to their owner and to admins", async t => {
    const { jobs } = (await open(t, prepared)).cases
    assert.equal(jobs.show(ada, { campaign: first, index: 9 }).job.phase, "queued")
    assert.equal(jobs.show(root, { campaign: first, index: 0 }).result?.outcome, "finished")
    assert.throws(() => jobs.show(eve, { campaign: first, index: 0 }), { code: "not_found", message: /no campaign 1/ })
    assert.throws(() => jobs.show(ada, { campaign: first, index: 10 }), { message: /jobs 1.0 to 1.9, not .10/ })
  })

  it("are explained as long as they have not ended", async t => {
    const { cases } = await open(t)
    const { campaign } = await cases.submits.submit(ada, submission("k", { array: 2, hold: true }), null)
    const answer = cases.jobs.explain(ada, campaign, null)
    assert.equal(answer.kind === "waits" && answer.found.cause, "campaignHeld")
    assert.equal(await cases.campaigns.cancel(ada, campaign, [{ first: 1, last: 1 }]), 1)
    const sentence = `job ${campaign}.1 has ended: cancelled`
    assert.deepEqual(cases.jobs.explain(ada, campaign, 1), { kind: "ended", sentence, index: 1, again: null })
    await cases.campaigns.cancel(ada, campaign, [])
    assert.deepEqual(cases.jobs.explain(ada, campaign, null), {
      kind: "ended",
      sentence: `campaign ${campaign} has ended: 0 of 2 jobs finished`,
      index: null,
      again: campaign,
    })
  })
})

describe("campaigns", () => {
  it("are watched until they end, and an abort is no end", async t => {
    const { cases } = await open(t)
    const { campaigns, submits } = cases
    const { campaign } = await submits.submit(ada, submission("k", { array: 2 }), null)
    const stop = new AbortController()
    const watched = campaigns.watch(ada, campaign, true, stop.signal)
    const begun = await watched.next()
    assert.deepEqual([begun.value?.row.endedAt, begun.value?.ended], [null, null])
    const aborted = campaigns.watch(ada, campaign, true, stop.signal)
    await aborted.next()
    await campaigns.cancel(ada, campaign, [])
    const { value: news } = await watched.next()
    assert.deepEqual([news?.row.counts.cancelled, news?.row.endedAt === null], [2, false])
    assert.ok((await watched.next()).done)
    stop.abort(new Error("enough"))
    await assert.rejects(aborted.next(), /enough/)
    assert.equal(cases.quota(ada).watches, 0)
  })

  it("of others are changed by admins only, which is logged", async t => {
    const { cases, infos } = await open(t)
    const { campaign } = await cases.submits.submit(ada, submission("k"), null)
    await assert.rejects(cases.campaigns.hold(eve, campaign, true, []), { code: "not_found" })
    assert.throws(() => cases.campaigns.list(eve, { everybody: true, before: null, limit: 0, live: false }), {
      code: "permission_denied",
    })
    infos.splice(0)
    await cases.campaigns.hold(root, campaign, true, [])
    await cases.campaigns.cancel(ada, campaign, [])
    assert.deepEqual(
      infos.map(({ message }) => message),
      ["campaign of another's held"],
    )
    await cases.campaigns.forget(ada, campaign)
    assert.throws(() => cases.campaigns.show(ada, campaign), { code: "not_found" })
  })

  it("M5: are tried again by their owner and by admins, once for each time it is asked", async t => {
    const { cases, infos } = await open(t, { quotas: { jobs: 3 } })
    const { campaigns, submits } = cases
    const { campaign } = await submits.submit(ada, submission("k", { array: 3 }), null)
    await campaigns.cancel(ada, campaign, [])
    const outside = [{ first: 2, last: 3 }]
    await assert.rejects(campaigns.retry(eve, campaign, [], 0), { code: "not_found" })
    await assert.rejects(campaigns.retry(ada, campaign, outside, 0), { code: "invalid_argument", message: /range 2-3/ })
    await assert.rejects(campaigns.retry(ada, campaign, [], 7), { code: "aborted" })
    const some = await campaigns.retry(ada, campaign, [{ first: 1, last: 1 }], 0)
    assert.deepEqual(
      [some, campaigns.show(ada, campaign).row.endedAt],
      [{ jobs: 1, existed: false, campaigns: [] }, null],
    )
    const again = await campaigns.retry(ada, campaign, [{ first: 1, last: 1 }], 0)
    assert.deepEqual([again.existed, campaigns.show(ada, campaign).row.counts.queued], [true, 1])
    infos.splice(0)
    assert.equal((await campaigns.retry(root, campaign, [], null)).jobs, 2)
    assert.deepEqual(
      infos.map(({ message }) => message),
      ["campaign of another's tried again"],
    )
    await assert.rejects(campaigns.retry(ada, campaign, [], 2), {
      code: "failed_precondition",
      message: /none of these/,
    })
    await campaigns.cancel(ada, campaign, [])
    await submits.submit(ada, submission("other"), null)
    await assert.rejects(campaigns.retry(ada, campaign, [], 2), { code: "resource_exhausted", message: /quota of 3/ })
  })
})

describe("files", () => {
  const bytes = Buffer.from("twelve bytes")
  const blob = refOf(bytes)

  it("come in pieces, go on where they stopped, and are then the owner's alone", async t => {
    const { files } = (await open(t)).cases
    const cut = files.upload(ada, blob, 0, async sink => {
      await sink(bytes.subarray(0, 5))
      throw new Error("the line is cut")
    })
    await assert.rejects(cut, /the line is cut/)
    assert.deepEqual(await files.state(ada, blob), { offset: 5, stored: false })
    await assert.rejects(
      files.upload(ada, blob, 3, sink => sink(bytes.subarray(3))),
      /the hub has 5 bytes of it, not 3/,
    )
    await files.upload(ada, blob, 5, sink => sink(bytes.subarray(5)))
    assert.deepEqual(await files.state(ada, blob), { offset: 12, stored: true })
    assert.deepEqual(await files.state(eve, blob), { offset: 0, stored: false })
    await files.upload(ada, blob, 0, () => assert.fail("it is here"))
    assert.deepEqual(
      files.list(ada, null, 0).map(each => each.blob),
      [blob],
    )
    await assert.rejects(files.remove(eve, blob.digest), { code: "not_found" })
    await files.remove(ada, blob.digest)
    assert.deepEqual(files.list(ada, null, 0), [])
  })

  it("that are not what was said, or end early, are refused as their sender's fault", async t => {
    const { files } = (await open(t)).cases
    const wrong = files.upload(ada, blob, 0, sink => sink(Buffer.from("other bytes!")))
    await assert.rejects(wrong, { code: "invalid_argument" })
    const early = files.upload(ada, blob, 0, sink => sink(bytes.subarray(0, 2)))
    await assert.rejects(early, { code: "aborted", message: /ended at 2 of 12 bytes/ })
  })

  it("are bounded: so many at once, so many bytes, and never the last of the disk", async t => {
    const { files } = (await open(t, { quotas: { bytes: 100 } })).cases
    let end = () => {}
    const pause = new Promise<void>(resolve => {
      end = resolve
    })
    const stalled = Array.from({ length: UPLOADS_PER_OWNER_MAX }, (_, n) =>
      assert.rejects(
        files.upload(ada, refOf(Buffer.from(`${n}`)), 0, () => pause),
        { code: "aborted" },
      ),
    )
    await new Promise(setImmediate)
    await assert.rejects(
      files.upload(ada, blob, 0, () => pause),
      /uploads under way/,
    )
    end()
    await Promise.all(stalled)
    await assert.rejects(
      files.upload(ada, { ...blob, sizeBytes: 101 }, 0, () => pause),
      /above your quota of 100/,
    )
    const full = (await open(t, { diskFloorBytes: Number.MAX_SAFE_INTEGER })).cases
    await assert.rejects(
      full.files.upload(ada, blob, 0, () => pause),
      { code: "resource_exhausted", message: /the hub's disk is nearly full .* 12 more would come/ },
    )
  })
})

describe("outputs", () => {
  const prepared = {
    async prepare(store: Parameters<typeof commit>[0]) {
      const stdout = { inline: Buffer.from("hello\n"), blob: null, droppedBytes: 0 }
      const stageout = refOf(Buffer.from("gone"))
      await commit(
        store,
        { kind: "campaign", row: campaignRow(1, { owner: "ada", total: 2, endedAt: 1, cursor: 2 }) },
        { kind: "blob", ...stageout },
        { kind: "job", row: jobRow(1, 0, { phase: "ended", outcome: "finished", node: null, tries: [] }) },
        { kind: "result", row: resultRow(1, 0, { stdout, stageout }) },
      )
    },
  }
  const job = { campaign: first, index: 0 }
  const whole = { attempt: 0, offset: 0 }
  async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
    let text = ""
    for await (const piece of pieces) text += Buffer.from(piece).toString()
    return text
  }

  it("are read from where their reader stands, and followed to their end", async t => {
    const { outputs } = (await open(t, prepared)).cases
    const { blob, pieces } = outputs.read(ada, job, "stdout", { attempt: 0, offset: 2 })
    assert.deepEqual([blob.sizeBytes, await textOf(pieces)], [6, "llo\n"])
    assert.throws(() => outputs.read(ada, job, "stdout", { attempt: 0, offset: 7 }), /beyond the end, at 6/)
    assert.throws(() => outputs.read(eve, job, "stdout", whole), { code: "not_found" })
    const told: unknown[] = []
    for await (const piece of outputs.follow(ada, job, "stdout", whole, new AbortController().signal)) told.push(piece)
    assert.deepEqual(told, [
      { attempt: 1, offset: 0 },
      { data: Buffer.from("hello\n"), attempt: 1, offset: 0 },
    ])
  })

  it("that a result names and that are not there are lost, not unknown", async t => {
    const { outputs } = (await open(t, prepared)).cases
    await assert.rejects(textOf(outputs.read(ada, job, "stageout", whole).pieces), { code: "data_loss" })
  })
})

describe("access and nodes", () => {
  it("tokens, enrolments and shares are refused in words, and logged with who made them", async t => {
    const { cases, infos } = await open(t)
    const { access, nodes } = cases
    const given = { principal: "ada", scopes: ["read", "read"] as const, lifetimeMs: null }
    const { row } = await access.createToken(root, given)
    assert.deepEqual(row.scopes, ["read"])
    await access.revokeToken(root, row.id)
    await assert.rejects(access.createToken(root, { ...given, scopes: [] }), /no scopes/)
    await assert.rejects(access.createToken(root, { ...given, principal: "a/b" }), /principal: 1 to/)
    await assert.rejects(access.createToken(root, { ...given, lifetimeMs: 0 }), /lifetime must be above 0/)
    await access.createEnrolment(root, { account: "ada", uses: 0, lifetimeMs: null })
    await assert.rejects(access.setShare(root, "ada", 0), /share 0 is out of range/)
    await access.setShare(root, "ada", 2)
    assert.deepEqual(
      access.shares().map(({ owner, share }) => [owner, share]),
      [["ada", 2]],
    )
    assert.deepEqual(
      infos.map(({ message }) => message),
      ["token created", "token revoked", "enrolment created", "share set"],
    )
    assert.ok(infos.every(({ fields }) => (fields as { by?: string }).by === "root"))
    assert.deepEqual(nodes.list(root, "", 0), [])
    await assert.rejects(nodes.drain(root, "no-node", true), { code: "not_found" })
  })
})
