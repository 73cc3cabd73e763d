// How much the streams of an agent may have under way. Far away it is a whole window: the line holds it. Near, whatever is
// under way waits for a processor, the hub's or the agents', and every control frame waits behind it; so those streams share
// what one core takes in some milliseconds. One delay below NEAR_MS proves an agent near for as long as its link lasts,
// since waiting only adds to it; the least was never so short for one that is far.
import { CHUNK_MAX_BYTES } from "../../proto/wire/frame.ts"
import { NEAR_BYTES, NEAR_MS } from "../limits.ts"

export class Nearness {
  readonly #nowMs: () => number
  #isNear: boolean

  /** With a delay that is known. */
  constructor(delayMs: number, nowMs: () => number) {
    this.#isNear = delayMs < NEAR_MS
    this.#nowMs = nowMs
  }

  /** For each of so many streams, in whole chunks: else some would be cut in two. */
  shareBytes(streams: number, chunksMin: number): number {
    if (!this.#isNear) return Number.POSITIVE_INFINITY
    return Math.max(Math.floor(NEAR_BYTES / streams / CHUNK_MAX_BYTES), chunksMin) * CHUNK_MAX_BYTES
  }

  /** For one stream: from when something was said until its answer, one after the other, as TCP timed its segments at first. */
  timer(): { start(answerOffset: number): void; reached(offset: number): void } {
    let timed: { readonly answerOffset: number; readonly atMs: number } | null = null
    return {
      start: answerOffset => {
        if (!this.#isNear) timed ??= { answerOffset, atMs: this.#nowMs() }
      },
      reached: offset => {
        if (timed === null || offset < timed.answerOffset) return
        if (this.#nowMs() - timed.atMs < NEAR_MS) this.#isNear = true
        timed = null
      },
    }
  }
}
