// How long to wait before the next try: one doubling for all programs. Pure: chance and jitter are the caller's, and so is the waiting.

/** Beyond it any wait of ours has long reached its bound, and a power of two would leave the whole numbers. */
const DOUBLINGS_MAX = 30

/** The wait after the `times`-th failure in a row, counted from 1: `minMs`, then twice that, and so on up to `maxMs`. */
export function backoffMs(times: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(Math.max(times, 1) - 1, DOUBLINGS_MAX))
}
