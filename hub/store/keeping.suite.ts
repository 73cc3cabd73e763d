// What every store must do about blobs, and about campaigns that are forgotten: part of store.suite.ts, run by the same
// fixtures.
import assert from "node:assert/strict"
import { afterEach, describe, it } from "node:test"
import type { BlobRef, CampaignId, LogRef } from "../core/model.ts"
import type { Store } from "../core/ports.ts"
import type { ResultRow, Write } from "../core/rows.ts"
import { noRules } from "../core/rules.ts"
import { campaignRow, commit, digestFor, jobRow, resultRow, type StoreFixture, WALL_MS } from "./store.suite.ts"

const one = 1 as CampaignId

export function keepingSuite(name: string, make: () => Promise<StoreFixture>): void {
  describe(`${name} as a store of what is kept and forgotten`, () => {
    let fixture: StoreFixture
    async function start(...writes: Write[]): Promise<Store> {
      fixture = await make()
      if (writes.length > 0) await commit(fixture.store, ...writes)
      return fixture.store
    }
    const withCampaign = (...writes: Write[]) => start({ kind: "campaign", row: campaignRow(1) }, ...writes)
    afterEach(() => fixture.dispose())

    it("lists an owner's blobs, the last used first, with the campaigns that have them as stagein", async () => {
      const blob = { digest: digestFor(77), sizeBytes: 5 }
      await withCampaign(
        { kind: "blob", ...blob },
        { kind: "blobOwner", digest: blob.digest, owner: "marie", as: "uploaded" },
        { kind: "campaign", row: campaignRow(2, { stagein: blob }) },
        { kind: "campaign", row: campaignRow(3, { stagein: blob }) },
        { kind: "campaign", row: campaignRow(4, { stagein: blob, owner: "eve" }) },
      )
      const { store } = fixture
      const listed = store.uploads("marie", Number.MAX_SAFE_INTEGER, 9)
      assert.deepEqual(
        listed.map(row => row.blob),
        [blob],
      )
      assert.deepEqual(store.uploads("marie", listed[0]!.usedAt, 9), [])
      assert.deepEqual(store.campaignsWithStagein("marie", blob.digest, 9), [3, 2])
      await commit(store, { kind: "disownBlob", digest: blob.digest, owner: "marie" })
      assert.deepEqual(store.uploads("marie", Number.MAX_SAFE_INTEGER, 9), [])
      assert.equal(store.ownsBlob(blob.digest, "marie"), false)
    })

    it("F17: tells what an owner uploaded from what their campaigns gave back, and counts a blob that is both once", async () => {
      const [sent, back, both] = [71, 72, 73].map(name => ({ digest: digestFor(name), sizeBytes: name })) as [
        BlobRef,
        BlobRef,
        BlobRef,
      ]
      const own = ({ digest }: BlobRef, as: "uploaded" | "returned"): Write => {
        return { kind: "blobOwner", digest, owner: "marie", as }
      }
      const store = await withCampaign(
        ...[sent, back, both].map((blob): Write => ({ kind: "blob", ...blob })),
        ...[own(sent, "uploaded"), own(back, "returned"), own(both, "returned"), own(both, "uploaded")],
        own(both, "uploaded"),
        { kind: "campaign", row: campaignRow(2, { stagein: { digest: digestFor(74), sizeBytes: 74 } }) },
      )
      const uploads = () => store.uploads("marie", Number.MAX_SAFE_INTEGER, 9).map(({ blob }) => blob.sizeBytes)
      assert.deepEqual(uploads(), [71, 73, 74])
      assert.equal(store.ownedBytes("marie"), 71 + 72 + 73 + 74)
      for (const { digest } of [sent, back, both]) {
        await commit(store, { kind: "disownBlob", digest, owner: "marie" })
      }
      assert.deepEqual(uploads(), [74])
      assert.equal(store.ownedBytes("marie"), 72 + 73 + 74)
      assert.deepEqual(
        [sent, back, both].map(({ digest }) => store.ownsBlob(digest, "marie")),
        [false, true, true],
      )
      assert.deepEqual(
        [back, both].map(({ digest }) => store.ownsBlob(digest, "marie", "uploaded")),
        [false, false],
      )
    })

    it("accepts one result of a job, and keeps those of other attempts beside it", async () => {
      const stageout = { digest: digestFor(81), sizeBytes: 81 }
      const spare = { digest: digestFor(82), sizeBytes: 82 }
      const row = (attempt: number, changes: Partial<ResultRow> = {}): Write => {
        return { kind: "result", row: resultRow(1, 0, { attempt, ...changes }) }
      }
      const failed = { accepted: false, outcome: "failed", exitCode: 1, message: "no", stageout: spare } as const
      let store = await withCampaign(row(2, { stageout }), row(1, failed), row(3, failed))
      const second = [row(4), row(2, { accepted: false })]
      for (const write of second) {
        await assert.rejects(commit(store, write))
        await store.reopen()
      }
      store = await fixture.restart()
      assert.deepEqual(store.result(one, 0), resultRow(1, 0, { attempt: 2, stageout }))
      assert.deepEqual(
        store.attempts(one, 0).map(({ attempt, stageout }) => [attempt, stageout]),
        [
          [1, spare],
          [3, spare],
        ],
      )
      // A campaign gives back what it accepted, and its errors are those of its jobs.
      assert.deepEqual(store.stageouts(one, 0, 9), [{ index: 0, blob: stageout }])
      assert.deepEqual([store.hasStageout(one, stageout.digest), store.hasStageout(one, spare.digest)], [true, false])
      assert.deepEqual(store.errors(one, 9), [])
      assert.deepEqual(store.unreferencedBlobs(Number.MAX_SAFE_INTEGER), [])
    })

    it("F6: keeps a result's warnings, and sums them up for the campaign, commonest first", async () => {
      const write = (index: number, warnings: string, changes: Partial<ResultRow> = {}): Write => ({
        kind: "result",
        row: resultRow(1, index, { warnings, ...changes }),
      })
      const text = "b.csv matched nothing\nleft out: é"
      const failed = write(5, text, { outcome: "failed", exitCode: 1, message: "no" })
      const store = await withCampaign(write(3, "a.csv matched nothing"), write(4, text), failed, write(6, ""))
      const [two, one3] = [
        { text, count: 2, exampleIndex: 4 },
        { text: "a.csv matched nothing", count: 1, exampleIndex: 3 },
      ]
      assert.deepEqual([store.warnings(one, 10), store.warnings(one, 1)], [[two, one3], [two]])
      assert.equal(store.result(one, 4)?.warnings, text)
      assert.deepEqual(
        store.errors(one, 10).map(error => error.exampleIndex),
        [5],
      )
    })

    it("forgets a campaign at once, sweeps its rows by and by, and never gives its number again", async () => {
      const [stagein, stageout] = [digestFor(78), digestFor(79)].map(digest => ({ digest, sizeBytes: 5 })) as [
        BlobRef,
        BlobRef,
      ]
      const jobs = Array.from({ length: 25 }, (_, index) => index)
      await start(
        { kind: "campaign", row: campaignRow(1) },
        { kind: "campaign", row: campaignRow(2, { stagein, endedAt: WALL_MS, rules: noRules, hasParameters: true }) },
        { kind: "parameters", campaign: 2 as CampaignId, first: 0, lines: jobs.map(index => `line ${index}`) },
        ...jobs.flatMap((index): Write[] => [
          { kind: "job", row: jobRow(2, index, { phase: "ended", outcome: "finished", tries: [] }) },
          { kind: "result", row: resultRow(2, index, { stageout: index === 3 ? stageout : null }) },
        ]),
      )
      let { store } = fixture
      assert.deepEqual(store.endedCampaigns(WALL_MS - 1, 9), [])
      assert.deepEqual(store.endedCampaigns(WALL_MS, 9), [2])
      await commit(store, { kind: "forgetCampaign", campaign: 2 as CampaignId, at: WALL_MS })
      assert.deepEqual([store.campaign(2 as CampaignId), store.campaignByKey("marie", "key-2")], [null, null])
      assert.deepEqual(
        store.campaigns({ owner: null, before: 0, limit: 9, live: false }).map(row => row.id),
        [1],
      )
      assert.equal(store.hasForgotten(), true)
      // Its key may be used again before it is swept.
      await commit(store, { kind: "campaign", row: campaignRow(3, { key: "key-2" }) })
      for (let rounds = 0; store.hasForgotten(); rounds++) {
        assert.ok(rounds < 10)
        await commit(store, { kind: "sweepForgotten", rows: 10 })
      }
      store = await fixture.restart()
      assert.deepEqual(
        store.unreferencedBlobs(Number.MAX_SAFE_INTEGER).map(({ digest }) => digest),
        [stagein.digest, stageout.digest],
      )
      assert.equal(store.job(2 as CampaignId, 3), null)
      assert.equal(store.campaignByKey("marie", "key-2")?.id, 3)
    })

    it("O1: a hub starts after a campaign that ran here is forgotten, and while it is being swept", async () => {
      const running = (index: number): Write => ({ kind: "job", row: jobRow(1, index, { phase: "running" }) })
      const ended = (index: number): Write[] => [
        { kind: "job", row: jobRow(1, index, { phase: "ended", outcome: "finished", tries: [] }) },
        { kind: "result", row: resultRow(1, index) },
      ]
      const lost: Write = { kind: "job", row: jobRow(1, 3, { phase: "ended", outcome: "lost", tries: [] }) }
      let store = await withCampaign({ kind: "campaign", row: campaignRow(2) })
      await commit(store, running(0), running(1), running(2), running(3))
      await commit(store, { kind: "job", row: jobRow(2, 0) })
      await commit(store, ...[0, 1, 2].flatMap(ended), lost, {
        kind: "campaign",
        row: campaignRow(1, { endedAt: WALL_MS }),
      })
      const forget: Write = { kind: "forgetCampaign", campaign: one, at: WALL_MS }
      await commit(store, forget)
      for (let rounds = 0; store.hasForgotten(); rounds++) {
        assert.ok(rounds < 20)
        await commit(store, { kind: "sweepForgotten", rows: 1 })
        await store.reopen()
        await commit(store, { kind: "job", row: jobRow(2, rounds) })
      }
      store = await fixture.restart()
      assert.deepEqual(
        store.liveJobs().filter(job => job.campaign === 1),
        [],
      )
      assert.equal(store.campaign(one), null)
      assert.equal(store.lastCampaign(), 2)
    })

    it("O1: what happens to a campaign's notice while it is forgotten fails nobody's batch", async () => {
      const notice = { campaign: one, occasion: "end" as const, target: 0, at: WALL_MS, tries: 0, trouble: "" }
      const row = { ...notice, nextAt: WALL_MS, doneAt: null }
      const ended: Write = { kind: "campaign", row: campaignRow(1, { endedAt: WALL_MS }) }
      const store = await withCampaign(ended, { kind: "notice", row })
      const told: Write = { kind: "notice", row: { ...row, tries: 1, doneAt: WALL_MS } }
      await commit(store, { kind: "forgetCampaign", campaign: one, at: WALL_MS })
      await commit(store, told)
      while (store.hasForgotten()) await commit(store, { kind: "sweepForgotten", rows: 10 })
      await commit(store, told, { kind: "campaign", row: campaignRow(2) })
      assert.equal(store.campaign(2 as CampaignId)?.id, 2)
      assert.deepEqual(store.notices(one), [])
    })

    it("M1: keeps the last attempts at a job with their blobs, over a start, until the campaign is swept", async () => {
      const log = (name: number): LogRef => ({
        inline: null,
        blob: { digest: digestFor(name), sizeBytes: name },
        droppedBytes: 0,
      })
      const row = (attempt: number) =>
        resultRow(2, 0, { attempt, accepted: false, outcome: "failed", exitCode: attempt, stdout: log(100 + attempt) })
      await start(
        { kind: "campaign", row: campaignRow(1) },
        { kind: "campaign", row: campaignRow(2, { endedAt: WALL_MS }) },
        ...[1, 2, 3, 4, 5, 6].map((attempt): Write => ({ kind: "result", row: row(attempt) })),
        { kind: "result", row: resultRow(2, 1, { accepted: false, outcome: "failed", exitCode: 1 }) },
      )
      let store = await fixture.restart()
      assert.deepEqual(store.attempts(2 as CampaignId, 0), [2, 3, 4, 5, 6].map(row))
      assert.deepEqual(store.attempts(one, 0), [])
      const unnamed = () => store.unreferencedBlobs(Number.MAX_SAFE_INTEGER).map(({ digest }) => digest)
      assert.deepEqual(unnamed(), [digestFor(101)])
      await assert.rejects(commit(store, { kind: "result", row: row(6) }))
      await store.reopen()
      await commit(store, { kind: "forgetCampaign", campaign: 2 as CampaignId, at: WALL_MS })
      for (let rounds = 0; store.hasForgotten(); rounds++) {
        assert.ok(rounds < 10)
        await commit(store, { kind: "sweepForgotten", rows: 10 })
      }
      store = await fixture.restart()
      assert.deepEqual(store.attempts(2 as CampaignId, 0), [])
      assert.deepEqual(new Set(unnamed()), new Set([1, 2, 3, 4, 5, 6].map(attempt => digestFor(100 + attempt))))
    })

    it("does not give the number of the last campaign again when that is forgotten", async () => {
      await withCampaign({ kind: "campaign", row: campaignRow(9, { endedAt: WALL_MS }) })
      await commit(fixture.store, { kind: "forgetCampaign", campaign: 9 as CampaignId, at: WALL_MS })
      await commit(fixture.store, { kind: "sweepForgotten", rows: 10 })
      assert.equal((await fixture.restart()).lastCampaign(), 9)
    })

    it("O1: does not give it again either when earlier ones are forgotten afterwards", async () => {
      await withCampaign(
        { kind: "campaign", row: campaignRow(8, { endedAt: WALL_MS }) },
        { kind: "campaign", row: campaignRow(9, { endedAt: WALL_MS }) },
      )
      for (const campaign of [9, 8] as CampaignId[]) {
        await commit(fixture.store, { kind: "forgetCampaign", campaign, at: WALL_MS })
        await commit(fixture.store, { kind: "sweepForgotten", rows: 10 })
        fixture = { ...fixture, store: await fixture.restart() }
      }
      assert.equal(fixture.store.lastCampaign(), 9)
    })

    it("O8: knows the latest time it was told of, by a note or a campaign, and how many campaigns have ended", async () => {
      let store = await start()
      assert.deepEqual([store.lastWallMs(), store.endedCount()], [null, 0])
      await commit(
        store,
        { kind: "campaign", row: campaignRow(1, { endedAt: WALL_MS + 5 }) },
        { kind: "campaign", row: campaignRow(2) },
      )
      assert.deepEqual([store.lastWallMs(), store.endedCount()], [WALL_MS + 5, 1])
      await commit(store, { kind: "clock", wallMs: WALL_MS + 9 })
      assert.equal(store.lastWallMs(), WALL_MS + 9)
      await commit(store, { kind: "clock", wallMs: WALL_MS + 10 })
      await commit(store, { kind: "forgetCampaign", campaign: one, at: WALL_MS })
      store = await fixture.restart()
      assert.deepEqual([store.lastWallMs(), store.endedCount()], [WALL_MS + 10, 0])
    })

    it("does not forget what has not ended", async () => {
      await withCampaign({ kind: "forgetCampaign", campaign: one, at: WALL_MS })
      assert.equal(fixture.store.campaign(one)?.id, 1)
    })

    it("lists a campaign's stageouts by index, and knows which are its own", async () => {
      const blobs = [digestFor(501), digestFor(502), digestFor(503)].map(digest => ({ digest, sizeBytes: 5 }))
      const rows = [4, 0, 9].map((index, i) => resultRow(1, index, { stageout: blobs[i]! }))
      const writes = [...rows, resultRow(1, 5, { stageout: null })].flatMap((row): Write[] => [
        { kind: "job", row: jobRow(1, row.index, { phase: "ended", outcome: "finished", tries: [] }) },
        { kind: "result", row },
      ])
      const store = await withCampaign(...writes)
      assert.deepEqual(store.stageouts(one, 1, 10), [
        { index: 4, blob: blobs[0] },
        { index: 9, blob: blobs[2] },
      ])
      assert.deepEqual(store.stageouts(one, 0, 1), [{ index: 0, blob: blobs[1] }])
      assert.equal(store.hasStageout(one, blobs[0]!.digest), true)
      assert.equal(store.hasStageout(2 as CampaignId, blobs[0]!.digest), false)
    })

    it("knows blobs, who has shown them, and which of them nothing names", async () => {
      const blob = (name: number): Write => ({ kind: "blob", digest: digestFor(name), sizeBytes: name })
      const ref = (name: number) => ({ digest: digestFor(name), sizeBytes: name })
      const store = await start(blob(3), blob(1), blob(2), blob(2), {
        kind: "blobOwner",
        digest: digestFor(1),
        owner: "marie",
        as: "uploaded",
      })
      assert.equal(store.hasBlob(digestFor(2)), 2)
      assert.equal(store.hasBlob(digestFor(4)), null)
      assert.equal(store.ownsBlob(digestFor(1), "marie"), true)
      assert.equal(store.ownsBlob(digestFor(1), "otto"), false)
      assert.equal(store.ownsBlob(digestFor(2), "marie"), false)
      assert.deepEqual([...store.blobs()], [ref(1), ref(2), ref(3)])
      await commit(store, blob(1))
      assert.equal(store.ownsBlob(digestFor(1), "marie"), true)

      const log: LogRef = { inline: null, blob: ref(5), droppedBytes: 0 }
      await commit(
        store,
        { kind: "campaign", row: campaignRow(1, { stagein: ref(1) }) },
        { kind: "campaign", row: campaignRow(1, { stagein: ref(1), cursor: 1 }) },
        { kind: "result", row: resultRow(1, 0, { stageout: ref(2), stdout: log }) },
      )
      // Naming a blob without a row makes the row: the collector may have taken it a moment ago.
      assert.equal(store.hasBlob(digestFor(5)), 5)
      assert.deepEqual(store.unreferencedBlobs(WALL_MS + 1), [ref(3)])
      assert.deepEqual(store.unreferencedBlobs(WALL_MS), [])
    })

    it("forgets a blob unless something names it or used it lately", async () => {
      const forget = (name: number, usedBefore: number): Write => ({
        kind: "forgetBlob",
        digest: digestFor(name),
        usedBefore,
      })
      const store = await start(
        { kind: "campaign", row: campaignRow(1, { stagein: { digest: digestFor(1), sizeBytes: 1 } }) },
        { kind: "blob", digest: digestFor(2), sizeBytes: 2 },
        { kind: "blobOwner", digest: digestFor(2), owner: "marie", as: "uploaded" },
      )
      await commit(store, forget(1, WALL_MS + 1), forget(2, WALL_MS), forget(3, WALL_MS + 1))
      assert.equal(store.hasBlob(digestFor(1)), 1)
      assert.equal(store.hasBlob(digestFor(2)), 2)
      await commit(store, forget(2, WALL_MS + 1))
      assert.equal(store.hasBlob(digestFor(2)), null)
      assert.equal(store.ownsBlob(digestFor(2), "marie"), false)
    })
  })
}
