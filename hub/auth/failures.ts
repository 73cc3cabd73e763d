// A bucket for each address, of failed logins or of whatever else strangers may do only so often. A valid token is never refused
// for the failures of others behind the same address (a campus, a reverse proxy): only failures are counted, and
// beyond the bucket they are answered "too many", which keeps a guesser from learning and the log from filling.
import { blockOf } from "../../common/address.ts"
import type { Clock } from "../core/ports.ts"
import { AUTH_FAILURE_REFILL_MS, AUTH_FAILURES_MAX, AUTH_PEERS_MAX } from "../limits.ts"

interface Bucket {
  left: number
  atMs: number
}

export class Failures {
  private readonly clock: Clock
  private readonly max: number
  private readonly refillMs: number
  private readonly buckets = new Map<string, Bucket>()

  /** So many at once, and one more after each `refillMs`. */
  constructor(clock: Clock, max = AUTH_FAILURES_MAX, refillMs = AUTH_FAILURE_REFILL_MS) {
    this.clock = clock
    this.max = max
    this.refillMs = refillMs
  }

  /** Counts one. False: the address had too many, say so and log nothing. */
  count(address: string): boolean {
    const peer = blockOf(address)
    const now = this.clock.nowMs()
    const bucket = this.buckets.get(peer) ?? { left: this.max, atMs: now }
    const left = Math.min(this.max, bucket.left + (now - bucket.atMs) / this.refillMs)
    const within = left >= 1
    // Set anew, so that the map's order is that of the last failure and the first one is the oldest.
    this.buckets.delete(peer)
    this.buckets.set(peer, { left: within ? left - 1 : left, atMs: now })
    for (const oldest of this.buckets.keys()) {
      if (this.buckets.size <= AUTH_PEERS_MAX) break
      this.buckets.delete(oldest)
    }
    return within
  }
}
