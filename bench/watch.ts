// Looks at a subject's memory while something runs.
import type { Subject } from "./subject.ts"

const WATCH_MS = 100

export interface MemoryWatch {
  /** How much more than at the beginning it was at its highest, bytes. */
  stop(): number
}

export function watchMemory(subject: Pick<Subject, "usage">): MemoryWatch {
  const before = subject.usage().residentBytes
  let highest = before
  const look = () => {
    highest = Math.max(highest, subject.usage().residentBytes)
  }
  const timer = setInterval(look, WATCH_MS)
  return {
    stop() {
      clearInterval(timer)
      look()
      return highest - before
    },
  }
}

/** Resident memory once a while, and at the end. */
export function sampleMemory(
  subject: Pick<Subject, "usage">,
  everyMs: number,
): { stop(): { readonly lastBytes: number; readonly samples: readonly number[] } } {
  const samples = [subject.usage().residentBytes]
  const timer = setInterval(() => samples.push(subject.usage().residentBytes), everyMs)
  return {
    stop() {
      clearInterval(timer)
      samples.push(subject.usage().residentBytes)
      return { lastBytes: samples.at(-1)!, samples }
    },
  }
}
