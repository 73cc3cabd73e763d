// Durations, sizes and counts as people type them, and as people like to read them.
// Pure; every refusal names the text it refuses and what would be taken.
import { usage } from "./errors.ts"

const durationUnits: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3_600, d: 86_400 }

/**
 * A span: "1h 15m", "90s", "1:30:00" (hours, minutes, seconds). Seconds, more than 0. One grammar for every flag, file and verb: what two
 * tools read differently is refused with both readings, since a job would otherwise be killed in silence at the shorter one.
 */
export function parseDuration(text: string, what: string): number {
  const refuse = () => usage(`${what}: "${text}" is not a duration.`, "Write it like 1h 15m, 90s, 2d or 02:30:00.")
  const trimmed = text.trim().toLowerCase()
  if (/^\d{1,6}$/.test(trimmed) && Number(trimmed) > 0) {
    throw usage(
      `${what}: "${trimmed}" is not a duration: ${trimmed} of what?`,
      `Write ${trimmed}s, ${trimmed}m or ${trimmed}h.`,
    )
  }
  const clock = /^(\d{1,6}):(\d{1,2})(?::(\d{2}))?$/.exec(trimmed)
  let seconds = 0
  if (clock !== null) {
    const [first, second, third] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)]
    if (second > 59 || third > 59) throw refuse()
    if (clock[3] === undefined) throw twoReadings(text.trim(), what, first, second)
    seconds = first * 3_600 + second * 60 + third
  } else {
    if (!/^(\d+(\.\d+)?\s*(s|m|min|h|d)\s*)+$/.test(trimmed)) throw refuse()
    for (const part of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*(min|[smhd])/g)) {
      seconds += Number(part[1]) * (durationUnits[part[2] ?? ""] ?? Number.NaN)
    }
  }
  if (!Number.isFinite(seconds) || seconds <= 0) throw usage(`${what}: "${text}" is no time at all.`)
  return seconds
}

function twoReadings(text: string, what: string, first: number, second: number): Error {
  const units = (one: string, other: string) =>
    [first > 0 ? `${first}${one}` : "", second > 0 ? `${second}${other}` : ""].filter(part => part !== "").join(" ") ||
    `0${other}`
  const [long, short] = [units("h", "m"), units("m", "s")]
  return usage(
    `${what}: "${text}" is ${long} to oarsub and ${short} to sbatch.`,
    `Write ${long} or ${short}; or all three parts, ${text}:00 or 0:${text}.`,
  )
}

const sizeUnits: Readonly<Record<string, bigint>> = {
  "": 1n,
  B: 1n,
  ...prefixed(["K", "M", "G", "T"]),
}

/** "512M", "2G", "1.5GiB" are powers of 1024; "2GB" is a power of 1000; bytes without a unit. */
export function parseSize(text: string, what: string): bigint {
  const form = /^(\d[\d_]*)(\.\d+)?\s*([kKmMgGtT]?i?[bB]?)$/.exec(text.trim())
  const unit = form === null ? undefined : sizeUnits[(form[3] ?? "").toUpperCase().replace("I", "i")]
  if (form === null || unit === undefined) {
    throw usage(`${what}: "${text}" is not a size.`, "Write it like 512M or 2G (powers of 1024), or 2GB (10⁹ bytes).")
  }
  const whole = BigInt((form[1] ?? "0").replaceAll("_", ""))
  const size = whole * unit + BigInt(Math.round(Number(`0${form[2] ?? ""}`) * Number(unit)))
  if (size <= 0n || size >= 2n ** 63n) throw usage(`${what}: "${text}" is out of range.`)
  return size
}

function prefixed(letters: readonly string[]): Record<string, bigint> {
  const units: Record<string, bigint> = {}
  for (const [index, letter] of letters.entries()) {
    units[letter] = units[`${letter}iB`] = units[`${letter}i`] = 1024n ** BigInt(index + 1)
    units[`${letter}B`] = 1000n ** BigInt(index + 1)
  }
  return units
}

/** A whole number from `min` to `max`; underscores may group its digits. */
export function parseCount(text: string, what: string, min: number, max: number): number {
  const range = `Give a whole number from ${min} to ${max}.`
  if (!/^\d+(_\d+)*$/.test(text.trim())) throw usage(`${what}: "${text}" is not a whole number.`, range)
  const value = Number(text.trim().replaceAll("_", ""))
  if (value < min || value > max) throw usage(`${what}: ${text} is out of range.`, range)
  return value
}

/** Name, seconds in it, seconds in the next larger one. */
const displayUnits = [
  ["d", 86_400, Number.POSITIVE_INFINITY],
  ["h", 3_600, 86_400],
  ["m", 60, 3_600],
  ["s", 1, 60],
] as const

/** "0.4s", "12s", "5m 3s", "2h 10m", "3d 4h": two units at most, unless more are wanted. */
export function showDuration(seconds: number, unitsMax = 2): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "–"
  if (seconds < 10) return `${Math.round(seconds * 10) / 10}s`
  const rest = Math.round(seconds)
  const large = displayUnits.findIndex(([, size]) => rest >= size)
  const parts: string[] = []
  for (const [name, size, whole] of displayUnits.slice(large, large + unitsMax)) {
    const count = Math.floor((rest % whole) / size)
    if (count > 0) parts.push(`${count}${name}`)
  }
  return parts.join(" ")
}

/** "2026-11-30 18:00:00+01:00", or with Z where this machine keeps UTC: local time, and which that is. Flags take it as it is printed. */
export function showTime(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, "0")
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-")
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")
  const ahead = -date.getTimezoneOffset()
  const zone = `${ahead < 0 ? "-" : "+"}${two(Math.floor(Math.abs(ahead) / 60))}:${two(Math.abs(ahead) % 60)}`
  return `${day} ${clock}${ahead === 0 ? "Z" : zone}`
}

/** "512 B", "1.2 MB": powers of 1000, as disks and networks are sold. */
export function showBytes(bytes: number | bigint): string {
  let value = Number(bytes)
  const names = ["B", "kB", "MB", "GB", "TB", "PB"]
  let unit = 0
  while (value >= 999.5 && unit < names.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${names[unit]}`
}

/** "36 jobs", "1 job". */
export function plural(count: number | bigint, noun: string): string {
  return `${count} ${noun}${count === 1 || count === 1n ? "" : "s"}`
}
