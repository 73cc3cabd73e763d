// How much one owner may have here at once: jobs of campaigns under way, stored bytes, watches; and how often they may submit. What is
// beyond it is refused with the number, and never waited for. The core counts jobs, since only it can do so at the moment of the submit.
import { CahError } from "../core/errors.ts"
import type { Clock, Engine, StoreReader } from "../core/ports.ts"
import { QUOTA_OWNERS_MAX, QUOTA_SUBMITS_S } from "../limits.ts"

export interface QuotaLimits {
  readonly jobs: number
  readonly submitsPerSecond: number
  readonly bytes: number
  readonly watches: number
}

/** What an owner may have, and has. */
export interface OwnQuota {
  readonly most: QuotaLimits
  readonly jobs: number
  readonly bytes: number
  readonly watches: number
}

interface Allowance {
  left: number
  atMs: number
}

export class Quotas {
  readonly limits: QuotaLimits
  private readonly clock: Pick<Clock, "nowMs">
  private readonly submits = new Map<string, Allowance>()
  private readonly watching = new Map<string, number>()
  private watchNumber = 0

  constructor(limits: QuotaLimits, clock: Pick<Clock, "nowMs">) {
    this.limits = limits
    this.clock = clock
  }

  /** Counts one submit. Some may come at once, as long as there are not more of them over a while. */
  submit(owner: string): void {
    const { submitsPerSecond: rate } = this.limits
    const most = rate * QUOTA_SUBMITS_S
    const nowMs = this.clock.nowMs()
    const before = this.submits.get(owner) ?? { left: most, atMs: nowMs }
    const left = Math.min(most, before.left + ((nowMs - before.atMs) * rate) / 1_000)
    // Set anew, so that the first of the map is who submitted longest ago.
    this.submits.delete(owner)
    this.submits.set(owner, { left: Math.max(0, left - 1), atMs: nowMs })
    for (const oldest of this.submits.keys()) {
      if (this.submits.size <= QUOTA_OWNERS_MAX) break
      this.submits.delete(oldest)
    }
    if (left >= 1) return
    const message = `more than ${rate} submits a second, your quota: submit arrays, or wait a second (cah doctor shows it)`
    throw new CahError("resource_exhausted", message)
  }

  /** One more watch. Returns its number, for those who must not all wake at once, and the way to end it. */
  watch(owner: string): { readonly number: number; end(): void } {
    const open = this.watching.get(owner) ?? 0
    if (open >= this.limits.watches) {
      const message = `${open} campaigns and logs are watched by you already, your quota: end some of them, or ask the hub's operator`
      throw refused(message)
    }
    this.watching.set(owner, open + 1)
    return {
      number: ++this.watchNumber,
      end: () => {
        const left = this.watching.get(owner)! - 1
        if (left === 0) this.watching.delete(owner)
        else this.watching.set(owner, left)
      },
    }
  }

  watched(owner: string): number {
    return this.watching.get(owner) ?? 0
  }

  /** What is to come beside what there is. */
  store(storedBytes: number, moreBytes: number): void {
    const { bytes } = this.limits
    if (storedBytes + moreBytes <= bytes) return
    const message = `${moreBytes} bytes more beside the ${storedBytes} that you have here are above your quota of ${bytes}: remove some (cah cache), or ask the hub's operator`
    throw refused(message)
  }
}

export function quotaOf(
  parts: {
    readonly engine: Pick<Engine, "jobsOf">
    readonly store: Pick<StoreReader, "ownedBytes">
    readonly quotas: Quotas
  },
  owner: string,
): OwnQuota {
  const { engine, store, quotas } = parts
  const [jobs, bytes, watches] = [engine.jobsOf(owner), store.ownedBytes(owner), quotas.watched(owner)]
  return { most: quotas.limits, jobs, bytes, watches }
}

/** Trying again by itself would not help. */
function refused(message: string): CahError {
  return new CahError("resource_exhausted", message, { retry: "never" })
}
