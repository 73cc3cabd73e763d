// How statements of the writer are put together, and what their parameters may be. Knows no table.

export type Value = string | number | Uint8Array | null

export function insert(table: string, columns: string, conflict = ""): string {
  const holes = columns.split(",").map(() => "?")
  return `INSERT INTO ${table} (${columns}) VALUES (${holes.join(", ")}) ${conflict}`
}

export function replaced(key: string, columns: string): string {
  const each = columns.split(",").map(column => `${column.trim()} = excluded.${column.trim()}`)
  return `ON CONFLICT (${key}) DO UPDATE SET ${each.join(", ")}`
}

/** A copy of just these bytes: a message between threads would carry the whole buffer that a view looks into. */
export function own(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}
