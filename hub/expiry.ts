// What ends by itself and would else pile up: nodes that did not come for so long that they will not, and enrolments whose time is
// over. Looked at now and then, a page at a time. Campaigns have a file of their own, retention.ts.
import type { CahError } from "./core/errors.ts"
import type { Clock, Engine, Log, StoreReader } from "./core/ports.ts"
import { ENROLMENT_KEPT_MS, EXPIRY_EVERY_MS, EXPIRY_PAGE_NODES } from "./limits.ts"

export interface ExpiryParts {
  readonly store: Pick<StoreReader, "nodesSeenBefore">
  readonly engine: Pick<Engine, "commit" | "forgetNode" | "node">
  readonly clock: Clock
  readonly log: Log
  /** Drops tokens that ended long ago. */
  readonly dropTokens: () => Promise<number>
  /** Null: no node is forgotten by itself. */
  readonly nodesKeptMs: number | null
  /** Why the wall clock cannot be believed now, in words; null: it can. */
  readonly doubt: () => string | null
}

export class Expiry {
  private readonly parts: ExpiryParts
  private readonly interval: NodeJS.Timeout
  private round: Promise<void> = Promise.resolve()
  private stopped = false

  constructor(parts: ExpiryParts) {
    this.parts = parts
    this.interval = setInterval(() => void this.wake(), EXPIRY_EVERY_MS)
  }

  /** Never two rounds at once. Resolves when this one is over. */
  wake(): Promise<void> {
    this.round = this.round.then(() => this.look())
    return this.round
  }

  async stop(): Promise<void> {
    this.stopped = true
    clearInterval(this.interval)
    await this.round
  }

  private async look(): Promise<void> {
    const { engine, clock, log, nodesKeptMs, doubt, dropTokens } = this.parts
    // What it would remove is a matter of age.
    if (doubt() !== null) return
    try {
      await engine.commit([{ kind: "forgetEnrolments", before: clock.wallMs() - ENROLMENT_KEPT_MS }])
      await dropTokens()
      if (nodesKeptMs === null) return
      const forgotten = await this.forgetNodes(clock.wallMs() - nodesKeptMs)
      if (forgotten > 0) log.info({ nodes: forgotten }, "nodes that did not come for long are forgotten")
    } catch (error) {
      if (!this.stopped) log.warn({ error }, "nodes and enrolments could not be looked through this time")
    }
  }

  /** A node that is here was seen now, whatever its row says; its row is written when it leaves. */
  private async forgetNodes(before: number): Promise<number> {
    const { store, engine } = this.parts
    let forgotten = 0
    for (let after = ""; !this.stopped; ) {
      const page = store.nodesSeenBefore(before, after, EXPIRY_PAGE_NODES)
      const gone = page.filter(id => engine.node(id)?.link === null)
      const asked = await Promise.allSettled(gone.map(id => engine.forgetNode(id)))
      forgotten += asked.filter(({ status }) => status === "fulfilled").length
      // One that came back meanwhile, or has jobs still, stays.
      const failed = asked.find(
        one => one.status === "rejected" && (one.reason as CahError).code !== "failed_precondition",
      )
      if (failed?.status === "rejected") throw failed.reason
      const last = page.at(-1)
      if (last === undefined || page.length < EXPIRY_PAGE_NODES) break
      after = last
    }
    return forgotten
  }
}
