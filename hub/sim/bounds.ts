// Bounds that scientists set their campaigns, held against what gets to disk: jobs at once, and failures after which it stops.
// Keeps books of its own and shares no decision with the core.
import type { CampaignId, Rules } from "../core/model.ts"
import type { JobRow, Write } from "../core/rows.ts"

interface Book {
  readonly rules: Rules
  /** Indices of jobs under way. */
  readonly underWay: Set<number>
  readonly attempts: Map<number, number>
  readonly failed: Set<number>
}

export class Bounds {
  private readonly books = new Map<CampaignId, Book>()

  /** Each violation as a sentence. */
  onDisk(writes: readonly Write[]): string[] {
    const found: string[] = []
    const begun = new Map<Book, { id: CampaignId; fresh: number; revived: number }>()
    const failedBefore = new Map<Book, number>()
    for (const write of writes) {
      if (write.kind === "campaign" && !this.books.has(write.row.id))
        this.books.set(write.row.id, {
          rules: write.row.rules,
          underWay: new Set(),
          attempts: new Map(),
          failed: new Set(),
        })
    }
    for (const write of writes) {
      if (write.kind === "retry") for (const index of write.jobs) this.books.get(write.campaign)?.failed.delete(index)
      if (write.kind !== "job") continue
      const book = this.books.get(write.row.campaign)
      if (book === undefined) continue
      if (!failedBefore.has(book)) failedBefore.set(book, book.failed.size)
      const how = enter(book, write.row)
      if (how === null) continue
      const counts = begun.get(book) ?? { id: write.row.campaign, fresh: 0, revived: 0 }
      begun.set(book, counts)
      counts[how]++
    }
    for (const [book, { id, fresh, revived }] of begun) {
      const { failMax, atOnceMax } = book.rules
      if (fresh === 0) continue
      if (atOnceMax !== null && book.underWay.size - revived > atOnceMax)
        found.push(`M4: campaign ${id} has ${book.underWay.size} jobs under way, of ${atOnceMax} at once`)
      if (failMax !== null && failedBefore.get(book)! >= failMax)
        found.push(`M3: campaign ${id} goes on after ${failedBefore.get(book)} failures, of ${failMax}`)
    }
    return found
  }
}

/** A job that has got an attempt, or has one again that was given up. */
function enter(book: Book, { index, tries, attempt, phase, outcome }: JobRow): "fresh" | "revived" | null {
  const isFresh = attempt > (book.attempts.get(index) ?? 0)
  book.attempts.set(index, attempt)
  const was = book.underWay.has(index)
  if (phase === "ended" || tries.length === 0) book.underWay.delete(index)
  else book.underWay.add(index)
  if (outcome === "failed" || outcome === "timedout" || outcome === "lost") book.failed.add(index)
  if (phase === "ended" || tries.length === 0) return null
  return isFresh ? "fresh" : was ? null : "revived"
}
