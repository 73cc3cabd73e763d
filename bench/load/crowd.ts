// The simulated agents of one load process: made, dialled no faster than a hub lets them in, and watched once a second.
import { setTimeout as pause } from "node:timers/promises"
import { ACCEPTS_BURST, ACCEPTS_PER_SECOND } from "../../hub/limits.ts"
import { LoadAgent } from "./agent.ts"
import { newIdentity } from "./identity.ts"
import type { LoadAnswer, LoadOrder } from "./protocol.ts"
import type { Tally } from "./tally.ts"

/** As many handshakes at once: their signatures are checked in parallel, and more would only wait for each other. */
const DIALS_AT_ONCE = 50
/** Of what the hub's admission allows. Whoever is turned away comes back seconds later, which is the storm's business. */
const PACE = 0.8
const WATCH_MS = 1_000
const LOOK_EVERY_MS = 5

export class Crowd {
  readonly #tally: Tally
  readonly #agents: LoadAgent[] = []

  constructor(tally: Tally) {
    this.#tally = tally
    setInterval(() => {
      const nowMs = performance.now()
      for (const agent of this.#agents) agent.watch(nowMs)
    }, WATCH_MS)
  }

  /** Resolves when all are welcomed. */
  async connect(order: Extract<LoadOrder, { kind: "connect" }>): Promise<LoadAnswer> {
    const tally = this.#tally
    const startMs = performance.now()
    const url = new URL(order.url)
    const before = tally.links
    const { slots, runMs, fourReports } = order
    const fresh = Array.from({ length: order.agents }, (_, i) => {
      const number = order.firstNumber + i
      const enrolToken = order.enrolTokens[Math.floor((i * order.enrolTokens.length) / order.agents)]!
      const settings = { url, enrolToken, name: `bench-${number}`, slots, runMs, fourReports }
      return new LoadAgent(settings, newIdentity(number), tally)
    })
    this.#agents.push(...fresh)
    const dialMs = performance.now()
    let dialled = 0
    while (tally.links < before + fresh.length) {
      const allowed = (PACE * ((performance.now() - dialMs) * ACCEPTS_PER_SECOND)) / 1_000 + ACCEPTS_BURST / 2
      while (dialled < fresh.length && dialled < allowed && dialled - (tally.links - before) < DIALS_AT_ONCE) {
        fresh[dialled++]!.dial()
      }
      await pause(LOOK_EVERY_MS)
      if (tally.found.length > 0) throw new Error(tally.found[0])
    }
    return { kind: "connected", seconds: (performance.now() - startMs) / 1_000 }
  }
}
