// A database as a hub of schema 12 left it, brought to the schema of today: nothing is lost, whenever the hub is killed meanwhile.

import assert from "node:assert/strict"
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { it, type TestContext } from "node:test"
import { noLog } from "../../../proto/wire/log.ts"
import type { CampaignId, NodeId } from "../../core/model.ts"
import { whyNumber } from "../../core/why.ts"
import { campaignRow, commit, digestFor, jobRow, resultRow, WALL_MS } from "../store.suite.ts"
import { scratch } from "./anew.ts"
import { DirectStore } from "./direct.ts"
import { migrate, readMigrations } from "./migrate.ts"
import { closeDb, type Db, openDb } from "./open.ts"

const old = readFileSync(new URL("./fixtures/schema-12.sql", import.meta.url), "utf8")
const [one, two] = [1, 2] as CampaignId[] as [CampaignId, CampaignId]
const blob = (name: number) => ({ digest: digestFor(name), sizeBytes: name })
const forever = Number.MAX_SAFE_INTEGER

/** A directory with that database. */
function place(t: TestContext): { directory: string; file: string } {
  const directory = scratch()
  t.after(() => rmSync(directory, { recursive: true }))
  const file = join(directory, "hub.db")
  const db = openDb(file, "writer")
  db.exec(old)
  closeDb(file, db)
  return { directory, file }
}

it("keeps all that a database of schema 12 knows of campaigns, jobs and their results", async t => {
  const { directory } = place(t)
  const store = new DirectStore({ directory, wallMs: () => WALL_MS })
  t.after(() => store.close())
  assert.deepEqual(store.campaign(one), campaignRow(1, { stagein: blob(1) }))
  assert.equal(store.campaign(two)?.stagein, null)
  assert.deepEqual(
    store.campaigns({ owner: null, before: 0, limit: 9, live: false }).map(({ id, stagein }) => [id, stagein]),
    [
      [4, blob(7)],
      [3, blob(1)],
      [2, null],
      [1, blob(1)],
    ],
  )
  assert.deepEqual(
    store.liveJobs().map(({ campaign, index, phase }) => `${campaign}.${index} ${phase}`),
    ["1.0 offered", "2.2 offered", "2.5 running"],
  )
  assert.deepEqual(
    store.jobs(two, { fromIndex: 0, limit: 9 }).map(({ index, outcome }) => `${index} ${outcome}`),
    ["0 finished", "1 failed", "2 null", "3 lost", "4 finished", "5 null", "6 cancelled", "7 cancelled"],
  )
  const story = [WALL_MS, whyNumber("unknown"), "offered to it", "offered", 1, "n1"]
  assert.deepEqual(
    store.job(two, 1),
    jobRow(2, 1, { phase: "ended", outcome: "failed", attempt: 3, failures: 3, tries: [], story }),
  )
  assert.deepEqual(
    store.result(two, 0),
    resultRow(2, 0, {
      stageout: blob(3),
      stdout: { inline: null, blob: blob(4), droppedBytes: 3 },
      stderr: { inline: new Uint8Array([104, 105]), blob: null, droppedBytes: 0 },
      warnings: "a.csv matched nothing",
    }),
  )
  const failed = { accepted: false, outcome: "failed", message: "no" } as const
  const log = (name: number) => ({ inline: null, blob: blob(name), droppedBytes: 3 })
  assert.deepEqual(store.attempts(two, 1), [
    resultRow(2, 1, { ...failed, attempt: 1, exitCode: 1, stdout: log(5) }),
    resultRow(2, 1, { ...failed, attempt: 2, exitCode: 2, node: "n2" as NodeId, stderr: log(6) }),
  ])
  assert.deepEqual(store.attempts(two, 2)[0]?.stdout, { ...noLog, inline: new Uint8Array([33]) })
  assert.deepEqual(store.stageouts(two, 0, 9), [
    { index: 0, blob: blob(3) },
    { index: 1, blob: blob(3) },
    { index: 4, blob: blob(7) },
  ])
  assert.deepEqual(store.errors(two, 9), [
    { outcome: "failed", exitCode: 3, message: "still no", count: 1, exampleIndex: 1 },
  ])
  assert.deepEqual(store.warnings(two, 9), [{ text: "a.csv matched nothing", count: 1, exampleIndex: 0 }])
  assert.equal(store.volunteers.creditSum().slotMs, 5)
  assert.deepEqual([store.tokens().length, store.lastCampaign()], [1, 5])
  // The second joined from a volunteer's computer. From where they called, a hub of then did not note.
  assert.deepEqual(
    store.nodes().map(({ id, host, network }) => [id, host, network]),
    [
      ["n1", null, ""],
      ["n2", 1, ""],
    ],
  )
})

it("F17: knows of what an owner of schema 12 had whether it was uploaded or given back, and lets go of all that is swept", async t => {
  const { directory } = place(t)
  const store = new DirectStore({ directory, wallMs: () => WALL_MS })
  t.after(() => store.close())
  const uploads = (owner: string) => store.uploads(owner, forever, 9).map(({ blob }) => blob.sizeBytes)
  // 7 is both a stageout and another campaign's stagein.
  assert.deepEqual([uploads("marie"), uploads("otto")], [[1, 2, 7], [1]])
  assert.deepEqual([store.ownedBytes("marie"), store.ownedBytes("otto")], [28, 1])
  assert.deepEqual(store.campaignsWithStagein("marie", digestFor(7), 9), [4])
  assert.deepEqual(store.unreferencedBlobs(forever), [blob(2)])
  for (const id of [two, 4 as CampaignId]) {
    await commit(store, { kind: "campaign", row: campaignRow(id, { endedAt: WALL_MS }) })
    await commit(store, { kind: "forgetCampaign", campaign: id, at: WALL_MS })
  }
  while (store.hasForgotten()) await commit(store, { kind: "sweepForgotten", rows: 2 })
  assert.deepEqual(store.unreferencedBlobs(forever), [2, 3, 4, 5, 6, 7, 8, 9].map(blob))
})

/** All that a database holds, its schema too. */
function dump(db: Db): string {
  const schema = db.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").all() as { name: string }[]
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").pluck().all()
  const rows = tables.map(table => db.prepare(`SELECT * FROM "${table}"`).raw().all())
  return JSON.stringify([db.pragma("user_version"), schema, tables, rows])
}

/** A migration in single statements; a trigger's body is part of its statement. */
function statementsOf(sql: string): string[] {
  const lines = sql.split("\n").filter(line => !line.trim().startsWith("--"))
  return lines.join("\n").match(/\s*CREATE TRIGGER[\s\S]*?\nEND;|[^;]+;/g) ?? []
}

it("begins a migration anew that was cut off after any of its statements", t => {
  const { file } = place(t)
  const db = openDb(file, "writer")
  t.after(() => closeDb(file, db))
  const migrations = readMigrations()
  const before = dump(db)
  for (const [at, migration] of migrations.entries()) {
    if (at < 12) continue
    const statements = statementsOf(migration.sql)
    assert.ok(statements.length > 0)
    for (let done = 0; done < statements.length; done++) {
      const cut = `${statements.slice(0, done + 1).join("\n")}\nSELECT killed;`
      const upTo = [...migrations.slice(0, at), { ...migration, sql: cut }]
      assert.throws(() => migrate(db, upTo, WALL_MS), /no such column: killed/)
      if (at === 12) assert.equal(dump(db), before)
      assert.equal(db.pragma("user_version", { simple: true }), at)
    }
    migrate(db, migrations.slice(0, at + 1), WALL_MS)
  }
  assert.equal(db.pragma("user_version", { simple: true }), migrations.length)
  assert.deepEqual([db.pragma("foreign_key_check"), db.pragma("integrity_check", { simple: true })], [[], "ok"])
})
