// Kills the hub right after each kind of write has reached the disk, the first few times that it did: what a start makes of a
// database depends on what was written last.
import type { Write } from "../core/rows.ts"
import type { Random } from "./random.ts"

const TIMES_TRIED = 3

export class Restarts {
  readonly #random: Random
  readonly #chance: number
  readonly #seen = new Map<string, number>()

  constructor(random: Random, chance: number) {
    this.#random = random
    this.#chance = chance
  }

  /** Whether the hub dies now, and when: before anybody heard of the transaction, or after. */
  after(writes: readonly Write[]): "before it speaks" | "after it spoke" | null {
    let dies = false
    for (const kind of new Set(writes.map(kindOf))) {
      const seen = this.#seen.get(kind) ?? 0
      if (seen >= TIMES_TRIED) continue
      this.#seen.set(kind, seen + 1)
      if (this.#random.chance(this.#chance)) dies = true
    }
    if (!dies) return null
    return this.#random.chance(0.5) ? "before it speaks" : "after it spoke"
  }
}

function kindOf(write: Write): string {
  if (write.kind === "job") return `job ${write.row.outcome ?? write.row.phase}`
  if (write.kind === "campaign") return write.row.endedAt === null ? "campaign" : "campaign ended"
  return write.kind
}
