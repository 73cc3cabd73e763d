// What the guest's console says, in the core's words. The lines that begin with "cah:" are the guest's own supervisor's (appliance/guest); the
// agent's log and the kernel's last words are on the same console. A guest can lie here: all that comes of it is how it is itself treated.
import type { Event } from "./core/events.ts"
import { CONSOLE_LINES_KEPT } from "./limits.ts"

export class Guest {
  #last: string[] = []
  #agentSaid = ""

  /** Null: nothing but a sign of life. */
  hear(line: string): Event {
    this.#last = [...this.#last, line].slice(-CONSOLE_LINES_KEPT)
    const agent = /^cah-agent: (.*)/.exec(line)?.[1]
    if (agent !== undefined) this.#agentSaid = agent
    if (isHello.test(line)) return { kind: "GuestHello" }
    const fatal = /^cah: fatal:? (.*)/.exec(line)?.[1]
    if (fatal !== undefined) return { kind: "GuestFailed", reason: `the virtual machine could not start: ${fatal}` }
    if (/^cah: off: the agent cannot go on/.test(line)) {
      const why =
        this.#agentSaid === "" ? "the hub does not want this computer's virtual machine any more" : this.#agentSaid
      return { kind: "GuestDismissed", reason: why }
    }
    const panic = /Kernel panic - not syncing: (.*?)( \]---)?$/.exec(line)?.[1]
    if (panic !== undefined) return { kind: "GuestFailed", reason: `the virtual machine's kernel panicked (${panic})` }
    return { kind: "Heard" }
  }

  /** A machine begins anew. */
  forget(): void {
    this.#last = []
    this.#agentSaid = ""
  }

  /** For whoever has to find out why. */
  get lastLines(): readonly string[] {
    return this.#last
  }
}

/** By the supervisor's line, or by the agent's own log. */
const isHello = /^cah: agent hello|"msg":"connected to the hub"/
