// How long jobs take on machines that come and go when nothing delays them: each free slot begins the next job at once, and a job
// whose machine goes away is the next job of whoever is free, at once. Nobody knows the future. Pure.
import { Deadlines } from "../hub/core/deadlines.ts"
import type { Span } from "./presence.ts"

export interface Ideal {
  readonly jobs: number
  /** Of each machine. */
  readonly slots: number
  runMsOf(index: number): number
  /** No job begins before. */
  readonly startMs: number
  /** One for each machine: its spans in order. */
  readonly presences: readonly { next(): Span }[]
}

/** From the start to the end of the last job, ms. */
export function idealMs({ jobs, slots, runMsOf, startMs, presences }: Ideal): number {
  const due = new Deadlines<(nowMs: number) => void>()
  /** Slots that found nothing to do. */
  const idle: ((nowMs: number) => boolean)[] = []
  const again: number[] = []
  let [next, left, lastMs] = [0, jobs, startMs]

  const begin = (slot: Slot, nowMs: number): boolean => {
    // Switched off since.
    if (nowMs >= slot.span.untilMs) return true
    const index = again.shift() ?? (next < jobs ? next++ : null)
    if (index === null) return false
    const endsMs = nowMs + runMsOf(index)
    const isLost = endsMs > slot.span.untilMs
    due.add(Math.min(endsMs, slot.span.untilMs), atMs => {
      if (isLost) {
        again.push(index)
        wake(atMs)
        return
      }
      left--
      lastMs = atMs
      offer(slot, atMs)
    })
    return true
  }
  const offer = (slot: Slot, nowMs: number) => {
    if (!begin(slot, nowMs)) idle.push(atMs => begin(slot, atMs))
  }
  const wake = (nowMs: number) => {
    while (again.length > 0 && idle.length > 0) idle.pop()!(nowMs)
  }
  for (const presence of presences) {
    const comes = () => {
      const span = presence.next()
      due.add(Math.max(span.fromMs, startMs), nowMs => {
        if (span.untilMs > nowMs) for (let i = 0; i < slots; i++) offer({ span }, nowMs)
        if (span.untilMs !== Number.POSITIVE_INFINITY) due.add(Math.max(span.untilMs, startMs), comes)
      })
    }
    comes()
  }
  while (left > 0) {
    const atMs = due.next()
    if (atMs === null) throw new Error(`${left} jobs are left, and nobody is there to run them`)
    due.take(atMs)!(atMs)
  }
  return lastMs - startMs
}

interface Slot {
  readonly span: Span
}
