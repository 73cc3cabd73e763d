// Progress on stderr: one line redrawn on a terminal; elsewhere a line a minute, or every ten seconds with --progress. A terminal is drawn
// when there is news; lines come also without any, so that a build server sees that somebody still waits, by a timer that never keeps the
// process alive. Never touches stdout.
import type { Stream } from "./output.ts"
import { clean, cut } from "./output.ts"
import { showBytes, showDuration } from "./quantities.ts"

/** At most ten redraws a second: more is flicker. */
const REDRAW_MS = 100
/** For logs of a build server: if asked for, and by itself. Many end a job that is silent for ten minutes. */
const LINE_MS = 10_000
const LINE_UNASKED_MS = 60_000
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
  readonly #everyMs: number
  #timer: NodeJS.Timeout | null = null
  #state: Parameters<Bar["update"]> | null = null
  readonly #options: BarOptions
  readonly #now: () => number
  #label: string
  readonly #startedAt: number
  #startedDone: number | null = null
  #drawnAt = Number.NEGATIVE_INFINITY
  #visible = false

  /** `lines`: asked for, also on a terminal that cannot redraw. */
  constructor(
    stderr: Stream,
    options: BarOptions & { lines: boolean; dumb?: boolean; off: boolean },
    now = () => performance.now(),
  ) {
    this.#stderr = stderr
    this.#mode = options.off ? "off" : stderr.isTTY === true && options.dumb !== true ? "terminal" : "lines"
    this.#everyMs = this.#mode === "terminal" ? REDRAW_MS : options.lines ? LINE_MS : LINE_UNASKED_MS
    this.#options = options
    this.#now = now
    this.#label = options.label
    this.#startedAt = now()
    // Asked for, the first line comes at once; otherwise what is over within a minute stays silent.
    if (this.#mode === "lines" && !options.lines) this.#drawnAt = this.#startedAt
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
    this.#state = finished ? null : [done, total, before, after]
    if (this.#mode === "lines") this.#timer ??= setInterval(() => this.#repeat(), this.#everyMs).unref()
    if (now - this.#startedAt < (this.#options.quietMs ?? (this.#options.unit === "bytes" ? QUIET_MS : 0))) return
    if (now - this.#drawnAt < this.#everyMs && !(finished && this.#visible)) return
    this.#drawnAt = now
    const text = this.#text(done, total, before, after, now)
    if (this.#mode === "lines") {
      this.#stderr.write(`${text}\n`)
      return
    }
    this.#visible = true
    this.#stderr.write(`\r${cut(text, Math.max(20, (this.#stderr.columns ?? 80) - 1))}\u001b[K`)
  }

  /** Takes the line away, before anything else is written to the terminal. */
  clear(): void {
    if (!this.#visible) return
    this.#visible = false
    this.#drawnAt = Number.NEGATIVE_INFINITY
    this.#stderr.write("\r\u001b[K")
  }

  /** No more will come of it. */
  stop(): void {
    this.clear()
    this.#state = null
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  #repeat(): void {
    if (this.#state !== null) this.update(...this.#state)
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
