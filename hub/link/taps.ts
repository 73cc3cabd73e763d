// Live output of running attempts, for people who watch: which outputs of a node are followed, by whom, and what they
// have missed. Nothing is stored. A follower gets bytes as they come and must bound what it keeps; the replay for those who
// come later is bounded here.
import { CahError } from "../core/errors.ts"
import { FOLLOWERS_MAX, LOG_REPLAY_MAX_BYTES } from "../limits.ts"

export type Output = "stdout" | "stderr"

export interface Follower {
  /** `offset`: where they stand in what the attempt wrote. */
  data(bytes: Uint8Array, offset: number): void
  end(isCut: boolean): void
}

/** One followed output of one attempt. */
export class Tap {
  readonly sinceMs: number
  /** The stream that feeds it; null until the agent has opened it. */
  stream: number | null = null
  readonly #followers = new Set<Follower>()
  #replay: Uint8Array[] = []
  #replayBytes = 0
  /** Where the next bytes stand in what the attempt wrote. */
  #offset = 0

  constructor(nowMs: number) {
    this.sinceMs = nowMs
  }

  get isFollowed(): boolean {
    return this.#followers.size > 0
  }

  /** The new follower gets at once what is still here of what others have seen. */
  add(follower: Follower): void {
    if (this.#followers.size >= FOLLOWERS_MAX) {
      throw new CahError("resource_exhausted", `this output is followed by ${FOLLOWERS_MAX} already`)
    }
    let at = this.#offset - this.#replayBytes
    for (const bytes of this.#replay) {
      follower.data(bytes, at)
      at += bytes.length
    }
    this.#followers.add(follower)
  }

  remove(follower: Follower): void {
    this.#followers.delete(follower)
  }

  /** The agent serves it on this stream, from this offset on. */
  open(stream: number, offset: number): void {
    this.stream = stream
    this.#offset = offset
  }

  push(bytes: Uint8Array): void {
    // A copy: the chunk shares memory with whatever else came in the same read.
    const kept = Uint8Array.from(bytes)
    this.#replay.push(kept)
    this.#replayBytes += kept.length
    while (this.#replayBytes > LOG_REPLAY_MAX_BYTES) this.#replayBytes -= this.#replay.shift()!.length
    for (const follower of [...this.#followers]) follower.data(kept, this.#offset)
    this.#offset += kept.length
  }

  /** No more will come. */
  end(isCut: boolean): void {
    const followers = [...this.#followers]
    this.#followers.clear()
    for (const follower of followers) follower.end(isCut)
  }
}
