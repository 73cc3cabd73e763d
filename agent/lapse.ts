// Notices that this machine did not live for a while: its host slept, or its hypervisor paused it or brought it back from a file. Its monotonic
// clock stands still meanwhile, as all its timers do, so nothing here looks late; only a clock that somebody else keeps tells. In a
// guest that is the real-time clock, which follows the host's; elsewhere, or where there is none, the wall clock.
import { readFileSync } from "node:fs"
import type { Clock } from "./core/ports.ts"
import { LAPSE_MIN_MS, LAPSE_WATCH_MS } from "./limits.ts"

/** How long nobody was here, and what time it is by the clock that told. */
export interface Lapse {
  readonly lostMs: number
  readonly wallMs: number
}

/** A clock that goes on while this machine does not: ms since 1970, or null if it cannot be read now. */
export type OutsideClock = () => number | null

export class LapseWatch {
  readonly #clock: Clock
  readonly #outside: OutsideClock
  readonly #onLapse: (lapse: Lapse) => void
  #aheadMs: number | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(clock: Clock, outside: OutsideClock, onLapse: (lapse: Lapse) => void) {
    this.#clock = clock
    this.#outside = outside
    this.#onLapse = onLapse
  }

  start(): void {
    this.look()
    this.#timer = setInterval(() => this.look(), LAPSE_WATCH_MS)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  /** Compares with the last look, so that clocks that drift apart slowly are never a lapse. */
  look(): void {
    const wallMs = this.#outside()
    if (wallMs === null) return
    const aheadMs = wallMs - this.#clock.nowMs()
    const lostMs = this.#aheadMs === null ? 0 : aheadMs - this.#aheadMs
    this.#aheadMs = aheadMs
    if (lostMs >= LAPSE_MIN_MS) this.#onLapse({ lostMs, wallMs })
  }
}

/** Whole seconds, as the kernel reads them from the hardware. */
const realTimeClock = "/sys/class/rtc/rtc0/since_epoch"

/** The real-time clock if this machine has one that may be read, else its wall clock. */
export function outsideClock(clock: Clock): OutsideClock {
  return readRealTimeClock() === null ? () => clock.wallMs() : readRealTimeClock
}

function readRealTimeClock(): number | null {
  try {
    const seconds = Number(readFileSync(realTimeClock, "utf8"))
    return seconds > 0 ? seconds * 1_000 : null
  } catch {
    // None, or the kernel was just setting it.
    return null
  }
}
