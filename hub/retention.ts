// What is kept, and for how long. Campaigns that ended long enough ago are forgotten, and the rows of forgotten ones are swept
// a page a transaction, so that removing a million jobs holds up nobody. Their blobs go when the collector finds them unnamed.

import type { Clock, Log, Store, StoreReader, Timer } from "./core/ports.ts"
import type { RowWrite } from "./core/rows.ts"
import { RETENTION_EVERY_MS, RETENTION_PAGE_CAMPAIGNS, RETENTION_SHARE, SWEEP_ROWS } from "./limits.ts"

export interface RetentionParts {
  readonly store: Pick<Store, "endedCampaigns" | "endedCount" | "hasForgotten" | "giveBack">
  readonly clock: Clock
  readonly timer: Timer
  readonly log: Log
  readonly commit: (writes: RowWrite[]) => Promise<void>
  /** A campaign that waits for another's results keeps these. */
  readonly isNeeded: (campaign: Parameters<StoreReader["campaign"]>[0]) => boolean
  /** Null: nothing is forgotten by itself. */
  readonly keepMs: number | null
  /** Why the wall clock cannot be believed now, in words; null: it can. */
  readonly doubt: () => string | null
}

export class Retention {
  private readonly parts: RetentionParts
  private callOff: () => void = () => {}
  private round: Promise<void> = Promise.resolve()
  private stopped = false

  constructor(parts: RetentionParts) {
    this.parts = parts
    this.arm()
  }

  private arm(): void {
    const { clock, timer } = this.parts
    this.callOff = timer.at(clock.nowMs() + RETENTION_EVERY_MS, () => {
      this.arm()
      void this.forgetOld()
    })
  }

  /** When a campaign that ended at this wall time will be forgotten; null: not by itself. */
  expiresAt(endedAt: number): number | null {
    return this.parts.keepMs === null ? null : endedAt + this.parts.keepMs
  }

  /** What has been kept for long enough is forgotten: a share of it a round, so that a wrong clock costs no more than that. */
  forgetOld(): Promise<void> {
    return this.next(async () => {
      const { store, clock, commit, isNeeded, keepMs, doubt, log } = this.parts
      if (keepMs === null) return
      const at = clock.wallMs()
      const most = Math.ceil(store.endedCount() * RETENTION_SHARE)
      // With some to spare, so that a few that are needed for long are in nobody's way.
      const candidates = store.endedCampaigns(at - keepMs, most + RETENTION_PAGE_CAMPAIGNS)
      const old = candidates.filter(id => !isNeeded(id)).slice(0, most)
      if (old.length === 0) return
      const why = doubt()
      if (why !== null) {
        log.warn({ campaigns: old.length }, `campaigns that seem old enough to be forgotten are kept: ${why}`)
        return
      }
      for (let first = 0; first < old.length && !this.stopped; first += RETENTION_PAGE_CAMPAIGNS) {
        const page = old.slice(first, first + RETENTION_PAGE_CAMPAIGNS)
        await commit(page.map(campaign => ({ kind: "forgetCampaign", campaign, at })))
      }
      log.info({ campaigns: old.length }, "campaigns were kept for long enough and are forgotten")
    })
  }

  /** Something may have been forgotten: its rows are swept. Resolves when that is over. */
  wake(): Promise<void> {
    return this.next(async () => {})
  }

  /** Resolves when the page under way is on disk. */
  async stop(): Promise<void> {
    this.stopped = true
    this.callOff()
    await this.round
  }

  /** Never two rounds at once. */
  private next(first: () => Promise<void>): Promise<void> {
    this.round = this.round.then(async () => {
      const { store, commit, log } = this.parts
      try {
        if (!this.stopped) await first()
        while (!this.stopped && store.hasForgotten()) await commit([{ kind: "sweepForgotten", rows: SWEEP_ROWS }])
        while (!this.stopped && (await store.giveBack()));
      } catch (error) {
        if (!this.stopped) log.warn({ error }, "old campaigns could not be removed this time")
      }
    })
    return this.round
  }
}
