// Moments as people type them, for --deadline and --reservation: a date and a time, here or with a zone, a time of today, or a time from now,
// which has units: a clock is never a span. What is said from now is kept so until the submission, so that the same words do not turn
// into another specification while a file is read.
import { ClientError, usage } from "../errors.ts"
import { parseDuration, showTime } from "../quantities.ts"

export type Moment = { readonly atMs: number } | { readonly inSeconds: number }

export interface Reservation {
  readonly start: Moment
  readonly end: { readonly atMs: number } | null
}

const deadlineHint =
  'Write it like 18:00, "2026-11-30 18:00" (both here), 2026-11-30T18:00:00Z, or 2d, 1h 30m from now.'
const reservationHint = 'Write it like "2026-11-30 18:00:00", "18:00, 20:00", now or 2h; the end stands after a comma.'

/** How far ahead "now" lies: the hub refuses what has passed by its own clock, and gets it a little later. */
const NOW_S = 10

export function parseDeadline(text: string, nowMs = Date.now()): Moment {
  const refuse = (message: string) => usage(`--deadline: ${message}`, deadlineHint)
  const clock = text.includes(":") ? today(text, nowMs) : null
  if (clock !== null) return ahead(text, clock, nowMs, refuse)
  // A day alone is its end.
  const moment = parseMoment(text, "23:59:59", refuse) ?? fromNow(text)
  if (moment !== null) return moment
  if (text.includes(":")) throw refuse(`"${text}" is not a time of day, and a time from now has units.`)
  throw refuse(`"${text}" is neither a moment nor a time from now.`)
}

/** A time of today that is still to come. */
function ahead(text: string, at: { atMs: number }, nowMs: number, refuse: (message: string) => Error): Moment {
  if (at.atMs > nowMs) return at
  throw refuse(`${text.trim()} of today has passed. Tomorrow's is "${showTime(nextDay(at.atMs))}".`)
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
  const clock = today(text, nowMs)
  if (clock !== null) return ahead(text, clock, nowMs, refuse)
  const moment = parseMoment(text, null, refuse) ?? fromNow(text)
  if (moment === null) throw refuse(text.trim() === "" ? "there is no start." : `"${text.trim()}" is not a moment.`)
  if ("atMs" in moment && moment.atMs < nowMs) throw refuse(`${showTime(moment.atMs)} has passed.`)
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
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:T|\s+)(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.\d+)?)?)?\s*(Z|[+-]\d{2}:\d{2})?)?$/.exec(
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

/** Null where it has no units: "18" and "1:30:00" are times of day or nothing. */
function fromNow(text: string): { inSeconds: number } | null {
  if (!/[a-z]/i.test(text)) return null
  try {
    return { inSeconds: parseDuration(text, "") }
  } catch (thrown) {
    if (thrown instanceof ClientError) return null
    throw thrown
  }
}

export function momentMs(moment: Moment, nowMs: number): number {
  return "inSeconds" in moment ? nowMs + Math.ceil(moment.inSeconds * 1000) : moment.atMs
}

export function deadlineMs(deadline: Moment, nowMs: number): number {
  const ms = momentMs(deadline, nowMs)
  if (ms > nowMs) return ms
  throw usage(`--deadline: ${showTime(ms)} has passed.`, deadlineHint)
}
