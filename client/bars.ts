// Progress on stderr: one line redrawn on a terminal, a line every ten seconds with --progress elsewhere, else nothing.
// Draws only when told of news, so it needs no timer and can never keep the process alive. Never touches stdout.
import type { Stream } from "./output.ts"
import { clean } from "./output.ts"
import { showBytes, showDuration } from "./quantities.ts"

/** At most ten redraws a second: more is flicker. */
const REDRAW_MS = 100
/** For logs of a build server. */
const LINE_MS = 10_000
/** A transfer shorter than this needs no bar. */
const QUIET_MS = 1_000
const BAR_WIDTH = 20

export interface BarOptions {
  readonly label: string
  readonly unit: "bytes" | "jobs"
  readonly quietMs?: number
}

export class Bar {
  readonly #stderr: Stream
  readonly #mode: "terminal" | "lines" | "off"
  readonly #options: BarOptions
  readonly #now: () => number
  #label: string
  readonly #startedAt: number
  #startedDone: number | null = null
  #drawnAt = Number.NEGATIVE_INFINITY
  #visible = false

  constructor(stderr: Stream, options: BarOptions & { lines: boolean; off: boolean }, now = () => performance.now()) {
    this.#stderr = stderr
    this.#mode = options.off ? "off" : stderr.isTTY === true ? "terminal" : options.lines ? "lines" : "off"
    this.#options = options
    this.#now = now
    this.#label = options.label
    this.#startedAt = now()
  }

  /** Another name for the same work, once it is known. */
  rename(label: string): void {
    this.#label = label
  }

  /** `before` and `after`: what to say on either side of the time that is left. */
  update(done: number, total: number, before = "", after = ""): void {
    if (this.#mode === "off") return
    const now = this.#now()
    this.#startedDone ??= done
    const finished = done >= total
    const every = this.#mode === "terminal" ? REDRAW_MS : LINE_MS
    if (now - this.#startedAt < (this.#options.quietMs ?? (this.#options.unit === "bytes" ? QUIET_MS : 0))) return
    if (now - this.#drawnAt < every && !(finished && this.#visible)) return
    this.#drawnAt = now
    const text = this.#text(done, total, before, after, now)
    if (this.#mode === "lines") {
      this.#stderr.write(`${text}\n`)
      return
    }
    this.#visible = true
    this.#stderr.write(`\r${[...text].slice(0, Math.max(20, (this.#stderr.columns ?? 80) - 1)).join("")}\u001b[K`)
  }

  /** Takes the line away, before anything else is written to the terminal. */
  clear(): void {
    if (!this.#visible) return
    this.#visible = false
    this.#drawnAt = Number.NEGATIVE_INFINITY
    this.#stderr.write("\r\u001b[K")
  }

  #text(done: number, total: number, before: string, after: string, now: number): string {
    const { unit } = this.#options
    const count = unit === "bytes" ? `${showBytes(done)}/${showBytes(total)}` : `${done}/${total}`
    const elapsed = (now - this.#startedAt) / 1000
    const gained = done - (this.#startedDone ?? 0)
    const rate = elapsed > 0 ? gained / elapsed : 0
    const eta = gained > 0 && done < total && elapsed >= 1 ? `ETA ${showDuration((total - done) / rate)}` : ""
    const speed = unit === "bytes" && rate > 0 ? `${showBytes(rate)}/s` : ""
    return [clean(this.#label), `${drawBar(done, total)} ${count}`, before, speed, eta, after]
      .filter(part => part !== "")
      .join("  ")
  }
}

/** "███████░░░": never quite full before the end. */
export function drawBar(done: number, total: number, width = BAR_WIDTH): string {
  const full = total <= 0 ? 0 : done >= total ? width : Math.min(width - 1, Math.floor((done / total) * width))
  return "█".repeat(full) + "░".repeat(width - full)
}
