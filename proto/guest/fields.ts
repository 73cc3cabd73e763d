// Checks a JSON object field by field and says, in words for people, which one is wrong and what it must be. For the small files
// that travel between launcher and guest, where neither a schema compiler nor its size is wanted. Unknown fields are refused: a
// misspelt name must not pass for one that was left out. Pure.

/** A text that is not what it should be. The message names the text, the field and what it must be. */
export class FieldError extends Error {
  override readonly name = "FieldError"
}

/** Gives the value back, or throws FieldError. `where` is for people: "the guest's settings: image.name". */
export type Rule<T> = (value: unknown, where: string) => T
export type Rules<T> = { readonly [K in keyof T]: Rule<T[K]> }

/** The object that a JSON text of at most `maxBytes` is. `what` it is, is for people: "the guest's settings". */
export function parseObject(text: string, what: string, maxBytes: number): Record<string, unknown> {
  const sizeBytes = Buffer.byteLength(text)
  if (sizeBytes > maxBytes) throw new FieldError(`${what}: ${sizeBytes} bytes are more than ${maxBytes}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FieldError(`${what}: not JSON`, { cause })
  }
  return anyObject(value, what)
}

/** The fields as the table wants them: all of them, and no others. */
export function checkFields<T>(fields: Record<string, unknown>, rules: Rules<T>, what: string): T {
  const known = Object.entries(rules) as [string, Rule<unknown>][]
  const stranger = Object.keys(fields).find(name => !known.some(([one]) => one === name))
  if (stranger !== undefined) throw new FieldError(`${what}: "${stranger}" is not known here`)
  const checked = known.map(([name, rule]) => {
    if (!Object.hasOwn(fields, name)) throw new FieldError(`${what}: "${name}" is missing`)
    return [name, rule(fields[name], `${what}: ${name}`)]
  })
  return Object.fromEntries(checked) as T
}

export function object<T>(rules: Rules<T>): Rule<T> {
  return (value, where) => checkFields(anyObject(value, where), rules, where)
}

export function text(wanted: string, fits: (value: string) => boolean): Rule<string> {
  return (value, where) => (typeof value === "string" && fits(value) ? value : refuse(where, wanted, show(value)))
}

export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): Rule<number> {
  return (value, where) => {
    if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number
    return refuse(where, `a whole number from ${min} to ${max}`, show(value))
  }
}

export function orNull<T>(rule: Rule<T>): Rule<T | null> {
  return (value, where) => (value === null ? null : rule(value, where))
}

/** An array of at most `max`. */
export function list<T>(rule: Rule<T>, max: number): Rule<T[]> {
  return (value, where) => {
    if (!Array.isArray(value) || value.length > max) return refuse(where, `a list of at most ${max}`, show(value))
    return value.map((one, index) => rule(one, `${where}[${index}]`))
  }
}

export function anyObject(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  return refuse(where, "a JSON object", show(value))
}

export function refuse(where: string, wanted: string, got: string): never {
  throw new FieldError(`${where} must be ${wanted}, not ${got}`)
}

function show(value: unknown): string {
  const shown = JSON.stringify(value) ?? "nothing"
  return shown.length > 80 ? `${shown.slice(0, 80)}…` : shown
}
