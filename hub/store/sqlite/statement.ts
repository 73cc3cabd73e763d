// How statements of the writer are put together, and what their parameters may be. Knows no table.

export type Value = string | number | Uint8Array | null

export function insert(table: string, columns: string, conflict = ""): string {
  return `INSERT INTO ${table} (${columns}) VALUES (${holes(columns)}) ${conflict}`
}

/** With some columns' values spelled out in the statement. */
export function insertWith(fixed: Readonly<Record<string, string>>, table: string, columns: string): string {
  const names = [columns, ...Object.keys(fixed)].join(", ")
  return `INSERT INTO ${table} (${names}) VALUES (${[holes(columns), ...Object.values(fixed)].join(", ")})`
}

function holes(columns: string): string {
  return columns
    .split(",")
    .map(() => "?")
    .join(", ")
}

export function replaced(key: string, columns: string): string {
  const each = columns.split(",").map(column => `${column.trim()} = excluded.${column.trim()}`)
  return `ON CONFLICT (${key}) DO UPDATE SET ${each.join(", ")}`
}

/** A copy of just these bytes: a message between threads would carry the whole buffer that a view looks into. */
export function own(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}
