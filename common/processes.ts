// Processes as /proc tells. A number alone names no process: it is given out again, so a process is known by its number and the moment of its
// start. Elsewhere than on Linux there is no /proc, and the number must do.
import { readFileSync } from "node:fs"

/** A process that will not be mistaken for a later one with the same number. */
export interface Leader {
  readonly pid: number
  /** Clock ticks since boot; empty where nothing tells. */
  readonly startTicks: string
}

export interface ProcessStat extends Leader {
  readonly parent: number
  readonly group: number
  readonly session: number
  /** Ended, and not yet waited for by its parent. */
  readonly zombie: boolean
  /** User and system time of itself and the children it has waited for. */
  readonly cpuMs: number
}

/** The kernel's clock for user space: 100 Hz on every Linux, whatever its own ticks. */
const MS_PER_TICK = 10

/** Null if it is gone, or there is no /proc. */
export function readProcess(pid: number): ProcessStat | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8")
  } catch {
    // Gone, or not ours to see: either way it tells nothing.
    return null
  }
  // The name may hold spaces and parentheses; what follows its last parenthesis may not.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const field = (number: number): number => Number(fields[number - 3])
  return {
    pid,
    parent: field(4),
    group: field(5),
    session: field(6),
    startTicks: fields[22 - 3] ?? "",
    zombie: fields[0] === "Z" || fields[0] === "X",
    cpuMs: (field(14) + field(15) + field(16) + field(17)) * MS_PER_TICK,
  }
}

export function leaderOf(pid: number): Leader {
  return { pid, startTicks: readProcess(pid)?.startTicks ?? "" }
}

export function isAlive(leader: Leader): boolean {
  const now = readProcess(leader.pid)
  if (now !== null) return now.startTicks === leader.startTicks && !now.zombie
  if (process.platform === "linux") return false
  try {
    process.kill(leader.pid, 0)
    return true
  } catch {
    return false
  }
}
