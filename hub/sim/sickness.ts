// Nodes that fail where others do not must be found, and then do no more harm. Keeps books of its own on failures by campaign and
// node, and on which nodes are in quarantine as far as the disk knows.
import type { Move } from "../core/effects.ts"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { Write } from "../core/rows.ts"
import type { Why } from "../core/why.ts"

/** So many failures in a row are no accident… */
const rowMax = 16
/** …if others did so many meanwhile, and hardly ever failed. */
const wellMin = 100
const failedMax = 10

interface Row {
  failed: number
  /** Of the campaign, when the row began. */
  readonly wellBefore: number
  readonly failedBefore: number
}

interface Book {
  well: number
  failed: number
  readonly rows: Map<NodeId, Row>
}

/** Whys of attempts that came to their end by themselves. */
const results: ReadonlySet<Why> = new Set<Why>(["finished", "failed", "exit_code_rule", "walltime"])

export class Sickness {
  private books = new Map<CampaignId, Book>()
  private quarantined = new Set<NodeId>()
  /** By node, jobs under way as the disk knows. */
  private readonly held = new Map<NodeId, Set<string>>()
  private readonly attempts = new Map<string, number>()
  private readonly nodesOf = new Map<string, readonly NodeId[]>()

  forget(): void {
    this.books = new Map()
  }

  /** A violation as a sentence, or null. */
  onMove({ campaign, node, why, to }: Move): string | null {
    if (node === null || !results.has(why)) return null
    const book = this.books.get(campaign) ?? { well: 0, failed: 0, rows: new Map() }
    this.books.set(campaign, book)
    if (to === "finished") {
      book.well++
      book.rows.delete(node)
      return null
    }
    const row = book.rows.get(node) ?? { failed: 0, wellBefore: book.well, failedBefore: book.failed }
    book.rows.set(node, row)
    book.failed++
    row.failed++
    const others = book.failed - row.failedBefore - row.failed
    if (row.failed !== rowMax || book.well - row.wellBefore < wellMin || others > failedMax) return null
    return `O3: ${node} failed ${row.failed} times in a row at campaign ${campaign}, which goes well elsewhere`
  }

  onDisk(writes: readonly Write[]): string[] {
    const found: string[] = []
    const before = new Set(this.quarantined)
    for (const write of writes) {
      if (write.kind !== "node") continue
      if (write.row.quarantine === null) this.quarantined.delete(write.row.id)
      else this.quarantined.add(write.row.id)
    }
    const isIn = (node: NodeId) => before.has(node) && this.quarantined.has(node)
    const fresh = new Set<NodeId>()
    for (const write of writes) {
      if (write.kind === "result" && write.row.accepted && write.row.outcome === "failed" && isIn(write.row.node))
        found.push(
          `O3: job ${write.row.campaign}.${write.row.index} failed for good on ${write.row.node}, in quarantine`,
        )
      if (write.kind !== "job") continue
      const name = `${write.row.campaign}.${write.row.index}`
      for (const node of this.nodesOf.get(name) ?? []) this.held.get(node)?.delete(name)
      const nodes = write.row.tries.map(one => one.node)
      this.nodesOf.set(name, nodes)
      for (const node of nodes) this.held.set(node, (this.held.get(node) ?? new Set()).add(name))
      if (write.row.attempt > (this.attempts.get(name) ?? 0)) for (const node of nodes.slice(-1)) fresh.add(node)
      this.attempts.set(name, write.row.attempt)
    }
    for (const node of fresh) {
      const jobs = this.held.get(node)?.size ?? 0
      if (isIn(node) && jobs > 1) found.push(`O3: ${node} is in quarantine and has ${jobs} jobs, of which one is new`)
    }
    return found
  }
}
