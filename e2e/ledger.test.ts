// The judge is judged: a sound data directory passes, and each thing that may be lost is missed when it is taken away.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type TestContext, test } from "node:test"
import Database from "better-sqlite3"
import { root } from "../scripts/files.ts"
import { type Acknowledged, examine } from "./ledger.ts"

const migrations = join(root, "hub/store/sqlite/migrations")
/** A row of its own for a job whose result is there. */
const stillRuns = `INSERT INTO jobs (campaign, idx, phase, outcome, verdict, attempt, node, failures, losses, story)
  VALUES (1, 0, 'running', NULL, 'unchecked', 1, 'node', 0, 0, '[]')`
const output = Buffer.from("what the job left")
const digest = createHash("sha256").update(output).digest()
const acknowledged: Acknowledged[] = [{ key: "key-1", campaign: 1, jobs: 1 }]

/** A campaign of one job that has finished, after `change` was done to it. */
function directory(t: TestContext, change: (database: Database.Database, blob: string) => void): string {
  const data = mkdtempSync(join(tmpdir(), "cah-ledger-test-"))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const name = digest.toString("hex")
  const blob = join(data, "blobs/sha256", name.slice(0, 2), name)
  mkdirSync(dirname(blob), { recursive: true })
  writeFileSync(blob, output)
  const database = new Database(join(data, "hub.db"))
  // Rows as the first hub wrote them, and then all that later ones make of them.
  const [first, ...later] = readdirSync(migrations).sort()
  database.exec(readFileSync(join(migrations, first!), "utf8"))
  database.exec(`
    INSERT INTO campaigns VALUES (1, 'ada', 'key-1', x'00', 'one', x'00', NULL, NULL, 1, 0, 0, 60000, 0, 1, 0, 1);
    INSERT INTO progress VALUES (1, 1, '{"finished":1}', 2);
    INSERT INTO jobs VALUES (1, 0, 'ended', 'finished', 'unchecked', 1, 'node', 0, 0, '[]')`)
  database
    .prepare(
      `INSERT INTO results (campaign, idx, attempt, node, outcome, exit_code, message, stageout, stageout_bytes,
       stdout_dropped_bytes, stderr_dropped_bytes, run_ms, cpu_ms, peak_memory_bytes, stored_at)
       VALUES (1, 0, 1, 'node', 'finished', 0, '', ?, ?, 0, 0, 1, 1, 1, 1)`,
    )
    .run(digest, output.length)
  for (const name of later) database.exec(readFileSync(join(migrations, name), "utf8"))
  change(database, blob)
  database.close()
  return data
}

test("a sound directory has nothing to complain about", t => {
  assert.deepEqual(
    examine(
      directory(t, () => undefined),
      acknowledged,
      true,
    ),
    [],
  )
})

for (const [what, words, change] of [
  [
    "a campaign that is gone",
    /campaign 1 was acknowledged and is gone/,
    database => database.exec("UPDATE campaigns SET key = 'other'"),
  ],
  [
    "a campaign that lost jobs",
    /of 1 jobs was acknowledged; there is 1 of 0/,
    database => database.exec("UPDATE campaigns SET total = 0"),
  ],
  ["a blob that is gone", /job 1.0: the blob of its result is missing/, (_, blob) => rmSync(blob)],
  [
    "a blob cut short",
    /job 1.0: the blob of its result is not what its row says/,
    (_, blob) => writeFileSync(blob, "what"),
  ],
  [
    "a result that is gone",
    /campaign 1: it counts 1 finished jobs and has 0 such results/,
    database => database.exec("DELETE FROM results"),
  ],
  [
    "a job that forgot its result",
    /job 1.0: its state and its result do not agree/,
    database => database.exec(stillRuns),
  ],
  [
    "a job that ran twice",
    /job 1.0: attempt 2, 1 lost/,
    database => database.exec("UPDATE results SET last_attempt = 2, losses = 1"),
  ],
  [
    "a campaign that never ended",
    /1 campaigns have not ended/,
    database => database.exec("UPDATE progress SET ended_at = NULL"),
  ],
] as const satisfies readonly (readonly [string, RegExp, (database: Database.Database, blob: string) => unknown])[]) {
  test(`${what} is noticed`, t => {
    assert.match(examine(directory(t, change), acknowledged, true).join("\n"), words)
  })
}

test("a database that was cut in half is noticed, not trusted", t => {
  const data = directory(t, () => undefined)
  const file = join(data, "hub.db")
  writeFileSync(file, readFileSync(file).subarray(0, 20_000))
  assert.match(examine(data, acknowledged, true).join("\n"), /cannot be read|is damaged/)
})

test("an upload that was acknowledged and has no row is noticed", t => {
  const data = directory(t, () => undefined)
  const gone = `sha256:${"0".repeat(64)}`
  const here = `sha256:${digest.toString("hex")}`
  assert.deepEqual(examine(data, acknowledged, true, { uploads: [here] }), [])
  assert.match(examine(data, acknowledged, true, { uploads: [here, gone] }).join("\n"), /0000 was acknowledged and is/)
})

test("a job that was said to have ended, and has not, is noticed", t => {
  const data = directory(t, database => {
    database.exec(`DELETE FROM results; UPDATE progress SET counts = '{"finished":0}'; ${stillRuns}`)
  })
  const told = acknowledged.map(each => ({ ...each, ended: true }))
  assert.deepEqual(examine(data, acknowledged, false), [])
  assert.match(examine(data, told, false).join("\n"), /campaign 1 was said to have ended; of its 1 jobs 0 have/)
})

test("a job in its second attempt is passed over where others count the runs", t => {
  const data = directory(t, database => database.exec("UPDATE jobs SET attempt = 2, losses = 1"))
  assert.deepEqual(examine(data, acknowledged, true, { mayRepeat: true }), [])
})
