// What every store must do, run against each: ten lines of *.test.ts give it a store to try.

import assert from "node:assert/strict"
import { afterEach, describe, it } from "node:test"
import type { Digest } from "../../proto/wire/digest.ts"
import { noLog } from "../../proto/wire/log.ts"
import { noCounts, noTotals } from "../core/change.ts"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { Store } from "../core/ports.ts"
import type { CampaignRow, JobRow, NodeRow, ResultRow, RowWrite, TokenRow, Write } from "../core/rows.ts"
import { noRules } from "../core/rules.ts"
import { linesOf } from "../core/story.ts"
import type { HostId, LaunchId } from "../core/volunteers.ts"
import { whyNumber } from "../core/why.ts"
import { PARAMETER_PAGE_LINES } from "../limits.ts"

export const WALL_MS = 1_700_000_000_000

export interface StoreFixture {
  readonly store: Store
  /** The same data after a stop and a start, with all handles new. */
  restart(): Promise<Store>
  dispose(): Promise<void>
}

export function commit(store: Store, ...writes: Write[]): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(writes, error => (error === null ? resolve() : reject(error)))
  })
}

export function digestFor(name: number): Digest {
  return `sha256:${name.toString(16).padStart(64, "0")}` as Digest
}

export function campaignRow(id: number, changes: Partial<CampaignRow> = {}): CampaignRow {
  return {
    id: id as CampaignId,
    owner: "marie",
    project: "films",
    key: `key-${id}`,
    specDigest: digestFor(1_000 + id),
    name: `frames ${id}`,
    spec: new Uint8Array([1, 2, 3, id]),
    stagein: null,
    slots: 1,
    memoryBytes: 5_000_000_000,
    diskBytes: 7_000_000_000_000,
    walltimeMs: 7_200_000,
    rules: noRules,
    held: false,
    waitsFor: [],
    priority: 0,
    total: 100,
    hasParameters: false,
    cursor: 0,
    counts: { ...noCounts(), queued: 100 },
    totals: { ...noTotals(), losses: 3, coreMs: 12.5 },
    told: ["running"],
    submittedAt: WALL_MS,
    endedAt: null,
    ...changes,
  }
}

export function jobRow(campaign: number, index: number, changes: Partial<JobRow> = {}): JobRow {
  return {
    campaign: campaign as CampaignId,
    index,
    phase: "offered",
    outcome: null,
    verdict: "unchecked",
    attempt: 1,
    tries: [{ attempt: 1, node: "n1" as NodeId, phase: "offered", shape: 0, startedAt: null }],
    node: "n1" as NodeId,
    failures: 0,
    losses: 0,
    story: [WALL_MS, whyNumber("offered"), "offered to it", "offered", 1, "n1"],
    ...changes,
  }
}

export function resultRow(campaign: number, index: number, changes: Partial<ResultRow> = {}): ResultRow {
  return {
    campaign: campaign as CampaignId,
    index,
    attempt: 1,
    node: "n1" as NodeId,
    accepted: true,
    outcome: "finished",
    exitCode: 0,
    message: "",
    warnings: "",
    stageout: null,
    stdout: noLog,
    stderr: noLog,
    runMs: 1_234,
    cpuMs: 1_000,
    peakMemoryBytes: 6_000_000_000,
    ...changes,
  }
}

function nodeRow(id: string, changes: Partial<NodeRow> = {}): NodeRow {
  return {
    id: id as NodeId,
    account: "vera",
    host: 3 as HostId,
    network: "2001:db8:1::/48",
    name: "attic",
    publicKey: new Uint8Array(32).fill(7),
    agentVersion: "0.1.0",
    bootId: "b1",
    epoch: 1,
    slots: 4,
    memoryBytes: 8_000_000_000,
    diskBytes: 9_000_000_000,
    properties: { os: "linux", "cpu.flags": "avx2" },
    drained: false,
    revoked: false,
    quarantine: null,
    presence: new Uint8Array([1, 2, 3]),
    lastSeenAt: WALL_MS,
    ...changes,
  }
}

const one = 1 as CampaignId
const indices = (rows: JobRow[]) => rows.map(row => row.index)
const late = { kind: "cancelledRange", why: "deadline" } as const
const cancelRange = (first: number, last: number, campaign = one) => ({ ...late, campaign, range: { first, last } })

export function storeSuite(name: string, make: () => Promise<StoreFixture>): void {
  describe(`${name} as a store`, () => {
    let fixture: StoreFixture
    async function start(...writes: Write[]): Promise<Store> {
      fixture = await make()
      if (writes.length > 0) await commit(fixture.store, ...writes)
      return fixture.store
    }
    const withCampaign = (...writes: Write[]) => start({ kind: "campaign", row: campaignRow(1) }, ...writes)
    afterEach(() => fixture.dispose())

    it("keeps shares, and what is used by project", async () => {
      const usage = { owner: "marie", project: "", bestEffort: false, coreSeconds: 1.5, at: WALL_MS }
      const rows = [usage, { ...usage, project: "films" }, { ...usage, bestEffort: true }]
      await start(
        ...rows.map((row): Write => ({ kind: "usage", row })),
        { kind: "share", owner: "marie", share: 0.5 },
        { kind: "share", owner: "vera", share: 2 },
        { kind: "usage", row: { ...usage, coreSeconds: 2.5 } },
        { kind: "share", owner: "vera", share: 1 },
      )
      const store = await fixture.restart()
      assert.deepEqual(store.shares(), [{ owner: "marie", share: 0.5 }])
      const key = ({ project, bestEffort }: { project: string; bestEffort: boolean }) => `${project} ${bestEffort}`
      assert.deepEqual(
        store.usages().sort((a, b) => (key(a) < key(b) ? -1 : 1)),
        [{ ...usage, coreSeconds: 2.5 }, rows[2], rows[1]],
      )
    })

    it("S9: gives notices that are due of each owner so many, however many one has", async () => {
      const notice = { occasion: "end" as const, at: WALL_MS, tries: 0, trouble: "", doneAt: null }
      const of = (campaign: number, target: number, nextAt: number): Write => ({
        kind: "notice",
        row: { ...notice, campaign: campaign as CampaignId, target, nextAt },
      })
      const owners = ["ada", "ada", "otto"]
      const campaigns = owners.map((owner, at): Write => ({ kind: "campaign", row: campaignRow(at + 1, { owner }) }))
      const store = await start(...campaigns, of(3, 0, WALL_MS + 9), ...[0, 1, 2].map(target => of(2, target, WALL_MS)))
      await commit(store, of(1, 5, WALL_MS))
      const due = (perOwner: number) => store.dueNotices(WALL_MS + 9, perOwner).map(row => [row.campaign, row.target])
      assert.deepEqual(due(2), [
        [1, 5],
        [2, 0],
        [3, 0],
      ])
      assert.equal(due(9).length, 5)
    })

    it("gives notices that are due, the earliest first, and none that was told", async () => {
      const notice = { campaign: one, occasion: "end" as const, at: WALL_MS, tries: 0, trouble: "", doneAt: null }
      const rows = [2, 0, 1].map(target => ({ ...notice, target, nextAt: WALL_MS + target }))
      await withCampaign(...rows.map((row): Write => ({ kind: "notice", row })))
      const store = await fixture.restart()
      assert.deepEqual(
        store.dueNotices(WALL_MS + 1, 9).map(row => row.target),
        [0, 1],
      )
      assert.deepEqual(
        store.dueNotices(WALL_MS + 1, 1).map(row => row.target),
        [0],
      )
      assert.equal(store.nextNoticeAt(), WALL_MS)
      const told = { ...rows[1]!, tries: 1, doneAt: WALL_MS + 5 }
      await commit(store, { kind: "notice", row: told })
      assert.equal(store.nextNoticeAt(), WALL_MS + 1)
      assert.deepEqual(
        store.notices(one).find(row => row.target === 0),
        told,
      )
    })

    it("has an id that survives a restart, and begins empty", async () => {
      const store = await start()
      const id = store.hubId()
      assert.match(id, /^[0-9a-f]{32}$/)
      assert.equal(store.lastCampaign(), 0)
      assert.deepEqual(store.liveCampaigns(), [])
      assert.deepEqual(store.liveJobs(), [])
      assert.equal(store.campaign(one), null)
      assert.equal(store.job(one, 0), null)
      assert.equal((await fixture.restart()).hubId(), id)
    })

    it("shows a batch by the time it is done, in the order given", async () => {
      const store = await start()
      const heard: string[] = []
      const second = new Promise<void>(resolve => {
        store.commit([{ kind: "campaign", row: campaignRow(1) }], error => {
          assert.equal(error, null)
          // The second may be on disk by now, but no later one without it.
          assert.ok([0, 5].includes(store.campaign(one)!.cursor))
          heard.push("first")
        })
        store.commit([{ kind: "campaign", row: campaignRow(1, { cursor: 5 }) }], error => {
          assert.equal(error, null)
          assert.equal(store.campaign(one)?.cursor, 5)
          heard.push("second")
          resolve()
        })
      })
      assert.equal(store.health().queued, 2)
      await second
      assert.deepEqual(heard, ["first", "second"])
      assert.equal(store.health().queued, 0)
    })

    it("gives back every kind of row as it was written, and after a restart too", async () => {
      const stagein = { digest: digestFor(1), sizeBytes: 3_000_000_000 }
      const campaign = campaignRow(1, { stagein, hasParameters: true, total: 2, priority: -3 })
      const job = jobRow(1, 0, {
        phase: "ended",
        outcome: "failed",
        verdict: "agreed",
        failures: 2,
        losses: 1,
        tries: [],
      })
      const result = resultRow(1, 0, {
        outcome: "failed",
        exitCode: -9,
        message: "killed: out of memory — ü",
        stageout: { digest: digestFor(2), sizeBytes: 5_000_000_000 },
        stdout: { inline: new Uint8Array([0, 255, 10]), blob: null, droppedBytes: 0 },
        stderr: { inline: null, blob: { digest: digestFor(3), sizeBytes: 70_000 }, droppedBytes: 12 },
      })
      const node = nodeRow("n1", { drained: true })
      const token: TokenRow = {
        id: "t1",
        hash: new Uint8Array(32).fill(9),
        principal: "marie",
        scopes: ["read", "submit"],
        createdAt: WALL_MS,
        expiresAt: null,
        revokedAt: null,
        lastUsedAt: WALL_MS + 1,
      }
      const joining = { account: "vera", usesLeft: 2, expiresAt: WALL_MS, launch: 3 as LaunchId }
      const enrolment = { id: "e1", hash: new Uint8Array([1]), ...joining }
      const before = await start(
        { kind: "campaign", row: campaign },
        { kind: "parameters", campaign: one, first: 0, lines: ['--name "ü\n"', ""] },
        { kind: "job", row: job },
        { kind: "result", row: result },
        { kind: "node", row: node },
        { kind: "token", row: token },
        { kind: "enrolment", row: enrolment },
      )
      for (const again of [false, true]) {
        const store = again ? await fixture.restart() : before
        assert.deepEqual(store.campaign(one), campaign)
        assert.deepEqual(store.campaignByKey("marie", "key-1"), campaign)
        assert.deepEqual(store.job(one, 0), job)
        assert.deepEqual(store.result(one, 0), result)
        assert.equal(store.result(one, 1), null)
        assert.deepEqual(store.nodes(), [node])
        assert.deepEqual(store.tokens(), [token])
        assert.deepEqual(store.token("t1"), token)
        assert.equal(store.token("t2"), null)
        assert.deepEqual(store.enrolment("e1"), enrolment)
        assert.equal(store.parameters(one, 0), '--name "ü\n"')
        assert.equal(store.parameters(one, 1), "")
        assert.equal(store.parameters(one, 2), null)
        assert.equal(store.lastCampaign(), 1)
      }
    })

    it("keeps what a batch said even if the caller changes its rows afterwards, and what it holds if a reader does", async () => {
      const store = await start()
      const row = campaignRow(1)
      const job = jobRow(1, 0)
      const done = commit(store, { kind: "campaign", row }, { kind: "job", row: job })
      row.counts.queued = 77
      row.cursor = 77
      job.attempt = 77
      await done
      const read = store.campaign(one)!
      assert.equal(read.counts.queued, 100)
      assert.equal(read.cursor, 0)
      read.counts.queued = 78
      store.liveJobs()[0]!.attempt = 78
      assert.equal(store.campaign(one)!.counts.queued, 100)
      assert.equal(store.job(one, 0)!.attempt, 1)
    })

    it("changes of a campaign only cursor, counts and end once it is there", async () => {
      const store = await withCampaign()
      const counts = { ...noCounts(), finished: 100 }
      const row = campaignRow(1, { cursor: 100, counts, endedAt: WALL_MS + 9, name: "other", submittedAt: 1 })
      await commit(store, { kind: "campaign", row })
      assert.deepEqual(store.campaign(one), campaignRow(1, { cursor: 100, counts, endedAt: WALL_MS + 9 }))
      assert.deepEqual(store.liveCampaigns(), [])
    })

    it("lists campaigns newest first, by owner, by page, and only live ones if asked", async () => {
      const rows = [1, 2, 3, 4, 5].map(id => campaignRow(id, { owner: id % 2 === 0 ? "marie" : "otto" }))
      rows[4]!.endedAt = WALL_MS
      const store = await start(...rows.map((row): Write => ({ kind: "campaign", row })))
      const list = (owner: string | null, before = 0, limit = 10, live = false) =>
        store.campaigns({ owner, before, limit, live }).map(row => row.id)
      assert.deepEqual(list(null), [5, 4, 3, 2, 1])
      assert.deepEqual(list(null, 4, 2), [3, 2])
      assert.deepEqual(list(null, 0, 10, true), [4, 3, 2, 1])
      assert.deepEqual(list("otto"), [5, 3, 1])
      assert.deepEqual(list("otto", 0, 1, true), [3])
      assert.deepEqual(list("nobody"), [])
      assert.deepEqual(
        store.liveCampaigns().map(row => row.id),
        [1, 2, 3, 4],
      )
      assert.equal(store.lastCampaign(), 5)
    })

    it("gives jobs that have not ended, and only those, to a starting hub", async () => {
      const store = await start(
        { kind: "campaign", row: campaignRow(2) },
        { kind: "campaign", row: campaignRow(1) },
        { kind: "job", row: jobRow(2, 3) },
        { kind: "job", row: jobRow(1, 9, { phase: "running" }) },
        { kind: "job", row: jobRow(1, 4, { phase: "queued", node: null }) },
        { kind: "job", row: jobRow(1, 5) },
        { kind: "job", row: jobRow(1, 5, { phase: "ended", outcome: "finished" }) },
        cancelRange(50, 60),
      )
      assert.deepEqual(
        store.liveJobs().map(row => `${row.campaign}.${row.index}`),
        ["1.4", "1.9", "2.3"],
      )
    })

    it("holds a campaign of a million jobs as one row, and its cancelled rest as one range", async () => {
      const row = campaignRow(1, { total: 1_000_000 })
      const store = await start({ kind: "campaign", row }, cancelRange(10, 999_999))
      assert.deepEqual(store.cancelledRanges(one), [{ first: 10, last: 999_999 }])
      assert.equal(store.job(one, 9), null)
      assert.equal(store.job(one, 10)?.outcome, "cancelled")
      const [line] = linesOf(store.job(one, 999_999)?.story ?? [])
      assert.deepEqual([line?.at, line?.why], [WALL_MS, "deadline"])
      assert.equal(store.job(one, 1_000_000), null)
      assert.deepEqual(store.liveJobs(), [])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 500_000, limit: 3 })), [500_000, 500_001, 500_002])
    })

    it("lists rows and cancelled ranges as one list in order", async () => {
      const ended = { phase: "ended", outcome: "finished" } as const
      const store = await withCampaign(
        { kind: "job", row: jobRow(1, 0, ended) },
        { kind: "job", row: jobRow(1, 1, { phase: "running" }) },
        { kind: "job", row: jobRow(1, 2, { phase: "ended", outcome: "cancelled" }) },
        cancelRange(8, 9),
        cancelRange(4, 5),
        { kind: "job", row: jobRow(1, 6, { phase: "ended", outcome: "failed" }) },
        { kind: "job", row: jobRow(1, 7, { phase: "running" }) },
        { kind: "job", row: jobRow(1, 10, ended) },
      )
      assert.deepEqual(store.cancelledRanges(one), [
        { first: 4, last: 5 },
        { first: 8, last: 9 },
      ])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 0, limit: 100 })), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 5, limit: 3 })), [5, 6, 7])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 5, limit: 4 })), [5, 6, 7, 8])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 0, limit: 100, phase: "running" })), [1, 7])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 2, limit: 1, phase: "running" })), [7])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 0, limit: 9, outcome: "cancelled" })), [2, 4, 5, 8, 9])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 0, limit: 9, outcome: "finished" })), [0, 10])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 0, limit: 9, outcome: "failed" })), [6])
      assert.deepEqual(indices(store.jobs(one, { fromIndex: 1, limit: 4, phase: "ended" })), [2, 4, 5, 6])
      assert.deepEqual(store.jobs(one, { fromIndex: 0, limit: 9, phase: "running", outcome: "failed" }), [])
      assert.deepEqual(store.jobs(2 as CampaignId, { fromIndex: 0, limit: 9 }), [])
    })

    it("finds each line of long parameter lists, however they were cut", async () => {
      const line = (index: number) => `--frame ${index}`
      const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => line(from + at))
      const cut = PARAMETER_PAGE_LINES + 7
      const end = 3 * PARAMETER_PAGE_LINES
      const store = await withCampaign(
        { kind: "parameters", campaign: one, first: 0, lines: lines(0, cut) },
        { kind: "parameters", campaign: one, first: cut, lines: lines(cut, end) },
      )
      for (const index of [0, PARAMETER_PAGE_LINES - 1, PARAMETER_PAGE_LINES, cut - 1, cut, end - 1]) {
        assert.equal(store.parameters(one, index), line(index))
      }
      assert.equal(store.parameters(one, end), null)
      assert.equal(store.parameters(2 as CampaignId, 0), null)
    })

    it("sums up errors, commonest first, with an example each", async () => {
      const failed = (index: number, exitCode: number): Write => ({
        kind: "result",
        row: resultRow(1, index, { outcome: "failed", exitCode, message: `exit ${exitCode}` }),
      })
      const store = await withCampaign(
        failed(3, 1),
        failed(4, 2),
        failed(5, 2),
        { kind: "result", row: resultRow(1, 6) },
        { kind: "result", row: resultRow(1, 7, { outcome: "timedout", message: "exit 2", exitCode: 2 }) },
      )
      const two = { outcome: "failed", exitCode: 2, message: "exit 2", count: 2, exampleIndex: 4 }
      const first = { outcome: "failed", exitCode: 1, message: "exit 1", count: 1, exampleIndex: 3 }
      const late = { outcome: "timedout", exitCode: 2, message: "exit 2", count: 1, exampleIndex: 7 }
      assert.deepEqual(store.errors(one, 10), [two, first, late])
      assert.deepEqual(store.errors(one, 1), [two])
    })

    it("takes odd numbers that an agent claims, instead of failing everybody's transaction", async () => {
      const row = resultRow(1, 0, { runMs: 1.5, cpuMs: Number.NaN, peakMemoryBytes: 1e300 })
      const store = await withCampaign({ kind: "result", row })
      const { runMs, cpuMs, peakMemoryBytes } = store.result(one, 0)!
      assert.deepEqual([runMs, cpuMs, peakMemoryBytes], [1, 0, Number.MAX_SAFE_INTEGER])
    })

    it("refuses a second result for a job, with all of its batch and all that follows, until it is opened anew", async () => {
      const store = await withCampaign({ kind: "result", row: resultRow(1, 0) })
      const second = commit(
        store,
        { kind: "job", row: jobRow(1, 1) },
        { kind: "result", row: resultRow(1, 0, { exitCode: 5 }) },
      )
      const following = commit(store, { kind: "job", row: jobRow(1, 2) })
      await assert.rejects(second, { name: "CahError", code: "internal" })
      await assert.rejects(following, { name: "CahError", code: "internal" })
      await assert.rejects(commit(store, { kind: "job", row: jobRow(1, 3) }))
      assert.deepEqual(store.liveJobs(), [])
      assert.equal(store.result(one, 0)!.exitCode, 0)
      await store.reopen()
      await commit(store, { kind: "job", row: jobRow(1, 4) })
      assert.deepEqual(indices(store.liveJobs()), [4])
    })

    it("refuses a second campaign with the same owner and key, and a job of no campaign", async () => {
      const store = await withCampaign()
      const twin = commit(store, { kind: "campaign", row: campaignRow(2, { key: "key-1" }) })
      await assert.rejects(twin, { code: "internal" })
      await store.reopen()
      await assert.rejects(commit(store, { kind: "job", row: jobRow(9, 0) }), { code: "internal" })
      await store.reopen()
      await commit(store, { kind: "campaign", row: campaignRow(2, { owner: "otto", key: "key-1" }) })
      assert.equal(store.campaignByKey("otto", "key-1")?.id, 2)
    })

    it("O1: refuses what breaks a rule of the tables, whatever the table", async () => {
      const store = await withCampaign(
        { kind: "parameters", campaign: one, first: 0, lines: ["a"] },
        cancelRange(4, 5),
        { kind: "result", row: resultRow(1, 0) },
      )
      const usage = { owner: "marie", project: "", bestEffort: false, coreSeconds: 1, at: WALL_MS }
      const notice = {
        occasion: "end" as const,
        target: 0,
        at: WALL_MS,
        tries: 0,
        nextAt: 0,
        trouble: "",
        doneAt: null,
      }
      const nine = 9 as CampaignId
      const wrong: readonly (readonly [string, Write])[] = [
        ["a second page of parameters", { kind: "parameters", campaign: one, first: 0, lines: ["b"] }],
        ["parameters of no campaign", { kind: "parameters", campaign: nine, first: 0, lines: ["b"] }],
        ["a second range from one index on", cancelRange(4, 9)],
        ["a range of no campaign", cancelRange(0, 1, nine)],
        ["a result of no campaign", { kind: "result", row: resultRow(9, 0) }],
        ["a live job of no campaign", { kind: "job", row: jobRow(9, 0) }],
        [
          "an owner of a blob without a row",
          { kind: "blobOwner", digest: digestFor(9), owner: "marie", as: "uploaded" },
        ],
        ["a number that is none", { kind: "usage", row: { ...usage, coreSeconds: Number.NaN } }],
        ["a fraction", { kind: "node", row: nodeRow("n1", { slots: 1.5 }) }],
        ["a number beyond 64 bits", { kind: "node", row: nodeRow("n1", { memoryBytes: 2 ** 64 }) }],
        ["nothing where something must be", { kind: "node", row: nodeRow("n1", { name: null as unknown as string }) }],
        ["a fraction of a millisecond", { kind: "notice", row: { ...notice, campaign: one, nextAt: 0.5 } }],
        ["a priority that is none", { kind: "campaign", row: campaignRow(2, { priority: Number.POSITIVE_INFINITY }) }],
      ]
      for (const [what, write] of wrong) {
        await assert.rejects(commit(store, write), { code: "internal" }, what)
        await store.reopen()
      }
      assert.deepEqual(store.nodes(), [])
      assert.equal(store.lastCampaign(), 1)
    })

    it("O13: of rows that stand apart it refuses alone those that break a rule, each whole, and says which", async () => {
      const store = await withCampaign()
      const node = (id: string): Write => ({ kind: "node", row: nodeRow(id) })
      const blob = { digest: digestFor(9), sizeBytes: 9 }
      const orphan = { kind: "blobOwner", digest: digestFor(8), owner: "eve", as: "uploaded" } as const
      const apart = [[node("n1")], [node("n2"), orphan], [{ kind: "blob", ...blob }], [node("n3"), node("n4")]]
      const refused = await new Promise<ReadonlyMap<number, Error>>((resolve, reject) => {
        store.commit(
          [{ kind: "job", row: jobRow(1, 0) }],
          (error, which) => (error === null ? resolve(which) : reject(error)),
          apart as RowWrite[][],
        )
      })
      assert.deepEqual([...refused.keys()], [1])
      assert.equal((refused.get(1) as Error & { code: string }).code, "internal")
      assert.deepEqual(
        store.nodes().map(({ id }) => id),
        ["n1", "n3", "n4"],
      )
      assert.deepEqual(indices(store.liveJobs()), [0])
      await commit(store, { kind: "job", row: jobRow(1, 1) })
      assert.deepEqual(indices((await fixture.restart()).liveJobs()), [0, 1])
    })

    it("O7: drops a token that is no longer needed", async () => {
      const token = { id: "t1", hash: new Uint8Array(32), principal: "ann", scopes: [], createdAt: WALL_MS }
      const row = { ...token, expiresAt: WALL_MS, revokedAt: null, lastUsedAt: null }
      const store = await start({ kind: "token", row }, { kind: "token", row: { ...row, id: "t2" } })
      await commit(store, { kind: "forgetToken", id: "t1" }, { kind: "forgetToken", id: "of nobody" })
      assert.deepEqual((await fixture.restart()).tokens(), [{ ...row, id: "t2" }])
    })

    it("replaces nodes, tokens and enrolments whole", async () => {
      const quarantine = { sinceAt: WALL_MS, why: "3 jobs of campaign 1 failed on it in a row", clean: 1, failed: 2 }
      const store = await start(
        { kind: "node", row: nodeRow("n2") },
        { kind: "node", row: nodeRow("n1") },
        { kind: "node", row: nodeRow("n2", { epoch: 2, properties: {}, revoked: true }) },
        { kind: "node", row: nodeRow("n3", { quarantine }) },
      )
      assert.deepEqual(store.nodes(), [
        nodeRow("n1"),
        nodeRow("n2", { epoch: 2, properties: {}, revoked: true }),
        nodeRow("n3", { quarantine }),
      ])
    })

    it("O9: forgets nodes, and enrolments whose time is over, and finds the nodes that were not seen for long", async () => {
      const revoked = nodeRow("n4", { revoked: true, lastSeenAt: 1 })
      const enrolment = { hash: new Uint8Array([1]), account: "vera", usesLeft: 1, launch: null }
      const store = await start(
        ...["n1", "n2", "n3"].map((id, at): Write => ({ kind: "node", row: nodeRow(id, { lastSeenAt: 10 * at }) })),
        { kind: "node", row: revoked },
        ...[100, 200].map(
          (expiresAt): Write => ({ kind: "enrolment", row: { ...enrolment, id: `e${expiresAt}`, expiresAt } }),
        ),
      )
      assert.equal(store.lastSeenAt("n2" as NodeId), 10)
      assert.equal(store.lastSeenAt("n9" as NodeId), null)
      assert.deepEqual(store.nodesSeenBefore(20, "", 9), ["n1", "n2"])
      assert.deepEqual(store.nodesSeenBefore(20, "", 1), ["n1"])
      assert.deepEqual(store.nodesSeenBefore(20, "n1", 9), ["n2"])
      await commit(store, { kind: "forgetNode", node: "n1" as NodeId }, { kind: "forgetEnrolments", before: 200 })
      const after = await fixture.restart()
      assert.deepEqual(
        after.nodes().map(({ id }) => id),
        ["n2", "n3", "n4"],
      )
      assert.equal(after.enrolment("e100"), null)
      assert.equal(after.enrolment("e200")?.expiresAt, 200)
    })

    it("commits what was given before close, and nothing after", async () => {
      const store = await withCampaign()
      const last = commit(store, { kind: "job", row: jobRow(1, 7) })
      const after = await fixture.restart()
      await last
      assert.deepEqual(indices(after.liveJobs()), [7])
    })
  })
}
