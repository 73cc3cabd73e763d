// What is kept, and for how long. Campaigns that ended long enough ago are forgotten, and the rows of forgotten ones are swept
// a page a transaction, so that removing a million jobs holds up nobody. Their blobs go when the collector finds them unnamed.

import type { Clock, Log, RowWrite, StoreReader } from "./core/ports.ts"
import { RETENTION_EVERY_MS, RETENTION_PAGE_CAMPAIGNS, SWEEP_ROWS } from "./limits.ts"

export interface RetentionParts {
  readonly store: Pick<StoreReader, "endedCampaigns" | "hasForgotten">
  readonly clock: Clock
  readonly log: Log
  readonly commit: (writes: RowWrite[]) => Promise<void>
  /** A campaign that waits for another's results keeps these. */
  readonly isNeeded: (campaign: Parameters<StoreReader["campaign"]>[0]) => boolean
  /** Null: nothing is forgotten by itself. */
  readonly keepMs: number | null
}

export class Retention {
  private readonly parts: RetentionParts
  private readonly interval: NodeJS.Timeout
  private round: Promise<void> = Promise.resolve()
  private stopped = false

  constructor(parts: RetentionParts) {
    this.parts = parts
    this.interval = setInterval(() => this.wake(), RETENTION_EVERY_MS)
  }

  /** When a campaign that ended at this wall time will be forgotten; null: not by itself. */
  expiresAt(endedAt: number): number | null {
    return this.parts.keepMs === null ? null : endedAt + this.parts.keepMs
  }

  /** There may be something to do. Never two rounds at once. Resolves when this one is over. */
  wake(): Promise<void> {
    this.round = this.round.then(() => this.look())
    return this.round
  }

  /** Resolves when the page under way is on disk. */
  async stop(): Promise<void> {
    this.stopped = true
    clearInterval(this.interval)
    await this.round
  }

  private async look(): Promise<void> {
    const { store, commit, log } = this.parts
    try {
      const forgotten = await this.forgetOld()
      if (forgotten > 0) log.info({ campaigns: forgotten }, "campaigns were kept for long enough and are forgotten")
      while (!this.stopped && store.hasForgotten()) await commit([{ kind: "sweepForgotten", rows: SWEEP_ROWS }])
    } catch (error) {
      if (!this.stopped) log.warn({ error }, "old campaigns could not be removed this time")
    }
  }

  private async forgetOld(): Promise<number> {
    const { store, clock, commit, keepMs, isNeeded } = this.parts
    let forgotten = 0
    while (keepMs !== null && !this.stopped) {
      const at = clock.wallMs()
      const old = store.endedCampaigns(at - keepMs, RETENTION_PAGE_CAMPAIGNS).filter(id => !isNeeded(id))
      if (old.length === 0) break
      await commit(old.map(campaign => ({ kind: "forgetCampaign", campaign, at })))
      forgotten += old.length
    }
    return forgotten
  }
}
