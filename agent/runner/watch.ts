// Looks at a running job's processes and files from outside: what it uses, for the report, and whether that is more than it may have. Where the
// kernel does not hold a job to its memory and its number of processes (no control groups), this is what does, besides the limits that
// each process bears; and nothing but this holds it to the sum of what it writes.
import { lstat, readdir } from "node:fs/promises"
import { join } from "node:path"
import { isAlive, type Leader } from "../../common/processes.ts"
import {
  DISK_WATCH_FIRST_MS,
  DISK_WATCH_MAX_MS,
  DISK_WATCH_SHARE,
  ENTRY_LEAST_BYTES,
  SAMPLE_FIRST_MS,
  SAMPLE_GROWTH,
  SAMPLE_MAX_MS,
} from "../limits.ts"
import { usage } from "./processes.ts"

/** What a job may have. Null: the kernel sees to it. */
export interface Bounds {
  readonly memoryBytes: number | null
  readonly processes: number | null
  readonly workBytes: number
}

export type Excess = "memory" | "processes" | "disk"

/**
 * Processor time and peak memory by sampling, since Node does not tell what a child used. Samples come at growing intervals: quick
 * for short runs, one a second for long ones; what happens after the last one is missed, at most about a sixth of the time.
 */
export class Watch {
  readonly #pid: number
  readonly #work: string
  readonly #bounds: Bounds
  readonly #onExcess: () => void
  #sampling: NodeJS.Timeout | null = null
  #measuring: NodeJS.Timeout | null = null
  #intervalMs = SAMPLE_FIRST_MS
  #isOver = false
  cpuMs = 0
  peakMemoryBytes = 0
  /** All that were in the tree at some sample and still lived at the last. */
  seen: readonly Leader[] = []
  /** What it had too much of; null while all is well. */
  excess: Excess | null = null

  /** Calls `onExcess` once, in a turn of its own. */
  constructor(pid: number, work: string, bounds: Bounds, onExcess: () => void) {
    this.#pid = pid
    this.#work = work
    this.#bounds = bounds
    this.#onExcess = onExcess
    this.#sampleSoon()
    this.#measureIn(DISK_WATCH_FIRST_MS)
  }

  stop(): void {
    this.#isOver = true
    if (this.#sampling !== null) clearTimeout(this.#sampling)
    if (this.#measuring !== null) clearTimeout(this.#measuring)
  }

  #sampleSoon(): void {
    this.#sampling = setTimeout(() => {
      const now = usage(this.#pid)
      this.cpuMs = Math.max(this.cpuMs, now.cpuMs)
      this.peakMemoryBytes = Math.max(this.peakMemoryBytes, now.memoryBytes)
      const inTree = new Set(now.tree.map(({ pid }) => pid))
      this.seen = [...now.tree, ...this.seen.filter(one => !inTree.has(one.pid) && isAlive(one))]
      const { memoryBytes, processes } = this.#bounds
      if (memoryBytes !== null && now.privateBytes > memoryBytes) this.#found("memory")
      else if (processes !== null && now.threads > processes) this.#found("processes")
      this.#intervalMs = Math.min(this.#intervalMs * SAMPLE_GROWTH, SAMPLE_MAX_MS)
      if (!this.#isOver) this.#sampleSoon()
    }, this.#intervalMs)
  }

  #measureIn(ms: number): void {
    this.#measuring = setTimeout(() => void this.#measure(), ms)
  }

  async #measure(): Promise<void> {
    const begunMs = performance.now()
    const sum = await diskUse(this.#work, this.#bounds.workBytes, () => this.#isOver)
    if (this.#isOver) return
    if (sum > this.#bounds.workBytes) this.#found("disk")
    // A job of many files is looked at less often, so that looking stays a small share of what the machine does.
    const tookMs = performance.now() - begunMs
    this.#measureIn(Math.min(Math.max(DISK_WATCH_FIRST_MS, tookMs / DISK_WATCH_SHARE), DISK_WATCH_MAX_MS))
  }

  #found(excess: Excess): void {
    if (this.excess !== null) return
    this.excess = excess
    this.#onExcess()
  }
}

/**
 * What a directory takes on the disk, at least: files of several names once, holes not at all. Stops where it is beyond `enough`. What
 * vanishes or cannot be read while it is looked at is not counted: it is a job's directory, and the job is at work in it.
 */
export async function diskUse(directory: string, enough: number, isOver: () => boolean): Promise<number> {
  let sum = 0
  const twice = new Set<number>()
  const left = [directory]
  for (let next = left.pop(); next !== undefined && sum <= enough && !isOver(); next = left.pop()) {
    const entries = await readdir(next, { withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const path = join(next, entry.name)
      const stat = await lstat(path).catch(() => null)
      if (stat === null) continue
      if (stat.isDirectory()) left.push(path)
      else if (stat.nlink > 1 && twice.has(stat.ino)) continue
      else if (stat.nlink > 1) twice.add(stat.ino)
      sum += Math.max(stat.blocks * 512, ENTRY_LEAST_BYTES)
    }
  }
  return sum
}
