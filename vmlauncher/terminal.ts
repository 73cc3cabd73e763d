// A person at a terminal instead of the BOINC client: sentences to standard error, Ctrl-C or TERM to save and stop, twice to stop at once.
import type { Ending } from "./core/model.ts"
import type { Client, ClientEars, Clock, Usage } from "./core/ports.ts"
import { inWords, sizeInWords } from "./core/text.ts"

/** As a person's scripts see them: 0 as told, 1 for good, 75 (EX_TEMPFAIL) later. */
export const exitCodes = { fine: 0, broken: 1, later: 75 } as const

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

export class Terminal implements Client {
  readonly #clock: Clock
  readonly #write: (text: string) => void
  #usage: Usage | null = null
  #told = 0

  constructor(clock: Clock, write: (text: string) => void) {
    this.#clock = clock
    this.#write = write
  }

  start(ears: ClientEars): void {
    for (const name of signals) {
      process.on(name, () => {
        this.#told++
        if (this.#told === 1) {
          this.say(`${name}: ending, what works is saved; say it again to end at once, without`)
          ears.post({ kind: "QuitAsked", reason: "you said so" })
        } else {
          ears.post({ kind: "AbortAsked" })
        }
      })
    }
  }

  say(message: string): void {
    const time = new Date(this.#clock.wallMs()).toISOString().slice(11, 19)
    this.#write(`${time} ${message}\n`)
  }

  /** The log has said it. */
  describe(): void {}

  report(usage: Usage): void {
    this.#usage = usage
  }

  async end(ending: Ending): Promise<number> {
    if (this.#usage !== null) {
      const { cpuMs, sentBytes, receivedBytes } = this.#usage
      const traffic = `${sizeInWords(sentBytes)} sent, ${sizeInWords(receivedBytes)} received`
      this.say(`${inWords(cpuMs)} of processor time, ${traffic}`)
    }
    this.say(`ended: ${ending.reason}`)
    switch (ending.kind) {
      case "quit":
      case "done":
      case "aborted":
        return exitCodes.fine
      case "later":
        this.say(`try again in ${inWords(ending.seconds * 1_000)}`)
        return exitCodes.later
      case "broken":
        return exitCodes.broken
      default:
        return ending.kind satisfies never
    }
  }
}
