// The journal beside a store without one: whatever is written, put away, cut off and started again, both answer the same.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import Database from "better-sqlite3"
import fc from "fast-check"
import type { CampaignId, NodeId, Outcome, Phase } from "../../core/model.ts"
import type { StoreReader } from "../../core/ports.ts"
import type { JobFilter, JobRow, Write } from "../../core/rows.ts"
import { MemoryStore } from "../memory/memory.ts"
import { campaignRow, commit, jobRow, resultRow, WALL_MS } from "../store.suite.ts"
import { demandStart, journals, scratch } from "./anew.ts"
import { DirectStore } from "./direct.ts"
import { openSqliteStore } from "./sqlite.ts"

const wallMs = () => WALL_MS
const jobs = 12
const journal = journals[1]!

type Change = { campaign: number; index: number; to: Phase | Exclude<Outcome, "refused"> }
const change = fc.record<Change>({
  campaign: fc.constantFrom(1, 2),
  index: fc.nat(jobs - 1),
  to: fc.constantFrom("queued", "held", "offered", "running", "running", "finished", "failed", "lost", "cancelled"),
})
/** Jobs change; or a campaign ends, is forgotten, and another takes its place; or some of its rows are swept; or the hub starts. */
type Action = { changes: Change[] } | { forget: number } | { sweep: number } | { start: true }
const action = fc.oneof<fc.MaybeWeightedArbitrary<Action>[]>(
  { weight: 12, arbitrary: fc.record({ changes: fc.array(change, { minLength: 1, maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ forget: fc.constantFrom(0, 1) }) },
  { weight: 2, arbitrary: fc.record({ sweep: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.constant({ start: true as const }) },
)

/** What the actions write, batch by batch: only what the core would write. */
class Script {
  readonly campaigns: CampaignId[] = [1, 2] as CampaignId[]
  private readonly ended = new Set<string>()
  private readonly begun = new Map<CampaignId, Set<number>>()
  private attempt = 1

  begin(id: CampaignId): Write {
    return { kind: "campaign", row: campaignRow(id, { total: jobs }) }
  }

  /** One batch after the other. */
  batches(action: Action): Write[][] {
    if ("changes" in action) return [this.changed(action.changes)].filter(writes => writes.length > 0)
    if ("sweep" in action) return [[{ kind: "sweepForgotten", rows: action.sweep }]]
    if ("start" in action) return []
    const id = this.campaigns[action.forget]!
    const next = (Math.max(...this.campaigns) + 1) as CampaignId
    this.campaigns[action.forget] = next
    const left = [...(this.begun.get(id) ?? [])].filter(index => !this.ended.has(`${id}.${index}`))
    return [
      [
        { kind: "campaign", row: campaignRow(id, { total: jobs, endedAt: WALL_MS }) },
        ...left.flatMap(index => this.change(id, index, index % 2 === 0 ? "finished" : "cancelled")),
      ],
      [{ kind: "forgetCampaign", campaign: id, at: WALL_MS }],
      [this.begin(next)],
    ]
  }

  private changed(changes: readonly Change[]): Write[] {
    const last = new Map(changes.map(one => [`${this.campaigns[one.campaign - 1]}.${one.index}`, one]))
    this.attempt++
    return [...last.values()].flatMap(({ campaign, index, to }) =>
      this.change(this.campaigns[campaign - 1]!, index, to),
    )
  }

  private change(campaign: CampaignId, index: number, to: Change["to"]): Write[] {
    const name = `${campaign}.${index}`
    if (this.ended.has(name)) return []
    this.begun.set(campaign, (this.begun.get(campaign) ?? new Set()).add(index))
    const { attempt } = this
    if (to === "queued" || to === "held" || to === "offered" || to === "running") {
      const { tries } = jobRow(campaign, index)
      const rests = to === "queued" || to === "held"
      const changed = { phase: to, attempt, tries: rests ? [] : tries.map(one => ({ ...one, phase: to, attempt })) }
      return [{ kind: "job", row: jobRow(campaign, index, changed as Partial<JobRow>) }]
    }
    this.ended.add(name)
    const outcome = to as Outcome
    const job: Write = { kind: "job", row: jobRow(campaign, index, { phase: "ended", outcome, attempt, tries: [] }) }
    if (to === "lost" || to === "cancelled") return [job]
    return [job, { kind: "result", row: resultRow(campaign, index, { outcome: to as "finished", attempt }) }]
  }
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

function told(store: StoreReader, campaigns: readonly CampaignId[]) {
  return {
    live: store.liveJobs(),
    last: store.lastCampaign(),
    each: campaigns.map(campaign => ({
      indices: [0, 5].map(from => store.indicesFrom(campaign, from)),
      lists: filters.flatMap(filter => [0, 4].map(fromIndex => store.jobs(campaign, { ...filter, fromIndex }))),
      jobs: Array.from({ length: jobs }, (_, index): JobRow | null => store.job(campaign, index)),
    })),
  }
}

test("O1: a store with a journal answers as one without, whatever is written, forgotten and swept, whenever it starts", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), fc.constantFrom(...journals), async (actions, limits) => {
      const directory = scratch()
      const twin = new MemoryStore({ wallMs })
      const options = { directory, wallMs, journal: limits }
      const store = new DirectStore(options)
      const script = new Script()
      try {
        const both = (writes: Write[]) => Promise.all([commit(store, ...writes), commit(twin, ...writes)])
        await both(script.campaigns.map(id => script.begin(id)))
        for (const one of actions) {
          for (const writes of script.batches(one)) await both(writes)
          if ("start" in one) store.crash()
          assert.deepEqual(told(store, script.campaigns), told(twin, script.campaigns))
        }
        await demandStart(store, options)
      } finally {
        await store.close()
        rmSync(directory, { recursive: true })
      }
    }),
    { numRuns: 25 },
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
