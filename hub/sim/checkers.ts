// What the simulator looks for, with its own books: they hear what gets to disk and what clients and agents were told,
// and share no decision with the core. Numbers are those of docs/reliability.md.
import { createHash } from "node:crypto"
import type { Move } from "../core/effects.ts"
import type { CampaignId, IndexRange, NodeId, Rules } from "../core/model.ts"
import type { StoreReader } from "../core/ports.ts"
import type { JobRow, ResultRow, Write } from "../core/rows.ts"
import { linesOf } from "../core/story.ts"
import { brokenLine } from "../store/chain.ts"
import { Bounds } from "./bounds.ts"
import { Sickness } from "./sickness.ts"

interface JobBook {
  attempt: number
  tries: JobRow["tries"]
  phase: string
  outcome: string | null
  failures: number
}

export interface Acknowledged {
  readonly key: string
  readonly campaign: CampaignId
  readonly jobs: number
}

const violationsMax = 20

export class Checkers {
  readonly violations: string[] = []
  private readonly books = new Map<string, JobBook>()
  private readonly results = new Map<string, ResultRow>()
  private readonly blobs = new Set<string>()
  /** Which node began which attempt, as the volunteers say. */
  private readonly began = new Set<string>()
  private readonly revoked = new Set<NodeId>()
  private readonly acknowledged: Acknowledged[] = []
  /** By the campaign that waits: what must have ended before it begins. */
  private readonly waiting = new Map<CampaignId, readonly CampaignId[]>()
  private readonly ended = new Set<CampaignId>()
  /** Also those that live again. */
  private readonly onceEnded = new Set<CampaignId>()
  private readonly retries = new Retries()
  private readonly gone = new Set<CampaignId>()
  private readonly held = new Map<CampaignId, boolean>()
  private readonly rules = new Map<CampaignId, Rules>()
  /** What the ledger should hold, by account. */
  private readonly credit = new Map<string, { slotMs: number; results: number }>()
  private readonly bounds = new Bounds()
  private readonly sickness = new Sickness()
  private readonly trace = createHash("sha256")
  moves = 0
  rescues = 0
  losses = 0

  private say(violation: string): void {
    if (this.violations.length < violationsMax) this.violations.push(violation)
  }

  /** Every decision, in order, with its virtual time: two runs of one seed have one hash. */
  record(nowMs: number, moves: readonly Move[]): void {
    for (const move of moves) {
      const { campaign, index, attempt, node, why, event, from, to } = move
      this.trace.update(`${nowMs} ${campaign}.${index}#${attempt} ${node} ${event} ${from} ${to}\n`)
      this.moves++
      const found = this.sickness.onMove(move)
      if (found !== null) this.say(found)
      if (why === "speculated") this.rescues++
    }
  }

  hash(): string {
    return this.trace.copy().digest("hex").slice(0, 16)
  }

  /** What it knew of nodes' failures it has forgotten. */
  hubBegins(): void {
    this.sickness.forget()
  }

  // ---- what gets to disk --------------------------------------------------------------------------------------

  onDisk(writes: readonly Write[]): void {
    const ended = new Map<string, JobRow>()
    const heldThroughout = new Set<CampaignId>()
    for (const write of writes) {
      if (write.kind === "campaign") {
        const { id, held, endedAt, slots, walltimeMs, rules } = write.row
        this.rules.set(id, rules)
        const shapes = [slots * walltimeMs, ...rules.shapes.map(shape => shape.needs.slots * shape.walltimeMs)]
        this.shapes.set(id, Math.max(...shapes))
        if (endedAt === null) this.ended.delete(id)
        else {
          this.ended.add(id)
          this.onceEnded.add(id)
        }
        if (held && this.held.get(id)) heldThroughout.add(id)
        this.held.set(id, held)
      }
    }
    for (const write of writes) if (write.kind === "retry") this.onRetry(write)
    for (const found of this.bounds.onDisk(writes)) this.say(found)
    for (const found of this.sickness.onDisk(writes)) this.say(found)
    for (const write of writes) {
      if (write.kind === "forgetCampaign") this.onForgotten(write.campaign)
      if (write.kind === "blob") this.blobs.add(write.digest)
      else if (write.kind === "job") {
        this.onJob(write.row, heldThroughout)
        if (write.row.phase === "ended") ended.set(nameOf(write.row), write.row)
      }
    }
    for (const write of writes) {
      if (write.kind === "result" && write.row.accepted) this.onResult(write.row, ended)
      else if (write.kind === "job") this.onPlace(write.row)
    }
    this.onCredit(writes)
    for (const [name, row] of ended) {
      const wanted = row.outcome === "finished" || row.outcome === "failed" || row.outcome === "timedout"
      if (wanted !== this.results.has(name)) {
        this.say(`I4: job ${name} ended ${row.outcome} ${wanted ? "without a result" : "with a result"}`)
      }
    }
  }

  /** Only what ended otherwise than well; from now on it may end once more. */
  private onRetry({ campaign, jobs }: Extract<Write, { kind: "retry" }>): void {
    this.retries.count++
    for (const index of jobs) {
      const name = nameOf({ campaign, index })
      const book = this.books.get(name)
      if (book?.phase !== "ended" || book.outcome === "finished")
        this.say(`M5: job ${name} is tried again though it is ${book?.outcome ?? book?.phase ?? "untouched"}`)
      if (book === undefined) continue
      this.retries.of.set(name, book.attempt)
      this.books.set(name, { ...book, phase: "queued", outcome: null, failures: 0 })
      this.results.delete(name)
      this.lost.set(name, 0)
    }
  }

  get retried(): number {
    return this.retries.count
  }

  /** What was acknowledged is on disk. */
  resubmitted(campaign: CampaignId, resubmissions: number, store: StoreReader): void {
    const row = store.campaign(campaign)
    if (row !== null && row.totals.resubmissions < resubmissions)
      this.say(`I10: resubmission ${resubmissions} of campaign ${campaign} was acknowledged and is not on disk`)
  }

  private onForgotten(campaign: CampaignId): void {
    if (!this.ended.has(campaign)) this.say(`I1: campaign ${campaign} was forgotten before it had ended`)
    this.gone.add(campaign)
  }

  get forgotten(): number {
    return this.gone.size
  }

  private onJob(row: JobRow, heldThroughout: ReadonlySet<CampaignId>): void {
    const name = nameOf(row)
    const book = this.books.get(name)
    const early = row.attempt > 0 && this.waiting.get(row.campaign)?.find(other => !this.onceEnded.has(other))
    if (early) this.say(`job ${name} was offered before campaign ${early} had ended`)
    const isNew = row.attempt > (book?.attempt ?? 0) && row.tries.length === 1
    if (isNew && heldThroughout.has(row.campaign)) this.say(`job ${name} was offered though its campaign is held`)
    if (book?.phase === "ended") {
      this.say(`I3: job ${name} had ended ${book.outcome} and was written again as ${row.phase} ${row.outcome ?? ""}`)
    }
    if (book !== undefined && row.attempt < book.attempt) {
      this.say(`I5: job ${name} went from attempt ${book.attempt} back to ${row.attempt}`)
    }
    if ((row.phase === "ended") !== (row.outcome !== null)) {
      this.say(`I3: job ${name} is ${row.phase} with outcome ${row.outcome}`)
    }
    this.losses += row.losses - (this.lost.get(name) ?? 0)
    this.lost.set(name, row.losses)
    this.books.set(name, {
      attempt: row.attempt,
      tries: row.tries,
      phase: row.phase,
      outcome: row.outcome,
      failures: row.failures,
    })
  }

  /** What runs inside a container is where that runs. */
  private onPlace({ campaign, tries, ...row }: JobRow): void {
    const inside = this.rules.get(campaign)?.inside ?? null
    if (inside === null) return
    for (const { node, phase } of tries) {
      if (phase !== "offered") continue
      const container = [...this.books].some(
        ([name, { tries: theirs }]) =>
          name.startsWith(`${inside}.`) && theirs.some(one => one.node === node && one.phase === "running"),
      )
      if (!container)
        this.say(`job ${nameOf({ campaign, ...row })} is offered to ${node}, where container ${inside} does not run`)
    }
  }

  private readonly lost = new Map<string, number>()

  private onResult(row: ResultRow, ended: Map<string, JobRow>): void {
    const name = nameOf(row)
    if (this.results.has(name)) this.say(`I4: a second result of job ${name}`)
    this.results.set(name, row)
    const job = ended.get(name)
    if (job === undefined) this.say(`I4: a result of job ${name}, which did not end with it`)
    else if (job.attempt < row.attempt || job.node !== row.node || job.outcome !== row.outcome) {
      const of = `attempt ${row.attempt} on ${row.node}, ${row.outcome}`
      this.say(`I5: job ${name} ended at attempt ${job.attempt} on ${job.node}, ${job.outcome}, by a result of ${of}`)
    }
    if (!this.began.has(`${name}#${row.attempt} ${row.node}`)) {
      this.say(`I5: the result of job ${name} is of attempt ${row.attempt} on ${row.node}, which that node never ran`)
    }
    if (this.revoked.has(row.node)) this.say(`I16: a result of ${name} from the revoked node ${row.node}`)
    if (row.stageout !== null && !this.blobs.has(row.stageout.digest)) {
      this.say(`I4: the result of job ${name} names a stageout that is not on disk`)
    }
  }

  /** I8: one line for each result that ended well, in its own transaction, to whose node it is, and no more than was possible. */
  private onCredit(writes: readonly Write[]): void {
    const owed = new Map<string, ResultRow>()
    for (const write of writes) {
      if (write.kind === "result" && write.row.accepted && write.row.outcome === "finished")
        owed.set(nameOf(write.row), write.row)
    }
    for (const write of writes) {
      if (write.kind !== "credit") continue
      const { row } = write
      const result = owed.get(nameOf(row))
      if (result === undefined || result.attempt !== row.attempt || result.node !== row.node) {
        this.say(`I8: credit for ${nameOf(row)}#${row.attempt} on ${row.node}, whose result was not accepted just now`)
      }
      owed.delete(nameOf(row))
      if (row.account !== `volunteer:${row.node}`) this.say(`I8: credit for work of ${row.node} went to ${row.account}`)
      const limitMs = this.slotMsMax(row.campaign)
      if (!(row.slotMs >= 0 && row.slotMs <= limitMs)) {
        this.say(`I8: ${row.slotMs} ms of slots for ${nameOf(row)}, of which at most ${limitMs} are possible`)
      }
      const { slotMs, results } = this.credit.get(row.account) ?? { slotMs: 0, results: 0 }
      this.credit.set(row.account, { slotMs: slotMs + row.slotMs, results: results + 1 })
    }
    for (const name of owed.keys()) this.say(`I8: no credit for the accepted result of ${name}`)
  }

  private readonly shapes = new Map<CampaignId, number>()

  /** By the largest shape that the campaign was stored with. */
  private slotMsMax(campaign: CampaignId): number {
    return this.shapes.get(campaign) ?? 0
  }

  // ---- what people and agents are told ------------------------------------------------------------------------

  /** I10: at the moment of the answer it must be on disk. */
  submitted(told: Acknowledged, store: StoreReader): void {
    const row = store.campaign(told.campaign)
    if (row === null || row.key !== told.key || row.total !== told.jobs) {
      this.say(`I10: campaign ${told.campaign} was acknowledged and is not on disk`)
    }
    const earlier = this.acknowledged.find(other => other.key === told.key)
    if (earlier !== undefined && earlier.campaign !== told.campaign && !this.gone.has(earlier.campaign)) {
      this.say(`I2: the key ${told.key} gave campaign ${earlier.campaign} and then ${told.campaign}`)
    }
    this.acknowledged.push(told)
  }

  waits(campaign: CampaignId, others: readonly CampaignId[]): void {
    this.waiting.set(campaign, others)
  }

  cancelled(campaign: CampaignId, first: number, last: number, store: StoreReader): void {
    if (this.gone.has(campaign)) return
    for (let index = first; index <= last; index++) {
      const row = store.job(campaign, index)
      if (row?.phase !== "ended")
        this.say(`I9: the cancel of ${campaign}.${index} was acknowledged; it is ${row?.phase}`)
    }
  }

  /** Jobs that had not begun do not begin now. */
  jobsHeld(campaign: CampaignId, { first, last }: IndexRange, store: StoreReader): void {
    if (store.campaign(campaign)?.endedAt !== null) return
    for (let index = first; index <= last; index++) {
      const row = store.job(campaign, index)
      if (row === null || (row.attempt === 0 && row.phase === "queued")) {
        this.say(`I10: the hold of ${campaign}.${index} was acknowledged; it is ${row?.phase ?? "untouched"}`)
      }
    }
  }

  nodeRevoked(node: NodeId, store: StoreReader): void {
    if (!store.nodes().some(row => row.id === node && row.revoked)) {
      this.say(`I10: the revocation of ${node} was acknowledged and is not on disk`)
    }
    this.revoked.add(node)
  }

  ran(campaign: number, index: number, attempt: number, node: NodeId): void {
    this.began.add(`${campaign}.${index}#${attempt} ${node}`)
  }

  /** An attempt's result was answered "accepted": it must be the job's one result, unless it was given up. */
  answered(campaign: number, index: number, attempt: number, outcome: string): void {
    if (outcome === "lost" || outcome === "refused") return
    const result = this.results.get(`${campaign}.${index}`)
    // A failure that is tried again leaves its mark on the job, and no result.
    const name = `${campaign}.${index}`
    // On a node in quarantine it is a loss.
    const marks = (this.books.get(name)?.failures ?? 0) + (this.lost.get(name) ?? 0)
    const isMarked = outcome !== "finished" && marks > 0
    const isRetried = attempt <= (this.retries.of.get(name) ?? 0)
    if (result?.attempt !== attempt && !isMarked && !isRetried) {
      this.say(`I10: the result of ${campaign}.${index}#${attempt} was acknowledged and is not on disk`)
    }
  }

  // ---- at the end ---------------------------------------------------------------------------------------------

  /** Faults have stopped and time has passed: everything must have come to rest. */
  finish(store: StoreReader, explain: (campaign: CampaignId) => string): void {
    for (const { campaign, jobs, key } of this.acknowledged) {
      const row = store.campaign(campaign)
      if (this.gone.has(campaign)) {
        if (row !== null) this.say(`I1: campaign ${campaign} (${key}) was forgotten and is back`)
      } else if (row === null) this.say(`I1: campaign ${campaign} (${key}) is gone`)
      else if (row.endedAt === null) {
        this.say(`L1: campaign ${campaign} has not ended: ${JSON.stringify(row.counts)}; ${explain(campaign)}`)
      } else if (Object.values(row.counts).reduce((sum, count) => sum + count, 0) !== jobs) {
        this.say(`I1: campaign ${campaign} of ${jobs} jobs counts ${JSON.stringify(row.counts)}`)
      }
    }
    this.checkLedger(store)
    this.checkMissed(store)
    for (const job of store.liveJobs()) {
      const story = linesOf(job.story).map(
        line => `    ${(line.at / 1000).toFixed(3)} s  ${line.event} (#${line.attempt} ${line.node})`,
      )
      this.say(`L1: job ${nameOf(job)} is ${job.phase}, and this is its story:\n${story.join("\n")}`)
    }
  }

  /** I8: the ledger is whole, and every account's total is the sum of its lines. */
  private checkLedger({ volunteers }: StoreReader): void {
    const lines = volunteers.ledger(0, Number.MAX_SAFE_INTEGER)
    const broken = brokenLine(lines)
    if (broken !== null) this.say(`I8: line ${broken} of the ledger does not follow from the one before`)
    for (const [account, book] of this.credit) {
      const mine = lines.filter(line => line.account === account)
      const sum = mine.reduce((total, line) => total + line.slotMs, 0)
      const { slotMs, results } = volunteers.credit(account)
      if (sum !== book.slotMs || slotMs !== sum || results !== mine.length || results !== book.results) {
        this.say(`I8: ${account} was given ${book.slotMs}, has lines of ${sum} and a total of ${slotMs}`)
      }
    }
    const known = [...this.credit.values()].reduce((total, { results }) => total + results, 0)
    if (lines.length !== known) this.say(`I8: the ledger has ${lines.length} lines, of which ${known} were granted`)
  }

  /** Nothing is still cancelled for want of a campaign that ended well since, but for what could run no more. */
  private checkMissed(store: StoreReader): void {
    for (const { campaign: needed } of this.acknowledged) {
      const row = store.campaign(needed)
      if (row === null || row.counts.finished < row.total) continue
      for (const { campaign } of store.missed(needed)) {
        const { inside, reservation } = this.rules.get(campaign)!
        if (store.campaign(campaign) === null || inside !== null || reservation !== null) continue
        this.say(`M5: campaign ${campaign} is cancelled for want of campaign ${needed}, which ended well`)
      }
    }
  }

  rest(what: string): void {
    this.say(what)
  }
}

/** How often something was tried again, and up to which attempt each job was over by then. */
class Retries {
  count = 0
  readonly of = new Map<string, number>()
}

function nameOf(row: { campaign: CampaignId; index: number }): string {
  return `${row.campaign}.${row.index}`
}
