// What SQLite gives for a row, and the few steps from there to ours that every kind of row needs.

/** STRICT tables vouch for the types that whoever reads a column names. */
export type Columns = Record<string, unknown>

export function found<R>(columns: Columns | undefined, row: (columns: Columns) => R): R | null {
  return columns === undefined ? null : row(columns)
}

/** As the plain array that the port promises, not the Buffer that the driver gives. */
export function bytes(column: unknown): Uint8Array {
  const { buffer, byteOffset, byteLength } = column as Buffer
  return new Uint8Array(buffer, byteOffset, byteLength)
}
