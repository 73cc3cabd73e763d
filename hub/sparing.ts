// Log lines that strangers can cause as often as they like: the first at once, and then for each of them one a minute that says how
// often it would have been. A broken agent or a scanner then neither fills the disk nor hides what matters.
import { blockOf } from "../common/address.ts"
import type { Log } from "./core/ports.ts"
import { SPARING_EVERY_MS, SPARING_LINES_MAX } from "./limits.ts"

type Level = "info" | "warn" | "error"
type Fields = Record<string, unknown>

interface Line {
  readonly level: Level
  readonly message: string
  /** The last one's. */
  fields: Fields
  /** Since the last line. */
  times: number
}

export class SparingLog {
  readonly #log: Log
  readonly #linesMax: number
  readonly #everyMs: number
  readonly #lines = new Map<string, Line>()
  /** Lines of strangers beyond `linesMax`. */
  #more = 0
  #timer: NodeJS.Timeout | null = null

  /** About so many different strangers and messages a minute it says a line each; of the others only how many. */
  constructor(log: Log, linesMax = SPARING_LINES_MAX, everyMs = SPARING_EVERY_MS) {
    this.#log = log
    this.#linesMax = linesMax
    this.#everyMs = everyMs
  }

  /** `who` caused it: an address, a node, a method. `message` is the same each time; what differs belongs into `fields`. */
  say(level: Level, who: string, message: string, fields: Fields): void {
    const key = `${level} ${blockOf(who)} ${message}`
    const line = this.#lines.get(key)
    this.#timer ??= setTimeout(() => this.#flush(), this.#everyMs).unref()
    if (line !== undefined) {
      line.times++
      line.fields = fields
    } else if (this.#lines.size >= this.#linesMax) this.#more++
    else {
      this.#lines.set(key, { level, message, fields, times: 0 })
      this.#log[level](fields, message)
    }
  }

  /** Each minute while there is something. */
  #flush(): void {
    this.#timer = null
    for (const [key, line] of this.#lines) {
      const { level, fields, message, times } = line
      if (times === 0) {
        this.#lines.delete(key)
        continue
      }
      line.times = 0
      this.#log[level]({ ...fields, times }, message)
    }
    if (this.#more > 0) this.#log.info({ times: this.#more }, "more lines of this kind were left out")
    this.#more = 0
    if (this.#lines.size > 0) this.#timer = setTimeout(() => this.#flush(), this.#everyMs).unref()
  }
}
