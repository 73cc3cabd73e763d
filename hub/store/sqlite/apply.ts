// The writing handle and what is carried out on it: migrations, prepared statements, one IMMEDIATE transaction a batch. The
// writer's thread has one; the simulator and tests, which need no thread, have their own.
import { faded } from "../../core/credit.ts"
import { CahError } from "../../core/errors.ts"
import type { CreditRow } from "../../core/volunteers.ts"
import { CHAIN_START, chained } from "../chain.ts"
import { type StatementName, type Step, statements } from "./encode.ts"
import { CHAINED, FADED } from "./encode-volunteers.ts"
import { migrate, readMigrations } from "./migrate.ts"
import { closeDb, type Db, openDb } from "./open.ts"

export interface Opened {
  readonly db: Db
  /** Steps whole or not at all, and throws then. Of `apart` each by itself: says by its place which were refused, and why. */
  readonly run: (steps: readonly Step[], apart: readonly (readonly Step[])[]) => Map<number, unknown>
}

export function openForWriting(file: string, wallMs: number): Opened {
  const db = openDb(file, "writer")
  try {
    refuseDamaged(db)
    giveFunctions(db)
    migrate(db, readMigrations(), wallMs)
    const prepared = new Map(
      Object.entries(statements).map(([name, sql]) => [name as StatementName, db.prepare(sql)] as const),
    )
    const carryOut = (steps: readonly Step[]) => {
      for (const [statement, values] of steps) prepared.get(statement)!.run(...values)
    }
    // Within a transaction this is a savepoint.
    const alone = db.transaction(carryOut)
    const whole = db.transaction((steps: readonly Step[], apart: readonly (readonly Step[])[]) => {
      carryOut(steps)
      const refused = new Map<number, unknown>()
      apart.forEach((list, at) => {
        try {
          alone(list)
        } catch (thrown) {
          if (!isRefusal(thrown) || !db.inTransaction) throw thrown
          refused.set(at, thrown)
        }
      })
      return refused
    })
    return { db, run: whole.immediate }
  } catch (thrown) {
    closeDb(file, db)
    throw thrown
  }
}

/** A rule of the tables or a value that no column takes: its own fault, while the disk and everything else are well. */
function isRefusal(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown }).code
  if (typeof code !== "string") return thrown instanceof TypeError || thrown instanceof RangeError
  return /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG)/.test(code)
}

/** What statements about credit count with. In no schema, so that any SQLite can read the database. */
function giveFunctions(db: Db): void {
  db.function(FADED, { deterministic: true }, (average, passedMs) => faded(Number(average), Number(passedMs)))
  db.function(CHAINED, { deterministic: true }, (before, campaign, index, attempt, account, node, slotMs, at) => {
    const line = { campaign, index, attempt, account, node, slotMs, at } as CreditRow
    return Buffer.from(chained((before as Uint8Array | null) ?? CHAIN_START, line))
  })
}

/**
 * Every page, so that a hub never serves half a database: found at the start, damage costs a restore; found later, an
 * answer here and there. 0.16 s for 100,000 jobs, 1 s for a million (measured, cache warm).
 */
function refuseDamaged(db: Db): void {
  const verdict: unknown = db.pragma("quick_check(1)", { simple: true })
  if (verdict === "ok") return
  throw new CahError("data_loss", `${db.name} is damaged (${String(verdict)}); restore it from a backup`)
}
