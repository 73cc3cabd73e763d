// The machine that is measured on: what it is, how busy it is already, which core is whose, and what a process used of it.
import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { cpus, loadavg, release, totalmem } from "node:os"
import { root } from "../scripts/files.ts"

/** The hub, or what stands in its place, has one core for itself; its load another. */
export const cores = { hub: 0, load: Math.min(1, cpus().length - 1) } as const

const canPin = cpus().length > 1 && spawnSync("taskset", ["-c", "0", "true"]).status === 0

/** What goes before a command so that it keeps to that core; nothing where that is not possible. */
export function pinned(core: number): string[] {
  return canPin ? ["taskset", "-c", String(core)] : []
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly node: string
  readonly pinned: string
}

export function describeMachine(): Machine {
  const [cpu] = cpus()
  return {
    cpu: cpu?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    pinned: canPin
      ? `hub on core ${cores.hub}, load on core ${cores.load}`
      : "not pinned: taskset or a second core is missing",
  }
}

/** Of the last minute. Before the benchmark itself runs, what is above 1 is others who use the machine. */
export function loadNow(): number {
  return loadavg()[0] ?? Number.NaN
}

export function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim()
    // What a row wrote into docs/ a moment ago changes nothing that the next one measures.
    const changed = git("status", "--porcelain", "-uno", "--", ".", ":!docs")
    return `${git("rev-parse", "--short=12", "HEAD")}${changed === "" ? "" : " and uncommitted changes"}`
  } catch {
    return "unknown"
  }
}

export interface Usage {
  readonly cpuMs: number
  readonly residentBytes: number
}

/** Linux counts processor time in hundredths of a second, whatever the kernel's own tick. */
const TICK_MS = 10
const PAGE_BYTES = 4096

/** What the process, with all its threads, has used so far; null where there is no /proc or no such process. */
export function usageOf(pid: number): Usage | null {
  try {
    const fields = statOf(`/proc/${pid}/stat`)
    return {
      cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
      residentBytes: Number(fields[21]) * PAGE_BYTES,
    }
  } catch {
    return null
  }
}

/** Processor time of several processes, such as a database's, and of those of their children that have ended and were waited for. */
export function cpuMsOfAll(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    try {
      for (const field of statOf(`/proc/${pid}/stat`).slice(11, 15)) ticks += Number(field)
    } catch {
      // Gone since.
    }
  }
  return ticks * TICK_MS
}

/** The process and all that it started, and these. */
export function familyOf(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      parents.set(Number(name), Number(statOf(`/proc/${name}/stat`)[1]))
    } catch {
      // Gone since.
    }
  }
  const family = [pid]
  for (const one of family) for (const [child, parent] of parents) if (parent === one) family.push(child)
  return family
}

/** Processor time of the main thread, and of all others: the store's writer, and V8's own for compiling and collecting. */
export function threadsOf(pid: number): { readonly main: number; readonly others: number } {
  const sum = { main: 0, others: 0 }
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const fields = statOf(`/proc/${pid}/task/${task}/stat`)
      sum[Number(task) === pid ? "main" : "others"] += (Number(fields[11]) + Number(fields[12])) * TICK_MS
    } catch {
      // Gone since.
    }
  }
  return sum
}

/** The fields after the name, which may hold anything. */
function statOf(path: string): string[] {
  const text = readFileSync(path, "utf8")
  return text.slice(text.lastIndexOf(")") + 2).split(" ")
}
