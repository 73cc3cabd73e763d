// Judges a hub's data directory from outside: with SQLite and the file system alone, and no line of the hub's code. Works on a copy,
// so that looking (which recovers the write-ahead log) changes nothing. It knows what was acknowledged, and says what is missing.
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Database from "better-sqlite3"

/** A submit that the hub answered. */
export interface Acknowledged {
  readonly key: string
  readonly campaign: number
  readonly jobs: number
  /** Somebody was told that all of them have finished. */
  ended?: boolean
}

export interface Also {
  /** Digests that were said to be stored. */
  readonly uploads?: readonly string[]
  /** Attempts may have been lost: whoever asks counts the runs by other means. */
  readonly mayRepeat?: boolean
}

interface ResultRow {
  readonly campaign: number
  readonly idx: number
  readonly attempt: number
  readonly stageout: Buffer
  readonly stageout_bytes: number
}

/** One sentence for each thing that is not as it must be. `all`: every job must have ended well. */
export function examine(
  data: string,
  acknowledged: readonly Acknowledged[],
  all: boolean,
  { uploads = [], mayRepeat = false }: Also = {},
): string[] {
  const copy = mkdtempSync(join(tmpdir(), "cah-ledger-"))
  try {
    cpSync(data, copy, { recursive: true, filter: path => !path.endsWith(".sock") })
    const file = join(copy, "hub.db")
    if (!existsSync(file)) return [`no database in ${data}`]
    const database = new Database(file)
    try {
      return [
        ...sound(database),
        ...submits(database, acknowledged),
        ...stored(database, copy, uploads),
        ...results(database, copy),
        ...(mayRepeat ? [] : repeated(database)),
        ...(all ? ends(database) : []),
      ]
    } catch (error) {
      // Half a file, or one from before its tables were made durable: as bad as any other loss.
      return [`the database cannot be read: ${error instanceof Error ? error.message : String(error)}`]
    } finally {
      database.close()
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function sound(database: Database.Database): string[] {
  const answer = database.pragma("integrity_check", { simple: true })
  return answer === "ok" ? [] : [`the database is damaged: ${String(answer)}`]
}

/** I1 no lost job, I2 submitted once. */
function submits(database: Database.Database, acknowledged: readonly Acknowledged[]): string[] {
  const find = database.prepare<[string], { id: number; total: number }>(
    "SELECT id, total FROM campaigns WHERE key = ?",
  )
  const finished = database.prepare<[number], { n: number }>(
    "SELECT count(*) AS n FROM results WHERE campaign = ? AND outcome = 'finished'",
  )
  return acknowledged.flatMap(({ key, campaign, jobs, ended }) => {
    const rows = find.all(key)
    if (rows.length === 0) return [`campaign ${campaign} was acknowledged and is gone`]
    if (rows.length > 1) return [`key ${key} made ${rows.length} campaigns`]
    const [row] = rows
    if (row?.id !== campaign || row.total !== jobs) {
      return [`campaign ${campaign} of ${jobs} jobs was acknowledged; there is ${row?.id} of ${row?.total}`]
    }
    const [count] = finished.all(campaign)
    if (ended === true && count?.n !== jobs) {
      return [`campaign ${campaign} was said to have ended; of its ${jobs} jobs ${count?.n} have`]
    }
    return []
  })
}

/** Every row has its blob, whole; and what was acknowledged has its row. */
function stored(database: Database.Database, copy: string, uploads: readonly string[]): string[] {
  const rows = database
    .prepare<[], { digest: Buffer; size_bytes: number }>("SELECT digest, size_bytes FROM blobs")
    .all()
  const known = new Set(rows.map(({ digest }) => `sha256:${digest.toString("hex")}`))
  return [
    ...uploads.filter(digest => !known.has(digest)).map(digest => `${digest} was acknowledged and is gone`),
    ...rows.flatMap(({ digest, size_bytes }) => {
      const name = digest.toString("hex")
      const path = join(copy, "blobs/sha256", name.slice(0, 2), name)
      if (!existsSync(path)) return [`sha256:${name} has a row and no file`]
      const bytes = readFileSync(path)
      const isRight = bytes.length === size_bytes && createHash("sha256").update(bytes).digest().equals(digest)
      return isRight ? [] : [`sha256:${name}: its file is not what its row says`]
    }),
  ]
}

/** I4 one result for an ended job and no other, its blob whole. */
function results(database: Database.Database, copy: string): string[] {
  const complaints: string[] = []
  for (const row of database
    .prepare<[], ResultRow>(
      `SELECT r.campaign, r.idx, r.attempt, blobs.digest AS stageout, blobs.size_bytes AS stageout_bytes
       FROM results r JOIN blob_references s USING (campaign, idx, attempt) JOIN blobs USING (digest)
       WHERE r.accepted = 1 AND s.role = 'stageout'`,
    )
    .all()) {
    const name = row.stageout.toString("hex")
    const path = join(copy, "blobs/sha256", name.slice(0, 2), name)
    const job = `job ${row.campaign}.${row.idx}`
    if (!existsSync(path)) {
      complaints.push(`${job}: the blob of its result is missing`)
      continue
    }
    const bytes = readFileSync(path)
    if (bytes.length !== row.stageout_bytes || !createHash("sha256").update(bytes).digest().equals(row.stageout)) {
      complaints.push(`${job}: the blob of its result is not what its row says`)
    }
  }
  // A job that ended with a result is that result's row, and has none of its own.
  const twice = database
    .prepare<[], { campaign: number; idx: number }>(
      "SELECT campaign, idx FROM jobs JOIN results USING (campaign, idx) WHERE accepted = 1",
    )
    .all()
  for (const { campaign, idx } of twice)
    complaints.push(`job ${campaign}.${idx}: its state and its result do not agree`)
  const miscounted = database
    .prepare<[], { campaign: number; counted: number; n: number }>(
      `SELECT campaign, json_extract(counts, '$.finished') AS counted,
              (SELECT count(*) FROM results r WHERE r.campaign = p.campaign AND r.outcome = 'finished') AS n
       FROM progress p WHERE counted <> n`,
    )
    .all()
  for (const { campaign, counted, n } of miscounted) {
    complaints.push(`campaign ${campaign}: it counts ${counted} finished jobs and has ${n} such results`)
  }
  return complaints
}

/** None ran twice. */
function repeated(database: Database.Database): string[] {
  return database
    .prepare<[], { campaign: number; idx: number; attempt: number; losses: number; story: string }>(
      `SELECT campaign, idx, attempt, losses, story FROM jobs WHERE attempt > 1 OR losses > 0
       UNION ALL
       SELECT campaign, idx, last_attempt, losses, story FROM results WHERE accepted = 1 AND (last_attempt > 1 OR losses > 0)`,
    )
    .all()
    .map(
      ({ campaign, idx, attempt, losses, story }) =>
        `job ${campaign}.${idx}: attempt ${attempt}, ${losses} lost, although no agent was: ${story}`,
    )
}

/** L1 everything ends. */
function ends(database: Database.Database): string[] {
  const [open] = database.prepare<[], { n: number }>("SELECT count(*) AS n FROM progress WHERE ended_at IS NULL").all()
  const [bad] = database
    .prepare<[], { n: number }>(
      "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM results WHERE accepted = 1 AND outcome <> 'finished') AS n",
    )
    .all()
  return [
    ...(open?.n === 0 ? [] : [`${open?.n} campaigns have not ended`]),
    ...(bad?.n === 0 ? [] : [`${bad?.n} jobs did not finish`]),
  ]
}
