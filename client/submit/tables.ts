// Tables of named parameters from files: CSV or TSV with a header, a JSON array or a JSON value a line, or plain lines. A row is a job. Parsing is
// pure; every refusal names file, line and column. Nothing is guessed: a row that does not fit the header is an error, not a shorter job.
// What is missing is empty, as pandas writes it: nothing between two commas, "" alone on a line, null.
import { usage } from "../errors.ts"
import { ARRAY_MAX } from "../limits.ts"
import { placeOf } from "./input.ts"
import { brokenAt, elementStart } from "./jsonplace.ts"
import { checkParameterNames, encodeRow, type Table } from "./named.ts"

/**
 * RFC 4180: commas, double quotes, doubled within quotes; line breaks within quotes are kept. The first row names the columns; where it has
 * tabs and no comma, tabs part the fields, since no name holds either.
 */
export function parseCsv(path: string, text: string): Table {
  const header = text.slice(0, text.indexOf("\n") === -1 ? text.length : text.indexOf("\n"))
  const separator = header.includes("\t") && !header.includes(",") ? "\t" : ","
  let names: readonly string[] | null = null
  const lines: string[] = []
  for (const { fields, line } of csvRows(path, text, separator)) {
    const at = (index: number) => `${path}, line ${line}, column ${fields[index]?.column ?? 1}`
    const values = fields.map(field => field.text)
    if (names === null) {
      names = values.map(name => name.trim())
      if (names[0] === "" && names.length > 1) {
        throw usage(`${at(0)}: the first column has no name.`, "If it is pandas' index: to_csv(…, index=False)")
      }
      checkParameterNames(names, at)
      continue
    }
    if (values.length !== names.length) {
      throw usage(
        `${at(Math.min(values.length, names.length))}: ${values.length} fields, but the header names ${names.length}: ${names.join(", ")}.`,
        'A field that holds a comma stands in quotes: "a,b".',
      )
    }
    lines.push(encodeRow(values, () => `${path}, line ${line}`))
    checkCount(path, lines.length, line)
  }
  if (names === null) throw usage(`${path} is empty.`, "Its first line names the columns, each further line is a job.")
  if (lines.length === 0) throw usage(`${path} has a header but no rows.`, "Each line after the header is a job.")
  return { names, lines }
}

interface Row {
  readonly fields: readonly { readonly text: string; readonly column: number }[]
  readonly line: number
}

function* csvRows(path: string, text: string, separator: "," | "\t"): Generator<Row> {
  let line = 1
  let lineStart = 0
  let position = 0
  while (position < text.length) {
    const row: Row["fields"][number][] = []
    const firstLine = line
    let isQuoted = false
    for (let more = true; more; ) {
      const column = position - lineStart + 1
      let field = ""
      if (text[position] === '"') {
        isQuoted = true
        const opened = { line, column }
        for (position++; ; position++) {
          const quote = text.indexOf('"', position)
          if (quote === -1)
            throw usage(`${path}, line ${opened.line}, column ${opened.column}: this " is never closed.`)
          field += text.slice(position, quote)
          position = quote + 1
          if (text[position] !== '"') break
          field += '"'
        }
        for (const newline of field.matchAll(/\n/g)) {
          line++
          // The column only matters after the last line break: counted from the end of the field.
          lineStart = position - (field.length - newline.index)
        }
        const next = text[position]
        if (next !== undefined && next !== separator && next !== "\n" && next !== "\r") {
          throw usage(
            `${path}, line ${line}, column ${position - lineStart + 1}: after the closing " there is ${JSON.stringify(next)}.`,
            'A quote within quotes is doubled: "say ""yes""".',
          )
        }
      } else {
        const end = separator === "," ? /[,\n]/g : /[\t\n]/g
        end.lastIndex = position
        const found = end.exec(text)?.index ?? text.length
        field = text.slice(position, found)
        if (text[found] !== separator) field = field.replace(/\r$/, "")
        position = found
        const quote = field.indexOf('"')
        if (quote !== -1) {
          throw usage(
            `${path}, line ${line}, column ${column + quote}: a " in the middle of a field.`,
            "Put the whole field into quotes, and double those within.",
          )
        }
      }
      row.push({ text: field, column })
      more = text[position] === separator
      if (text[position] === "\r" && text[position + 1] === "\n") position++
      position++
    }
    line++
    lineStart = position
    // A blank line is no row of one empty field; "" on a line is.
    if (row.length > 1 || isQuoted || row[0]?.text !== "") yield { fields: row, line: firstLine }
  }
}

/** An array of objects with the same keys, or of values, which the job finds as CAH_P_value; or such elements, one a line (NDJSON). */
export function parseJson(path: string, text: string): Table {
  const isLines = !/^\s*(?:\[|$)/.test(text)
  const all = isLines ? jsonLines(path, text) : parsedJson(path, text)
  if (!Array.isArray(all)) throw noArray(path)
  if (all.length === 0) throw usage(`${path}: the array is empty.`, "Each of its elements is a job.")
  checkCount(path, all.length, null)
  const at = (index: number) => {
    if (isLines) return `${path}, line ${lineOf(text, index)}`
    const { line, column } = placeOf(text, elementStart(text, index))
    return `${path}, line ${line}, column ${column} (element ${index})`
  }
  const first: unknown = all[0]
  const names = isObject(first) ? Object.keys(first) : ["value"]
  if (names.length === 0) throw usage(`${at(0)}: it has no keys.`)
  checkParameterNames(names, () => at(0))
  const lines = all.map((element: unknown, index) => {
    if (isObject(element) !== isObject(first)) throw usage(`${at(index)}: it is not of the kind of the first.`)
    const values = isObject(element) ? inOrder(names, element, () => at(index)) : [element]
    const texts = values.map((value, n) => asText(value, () => `${at(index)}: ${names[n]}`))
    return encodeRow(texts, () => at(index))
  })
  return { names, lines }
}

function inOrder(names: readonly string[], element: Record<string, unknown>, place: () => string): unknown[] {
  const missing = names.find(name => !Object.hasOwn(element, name))
  if (missing !== undefined) throw usage(`${place()}: ${missing} is missing.`, "Every job has the keys of the first.")
  const extra = Object.keys(element).find(name => !names.includes(name))
  if (extra !== undefined) throw usage(`${place()}: ${extra} is not a key of the first.`)
  return names.map(name => element[name])
}

function asText(value: unknown, place: () => string): string {
  if (typeof value === "string") return value
  if (value === null) return ""
  if (
    typeof value === "number" &&
    (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
  ) {
    throw usage(`${place()} is a number that would lose digits.`, "Write it as a string.")
  }
  return JSON.stringify(value)
}

/** A value a line; blank lines are none. One value over several lines is a mistake for an array. */
function jsonLines(path: string, text: string): unknown[] {
  const lines = text.split("\n")
  const values: unknown[] = []
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue
    try {
      values.push(JSON.parse(line))
    } catch {
      if (values.length === 0 && isJson(text)) throw noArray(path)
      throw usage(`${path}, line ${index + 1}, column ${brokenAt(line) + 1}: this line is not JSON.`, oneALine)
    }
  }
  // One value alone is all columns of a pandas frame, or a job that was meant to be one of several.
  if (values.length === 1 && !/\.(ndjson|jsonl)$/i.test(path)) throw noArray(path)
  return values
}

const oneALine =
  'Each element of an array is a job, or each line. From pandas: to_json(…, orient="records"), with lines=True or without.'

function noArray(path: string): Error {
  return usage(`${path}: it is not an array.`, oneALine)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** On which line value `index` stands, from 1. */
function lineOf(text: string, index: number): number {
  let values = -1
  return text.split("\n").findIndex(line => line.trim() !== "" && ++values === index) + 1
}

function parsedJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const position = brokenAt(text)
    const { line, column } = placeOf(text, position)
    const rest = text.slice(position).split("\n")[0] ?? ""
    const found = position === text.length ? "it ends too early" : `at ${JSON.stringify(rest.slice(0, 20))}`
    throw usage(`${path}, line ${line}, column ${column}: this is not JSON, ${found}.`)
  }
}

/** Every line is a job, as it is, blank or not: CAH_P_line. */
export function parseLines(path: string, text: string): Table {
  const rows = text.split("\n")
  // What follows the last line break is no line.
  if (rows.at(-1) === "") rows.pop()
  if (rows.length === 0) throw usage(`${path} is empty.`, "Each of its lines is a job.")
  checkCount(path, rows.length, ARRAY_MAX + 1)
  const lines = rows.map((row, index) => encodeRow([row.replace(/\r$/, "")], () => `${path}, line ${index + 1}`))
  return { names: ["line"], lines }
}

function checkCount(path: string, count: number, line: number | null): void {
  if (count <= ARRAY_MAX) return
  throw usage(`${path}: more than ${ARRAY_MAX} jobs${line === null ? "" : `, from line ${line} on`}.`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
