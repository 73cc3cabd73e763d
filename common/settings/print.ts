// A table of settings as people read it: the help, and the configuration in force with where each value comes from. No secret is in either.
import type { Command, Setting, Table, Told } from "./table.ts"

/** What stands before the help of a flag: `--port NUMBER`. */
export function flagText(name: string, { value }: Pick<Command, "value">): string {
  return `--${name}${value === undefined ? "" : ` ${value}`}`
}

/** A line for each flag, its help from `column` on. `more` is what a setting's line ends with. */
export function helpLines(
  flags: Readonly<Record<string, Command>>,
  column: number,
  more: (name: string) => string = () => "",
): string[] {
  return Object.entries(flags).map(
    ([name, flag]) => `  ${flagText(name, flag).padEnd(column)} ${flag.help}${more(name)}`,
  )
}

/** " (8080)"; nothing where the machine decides, for switches that are off, and for secrets. */
export function defaultText({ value, otherwise, isSecret }: Setting<unknown>): string {
  const isShown = !isSecret && (typeof otherwise === "string" || typeof otherwise === "number") && otherwise !== ""
  if (!isShown) return ""
  return ` (${value === "SIZE" && typeof otherwise === "number" ? sizeText(otherwise) : otherwise})`
}

function sizeText(bytes: number): string {
  const units = ["", "KiB", "MiB", "GiB", "TiB"]
  let unit = 0
  while (bytes >= 1024 && bytes % 1024 === 0 && unit < units.length - 1) {
    bytes /= 1024
    unit++
  }
  return `${bytes}${units[unit]}`
}

/** TOML, so that it can be a configuration file. */
export function printSettings<T extends Table>(table: T, { values, origins }: Told<T>): string {
  const lines = Object.entries(table).map(([name, { isSecret }]) => {
    const value: unknown = values[name]
    if (value === null) return `# ${name} is not set`
    const line = isSecret ? `# ${name} is given, and secret` : `${name} = ${inToml(value)}`
    return `${line.padEnd(34)} # ${origins[name]}`
  })
  return `${lines.join("\n")}\n`
}

function inToml(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return JSON.stringify(value)
  const pairs = Object.entries(value).map(([name, each]) => `${name} = ${JSON.stringify(each)}`)
  return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`
}
