// Whether the wall clock can be believed. What is removed by age is gone for good, and a machine whose clock battery is empty, or
// that was set years ahead, would remove everything at once. So the hub notes the time in its database; a clock that is far
// ahead of the last note, or jumps ahead while the hub runs, is doubted for a day of the monotonic clock, aloud.
import type { Clock, Log, StoreReader, Timer } from "./core/ports.ts"
import type { RowWrite } from "./core/rows.ts"
import { CLOCK_AHEAD_MS, CLOCK_DOUBT_MS, CLOCK_NOTE_MS } from "./limits.ts"

export interface WallClockParts {
  readonly store: Pick<StoreReader, "lastWallMs">
  readonly clock: Clock
  readonly timer: Timer
  readonly log: Log
  readonly commit: (writes: RowWrite[]) => Promise<void>
}

export class WallClock {
  readonly #parts: WallClockParts
  /** Both clocks at the last look. */
  #known: { readonly nowMs: number; readonly wallMs: number }
  #doubt: { readonly untilMs: number; readonly why: string } | null = null
  #callOff: () => void = () => {}

  constructor(parts: WallClockParts) {
    this.#parts = parts
    const { store, clock } = parts
    this.#known = { nowMs: clock.nowMs(), wallMs: store.lastWallMs() ?? clock.wallMs() }
    this.#note()
  }

  /** Why what is old by it is not to be removed now; null: the clock is believed. */
  doubt(): string | null {
    this.#look()
    return this.#doubt === null ? null : this.#doubt.why
  }

  stop(): void {
    this.#callOff()
  }

  #look(): void {
    const { clock, log } = this.#parts
    const [nowMs, wallMs] = [clock.nowMs(), clock.wallMs()]
    const expectedMs = this.#known.wallMs + (nowMs - this.#known.nowMs)
    this.#known = { nowMs, wallMs }
    if (this.#doubt !== null && nowMs >= this.#doubt.untilMs) this.#doubt = null
    if (wallMs - expectedMs <= CLOCK_AHEAD_MS) return
    const why =
      `the clock says ${day(wallMs)}, and ${day(expectedMs)} is what the hub last knew: set it if it is wrong and start the hub ` +
      `again; else nothing need be done, and in ${CLOCK_DOUBT_MS / 3_600_000} hours of running the hub believes it`
    this.#doubt = { untilMs: nowMs + CLOCK_DOUBT_MS, why }
    log.warn({}, why)
  }

  /** While it is doubted the last time that was believed stays: another start must doubt too. */
  #note(): void {
    const { clock, timer, commit, log } = this.#parts
    if (this.doubt() === null) {
      commit([{ kind: "clock", wallMs: clock.wallMs() }]).catch(error =>
        log.warn({ error }, "the time could not be noted in the database"),
      )
    }
    this.#callOff = timer.at(clock.nowMs() + CLOCK_NOTE_MS, () => this.#note())
  }
}

function day(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 16).replace("T", " ")
}
