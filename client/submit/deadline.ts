// --deadline: a moment, or a time from now. A time from now is kept as it was said until the submission, so that the same words
// do not turn into another specification while a file is read.
import { usage } from "../errors.ts"
import { parseDuration } from "../quantities.ts"

export type Deadline = { readonly atMs: number } | { readonly inSeconds: number }

const hint = 'Write it like 2d, 1h 30m, "2026-11-30 18:00" (here) or 2026-11-30T18:00:00Z.'

export function parseDeadline(text: string): Deadline {
  const form = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(
    text.trim(),
  )
  if (form === null) {
    try {
      return { inSeconds: parseDuration(text, "--deadline") }
    } catch {
      throw usage(`--deadline: "${text}" is neither a moment nor a time from now.`, hint)
    }
  }
  const [, year, month, day, hour = "24", minute = "00", second = "00", zone = ""] = form
  // A day alone is its end.
  const clock = hour === "24" ? "23:59:59" : `${hour}:${minute}:${second}`
  const atMs = Date.parse(`${year}-${month}-${day}T${clock}${zone}`)
  // Date.parse takes the 31st of February for the 3rd of March.
  const exists = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  if (Number.isNaN(atMs) || !exists) throw usage(`--deadline: there is no such moment as "${text}".`, hint)
  return { atMs }
}

export function deadlineMs(deadline: Deadline, nowMs: number): number {
  if ("inSeconds" in deadline) return nowMs + Math.ceil(deadline.inSeconds * 1000)
  if (deadline.atMs > nowMs) return deadline.atMs
  throw usage(`--deadline: ${new Date(deadline.atMs).toISOString()} has passed.`, hint)
}
