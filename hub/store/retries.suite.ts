// What every store must do when jobs that had ended are tried again: part of store.suite.ts, run by the same fixtures.
import assert from "node:assert/strict"
import { afterEach, describe, it } from "node:test"
import { noLog } from "../../proto/wire/log.ts"
import { noCounts } from "../core/change.ts"
import type { CampaignId, LogRef } from "../core/model.ts"
import type { Store } from "../core/ports.ts"
import type { JobRow, ResultRow, Write } from "../core/rows.ts"
import { campaignRow, commit, digestFor, jobRow, resultRow, type StoreFixture, WALL_MS } from "./store.suite.ts"

const one = 1 as CampaignId
const two = 2 as CampaignId

export function retriesSuite(name: string, make: () => Promise<StoreFixture>): void {
  describe(`${name} as a store of what is tried again`, () => {
    let fixture: StoreFixture
    afterEach(() => fixture.dispose())

    const log = (number: number): LogRef => ({ ...noLog, blob: { digest: digestFor(number), sizeBytes: number } })
    const failure = (index: number, change: Partial<ResultRow> = {}) =>
      resultRow(1, index, { outcome: "failed", exitCode: 2, ...change })
    const ended = (index: number, change: Partial<JobRow> = {}) =>
      jobRow(1, index, { phase: "ended", outcome: "failed", tries: [], ...change })
    const job = (row: JobRow): Write => ({ kind: "job", row })
    const result = (row: ResultRow): Write => ({ kind: "result", row })
    const queued = (index: number) => jobRow(1, index, { phase: "queued", tries: [], node: null })
    const campaign = (endedAt: number | null): Write => ({
      kind: "campaign",
      row: campaignRow(1, { cursor: 10, counts: { ...noCounts(), failed: 100 }, endedAt }),
    })

    /** Jobs 0 to 4 of a campaign that has ended: well, failed with outputs and warnings, lost, failed likewise, cancelled. */
    async function start(): Promise<Store> {
      fixture = await make()
      const { store } = fixture
      await commit(store, campaign(null), ...[0, 1, 2, 3, 4].map(index => job(jobRow(1, index))))
      await commit(
        store,
        campaign(WALL_MS + 5),
        job(ended(0, { outcome: "finished" })),
        result(resultRow(1, 0, { stageout: { digest: digestFor(50), sizeBytes: 50 }, warnings: "late" })),
        job(ended(1)),
        result(failure(1, { stdout: log(51), stageout: { digest: digestFor(52), sizeBytes: 52 }, warnings: "late" })),
        job(ended(2, { outcome: "lost" })),
        job(ended(3)),
        result(failure(3, { message: "of its own", warnings: "empty" })),
        job(ended(4, { outcome: "cancelled" })),
      )
      return store
    }

    it("M5: gives jobs that ended otherwise than well, of a range, in order", async () => {
      const store = await start()
      const indices = (first: number, last: number, limit: number) =>
        store.unwell(one, { first, last }, limit).map(({ index, outcome, phase }) => [index, outcome, phase])
      assert.deepEqual(indices(0, 99, 9), [
        [1, "failed", "ended"],
        [2, "lost", "ended"],
        [3, "failed", "ended"],
        [4, "cancelled", "ended"],
      ])
      assert.deepEqual(
        indices(2, 3, 9).map(([index]) => index),
        [2, 3],
      )
      assert.deepEqual(
        indices(0, 99, 2).map(([index]) => index),
        [1, 2],
      )
      assert.deepEqual(store.unwell(two, { first: 0, last: 9 }, 9), [])
    })

    it("M5: makes a retried job's result an earlier attempt's, and the job a live one, over starts", async () => {
      let store = await start()
      const again = [1, 2, 3, 4]
      await commit(
        store,
        { kind: "retry", campaign: one, jobs: again, cancelled: [] },
        campaign(null),
        ...again.map(index => job(queued(index))),
      )
      for (const round of ["at once", "after a start", "after another"]) {
        assert.deepEqual(store.liveJobs(), again.map(queued), round)
        assert.deepEqual(
          store.jobs(one, { fromIndex: 0, limit: 9, phase: "ended" }).map(({ index }) => index),
          [0],
          round,
        )
        assert.deepEqual(store.unwell(one, { first: 0, last: 99 }, 9), [], round)
        assert.deepEqual([store.result(one, 1), store.result(one, 0)?.attempt], [null, 1], round)
        assert.deepEqual(
          store.attempts(one, 1),
          [failure(1, { stdout: log(51), warnings: "late", accepted: false })],
          round,
        )
        assert.deepEqual([store.attempts(one, 2), store.attempts(one, 3).length], [[], 1], round)
        assert.deepEqual([store.errors(one, 9), store.endedCount()], [[], 0], round)
        assert.deepEqual(store.warnings(one, 9), [{ text: "late", count: 1, exampleIndex: 0 }], round)
        assert.deepEqual(
          store.unreferencedBlobs(Number.MAX_SAFE_INTEGER).map(({ digest }) => digest),
          [digestFor(52)],
        )
        assert.deepEqual(
          store.stageouts(one, 0, 9).map(({ index }) => index),
          [0],
          round,
        )
        store = await fixture.restart()
      }
      const second = failure(1, { attempt: 2, exitCode: 3 })
      await commit(store, campaign(WALL_MS + 9), job(ended(1, { attempt: 2 })), result(second))
      store = await fixture.restart()
      assert.deepEqual([store.result(one, 1), store.job(one, 1)?.attempt], [second, 2])
      assert.deepEqual(store.errors(one, 9), [
        { outcome: "failed", exitCode: 3, message: "", count: 1, exampleIndex: 1 },
      ])
    })

    it("M5: leaves an error its count and an example of those that are not tried again", async () => {
      const store = await start()
      await commit(store, job(ended(5)), result(failure(5)), job(ended(6)), result(failure(6)))
      await commit(store, { kind: "retry", campaign: one, jobs: [1, 5], cancelled: [] }, job(queued(1)), job(queued(5)))
      const [first] = store.errors(one, 9).filter(({ message }) => message === "")
      assert.deepEqual([first?.count, first?.exampleIndex], [1, 6])
    })

    it("M5: a retried job that is cancelled in the same batch has ended", async () => {
      let store = await start()
      const cancelled = ended(2, { outcome: "cancelled" })
      await commit(store, { kind: "retry", campaign: one, jobs: [2], cancelled: [] }, job(cancelled))
      store = await fixture.restart()
      assert.deepEqual([store.job(one, 2), store.liveJobs()], [cancelled, []])
    })

    it("M5: takes parts out of cancelled ranges, wherever they lie in them", async () => {
      let store = await start()
      const range = (first: number, last: number) => ({ first, last })
      const cancel = (first: number, last: number): Write => {
        return { kind: "cancelledRange", campaign: one, range: range(first, last), why: "cancelled" }
      }
      await commit(store, cancel(10, 19), cancel(20, 29), cancel(40, 49), cancel(60, 60))
      const parts = [range(10, 12), range(24, 25), range(48, 49), range(60, 60)]
      await commit(store, { kind: "retry", campaign: one, jobs: [], cancelled: parts })
      store = await fixture.restart()
      assert.deepEqual(store.cancelledRanges(one), [range(13, 19), range(20, 23), range(26, 29), range(40, 47)])
      await commit(store, cancel(24, 25), { kind: "retry", campaign: one, jobs: [], cancelled: [range(13, 19)] })
      assert.deepEqual(store.cancelledRanges(one), [range(20, 23), range(24, 25), range(26, 29), range(40, 47)])
      assert.deepEqual([store.job(one, 12), store.job(one, 24)?.outcome], [null, "cancelled"])
    })

    it("M5: knows what was cancelled for want of another campaign until it is tried again or swept", async () => {
      let store = await start()
      const miss = (campaign: number, needed: number, ...ranges: [number, number][]): Write => {
        const missed = ranges.map(([first, last]) => ({ first, last }))
        return { kind: "missed", campaign: campaign as CampaignId, needed: needed as CampaignId, ranges: missed }
      }
      const rows = [2, 3, 4].map((id): Write => ({ kind: "campaign", row: campaignRow(id, { endedAt: WALL_MS }) }))
      await commit(store, ...rows, miss(2, 1, [0, 4], [6, 6]), miss(3, 1, [0, 99]), miss(4, 2, [7, 7]))
      await commit(store, miss(2, 1, [0, 3], [6, 6]))
      store = await fixture.restart()
      assert.deepEqual(store.missed(one), [
        {
          campaign: 2,
          ranges: [
            { first: 0, last: 3 },
            { first: 6, last: 6 },
          ],
        },
        { campaign: 3, ranges: [{ first: 0, last: 99 }] },
      ])
      await commit(store, { kind: "retry", campaign: two, jobs: [], cancelled: [] }, miss(3, 2, [0, 99]))
      assert.deepEqual(store.missed(one), [])
      assert.deepEqual(
        store.missed(two).map(({ campaign }) => campaign),
        [3, 4],
      )
      for (const id of [3, 4])
        await commit(store, { kind: "forgetCampaign", campaign: id as CampaignId, at: WALL_MS + 1 })
      while (store.hasForgotten()) await commit(store, { kind: "sweepForgotten", rows: 10 })
      store = await fixture.restart()
      assert.deepEqual(store.missed(two), [])
    })

    it("M5: a notice that is told anew is told with its new time", async () => {
      const store = await start()
      const row = { campaign: one, occasion: "end", target: 0, tries: 0, trouble: "", doneAt: null } as const
      await commit(store, { kind: "notice", row: { ...row, at: 1, nextAt: 1, doneAt: 2 } })
      await commit(store, { kind: "notice", row: { ...row, at: 9, nextAt: 9 } })
      assert.deepEqual(
        store.notices(one).map(({ at, doneAt }) => [at, doneAt]),
        [[9, null]],
      )
    })
  })
}
