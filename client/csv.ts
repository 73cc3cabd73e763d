// Rows for spreadsheets (RFC 4180): the JSON form with one column for each plain field, those of messages within it after a dot, lists and
// maps as JSON in a cell. Columns follow from the contract alone, so that a list without rows has the same header as one with a million.
import type { DescField, DescMessage } from "@bufbuild/protobuf"

/** By the contract never filled where many are listed. */
const notInLists = new Set(["cah.v1.Campaign.spec", "cah.v1.Job.story"])

/** Their JSON is one text. */
const texts = new Set(["google.protobuf.Timestamp", "google.protobuf.Duration"])

export function columnsOf(schema: DescMessage): string[] {
  return schema.fields
    .filter(field => !notInLists.has(`${schema.typeName}.${field.localName}`))
    .flatMap(field => {
      const inner = messageOf(field)
      return inner === null ? [field.jsonName] : columnsOf(inner).map(column => `${field.jsonName}.${column}`)
    })
}

function messageOf(field: DescField): DescMessage | null {
  return field.fieldKind === "message" && !texts.has(field.message.typeName) ? field.message : null
}

/** For values that no message describes: all their fields, in the order of appearance. */
export function columnsOfValues(values: readonly unknown[]): string[] {
  return [...new Set(values.flatMap(value => paths(value)))]
}

function paths(value: unknown): string[] {
  if (!isObject(value)) return ["value"]
  return Object.entries(value).flatMap(([key, inner]) =>
    isObject(inner) ? paths(inner).map(path => `${key}.${path}`) : [key],
  )
}

export function csvLine(cells: readonly string[]): string {
  return `${cells.map(cell => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")}\r\n`
}

export function csvRow(columns: readonly string[], value: unknown): string {
  return csvLine(columns.map(column => cellOf(isObject(value) ? at(value, column.split(".")) : value)))
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key] : undefined), value)
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return ""
  return typeof value === "object" ? JSON.stringify(value) : String(value)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
