// What goes to stdout and stderr, and how: tables for people, protobuf's JSON mapping for programs, ids for shells.
// Data to stdout; notes and errors to stderr. Text that came from the hub or a volunteer never reaches a terminal with
// its control characters. Knows no verb.
import { once } from "node:events"
import type { DescMessage, MessageShape } from "@bufbuild/protobuf"
import pc from "picocolors"
import stringWidth from "string-width"
import type { Color, Format } from "./config.ts"
import { columnsOf, columnsOfValues, csvLine, csvRow } from "./csv.ts"
import type { ClientError } from "./errors.ts"
import type { json } from "./json.ts"

export interface Stream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly destroyed: boolean
  write(chunk: string | Uint8Array): boolean
  once(event: "drain", listener: () => void): unknown
}

export type Paint = (text: string) => string

export interface Colors {
  readonly bold: Paint
  readonly dim: Paint
  readonly red: Paint
  readonly green: Paint
  readonly yellow: Paint
}

export interface OutputOptions {
  readonly format: Format
  readonly color: Color
  readonly noColor: boolean
  readonly stdout: Stream
  readonly stderr: Stream
}

export class Output {
  readonly format: Format
  readonly colors: Colors
  readonly errorColors: Colors
  readonly stdout: Stream
  readonly stderr: Stream

  constructor(options: OutputOptions) {
    this.format = options.format
    this.stdout = options.stdout
    this.stderr = options.stderr
    const painted = (stream: Stream) =>
      pc.createColors(
        options.color === "always" || (options.color === "auto" && stream.isTTY === true && !options.noColor),
      )
    this.colors = painted(options.stdout)
    this.errorColors = painted(options.stderr)
  }

  /** One thing, in the form that was asked for. */
  async one<D extends DescMessage>(
    schema: D,
    message: MessageShape<D>,
    views: { table: () => string; quiet: () => string },
  ): Promise<void> {
    if (this.format === "table" || this.format === "quiet") return this.value(null, views)
    const json = await loadJson()
    if (this.format === "csv") await this.#rows(columnsOf(schema), [json(schema, message)])
    else await this.value(json(schema, message), views)
  }

  /** Many things of a kind: json and yaml give the list message, ndjson a line each, the others a row each. */
  async many<L extends DescMessage, R extends DescMessage>(
    list: { schema: L; message: MessageShape<L> },
    rows: { schema: R; messages: readonly MessageShape<R>[] },
    views: { table: () => string; quiet: (row: MessageShape<R>) => string },
  ): Promise<void> {
    const { schema, messages } = rows
    if (this.format === "table") return this.lines(views.table())
    if (this.format === "quiet") {
      for (const row of messages) await this.write(`${views.quiet(row)}\n`)
      return
    }
    const json = await loadJson()
    const plain = lazily(messages, row => json(schema, row))
    if (this.format === "csv") await this.#rows(columnsOf(schema), plain)
    else if (this.format === "ndjson") for (const row of plain) await this.write(`${JSON.stringify(row)}\n`)
    else await this.value(json(list.schema, list.message), { table: () => "", quiet: () => "" })
  }

  /** A value that is no protobuf message: the client's own verbs. */
  async value(value: unknown, views: { table: () => string; quiet: () => string }): Promise<void> {
    if (this.format === "json") await this.write(`${JSON.stringify(value, null, 2)}\n`)
    else if (this.format === "ndjson") await this.write(`${JSON.stringify(value)}\n`)
    else if (this.format === "yaml") await this.write(await yamlOf(value))
    else if (this.format === "csv") {
      const values = Array.isArray(value) ? value : [value]
      await this.#rows(columnsOfValues(values), values)
    } else await this.lines(this.format === "table" ? views.table() : views.quiet())
  }

  async #rows(columns: readonly string[], values: Iterable<unknown>): Promise<void> {
    await this.write(csvLine(columns))
    for (const value of values) await this.write(csvRow(columns, value))
  }

  async lines(text: string): Promise<void> {
    if (text !== "") await this.write(text.endsWith("\n") ? text : `${text}\n`)
  }

  /** Bytes to stdout, no faster than it takes them. */
  async write(chunk: string | Uint8Array, to: "stdout" | "stderr" = "stdout"): Promise<void> {
    const stream = this[to]
    if (stream.destroyed) return
    if (!stream.write(chunk)) await once(stream as never, "drain")
  }

  /** A remark for people. Programs that asked for JSON or ids are left alone. */
  note(text: string): void {
    if (this.format === "table") this.stderr.write(`${clean(text)}\n`)
  }

  /** A remark that matters to everybody, in any format: the hub went away, a file was left out. */
  warn(text: string): void {
    this.stderr.write(this.isJson ? `${JSON.stringify({ warning: text })}\n` : `cah: ${clean(text)}\n`)
  }

  error(error: ClientError): void {
    if (this.isJson) {
      const { code, message, reason, hint, details } = error
      const more = reason === null ? {} : { reason }
      this.stderr.write(`${JSON.stringify({ error: { code, message, ...more, hint, details } })}\n`)
      return
    }
    this.stderr.write(`${this.errorColors.red("cah:")} ${clean(error.message)}\n`)
    if (error.hint !== "") for (const line of error.hint.split("\n")) this.stderr.write(`     ${clean(line)}\n`)
  }

  /** The whole output is one value, or one table of cells. */
  get isOneValue(): boolean {
    return this.format === "json" || this.format === "yaml" || this.format === "csv"
  }

  get isJson(): boolean {
    return this.format === "json" || this.format === "ndjson"
  }
}

function* lazily<T>(items: Iterable<T>, form: (item: T) => unknown): Generator<unknown> {
  for (const item of items) yield form(item)
}

/** For people it is not needed, and it takes as long to load as the rest. */
async function loadJson(): Promise<typeof json> {
  return (await import("./json.ts")).json
}

/** The parser is as large as the rest of the client, and few ask for it. */
async function yamlOf(value: unknown): Promise<string> {
  // The default: it alone is there when a bundle loads a CommonJS package on demand.
  return (await import("yaml")).default.stringify(value)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** Without control characters: a stranger's text may not move the cursor, rename the window or hide itself. */
export function clean(text: string): string {
  return text.replace(controls, "\ufffd")
}

export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => string
  readonly paint?: (row: T) => Paint | undefined
  readonly right?: boolean
}

/** Columns as wide as their widest cell, two spaces apart, no trailing blanks. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], colors: Colors): string {
  const cells = rows.map(row => columns.map(column => clean(column.value(row)).replace(/[\t\r\n]+/g, " ")))
  const widths = columns.map((column, index) =>
    cells.reduce((widest, row) => Math.max(widest, width(row[index] ?? "")), width(column.title)),
  )
  const pad = (text: string, index: number) => {
    const blank = " ".repeat(Math.max(0, (widths[index] ?? 0) - width(text)))
    if (columns[index]?.right === true) return [blank, text, ""] as const
    return ["", text, index === columns.length - 1 ? "" : blank] as const
  }
  const line = (texts: readonly string[], paint: (index: number) => Paint | undefined) =>
    texts
      .map((text, index) => {
        const [before, middle, after] = pad(text, index)
        return `${before}${(paint(index) ?? plain)(middle)}${after}`
      })
      .join("  ")
      .trimEnd()
  const head = line(
    columns.map(column => column.title),
    () => colors.bold,
  )
  return [head, ...cells.map((row, at) => line(row, index => columns[index]?.paint?.(rows[at] as T)))].join("\n")
}

/** "Name   value" lines, for one thing. Empty values are left out. */
export function fields(pairs: readonly (readonly [string, string])[], colors: Colors): string {
  const shown = pairs.filter(([, value]) => value !== "")
  const widest = Math.max(0, ...shown.map(([name]) => width(name)))
  const blank = (name: string) => padded(name, widest).slice(name.length)
  return shown.map(([name, value]) => `${colors.bold(name)}${blank(name)}  ${clean(value)}`).join("\n")
}

/** The colour of a state, never its only sign: the word is always there. */
export function statePaint(state: string, colors: Colors): Paint | undefined {
  if (state === "finished" || state === "online") return colors.green
  if (state === "failed" || state === "timedout" || state === "lost" || state === "revoked") return colors.red
  return state === "running" || state === "returning" ? colors.yellow : undefined
}

function plain(text: string): string {
  return text
}

/** Columns of a terminal: a Chinese character takes two, an accent none, a family of emoji as one does. */
export function width(text: string): number {
  return stringWidth(text)
}

/** With blanks behind it up to so many columns of a terminal. */
export function padded(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - width(text)))
}

const graphemes = new Intl.Segmenter()

/** As much of it as fits into so many columns, whole characters only. */
export function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text
  let shown = ""
  let taken = 0
  for (const { segment } of graphemes.segment(text)) {
    taken += width(segment)
    if (taken > columns) break
    shown += segment
  }
  return shown
}
