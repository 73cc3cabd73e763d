// Named parameters on the wire: each job's line is a JSON array of strings, one for each name, so that values may hold any
// character and the names travel once. Written by clients, checked by the hub, read by agents.

/** The line of one job. */
export function writeValues(values: readonly string[]): string {
  return JSON.stringify(values)
}

/** The values, or null: the line is not a JSON array of exactly so many strings. */
export function readValues(line: string, count: number): string[] | null {
  let values: unknown
  try {
    values = JSON.parse(line)
  } catch {
    return null
  }
  const isList = Array.isArray(values) && values.length === count && values.every(value => typeof value === "string")
  return isList ? (values as string[]) : null
}
