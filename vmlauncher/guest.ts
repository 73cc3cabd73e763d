// What the guest's console says, in the core's words. The lines that begin with "cah:" are the guest's own supervisor's (appliance/guest); the
// agent's log and the kernel's last words are on the same console. A guest can lie here: all that comes of it is how it is itself treated.
import type { Event } from "./core/events.ts"
import { CONSOLE_LINES_KEPT } from "./limits.ts"

export class Guest {
  #last: string[] = []

  hear(line: string): Event {
    this.#last = [...this.#last, line].slice(-CONSOLE_LINES_KEPT)
    for (const [pattern, event] of words) {
      const match = pattern.exec(line)
      if (match !== null) return event(match[1] ?? "")
    }
    return { kind: "Heard" }
  }

  /** A machine begins anew. */
  forget(): void {
    this.#last = []
  }

  /** For whoever has to find out why. */
  get lastLines(): readonly string[] {
    return this.#last
  }
}

/** The first that matches counts. Anything else is a sign of life, and no more. */
const words: readonly (readonly [RegExp, (rest: string) => Event])[] = [
  [/^cah: agent hello/, () => ({ kind: "GuestHello" })],
  [/^cah: agent idle/, () => ({ kind: "GuestIdle" })],
  [/^cah: clock (.*)/, reason => ({ kind: "ClockDoubted", reason })],
  [/^cah: agent busy/, () => ({ kind: "GuestBusy" })],
  // The agent's words when its hub wants it no more, and when the hub will not have it as it is.
  [/^cah: dismissed (.*)/, reason => ({ kind: "GuestDismissed", reason })],
  [/^cah: fatal (the hub sent this node away.*)/, reason => ({ kind: "GuestRefused", reason })],
  [/^cah: fatal (.*)/, why => ({ kind: "GuestFailed", reason: `the virtual machine could not start: ${why}` })],
  [
    /Kernel panic - not syncing: (.*?)(?: \]---)?$/,
    why => ({ kind: "GuestFailed", reason: `the virtual machine's kernel panicked (${why})` }),
  ],
]
