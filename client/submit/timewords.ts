// The times of a specification in words: spans with units, moments in local time with how far ahead they lie. Pure but for the time zone.
import { type Duration, durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt"
import { showDuration } from "../quantities.ts"
import { reservationInWords, showMoment } from "../text.ts"
import type { Spec } from "./spec.ts"

/** "Walltime 1h 30m, deadline 2026-12-01 18:00:00+01:00 (in 7h 48m)". Empty where no time was said. */
export function timesInWords(spec: Spec, nowMs: number): string {
  const walltimes = [spec, ...(spec.shapes ?? [])].flatMap(({ walltime }) =>
    walltime === undefined ? [] : [spanInWords(walltime as Duration)],
  )
  const parts = [
    walltimes.length === 0 ? "" : `walltime ${walltimes.join(", or else ")}`,
    spec.deadline === undefined ? "" : `deadline ${momentInWords(spec.deadline as Timestamp, nowMs)}`,
    spec.reservation === undefined ? "" : `reserved ${reservationInWords(spec.reservation)}`,
  ].filter(part => part !== "")
  const text = parts.join(", ")
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** To the second: it is what a job is killed by. */
export function spanInWords(span: Duration): string {
  return showDuration(durationMs(span) / 1000, 4)
}

export function momentInWords(at: Timestamp, nowMs: number): string {
  const seconds = Math.round((timestampMs(at) - nowMs) / 1000)
  return seconds <= 0 ? showMoment(at) : `${showMoment(at)} (in ${showDuration(seconds)})`
}
