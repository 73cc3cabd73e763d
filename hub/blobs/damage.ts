// Which stored blobs are lost: they have a row, and their bytes are missing or bad. Found at the start, by a walk over both
// sides, and whenever a blob is read; healed when its bytes are stored anew. For people and alarms: no decision rests on it.
import type { Digest } from "../../proto/wire/digest.ts"
import { BLOBS_DAMAGED_MAX } from "../limits.ts"

export class Damage {
  readonly #digests = new Set<Digest>()
  readonly #told: (count: number) => void

  /** `told` hears each new count. */
  constructor(told: (count: number) => void = () => {}) {
    this.#told = told
  }

  /** At least so many: see BLOBS_DAMAGED_MAX. */
  get count(): number {
    return this.#digests.size
  }

  found(digest: Digest): void {
    if (this.#digests.size >= BLOBS_DAMAGED_MAX) return
    this.#digests.add(digest)
    this.#told(this.count)
  }

  healed(digest: Digest): void {
    if (this.#digests.delete(digest)) this.#told(this.count)
  }
}
