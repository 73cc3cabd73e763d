// One way to be told how to run, for every program: flags, then variables (CAH_*), then a TOML file, then what the machine shows or a default. A
// program states its settings once, in a table; reading, help, the printed configuration and every message are made from it, so that they
// cannot disagree. One name for each thing: --disk-floor, CAH_DISK_FLOOR and disk-floor = … are the same.
//
// Everything that is said is text until its setting parses it, wherever it comes from, so that a value is checked and refused in one way.
import { readFileSync } from "node:fs"
import { parse as parseToml, TomlError } from "smol-toml"
import { nearest } from "../spelling.ts"
import { readText, UsageError } from "./values.ts"

export interface Setting<T> {
  /** What follows the flag, in capitals; none for switches. */
  readonly value?: string
  readonly help: string
  /** UsageError that begins with "must", if it is not one. */
  parse(text: string): T
  /** When it was not said: a value, null for none, or what the machine shows. UsageError: it has to be said. */
  readonly otherwise: T | ((before: Before) => T)
  /** Its variable, where that is not its name. */
  readonly variable?: string
  /** As earlier versions called it. */
  readonly formerly?: string
  /** May be said several times: the texts are joined by commas. In a file it may be a list or a table. */
  readonly isMany?: true
  /** Never printed. */
  readonly isSecret?: true
}

/** The values of the settings that stand before in the table. */
export type Before = Readonly<Record<string, unknown>>

export type Table = Readonly<Record<string, Setting<unknown>>>
export type ValuesOf<T extends Table> = { readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : never }

/** For inference: the value is what `parse` and `otherwise` give together. */
export function setting<const T>(one: Setting<T>): Setting<T> {
  return one
}

/** Only a flag: what to do, or where to read. */
export interface Command {
  readonly value?: string
  readonly help: string
}

/** What one source says. Texts are parsed; a source that has checked already gives values. */
export interface Layer {
  said(name: string): { readonly text: string } | { readonly value: unknown } | undefined
  /** Where that was, for people. */
  origin(name: string): string
}

export interface Told<T extends Table> {
  readonly values: ValuesOf<T>
  /** "--port", "CAH_PORT", a file's path, "detected", "default". */
  readonly origins: Readonly<Record<keyof T, string>>
}

/** The first layer that says something of a setting is believed. */
export function readSettings<T extends Table>(table: T, layers: readonly Layer[]): Told<T> {
  const values: Record<string, unknown> = {}
  const origins: Record<string, string> = {}
  for (const [name, one] of Object.entries(table)) {
    const layer = layers.find(each => each.said(name) !== undefined)
    const said = layer?.said(name)
    if (layer === undefined || said === undefined) {
      const { otherwise } = one
      const isDetected = typeof otherwise === "function"
      values[name] = isDetected ? otherwise(values) : otherwise
      origins[name] = isDetected ? "detected" : "default"
      continue
    }
    origins[name] = layer.origin(name)
    values[name] = "value" in said ? said.value : parsed(one, said.text, whereOf(layer, name))
  }
  return { values: values as ValuesOf<T>, origins: origins as Record<keyof T, string> }
}

function parsed(one: Setting<unknown>, text: string, where: string): unknown {
  try {
    return one.parse(text)
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${where}: ${error.message}`)
    throw error
  }
}

/** A flag and a variable name their setting; of a file, and of a flag that says several, the setting is named too. */
function whereOf(layer: Layer, name: string): string {
  const origin = layer.origin(name)
  return origin === `--${name}` || !/^--|[./]/.test(origin) ? origin : `${origin}: ${name}`
}

// ---- flags ------------------------------------------------------------------------------------------------------

export interface Flags extends Layer {
  /** A command among the flags: its value, or "true" without one. */
  command(name: string): string | undefined
  /** Says of a setting what another flag meant by it. */
  set(name: string, text: string, origin: string): void
}

/** `taken` tells what the program takes, for one who typed something else. */
export function readFlags(
  argv: readonly string[],
  table: Table,
  commands: Readonly<Record<string, Command>>,
  taken = "",
): Flags {
  const known: Readonly<Record<string, Command>> = { ...table, ...commands }
  const said = new Map<string, { text: string; origin: string }>()
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!
    if (!word.startsWith("-") || word === "-")
      throw new UsageError(`unexpected "${word}"${taken === "" ? "" : `: ${taken}`}; see --help`)
    const equals = word.indexOf("=")
    const typed = word === "-h" ? "--help" : equals < 0 ? word : word.slice(0, equals)
    const name = nowCalled(typed.slice(2), table)
    if (!typed.startsWith("--") || !Object.hasOwn(known, name)) throw unknownFlag(typed, Object.keys(known))
    const takesValue = known[name]!.value !== undefined
    if (!takesValue) {
      if (equals >= 0) throw new UsageError(`--${name} takes no value`)
      said.set(name, { text: "true", origin: `--${name}` })
      continue
    }
    const value = equals >= 0 ? word.slice(equals + 1) : argv[++at]
    if (value === undefined || (equals < 0 && value.startsWith("--")))
      throw new UsageError(`--${name} needs a value; see --help`)
    const before = table[name]?.isMany ? said.get(name) : undefined
    said.set(name, { text: before === undefined ? value : `${before.text},${value}`, origin: `--${name}` })
  }
  return {
    said: name => said.get(name),
    origin: name => said.get(name)?.origin ?? "",
    command: name => said.get(name)?.text,
    set: (name, text, origin) => void said.set(name, { text, origin }),
  }
}

function unknownFlag(typed: string, known: readonly string[]): UsageError {
  const near = typed.startsWith("--") ? nearest(typed.slice(2), known) : null
  return new UsageError(`unknown option ${typed}${near === null ? "; see --help" : `: did you mean --${near}?`}`)
}

function nowCalled(name: string, table: Table): string {
  return Object.entries(table).find(([, { formerly }]) => formerly === name)?.[0] ?? name
}

// ---- variables --------------------------------------------------------------------------------------------------

export type Environment = Readonly<Record<string, string | undefined>>

export function variableOf(name: string, { variable }: Pick<Setting<unknown>, "variable"> = {}): string {
  return variable ?? `CAH_${name.toUpperCase().replaceAll("-", "_")}`
}

/** An empty variable is as good as none. */
export function environmentLayer(environment: Environment, table: Table): Layer {
  const named = (name: string): string =>
    [variableOf(name, table[name]), variableOf(table[name]?.formerly ?? name)].find(each => environment[each]) ?? ""
  return {
    said: name => (named(name) === "" ? undefined : { text: environment[named(name)]! }),
    origin: named,
  }
}

// ---- a file -----------------------------------------------------------------------------------------------------

/** The one that was named, which must be there, or the first of `usual` that is. */
export function fileLayer(named: string | undefined, usual: readonly string[], table: Table): Layer {
  const path = named ?? usual.find(isThere)
  if (path === undefined) return { said: () => undefined, origin: () => "" }
  const texts = new Map<string, string>()
  for (const [key, value] of Object.entries(readToml(path))) {
    const name = nowCalled(key, table)
    if (!Object.hasOwn(table, name)) throw unknownKey(path, key, Object.keys(table))
    texts.set(name, textOf(value, `${path}: ${name}`, table[name]!.isMany === true))
  }
  return {
    said: name => (texts.has(name) ? { text: texts.get(name)! } : undefined),
    origin: () => path,
  }
}

function readToml(path: string): Record<string, unknown> {
  return tomlIn(path, readText(path))
}

/** What stands in that file. UsageError with the line that is wrong. */
export function tomlIn(path: string, text: string): Record<string, unknown> {
  try {
    return parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    throw new UsageError(`${path}, line ${error.line}: this is not TOML: ${error.message.split("\n")[0]}`)
  }
}

function unknownKey(path: string, key: string, known: readonly string[]): UsageError {
  const near = nearest(key, known)
  const hint = near === null ? `; there are ${known.join(", ")}` : `: did you mean ${near}?`
  return new UsageError(`${path}: unknown setting "${key}"${hint}`)
}

function textOf(value: unknown, where: string, isMany: boolean): string {
  if (["string", "number", "bigint", "boolean"].includes(typeof value)) return String(value)
  if (isMany && Array.isArray(value)) return value.map(String).join(",")
  if (isMany && typeof value === "object" && value !== null) {
    return Object.entries(value)
      .map(([key, each]) => `${key}=${String(each)}`)
      .join(",")
  }
  throw new UsageError(`${where}: must be one value`)
}

function isThere(path: string): boolean {
  try {
    readFileSync(path)
    return true
  } catch (error) {
    // What is there but cannot be read is an error when it is read, not a file that is missing.
    return (error as NodeJS.ErrnoException).code !== "ENOENT"
  }
}
