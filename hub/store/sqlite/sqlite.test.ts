import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { it, type TestContext } from "node:test"
import { fileURLToPath } from "node:url"
import { noLog } from "../../../proto/wire/log.ts"
import type { CampaignId, NodeId } from "../../core/model.ts"
import type { Store } from "../../core/ports.ts"
import type { Write } from "../../core/rows.ts"
import { linesOf } from "../../core/story.ts"
import { keepingSuite } from "../keeping.suite.ts"
import { retriesSuite } from "../retries.suite.ts"
import { campaignRow, commit, jobRow, resultRow, storeSuite, WALL_MS } from "../store.suite.ts"
import { volunteersSuite } from "../volunteers.suite.ts"
import { journalText } from "./journal.ts"
import { migrate, readMigrations } from "./migrate.ts"
import { checkDriver, closeDb, openDb } from "./open.ts"
import { openSqliteStore } from "./sqlite.ts"

const wallMs = () => WALL_MS
const one = 1 as CampaignId

function scratch(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), "cah-store-")))
}

async function make() {
  const directory = scratch()
  let store = await openSqliteStore({ directory, wallMs })
  return {
    store,
    async restart() {
      await store.close()
      store = await openSqliteStore({ directory, wallMs })
      return store
    },
    async dispose() {
      await store.close()
      rmSync(directory, { recursive: true })
    },
  }
}

storeSuite("SqliteStore", make)
keepingSuite("SqliteStore", make)
retriesSuite("SqliteStore", make)
volunteersSuite("SqliteStore", make)

/** A directory and stores in it, gone after the test. */
function place(t: TestContext): { directory: string; file: string; open: () => Promise<Store> } {
  const directory = scratch()
  const stores: Store[] = []
  t.after(async () => {
    for (const store of stores) await store.close()
    rmSync(directory, { recursive: true })
  })
  return {
    directory,
    file: join(directory, "hub.db"),
    async open() {
      const store = await openSqliteStore({ directory, wallMs })
      stores.push(store)
      return store
    },
  }
}

/** Changes the database behind the hub's back. */
function alter(file: string, sql: string): void {
  const db = openDb(file, "writer")
  db.exec(sql)
  closeDb(file, db)
}

it("a writing handle has synchronous=FULL, WAL and foreign keys, read back from SQLite", t => {
  const { file } = place(t)
  const db = openDb(file, "writer")
  assert.equal(db.pragma("synchronous", { simple: true }), 2)
  assert.equal(db.pragma("journal_mode", { simple: true }), "wal")
  assert.equal(db.pragma("foreign_keys", { simple: true }), 1)
  assert.equal(db.pragma("busy_timeout", { simple: true }), 5_000)
  db.exec("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
  assert.equal(db.pragma("synchronous", { simple: true }), 2)
  closeDb(file, db)
})

it("refuses a driver that would crash this Node, before loading it", () => {
  assert.throws(() => checkDriver("13.2.0", "20.20.2"), { code: "failed_precondition", message: /npm ci/ })
  checkDriver("13.2.0", "22.1.0")
  checkDriver("12.11.1", "20.20.2")
})

it("counts as many handles as the kernel does, the same after much work and after opening anew", async t => {
  if (!existsSync("/proc/self/fd")) return t.skip("needs Linux's list of open files")
  const { file, open } = place(t)
  const store = await open()
  const onDisk = () =>
    readdirSync("/proc/self/fd").filter(fd => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === file
      } catch {
        // The descriptor of this very listing, closed by now.
        return false
      }
    }).length
  assert.equal(store.health().handles, 2)
  assert.equal(onDisk(), 2)
  await commit(store, { kind: "campaign", row: campaignRow(1) })
  for (let index = 0; index < 50; index++) {
    await commit(store, { kind: "job", row: jobRow(1, index) })
    store.job(one, index)
  }
  await store.reopen()
  assert.equal(store.health().handles, 2)
  // SQLite itself keeps a closed handle's descriptor while another in the process holds a lock on the file.
  assert.ok(onDisk() <= 3)
  await store.close()
  assert.equal(store.health().handles, 0)
  assert.equal(onDisk(), 0)
})

it("O1: starts on a database that an older hub left with jobs of campaigns that are swept, or half swept", async t => {
  const { file, open } = place(t)
  const store = await open()
  await commit(store, { kind: "campaign", row: campaignRow(1) }, { kind: "campaign", row: campaignRow(2) })
  await commit(store, { kind: "campaign", row: campaignRow(2, { endedAt: WALL_MS }) })
  await commit(store, { kind: "forgetCampaign", campaign: 2 as CampaignId, at: WALL_MS })
  await store.close()
  const left = journalText([jobRow(1, 5), jobRow(2, 0), jobRow(7, 0)])
  alter(
    file,
    `INSERT INTO journal VALUES (1, '${left}');
     INSERT INTO jobs (campaign, idx, phase, verdict, attempt, failures, losses, story)
       VALUES (2, 1, 'running', 'unchecked', 1, 0, 0, '[]')`,
  )
  const again = await open()
  assert.deepEqual(again.liveJobs(), [jobRow(1, 5)])
  await commit(again, { kind: "sweepForgotten", rows: 10 })
  assert.equal(again.hasForgotten(), false)
})

it("reads stories and cancelled jobs of before they had a why", async t => {
  const { file, open } = place(t)
  const all = readMigrations()
  const db = openDb(file, "writer")
  migrate(
    db,
    all.slice(
      0,
      all.findIndex(({ name }) => name.endsWith("_whys.sql")),
    ),
    WALL_MS,
  )
  closeDb(file, db)
  alter(
    file,
    `PRAGMA foreign_keys = OFF;
     INSERT INTO cancelled (campaign, first, count, at) VALUES (1, 5, 2, 9);
     INSERT INTO jobs (campaign, idx, phase, verdict, attempt, failures, losses, story)
       VALUES (1, 0, 'ended', 'unchecked', 1, 0, 0, '[7,"offered","offered",1,"n1",8,"finished","ended",1,"n1"]')`,
  )
  const store = await open()
  const told = (index: number) =>
    linesOf(store.job(one, index)!.story).map(({ at, why, event }) => `${at} ${why} ${event}`)
  assert.deepEqual(told(0), ["7 unknown offered", "8 unknown finished"])
  assert.deepEqual(told(6), ["9 unknown cancelled before it began"])
  await commit(store, { kind: "campaign", row: campaignRow(1) })
  await commit(store, { kind: "cancelledRange", campaign: one, range: { first: 7, last: 8 }, why: "dependency_failed" })
  assert.match(told(8)[0]!, /dependency_failed cancelled before it began: a campaign that it needed/)
})

it("refuses a database of a newer version, saying which it is and what to do", async t => {
  const { file, open } = place(t)
  await (await open()).close()
  const newest = readMigrations().length
  alter(file, `PRAGMA user_version = ${newest + 2}; INSERT INTO migrations VALUES (${newest + 1}, 'a', 0, 0)`)
  await assert.rejects(open(), (error: Error & { code: string }) => {
    assert.equal(error.code, "failed_precondition")
    assert.match(error.message, new RegExp(`has version ${newest + 2}.*up to ${newest}.*newer hub again`))
    return true
  })
  alter(file, `INSERT INTO migrations VALUES (${newest + 2}, 'b', 1, 0)`)
  await assert.rejects(open(), { code: "failed_precondition" })
  // Both only add: an older hub may go on.
  alter(file, "UPDATE migrations SET breaking = 0")
  assert.match((await open()).hubId(), /^[0-9a-f]{32}$/)
})

it("refuses a database that is not a hub's, and a file that is no database", async t => {
  const { directory, file, open } = place(t)
  alter(file, "CREATE TABLE recipes (x)")
  await assert.rejects(open(), { code: "failed_precondition", message: /not one of a hub/ })
  rmSync(file)
  writeFileSync(join(directory, "hub.db"), "Dear diary, ".repeat(1_000))
  await assert.rejects(open(), { code: "data_loss", message: /damaged/ })
})

it("does not let a second hub into the directory, from this process or another, and says who holds it", async t => {
  const { directory, open } = place(t)
  const store = await open()
  const taken = new RegExp(`another hub \\(pid ${process.pid}\\) is using ${directory}`)
  await assert.rejects(open(), { code: "failed_precondition", message: taken })
  const other = spawnSync(process.execPath, hub(directory, "await open()"), { encoding: "utf8" })
  assert.match(other.stderr, taken)
  assert.equal(other.status, 1)
  await store.close()
  await open()
})

it("has all it acknowledged after SIGKILL, at once and with no lock left behind", async t => {
  const { directory, open } = place(t)
  const child = spawn(
    process.execPath,
    hub(
      directory,
      `const store = await open()
       await commit(store, { kind: "campaign", row: campaignRow(1) })
       for (let index = 0; ; index++) { await commit(store, { kind: "job", row: jobRow(1, index) }); console.log(index) }`,
    ),
    { stdio: ["ignore", "pipe", "inherit"] },
  )
  const exit = once(child, "exit")
  let acknowledged = -1
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Number(line)
    if (acknowledged === 40) child.kill("SIGKILL")
  }
  await exit
  const store = await open()
  const rows = store.liveJobs().length
  assert.ok(acknowledged >= 40)
  assert.ok(
    rows === acknowledged + 1 || rows === acknowledged + 2,
    `${rows} rows, ${acknowledged} was the last heard of`,
  )
})

/** Arguments for Node to run this in another process, with the store's names at hand. */
function hub(directory: string, script: string): string[] {
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  const code = `
    import { openSqliteStore } from ${url("./sqlite.ts")}
    import { campaignRow, commit, jobRow } from ${url("../store.suite.ts")}
    const open = () => openSqliteStore({ directory: ${JSON.stringify(directory)}, wallMs: Date.now })
    ${script}`
  return ["--import", import.meta.resolve("tsx"), "--input-type=module", "--eval", code]
}

it("starts its writer whatever the working directory", async t => {
  const { open } = place(t)
  const before = process.cwd()
  t.after(() => process.chdir(before))
  process.chdir("/")
  assert.equal((await open()).health().handles, 2)
})

it("on a full disk fails commits without a false yes, and goes on once there is room", async t => {
  const mount = join(scratch(), "disk")
  mkdirSync(mount)
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", mount]).status !== 0) {
    t.skip("needs the right to mount a small tmpfs")
    return
  }
  const store = await openSqliteStore({ directory: mount, wallMs })
  t.after(async () => {
    await store.close()
    spawnSync("umount", ["--lazy", mount])
    rmSync(join(mount, ".."), { recursive: true })
  })
  await commit(store, { kind: "campaign", row: campaignRow(1) })
  const ballast = join(mount, "ballast")
  writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
  const spec = new Uint8Array(100_000)
  let stored = 1
  let failure: (Error & { code?: string }) | null = null
  while (failure === null) {
    failure = await commit(store, { kind: "campaign", row: campaignRow(stored + 1, { spec }) }).then(
      () => null,
      error => error,
    )
    if (failure === null) stored++
  }
  assert.equal(failure.code, "resource_exhausted")
  assert.match(failure.message, /the hub's disk is full: .*hub\.db cannot grow/)
  await assert.rejects(commit(store, { kind: "job", row: jobRow(1, 0) }), { code: "resource_exhausted" })
  assert.equal(store.lastCampaign(), stored)
  await assert.rejects(store.reopen(), { code: "resource_exhausted" })
  await assert.rejects(commit(store, { kind: "job", row: jobRow(1, 0) }), { code: "resource_exhausted" })
  rmSync(ballast)
  await store.reopen()
  await commit(store, { kind: "job", row: jobRow(1, 1) })
  assert.deepEqual(
    store.liveJobs().map(row => row.index),
    [1],
  )
  assert.equal(store.lastCampaign(), stored)
})

it("O12: takes nothing once its directory was moved, removed or another's is in its place, and goes on when it is back", async t => {
  const { directory, file, open } = place(t)
  const store = await open()
  const away = `${directory}-away`
  await commit(store, { kind: "campaign", row: campaignRow(1) })
  assert.equal(store.health().trouble, null)
  renameSync(directory, away)
  t.after(() => rmSync(away, { recursive: true, force: true }))
  const gone = {
    code: "unavailable",
    message: /is not there any more: the data directory was removed, replaced or unm/,
  }
  assert.match(store.health().trouble ?? "", /hub\.db is not there any more/)
  await assert.rejects(commit(store, { kind: "job", row: jobRow(1, 0) }), gone)
  await assert.rejects(store.reopen(), gone)
  // The folder that a disk was mounted on, empty: a new database in it would be a hub that has forgotten everything.
  mkdirSync(directory)
  await assert.rejects(store.reopen(), gone)
  assert.equal(existsSync(file), false)
  const stranger = scratch()
  t.after(() => rmSync(stranger, { recursive: true }))
  await (await openSqliteStore({ directory: stranger, wallMs })).close()
  cpSync(join(stranger, "hub.db"), file)
  await assert.rejects(store.reopen(), { code: "failed_precondition", message: /is another hub's/ })
  rmSync(directory, { recursive: true })
  renameSync(away, directory)
  await store.reopen()
  await commit(store, { kind: "job", row: jobRow(1, 1) })
  assert.deepEqual(
    store.liveJobs().map(row => row.index),
    [1],
  )
})

/** Results that fill some megabytes, of a campaign that is forgotten then. */
async function fillAndForget(store: Store): Promise<void> {
  const inline = new Uint8Array(4_000).fill(97)
  await commit(store, { kind: "campaign", row: campaignRow(1, { total: 10_000 }) })
  for (let first = 0; first < 10_000; first += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, at) => resultRow(1, first + at, { stdout: { ...noLog, inline } }))
    await commit(store, ...rows.map((row): Write => ({ kind: "result", row })))
  }
  await commit(store, { kind: "campaign", row: campaignRow(1, { total: 10_000, endedAt: WALL_MS }) })
  await commit(store, { kind: "forgetCampaign", campaign: one, at: WALL_MS })
  while (store.hasForgotten()) await commit(store, { kind: "sweepForgotten", rows: 2_000 })
}

for (const kind of ["made by this hub", "of an older hub"] as const) {
  it(`O14: what swept rows took goes back to the disk while the hub runs, of a database ${kind}`, async t => {
    const { file, open } = place(t)
    if (kind === "of an older hub") {
      await (await open()).close()
      alter(file, "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL")
    }
    const store = await open()
    await fillAndForget(store)
    let steps = 0
    const commits: Promise<void>[] = []
    for (let more = true; more; steps++) {
      const giving = store.giveBack()
      // Transactions go on between the steps.
      commits.push(commit(store, { kind: "campaign", row: campaignRow(2, { cursor: steps }) }))
      more = await giving
    }
    await Promise.all(commits)
    assert.ok(kind === "made by this hub" ? steps > 2 : steps <= 2, `${steps} steps`)
    const megabytes = statSync(file).size / 1e6
    assert.ok(megabytes < 12, `${megabytes} MB of 40 are left`)
    assert.equal(store.campaign(2 as CampaignId)?.cursor, steps - 1)
    const again = await store.close().then(open)
    assert.equal(again.campaign(2 as CampaignId)?.cursor, steps - 1)
  })
}

it("knows its migrations as numbered files without gaps, and which of them break older hubs", t => {
  const directory = scratch()
  t.after(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, "0001_first.sql"), "CREATE TABLE a (x);")
  writeFileSync(join(directory, "0002_second.sql"), "-- breaking\n-- because\nDROP TABLE a;")
  assert.deepEqual(
    readMigrations(directory).map(({ version, breaking }) => ({ version, breaking })),
    [
      { version: 1, breaking: false },
      { version: 2, breaking: true },
    ],
  )
  writeFileSync(join(directory, "0004_fourth.sql"), "")
  assert.throws(() => readMigrations(directory), /0004_fourth.sql is not number 3/)
  const ours = fileURLToPath(new URL("./migrations/0001_init.sql", import.meta.url))
  assert.equal(readMigrations()[0]!.sql, readFileSync(ours, "utf8"))
})

it("no line of the ledger can be changed or taken out, by whatever program", async t => {
  const { file, open } = place(t)
  const store = await open()
  const row = { campaign: one, index: 0, attempt: 1, account: "a", node: "n" as NodeId, slotMs: 5, at: WALL_MS }
  await commit(store, { kind: "credit", row })
  await store.close()
  assert.throws(() => alter(file, "UPDATE credit SET slot_ms = 6"), /append-only/)
  assert.throws(() => alter(file, "DELETE FROM credit"), /append-only/)
})
