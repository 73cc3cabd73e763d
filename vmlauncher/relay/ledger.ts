// Bytes that went both ways, and whether the volunteer's allowance for some days still has room. Kept in a small file, so that a new start does not
// make the allowance new. Periods begin with the first byte counted and follow one another without a gap.
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import type { Budget, Clock } from "../core/ports.ts"
import { LEDGER_MS } from "../limits.ts"

const DAY_MS = 86_400_000

interface Period {
  readonly beganMs: number
  usedBytes: number
}

export class Ledger {
  readonly #path: string
  readonly #clock: Clock
  readonly #onGate: (isOpen: boolean) => void
  #budget: Budget | null
  #period: Period
  #isOpen = true
  #writeAtMs: number
  #reopen: NodeJS.Timeout | null = null
  /** Of this run. */
  sentBytes = 0
  receivedBytes = 0

  /** `onGate` is called whenever the allowance is used up, or new. */
  constructor(options: { path: string; clock: Clock; budget: Budget | null; onGate: (isOpen: boolean) => void }) {
    this.#path = options.path
    this.#clock = options.clock
    this.#budget = options.budget
    this.#onGate = options.onGate
    this.#period = readPeriod(options.path) ?? { beganMs: options.clock.wallMs(), usedBytes: 0 }
    this.#writeAtMs = options.clock.nowMs() + LEDGER_MS
  }

  /** To be called once the listener is ready: an allowance that is used up already says so here. */
  look(): void {
    this.#weigh()
  }

  setBudget(budget: Budget | null): void {
    this.#budget = budget
    this.#weigh()
  }

  sent(bytes: number): void {
    this.sentBytes += bytes
    this.#count(bytes)
  }

  received(bytes: number): void {
    this.receivedBytes += bytes
    this.#count(bytes)
  }

  close(): void {
    if (this.#reopen !== null) clearTimeout(this.#reopen)
    this.#write()
  }

  #count(bytes: number): void {
    this.#period.usedBytes += bytes
    if (this.#clock.nowMs() >= this.#writeAtMs) this.#write()
    if (this.#budget !== null) this.#weigh()
  }

  #weigh(): void {
    if (this.#reopen !== null) clearTimeout(this.#reopen)
    this.#reopen = null
    const isOpen = this.#hasRoom()
    if (isOpen !== this.#isOpen) {
      this.#isOpen = isOpen
      this.#write()
      this.#onGate(isOpen)
    }
    if (isOpen) return
    const endsMs = this.#period.beganMs + this.#budget!.days * DAY_MS
    // Node's timers hold 31 bits, and a laptop sleeps: looked at each hour.
    this.#reopen = setTimeout(() => this.#weigh(), Math.min(3_600_000, Math.max(1_000, endsMs - this.#clock.wallMs())))
    this.#reopen.unref()
  }

  #hasRoom(): boolean {
    if (this.#budget === null) return true
    const lengthMs = this.#budget.days * DAY_MS
    const wallMs = this.#clock.wallMs()
    const age = wallMs - this.#period.beganMs
    // A clock that was set back begins a new period too: nobody waits a year for an allowance.
    if (age < 0) this.#period = { beganMs: wallMs, usedBytes: 0 }
    else if (age >= lengthMs) this.#period = { beganMs: wallMs - (age % lengthMs), usedBytes: 0 }
    return this.#period.usedBytes < this.#budget.bytes
  }

  #write(): void {
    this.#writeAtMs = this.#clock.nowMs() + LEDGER_MS
    try {
      writeFileSync(`${this.#path}.part`, `${JSON.stringify(this.#period)}\n`)
      renameSync(`${this.#path}.part`, this.#path)
    } catch {
      // A full disk: what is counted is kept in memory, and written with the next count.
    }
  }
}

function readPeriod(path: string): Period | null {
  try {
    const { beganMs, usedBytes } = JSON.parse(readFileSync(path, "utf8")) as Period
    return Number.isFinite(beganMs) && Number.isFinite(usedBytes) && usedBytes >= 0 ? { beganMs, usedBytes } : null
  } catch {
    // None yet, or cut short: a period begins.
    return null
  }
}
