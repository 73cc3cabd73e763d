// Processes as /proc tells: whether one still lives, what it is, what it has used. A number alone names nobody: it is given out again,
// so a process is known by its number and the moment of its start. Elsewhere than on Linux there is no /proc, and the number must do.
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { readProcess } from "../common/processes.ts"

/** User and system time, its own and that of children it has waited for. 0 if it is gone. */
export function cpuMsOf(pid: number): number {
  return readProcess(pid)?.cpuMs ?? 0
}

/**
 * How long it stood in line for a processor: that of its threads which stood longest, since they stand side by side. Where the kernel does not
 * count that (CONFIG_SCHED_INFO), 0.
 */
export function waitedMsOf(pid: number): number {
  const waited = (tid: string): number => {
    try {
      const [, waitedNs] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "latin1").split(" ")
      return Number(waitedNs) / 1e6 || 0
    } catch {
      // This thread has ended.
      return 0
    }
  }
  try {
    return Math.max(0, ...readdirSync(`/proc/${pid}/task`).map(waited))
  } catch {
    return 0
  }
}

/** Null if it is gone or somebody else's. */
export function commandLineOf(pid: number): { readonly arguments: string[]; readonly directory: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, "utf8")
    return { arguments: text.split("\0").slice(0, -1), directory: readlinkSync(`/proc/${pid}/cwd`) }
  } catch {
    return null
  }
}

export function allPids(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** A signal to one process. That it is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}
