// What the tables' columns take, asked of the schema itself: by it the store in memory refuses what SQLite would refuse. STRICT
// tables take no fraction, no NaN and no number beyond 64 bits as an INTEGER, and nothing missing where NULL may not stand.
import { type StatementName, type Step, statements } from "./encode.ts"
import { migrate, readMigrations } from "./migrate.ts"
import { openDb } from "./open.ts"
import type { Value } from "./statement.ts"

interface Column {
  readonly name: string
  readonly type: string
  readonly isNeeded: boolean
}

/** By statement: the columns of its parameters, in order. Made at the first question. */
let known: ReadonlyMap<StatementName, readonly Column[]> | null = null

export function demandFit(steps: readonly Step[]): void {
  known ??= parametersOf()
  for (const [statement, values] of steps) {
    const columns = known.get(statement)
    values.forEach((value, at) => {
      const column = columns?.[at]
      const why = misfit(value, column)
      if (why !== null) throw new Error(`${statement}: ${column?.name ?? `parameter ${at}`} ${why}`)
    })
  }
}

/** 64 bits with a sign, as far as a double reaches. */
const INTEGER_MAX = 2 ** 63

function misfit(value: Value, column: Column | undefined): string | null {
  // A NaN is bound as NULL.
  if (value === null || Number.isNaN(value)) return column?.isNeeded === true ? "cannot be NULL" : null
  switch (column?.type) {
    case "INTEGER":
      return Number.isInteger(value) && Math.abs(value as number) < INTEGER_MAX ? null : `cannot be ${String(value)}`
    case "REAL":
      return typeof value === "number" ? null : "is no number"
    case "TEXT":
      return typeof value === "string" ? null : "is no text"
    case "BLOB":
      return value instanceof Uint8Array ? null : "is no blob"
    default:
      return value === undefined ? "is missing" : null
  }
}

const insertion = /^\s*INSERT INTO (\w+) \(([^)]*)\)\s+(?:VALUES \(|SELECT \* FROM \(SELECT )([^)]*)\)/

/** Of statements that insert: the columns that they name, where they have a hole. */
function parametersOf(): Map<StatementName, Column[]> {
  const db = openDb(":memory:", "lock")
  try {
    migrate(db, readMigrations(), 0)
    const parameters = new Map<StatementName, Column[]>()
    for (const [name, sql] of Object.entries(statements)) {
      const [, table, names = "", given = ""] = insertion.exec(sql) ?? []
      if (table === undefined) continue
      const columns = db.pragma(`table_info(${table})`) as { name: string; type: string; notnull: number; pk: number }[]
      const isHole = given.split(",").map(value => value.trim().startsWith("?"))
      const named = names
        .split(",")
        .filter((_, at) => isHole[at])
        .flatMap(one => columns.filter(column => column.name === one.trim()))
      const holes = named.map(column => ({
        name: `${table}.${column.name}`,
        type: column.type,
        isNeeded: column.notnull === 1 || column.pk > 0,
      }))
      parameters.set(name as StatementName, holes)
    }
    return parameters
  } finally {
    db.close()
  }
}
