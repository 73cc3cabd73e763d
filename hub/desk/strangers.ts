// Nodes that knock and that this hub does not know, with no token that it knows either. One is somebody's mistake; many are a hub on another
// database than it should have: a disk that is not mounted, an older copy. Who they are nobody can prove, so they are only counted.
import { STRANGER_MS, STRANGERS_MAX } from "../limits.ts"

export class Strangers {
  /** When each knocked last, the latest at the end. */
  readonly #seen = new Map<string, number>()

  knocked(node: string, nowMs: number): void {
    this.#seen.delete(node)
    this.#seen.set(node, nowMs)
    for (const first of this.#seen.keys()) {
      if (this.#seen.size <= STRANGERS_MAX) break
      this.#seen.delete(first)
    }
  }

  /** It was let in. */
  joined(node: string): void {
    this.#seen.delete(node)
  }

  /** Of late. */
  count(nowMs: number): number {
    for (const [node, atMs] of this.#seen) {
      if (nowMs - atMs <= STRANGER_MS) break
      this.#seen.delete(node)
    }
    return this.#seen.size
  }
}
