// Brings a database to the schema this hub knows: numbered SQL files, each in its own transaction together with its
// number in user_version, so that a kill midway leaves a whole earlier version. A migration whose first lines hold
// "-- breaking" cannot be lived with by older hubs. Others only add, and an older hub may go on with them: that is
// how one goes back after a bad upgrade. Which is which is recorded in the database, for hubs that lack the file.
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { CahError } from "../../core/errors.ts"
import type { Db } from "./open.ts"

export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
  readonly breaking: boolean
}

const folder = fileURLToPath(new URL("./migrations/", import.meta.url))

export function readMigrations(directory: string = folder): Migration[] {
  const found = readdirSync(directory)
    .filter(name => name.endsWith(".sql"))
    .sort()
    .map(name => {
      const sql = readFileSync(`${directory}/${name}`, "utf8")
      return { version: Number.parseInt(name, 10), name, sql, breaking: /^-- breaking\b/m.test(sql) }
    })
  found.forEach((migration, at) => {
    if (migration.version === at + 1) return
    throw new CahError("internal", `migration ${migration.name} is not number ${at + 1}: numbers have no gaps`)
  })
  return found
}

/** Marks the file as ours ("CAHh"), so that another program's database is not written into by a slip of a path. */
const APPLICATION_ID = 0x43414868

export function migrate(db: Db, migrations: readonly Migration[], wallMs: number): void {
  const version = Number(db.pragma("user_version", { simple: true }))
  const known = migrations.length
  if (version === 0) refuseForeign(db)
  else if (Number(db.pragma("application_id", { simple: true })) !== APPLICATION_ID) throw foreign(db)
  if (version > known) refuseNewer(db, version, known)
  for (const migration of migrations.slice(version)) {
    db.transaction(() => {
      db.pragma(`application_id = ${APPLICATION_ID}`)
      db.exec(
        `CREATE TABLE IF NOT EXISTS migrations
           (version INTEGER PRIMARY KEY, name TEXT NOT NULL, breaking INTEGER NOT NULL, applied_at INTEGER NOT NULL) STRICT`,
      )
      db.exec(migration.sql)
      db.prepare("INSERT INTO migrations VALUES (?, ?, ?, ?)").run(
        migration.version,
        migration.name,
        migration.breaking ? 1 : 0,
        wallMs,
      )
      db.pragma(`user_version = ${migration.version}`)
    }).immediate()
  }
  // Made once, at the first start: agents sign it, so that a challenge of one hub is worth nothing at another.
  db.prepare("INSERT INTO meta VALUES ('hub_id', ?) ON CONFLICT DO NOTHING").run(randomBytes(16).toString("hex"))
}

function refuseForeign(db: Db): void {
  const tables = db.prepare("SELECT count(*) FROM sqlite_schema").pluck().get() as number
  if (tables > 0) throw foreign(db)
}

function foreign(db: Db): CahError {
  return new CahError(
    "failed_precondition",
    `${db.name} is a database, but not one of a hub: choose another data directory, or move that file away`,
  )
}

function refuseNewer(db: Db, version: number, known: number): void {
  const harmless = db
    .prepare("SELECT count(*) FROM migrations WHERE version > ? AND breaking = 0")
    .pluck()
    .get(known) as number
  if (harmless === version - known) return
  throw new CahError(
    "failed_precondition",
    `the database ${db.name} has version ${version}, made by a newer hub; this hub knows versions up to ${known}. ` +
      `Start the newer hub again, or restore the backup made before the upgrade. Nothing was changed`,
  )
}
