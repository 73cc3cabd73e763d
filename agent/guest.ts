// What an agent does besides when it is alone in a virtual machine: tells the launcher how it is on the console, in lines that begin with "cah:",
// and sets the clock, which nobody else does. Says nothing that a job could have written.
import { execFile } from "node:child_process"
import type { Log } from "./core/ports.ts"
import { CLOCK_SET_MS } from "./limits.ts"

export interface Guest {
  /** The hub has welcomed us. */
  welcomed(): void
  /** No job is held, or one again. Said after each welcome and at each change. */
  idle(isIdle: boolean): void
  /** This node is not wanted any more, and nothing is wrong with it. */
  dismissed(reason: string): void
  /** By this guest's clock, which is its host's, the hub's certificate is not valid. */
  doubtfulClock(reason: string): void
  /** Another try would end the same way. */
  fatal(reason: string): void
  /** What time it is. */
  setClock(wallMs: number): void
}

export function createGuest(write: (line: string) => void, log: Log): Guest {
  const say = (text: string): void => write(`cah: ${text.replace(/\p{Cc}+/gu, " ")}\n`)
  return {
    welcomed: () => say("agent hello"),
    idle: isIdle => say(`agent ${isIdle ? "idle" : "busy"}`),
    dismissed: reason => say(`dismissed ${reason}`),
    doubtfulClock: reason => say(`clock ${reason}`),
    fatal: reason => say(`fatal ${reason}`),
    setClock(wallMs) {
      const offMs = Math.round(wallMs - Date.now())
      if (Math.abs(offMs) < CLOCK_SET_MS) return
      execFile("date", ["--utc", `--set=@${(wallMs / 1_000).toFixed(3)}`], error => {
        if (error === null) log.info({ offMs }, "the clock was set")
        else log.warn({ offMs, err: error }, "the clock is wrong and cannot be set")
      })
    },
  }
}
