// Named parameters: a job finds each as CAH_P_<name>. On the wire a job's line is a JSON array of strings in the order of the names.
// Here are the rules that all their sources share: CSV, JSON, lines and sweeps.
import { usage } from "../errors.ts"
import { PARAMETER_BYTES_MAX, PARAMETER_NAMES_MAX } from "../limits.ts"

export interface Table {
  readonly names: readonly string[]
  /** One JSON array of strings a job. */
  readonly lines: readonly string[]
}

/** `place` says where the name stands. */
export function checkParameterName(name: string, place: string): void {
  if (/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name)) return
  throw usage(
    `${place}: ${JSON.stringify(name)} is not a parameter's name.`,
    "Letters, digits and _, no digit first, at most 64: a job finds it as CAH_P_<name>.",
  )
}

export function checkParameterNames(names: readonly string[], place: (index: number) => string): void {
  if (names.length > PARAMETER_NAMES_MAX) {
    throw usage(`${place(PARAMETER_NAMES_MAX)}: more than ${PARAMETER_NAMES_MAX} parameters.`)
  }
  for (const [index, name] of names.entries()) {
    checkParameterName(name, place(index))
    if (names.indexOf(name) !== index) throw usage(`${place(index)}: ${name} is there twice.`)
  }
}

/** `place` says where the row stands, and is only asked when something is wrong with it. */
export function encodeRow(values: readonly string[], place: () => string): string {
  const nul = values.findIndex(value => value.includes("\0"))
  if (nul !== -1) throw usage(`${place()}: value ${nul + 1} holds a NUL character, which no variable can.`)
  const line = JSON.stringify(values)
  if (Buffer.byteLength(line) > PARAMETER_BYTES_MAX) {
    throw usage(`${place()}: its values have more than ${PARAMETER_BYTES_MAX} bytes.`, "Put them into the stagein.")
  }
  return line
}
