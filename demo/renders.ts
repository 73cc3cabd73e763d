// Counts what nodes really execute, from outside: every process of this run's renderer that the operating system shows. Execution
// is what no database of ours can testify to; a job that ran twice would show as two processes for one frame.
import { readdir, readFile } from "node:fs/promises"
import type { Renderer } from "./renderers.ts"

/** A frame takes a second; a process that lives shorter than this may be missed, so a count is a lower bound. */
const LOOK_EVERY_MS = 100

export class RenderWatch {
  /** Processes seen, by frame. A process is its pid and start time. */
  readonly #seen = new Map<number, Set<string>>()
  readonly #timer: NodeJS.Timeout
  #looking: Promise<void> | null = null

  constructor(renderer: Renderer) {
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look(renderer).finally(() => {
        this.#looking = null
      })
    }, LOOK_EVERY_MS)
  }

  async #look(renderer: Renderer): Promise<void> {
    const pids = (await readdir("/proc").catch(() => [])).filter(name => /^\d+$/.test(name))
    await Promise.all(
      pids.map(async pid => {
        try {
          const frame = renderer.frameOf((await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0"))
          if (frame === null) return
          // Field 22, counted after the name in brackets, which may hold spaces.
          const started = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ").at(-1)?.split(" ")[19] ?? ""
          const processes = this.#seen.get(frame) ?? new Set()
          this.#seen.set(frame, processes.add(`${pid}@${started}`))
        } catch {
          // It ended while we looked: the look before has seen it.
        }
      }),
    )
  }

  /** How many renders of how many frames were seen. */
  async stop(): Promise<{ readonly renders: number; readonly frames: number }> {
    clearInterval(this.#timer)
    await this.#looking
    let renders = 0
    for (const processes of this.#seen.values()) renders += processes.size
    return { renders, frames: this.#seen.size }
  }
}
