// Moments as people type them, for --deadline and --reservation: a date and a time, here or with a zone, or a time from now. What is said from
// now is kept so until the submission, so that the same words do not turn into another specification while a file is read.
import { ClientError, usage } from "../errors.ts"
import { parseDuration } from "../quantities.ts"

export type Moment = { readonly atMs: number } | { readonly inSeconds: number }

export interface Reservation {
  readonly start: Moment
  readonly end: { readonly atMs: number } | null
}

const deadlineHint = 'Write it like 2d, 1h 30m, "2026-11-30 18:00" (here) or 2026-11-30T18:00:00Z.'
const reservationHint = 'Write it like "2026-11-30 18:00:00", "18:00, 20:00", now or 2h; the end stands after a comma.'

/** How far ahead "now" lies: the hub refuses what has passed by its own clock, and gets it a little later. */
const NOW_S = 10

export function parseDeadline(text: string): Moment {
  const refuse = (message: string) => usage(`--deadline: ${message}`, deadlineHint)
  // A day alone is its end.
  return (
    parseMoment(text, "23:59:59", refuse) ??
    fromNow(text) ??
    fail(refuse(`"${text}" is neither a moment nor a time from now.`))
  )
}

/** OAR's: "START[, END]"; a time without a day is today's, an end before its start the next day's; now. Ours: a time from now. */
export function parseReservation(text: string, nowMs = Date.now()): Reservation {
  const [first = "", second, ...more] = text.split(",")
  const place = (column: number) => (message: string) =>
    usage(`-r ${JSON.stringify(text)}, column ${column}: ${message}`, reservationHint)
  const secondColumn = first.length + 2 + ((second?.length ?? 0) - (second?.trimStart().length ?? 0))
  if (more.length > 0) throw place(first.length + (second?.length ?? 0) + 3)("there is more after the end.")
  const start = startOf(first, nowMs, place(first.length - first.trimStart().length + 1))
  if (second === undefined) return { start, end: null }
  const end = endOf(second, start, nowMs, place(secondColumn))
  return { start, end }
}

function startOf(text: string, nowMs: number, refuse: (message: string) => Error): Moment {
  if (text.trim() === "now") return { inSeconds: NOW_S }
  const moment = parseMoment(text, null, refuse) ?? today(text, nowMs) ?? (/[a-z]/i.test(text) ? fromNow(text) : null)
  if (moment === null) throw refuse(text.trim() === "" ? "there is no start." : `"${text.trim()}" is not a moment.`)
  if ("atMs" in moment && moment.atMs < nowMs) throw refuse(`${new Date(moment.atMs).toISOString()} has passed.`)
  return moment
}

function endOf(text: string, start: Moment, nowMs: number, refuse: (message: string) => Error): { atMs: number } {
  const startMs = momentMs(start, nowMs)
  const day = today(text, startMs)
  const end =
    day === null ? parseMoment(text, null, refuse) : { atMs: day.atMs > startMs ? day.atMs : nextDay(day.atMs) }
  if (end === null) throw refuse(text.trim() === "" ? "there is no end." : `"${text.trim()}" is not a moment.`)
  if (end.atMs <= startMs) throw refuse("it ends before it begins.")
  return end
}

/** Null where it does not look like a moment. Without a clock it is a day, which is `clockOfDay` if that may be. */
function parseMoment(
  text: string,
  clockOfDay: string | null,
  refuse: (message: string) => Error,
): { atMs: number } | null {
  const form =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:T|\s+)(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.\d+)?)?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(
      text.trim(),
    )
  if (form === null) return null
  const [, year = "", month = "", day = "", hour, minute = "0", second = "0", zone = ""] = form
  if (hour === undefined && clockOfDay === null) throw refuse(`at what time of ${text.trim()}?`)
  const two = (part: string) => part.padStart(2, "0")
  const clock = hour === undefined ? clockOfDay : [hour, minute, second].map(two).join(":")
  const atMs = Date.parse(`${year}-${two(month)}-${two(day)}T${clock}${zone}`)
  // Date.parse takes the 31st of February for the 3rd of March.
  const exists = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  if (Number.isNaN(atMs) || !exists) throw refuse(`there is no such moment as "${text.trim()}".`)
  return { atMs }
}

/** "18", "18:00", "18:00:30": on the day of `dayMs`, here. */
function today(text: string, dayMs: number): { atMs: number } | null {
  const form = /^(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?$/.exec(text.trim())
  const [hour, minute, second] = [Number(form?.[1]), Number(form?.[2] ?? 0), Number(form?.[3] ?? 0)]
  if (form === null || hour > 23 || minute > 59 || second > 59) return null
  return { atMs: new Date(dayMs).setHours(hour, minute, second, 0) }
}

/** The same time of day: not 24 hours later where the clock is changed in between. */
function nextDay(ms: number): number {
  const date = new Date(ms)
  return date.setDate(date.getDate() + 1)
}

function fromNow(text: string): { inSeconds: number } | null {
  try {
    return { inSeconds: parseDuration(text, "") }
  } catch (thrown) {
    if (thrown instanceof ClientError) return null
    throw thrown
  }
}

function fail(error: Error): never {
  throw error
}

export function momentMs(moment: Moment, nowMs: number): number {
  return "inSeconds" in moment ? nowMs + Math.ceil(moment.inSeconds * 1000) : moment.atMs
}

export function deadlineMs(deadline: Moment, nowMs: number): number {
  const ms = momentMs(deadline, nowMs)
  if (ms > nowMs) return ms
  throw usage(`--deadline: ${new Date(ms).toISOString()} has passed.`, deadlineHint)
}
