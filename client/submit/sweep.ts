// --sweep k=1..10:2 or k=red,green: the values of one parameter, and the Cartesian product of several, in the order given:
// the last one changes fastest, as in nested loops. Decimals are counted exactly, never added up as floating point.
import { usage } from "../errors.ts"
import { ARRAY_MAX, PARAMETERS_BYTES_MAX } from "../limits.ts"
import { checkParameterName } from "./named.ts"

export interface Axis {
  readonly name: string
  readonly values: readonly string[]
}

const hint = "Write it like --sweep seed=1..100, --sweep x=0..1:0.25 or --sweep colour=red,green."

export function parseSweep(text: string, flag = "--sweep"): Axis {
  const equals = text.indexOf("=")
  if (equals < 1) throw usage(`${flag} ${JSON.stringify(text)}: it is not NAME=VALUES.`, hint)
  const name = text.slice(0, equals)
  checkParameterName(name, `${flag} ${JSON.stringify(text)}`)
  const rest = text.slice(equals + 1)
  const refuse = (column: number, message: string) =>
    usage(`${flag} ${JSON.stringify(text)}, column ${equals + 1 + column}: ${message}`, hint)
  const range = /^(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)(?::(.*))?$/s.exec(rest)
  if (range !== null) return { name, values: span(range, refuse) }
  // "../a" is a path; what begins with a number and then has two dots was meant as a range.
  if (/^[-.\d]*\.\.[-.\d:]*$/.test(rest) || /^-?\d[^,]*\.\.[^,]*$/.test(rest))
    throw refuse(1, "it is not a range of numbers.")
  // "a..c" too; a path has a slash, a file's name letters behind one dot.
  if (/^[^,/]+\.\.[^,/.][^,/]*$/.test(rest)) {
    throw refuse(1, `${rest} is no range of numbers, and only those are counted. Write each value: a,b,c.`)
  }
  const values = rest.split(",")
  let column = 1
  for (const value of values) {
    if (value === "" && values.length > 1) throw refuse(column, "there is nothing between the commas.")
    column += value.length + 1
  }
  if (rest === "") throw refuse(1, "there are no values.")
  return { name, values }
}

function span(range: RegExpExecArray, refuse: (column: number, message: string) => Error): string[] {
  const [, from = "", to = "", step] = range
  const stepColumn = from.length + 2 + to.length + 2
  if (step !== undefined && !/^-?\d+(\.\d+)?$/.test(step)) throw refuse(stepColumn, `"${step}" is not a number.`)
  const digits = Math.max(...[from, to, step ?? ""].map(decimals))
  if (digits > 12) throw refuse(1, "more than 12 digits after the point.")
  const [first, last] = [scaled(from, digits), scaled(to, digits)]
  const unit = 10n ** BigInt(digits)
  const by = step === undefined ? (last < first ? -unit : unit) : scaled(step, digits)
  if (by === 0n) throw refuse(stepColumn, "a step of 0 never arrives.")
  if (last !== first && last > first !== by > 0n) {
    throw refuse(stepColumn, `from ${from} to ${to} it cannot go in steps of ${step}.`)
  }
  const count = (last - first) / by + 1n
  if (count > BigInt(ARRAY_MAX)) throw refuse(1, `more than ${ARRAY_MAX} values.`)
  const width = /^-?0\d/.test(from) || /^-?0\d/.test(to) ? Math.max(from.length, to.length) : 0
  return Array.from({ length: Number(count) }, (_, index) => shown(first + by * BigInt(index), digits, width))
}

function decimals(text: string): number {
  return /\.(\d+)$/.exec(text)?.[1]?.length ?? 0
}

function scaled(text: string, digits: number): bigint {
  const [whole = "", rest = ""] = text.split(".")
  return BigInt(`${whole}${rest.padEnd(digits, "0")}`)
}

/** 001..100 keeps its zeros, so that file names sort; 0..1:0.25 gives 0, 0.25, 0.5, 0.75, 1. */
function shown(value: bigint, digits: number, width: number): string {
  const positive = (value < 0n ? -value : value).toString().padStart(digits + 1, "0")
  const whole = positive.slice(0, positive.length - digits)
  const rest = digits === 0 ? "" : positive.slice(-digits).replace(/0+$/, "")
  const text = rest === "" ? whole : `${whole}.${rest}`
  return value < 0n ? `-${text.padStart(width - 1, "0")}` : text.padStart(width, "0")
}

/** One row of values for each combination. */
export function product(axes: readonly Axis[]): { names: string[]; rows: string[][] } {
  const names = axes.map(axis => axis.name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw usage(`--sweep: ${twice} is given twice.`, "Put all its values into one --sweep.")
  const total = axes.reduce((product, axis) => product * axis.values.length, 1)
  if (total > ARRAY_MAX) throw usage(`--sweep: ${total} combinations are too many: ${ARRAY_MAX} jobs at most.`)
  // Brackets, quotes and commas included; before memory is filled.
  const bytes = axes.reduce((sum, { values }) => {
    const each = values.reduce((one, value) => one + Buffer.byteLength(value) + 3, 0) / values.length
    return sum + each * total
  }, 0)
  if (bytes > PARAMETERS_BYTES_MAX) {
    throw usage(`--sweep: the combinations have more than ${PARAMETERS_BYTES_MAX} bytes.`, "Split it up.")
  }
  let rows: string[][] = [[]]
  for (const { values } of axes) rows = rows.flatMap(row => values.map(value => [...row, value]))
  return { names, rows }
}
