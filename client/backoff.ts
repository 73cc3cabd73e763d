// How long to wait before trying again, and the waiting. Doubling, with half of it jitter, so that a thousand clients that lost
// one hub do not come back in one instant. The only place of the client that uses chance or sleeps.

import { setTimeout as sleep } from "node:timers/promises"
import { backoffMs } from "../common/backoff.ts"

export interface Backoff {
  readonly minMs: number
  readonly maxMs: number
}

/** The wait before try `tries` + 1, after `tries` failures in a row. */
export function waitMs(backoff: Backoff, tries: number, random: () => number = Math.random): number {
  const ceiling = backoffMs(tries, backoff.minMs, backoff.maxMs)
  return Math.ceil(ceiling * (0.5 + random() / 2))
}

/** Sleeps; throws the signal's reason as soon as it is aborted. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal })
  } catch (thrown) {
    signal?.throwIfAborted()
    throw thrown
  }
}
