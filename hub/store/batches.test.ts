// The journal beside a store without one: whatever is written, put away, cut off and started again, both answer the same.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import Database from "better-sqlite3"
import fc from "fast-check"
import type { CampaignId, NodeId, Outcome, Phase } from "../core/model.ts"
import type { JobFilter, JobRow, StoreReader, Write } from "../core/ports.ts"
import { MemoryStore } from "./memory.ts"
import { openSqliteStore } from "./sqlite.ts"
import { campaignRow, commit, jobRow, resultRow, WALL_MS } from "./store.suite.ts"

const wallMs = () => WALL_MS
const campaigns = [1, 2] as CampaignId[]
const jobs = 12
/** So small that it is put away all the time, a row or two with each batch. */
const journal = { keptCharacters: 600, putAwayRows: 2 }

type Change = { campaign: number; index: number; to: Phase | Exclude<Outcome, "refused"> }
const change = fc.record<Change>({
  campaign: fc.constantFrom(1, 2),
  index: fc.nat(jobs - 1),
  to: fc.constantFrom("queued", "held", "offered", "running", "running", "finished", "failed", "lost", "cancelled"),
})
const batch = fc.array(change, { minLength: 1, maxLength: 4 })

function writesOf(changes: readonly Change[], attempt: number, ended: Set<string>): Write[] {
  const rows = new Map<string, Change>()
  for (const one of changes)
    if (!ended.has(`${one.campaign}.${one.index}`)) rows.set(`${one.campaign}.${one.index}`, one)
  return [...rows].flatMap(([name, { campaign, index, to }]): Write[] => {
    if (to === "queued" || to === "held" || to === "offered" || to === "running") {
      const tries =
        to === "queued" || to === "held"
          ? []
          : jobRow(campaign, index).tries.map(one => ({ ...one, phase: to, attempt }))
      return [{ kind: "job", row: jobRow(campaign, index, { phase: to, attempt, tries }) }]
    }
    ended.add(name)
    const outcome = to as Outcome
    const job: Write = { kind: "job", row: jobRow(campaign, index, { phase: "ended", outcome, attempt, tries: [] }) }
    if (to === "lost" || to === "cancelled") return [job]
    return [job, { kind: "result", row: resultRow(campaign, index, { outcome: to as "finished", attempt }) }]
  })
}

const filters: readonly Omit<JobFilter, "fromIndex">[] = [
  { limit: 100 },
  { limit: 3 },
  { limit: 100, phase: "running" },
  { limit: 2, phase: "ended" },
  { limit: 100, outcome: "finished" },
  { limit: 100, outcome: "failed" },
  { limit: 100, phase: "ended", outcome: "lost" },
]

function told(store: StoreReader) {
  return {
    live: store.liveJobs(),
    each: campaigns.map(campaign => ({
      indices: [0, 5].map(from => store.indicesFrom(campaign, from)),
      lists: filters.flatMap(filter => [0, 4].map(fromIndex => store.jobs(campaign, { ...filter, fromIndex }))),
      jobs: Array.from({ length: jobs }, (_, index): JobRow | null => store.job(campaign, index)),
    })),
  }
}

test("a store with a journal answers as one without, whatever is written and whenever it is started again", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { maxLength: 60 }), fc.nat(60), async (batches, restartAt) => {
      const directory = mkdtempSync(join(tmpdir(), "cah-journal-"))
      const twin = new MemoryStore({ wallMs })
      let store = await openSqliteStore({ directory, wallMs, journal })
      try {
        const first = campaigns.map((id): Write => ({ kind: "campaign", row: campaignRow(id, { total: jobs }) }))
        const ended = new Set<string>()
        let attempt = 1
        for (const writes of [first, ...batches.map(changes => writesOf(changes, ++attempt, ended))]) {
          await Promise.all([commit(store, ...writes), commit(twin, ...writes)])
          if (attempt === restartAt) {
            await store.close()
            store = await openSqliteStore({ directory, wallMs, journal })
          }
          assert.deepEqual(told(store), told(twin))
        }
        await store.close()
        store = await openSqliteStore({ directory, wallMs, journal })
        assert.deepEqual(told(store), told(twin))
      } finally {
        await store.close()
        rmSync(directory, { recursive: true })
      }
    }),
    { numRuns: 8 },
  )
})

test("batches that are under way together land in order, and a start puts the journal away", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cah-journal-"))
  const rows = (index: number, phase: Phase): Write => ({ kind: "job", row: jobRow(1, index, { phase }) })
  let store = await openSqliteStore({ directory, wallMs, journal })
  try {
    const node = "n1" as NodeId
    const all = [
      commit(store, { kind: "campaign", row: campaignRow(1) }, rows(0, "offered"), rows(1, "offered")),
      commit(store, rows(0, "running"), rows(2, "offered"), rows(3, "offered")),
      commit(
        store,
        { kind: "job", row: jobRow(1, 0, { phase: "ended", outcome: "finished", tries: [], node }) },
        { kind: "result", row: resultRow(1, 0) },
      ),
      commit(store, rows(1, "running"), rows(4, "offered")),
      commit(store, rows(2, "running"), rows(5, "offered")),
    ]
    assert.deepEqual(store.liveJobs(), [], "nothing is told before it is on disk")
    await Promise.all(all)
    const before = store.liveJobs()
    assert.deepEqual(
      before.map(({ index, phase }) => [index, phase]),
      [
        [1, "running"],
        [2, "running"],
        [3, "offered"],
        [4, "offered"],
        [5, "offered"],
      ],
    )
    await store.close()
    store = await openSqliteStore({ directory, wallMs, journal })
    assert.deepEqual(store.liveJobs(), before)
    const db = new Database(join(directory, "hub.db"), { readonly: true })
    assert.equal(db.prepare("SELECT count(*) FROM journal").pluck().get(), 0)
    assert.equal(db.prepare("SELECT count(*) FROM jobs").pluck().get(), before.length)
    db.close()
  } finally {
    await store.close()
    rmSync(directory, { recursive: true })
  }
})
