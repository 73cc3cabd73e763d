// The hub's one loop: events in, the core steps, one transaction, and only then anything is said. Commit, then speak.
// While a transaction is under way further events are stepped; all they changed goes into the next one, so that a
// transaction is as large as the one before it took. It owns the one timer, set to the core's earliest deadline.

import { type Explanation, explain } from "./core/asking/explain.ts"
import { type Judgement, judge, type Prospect, prospect, type Wish } from "./core/asking/feasible.ts"
import { type Outlook, outlook } from "./core/asking/outlook.ts"
import { keyOf, liveCount, noCounts } from "./core/change.ts"
import type { Effects, Move, Reply, Speech } from "./core/effects.ts"
import { noEffects } from "./core/effects.ts"
import { CahError } from "./core/errors.ts"
import type { CampaignSubmitted, Event, JobsRetried, RequestId } from "./core/events.ts"
import type { Campaign, CampaignId, Counts, IndexRange, Job, Node, NodeId, Now, Outcome, State } from "./core/model.ts"
import { type OwnerShare, sharesOf } from "./core/placing/shares.ts"
import type {
  CampaignNews,
  Clock,
  Engine,
  EngineHealth,
  Links,
  Log,
  Order,
  RetryWish,
  Store,
  Timer,
} from "./core/ports.ts"
import { emptyState, restore } from "./core/restore.ts"
import { groundOf } from "./core/retry.ts"
import type { RowWrite, Write } from "./core/rows.ts"
import { step, writesOf } from "./core/step.ts"
import { OUTLOOK_DEMANDS_MAX, REOPEN_MS, TICK_EVENTS_MAX } from "./limits.ts"

export interface EngineParts {
  readonly store: Store
  readonly clock: Clock
  readonly timer: Timer
  readonly log: Log
  /** Another core, to show that tests and simulator find a broken one. */
  readonly decide?: typeof step
  /** Told of each tick after it was decided, for metrics and traces. */
  observe?(tick: { readonly moves: readonly Move[]; readonly tookMs: number }): void
  /** There are new notices on disk, for whoever delivers them. */
  tell?(): void
  /** Told of each transaction. */
  committed?(commit: { readonly writes: number; readonly tookMs: number }): void
}

interface Waiter {
  resolve(value: never): void
  reject(error: CahError): void
}

/** What is said once the transaction that belongs to it is on disk. */
interface Said {
  readonly speech: readonly Speech[]
  readonly changed: readonly CampaignId[]
  readonly rowWaiters: readonly Waiter[]
}

export class HubEngine implements Engine {
  private readonly parts: EngineParts
  private links: Links | null = null
  private state: State = emptyState()
  private queue: Event[] = []
  private ticking = false
  private effects: Effects = noEffects()
  /** Rows that no decision depends on: a list for each who waits for it, in the same order. */
  private rows: (readonly RowWrite[])[] = []
  private rowWaiters: Waiter[] = []
  /** What the transaction under way changes. */
  private underWay: Pick<Effects, "ended" | "retries"> = noEffects()
  /** Those of its rows that stand apart. */
  private rowsUnderWay: readonly (readonly RowWrite[])[] = []
  /** Retries that wait until what they are about is on disk. */
  private postponed: JobsRetried[] = []
  private committing = false
  private readonly requests = new Map<RequestId, Waiter>()
  private lastRequest = 0
  private readonly watchers = new Map<CampaignId, Set<(news: CampaignNews) => void>>()
  private callOff: () => void = () => {}
  private trouble: string | null = null
  private draining = false
  private idle: (() => void)[] = []

  constructor(parts: EngineParts) {
    this.parts = parts
  }

  /** Loads what is live and begins. The links must be there, because the first tick may have something to say. */
  start(links: Links): void {
    this.links = links
    this.load()
    this.wake()
  }

  /** Takes no more orders, and resolves when all that was promised is on disk and said. */
  async drain(): Promise<void> {
    this.draining = true
    if (this.busy()) await new Promise<void>(resolve => this.idle.push(resolve))
    this.callOff()
  }

  // ---- what fronts and links ask --------------------------------------------------------------------------

  async submit(order: Order): Promise<{ campaign: CampaignId; jobs: number; existed: boolean }> {
    const reply = await this.ask<"submitted">(request => ({ kind: "CampaignSubmitted", request, ...order }))
    return { campaign: reply.campaign, jobs: reply.jobs, existed: reply.existed }
  }

  async cancel(campaign: CampaignId, ranges: readonly IndexRange[]): Promise<number> {
    return (await this.ask<"cancelled">(request => ({ kind: "JobsCancelled", request, campaign, ranges }))).jobs
  }

  async hold(campaign: CampaignId, held: boolean): Promise<void> {
    await this.ask<"done">(request => ({ kind: "CampaignHeld", request, campaign, held }))
  }

  async holdJobs(campaign: CampaignId, ranges: readonly IndexRange[], held: boolean): Promise<number> {
    return (await this.ask<"held">(request => ({ kind: "JobsHeld", request, campaign, ranges, held }))).jobs
  }

  async retry(wish: RetryWish): Promise<{ jobs: number; existed: boolean; campaigns: readonly CampaignId[] }> {
    const { jobs, existed, campaigns } = await this.ask<"retried">(request => ({
      kind: "JobsRetried",
      request,
      ...wish,
    }))
    return { jobs, existed, campaigns }
  }

  async setShare(owner: string, share: number): Promise<void> {
    await this.ask<"done">(request => ({ kind: "ShareSet", request, owner, share }))
  }

  async drainNode(node: NodeId, drained: boolean): Promise<void> {
    await this.ask<"done">(request => ({ kind: "NodeDrained", request, node, drained }))
  }

  async revokeNode(node: NodeId): Promise<void> {
    await this.ask<"done">(request => ({ kind: "NodeRevoked", request, node }))
  }

  async forgetNode(node: NodeId): Promise<void> {
    await this.ask<"done">(request => ({ kind: "NodeForgotten", request, node }))
  }

  async releaseNode(node: NodeId): Promise<void> {
    await this.ask<"done">(request => ({ kind: "NodeReleased", request, node }))
  }

  commit(writes: readonly RowWrite[]): Promise<void> {
    if (this.trouble !== null) return Promise.reject(this.unavailable())
    const live = writes.find(row => row.kind === "forgetCampaign" && this.state.campaigns.has(row.campaign))
    if (live?.kind === "forgetCampaign") {
      // Jobs of it were queued again since whoever asks had looked.
      const message = `campaign ${live.campaign} lives again: cancel it first with \`cah del ${live.campaign}\``
      return Promise.reject(new CahError("failed_precondition", message))
    }
    this.rows.push([...writes])
    const promise = new Promise<void>((resolve, reject) => this.rowWaiters.push({ resolve: () => resolve(), reject }))
    this.wake()
    return promise
  }

  post(event: Event): void {
    // In trouble every link was dropped: what they still say will be said again after their next hello.
    if (this.trouble !== null) return
    this.queue.push(event)
    this.wake()
  }

  campaign(id: CampaignId): Readonly<Campaign> | null {
    return this.state.campaigns.get(id) ?? null
  }

  job(campaign: CampaignId, index: number): Readonly<Job> | null {
    return this.state.campaigns.get(campaign)?.jobs.get(index) ?? null
  }

  nodes(): Iterable<Readonly<Node>> {
    return this.state.nodes.values()
  }

  node(id: NodeId): Readonly<Node> | null {
    return this.state.nodes.get(id) ?? null
  }

  explain(id: CampaignId, index: number | null): Explanation | null {
    const campaign = this.state.campaigns.get(id)
    return campaign === undefined ? null : explain(this.state, campaign, index, this.now())
  }

  prospect(wish: Wish): Prospect {
    return prospect(this.state, wish, this.now())
  }

  judge(wish: Wish): Judgement {
    return judge(this.state, wish, this.now())
  }

  gathers(gathered: CampaignId): CampaignId | null {
    for (const { id, rules } of this.state.campaigns.values()) if (rules.gather === gathered) return id
    return null
  }

  jobsOf(owner: string): number {
    return this.state.ownerJobs.get(owner) ?? 0
  }

  shares(): OwnerShare[] {
    return sharesOf(this.state, this.parts.clock.nowMs())
  }

  outlook(shown: number): Outlook {
    return outlook(this.state, this.parts.clock.nowMs(), { shown, demands: OUTLOOK_DEMANDS_MAX })
  }

  private now(): Now {
    const { clock } = this.parts
    return { nowMs: clock.nowMs(), wallMs: clock.wallMs() }
  }

  watch(campaign: CampaignId, listener: (news: CampaignNews) => void): () => void {
    const listeners = this.watchers.get(campaign) ?? new Set()
    this.watchers.set(campaign, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.watchers.get(campaign) === listeners) this.watchers.delete(campaign)
    }
  }

  health(): EngineHealth {
    const counts = noCounts()
    for (const campaign of this.state.campaigns.values()) addCounts(counts, campaign.counts)
    const { trouble, draining } = this
    return { trouble, draining, liveCampaigns: this.state.campaigns.size, liveJobs: liveCount(counts), counts }
  }

  /** For invariants, in tests and the simulator. */
  peek(): State {
    return this.state
  }

  private ask<K extends Reply["kind"]>(event: (request: RequestId) => Event): Promise<Extract<Reply, { kind: K }>> {
    if (this.trouble !== null) return Promise.reject(this.unavailable())
    if (this.draining) return Promise.reject(new CahError("unavailable", "the hub is stopping: try again in a minute"))
    const request = ++this.lastRequest as RequestId
    return new Promise((resolve, reject) => {
      this.requests.set(request, { resolve, reject })
      this.post(event(request))
    })
  }

  // ---- the loop -------------------------------------------------------------------------------------------

  private wake(): void {
    if (this.ticking || this.trouble !== null) return
    this.ticking = true
    this.parts.timer.soon(() => this.tick())
  }

  private tick(): void {
    this.ticking = false
    if (this.trouble !== null) return
    const { clock, observe } = this.parts
    const now = this.now()
    const events = this.queue.splice(0, TICK_EVENTS_MAX)
    try {
      for (const event of events) this.decide(event, now)
      this.decide({ kind: "Ticked" }, now)
    } catch (error) {
      // Our own bug. What is on disk is right: go on from there, without the event that hit it.
      this.parts.log.error({ error, events: events.map(event => event.kind) }, "a decision failed")
      this.beginAgain("the hub hit an error of its own and is loading its state anew")
      return
    }
    // Taken now: there are several for each job, and the transaction that takes the rest is far away.
    const moves = this.effects.moves.splice(0)
    this.tell(moves)
    observe?.({ moves, tookMs: clock.nowMs() - now.nowMs })
    if (this.queue.length > 0) this.wake()
    else this.arm()
    this.flush()
  }

  private decide(event: Event, now: Now): void {
    const { decide = step } = this.parts
    if (event.kind === "JobsRetried" && this.isUnsettled(event.campaign)) {
      this.postponed.push(event)
      return
    }
    decide(this.state, this.withGround(event), now, this.effects)
  }

  /** With what is on disk, where the decision rests on that. */
  private withGround(event: Event): Event {
    switch (event.kind) {
      case "CampaignSubmitted":
        return this.withEarlier(event)
      case "JobsRetried":
        return { ...event, ground: groundOf(this.parts.store, event.campaign, event.ranges) }
      default:
        return event
    }
  }

  /** The end of the campaign, that it is forgotten, or another retry is not on disk yet: the store would say what is no longer true. */
  private isUnsettled(id: CampaignId): boolean {
    const { effects, underWay } = this
    if (effects.retries.length > 0 || underWay.retries.length > 0) return true
    const isGoing = (list: readonly RowWrite[]) =>
      list.some(row => row.kind === "forgetCampaign" && row.campaign === id)
    if (this.rows.some(isGoing) || this.rowsUnderWay.some(isGoing)) return true
    const ended = [...effects.ended.values(), ...underWay.ended.values()]
    return ended.some(campaign => campaign.id === id)
  }

  /**
   * With the campaign that had the order's key and has ended since the front looked, while that awaited a blob, say. Of those
   * that ended in this transaction the core knows.
   */
  private withEarlier(event: CampaignSubmitted): CampaignSubmitted {
    const { owner, key } = event
    const earlier = this.underWay.ended.get(keyOf(owner, key)) ?? this.parts.store.campaignByKey(owner, key)
    return earlier === null ? event : { ...event, earlier }
  }

  private tell(moves: readonly Move[]): void {
    if (this.parts.log.isLevelEnabled?.("debug") === false) return
    for (const { campaign, index, attempt, node, why, event, from, to, tookMs } of moves) {
      const fields = { campaign, job: `${campaign}.${index}`, attempt, node, why, event, from, to, tookMs }
      this.parts.log.debug(fields, `${campaign}.${index} ${event}`)
    }
  }

  private arm(): void {
    this.callOff()
    const next = this.state.deadlines.next()
    this.callOff = next === null ? () => {} : this.parts.timer.at(next, () => this.wake())
  }

  private flush(): void {
    if (this.committing) return
    const { clock, store, committed } = this.parts
    const { effects, rows, rowWaiters } = this
    if (!this.giveLines(effects)) return
    const now = this.now()
    const writes = writesOf(effects, now)
    const changed = [...effects.campaigns].map(campaign => campaign.id)
    this.effects = noEffects()
    this.rows = []
    this.rowWaiters = []
    const said: Said = { speech: effects.speech, changed, rowWaiters }
    if (writes.length === 0 && rows.every(list => list.length === 0)) {
      this.speak(said)
      this.rest()
      return
    }
    this.committing = true
    this.underWay = effects
    this.rowsUnderWay = rows
    store.commit(
      writes,
      (error, refused) => {
        this.committing = false
        this.underWay = noEffects()
        this.rowsUnderWay = []
        if (error !== null) {
          for (const waiter of rowWaiters) waiter.reject(this.unavailable(error))
          this.beginAgain(error.message)
          return
        }
        committed?.({ writes: writes.length + rows.length, tookMs: clock.nowMs() - now.nowMs })
        for (const [at, why] of refused) this.refuse(rowWaiters[at]!, rows[at]!, why)
        this.speak(said)
        for (const event of this.postponed.splice(0)) this.post(event)
        // A tick that is due takes along what has come meanwhile: fewer transactions, and fewer writes to each link.
        if (!this.ticking) this.flush()
      },
      rows,
    )
  }

  /**
   * Puts into offers the lines of their jobs: from the store, or from what goes there with this very transaction. Before the
   * commit, so that between it and the words there is nothing left to ask. False: the store cannot be read.
   */
  private giveLines({ speech, writes }: Effects): boolean {
    let fresh: Write[] | null = null
    try {
      for (const said of speech) {
        if (said.kind !== "Offer" || !said.hasLine) continue
        fresh ??= writes.filter(write => write.kind === "parameters")
        const { campaign, index } = said
        said.line = lineAmong(fresh, campaign, index) ?? this.parts.store.parameters(campaign, index)
      }
      return true
    } catch (error) {
      this.beginAgain(`the parameters of a job could not be read: ${error instanceof Error ? error.message : error}`)
      return false
    }
  }

  /** One caller's rows, whose ground has gone meanwhile; or our own bug. It costs that caller an error, and nobody else anything. */
  private refuse(waiter: Waiter, rows: readonly RowWrite[], error: Error): void {
    this.parts.log.warn({ error, writes: rows.map(row => row.kind) }, "a change was refused: nobody else's was touched")
    const message = "the hub could not keep this change, because what it rests on has changed meanwhile: try again"
    waiter.reject(new CahError("aborted", message, { cause: error }))
  }

  private busy(): boolean {
    return this.committing || this.queue.length > 0 || this.rows.length > 0 || this.requests.size > 0
  }

  private rest(): void {
    if (this.idle.length === 0 || this.busy()) return
    for (const resolve of this.idle.splice(0)) resolve()
  }

  // ---- saying what was decided ----------------------------------------------------------------------------

  private speak({ speech, changed, rowWaiters }: Said): void {
    for (const waiter of rowWaiters) waiter.resolve(undefined as never)
    const ended = new Map<CampaignId, { index: number; outcome: Outcome }[]>()
    for (const said of speech) {
      if (said.kind === "Reply") this.reply(said.request, said.reply)
      else if (said.kind === "Offer") this.links!.offer(said.link, said)
      else if (said.kind === "Tell") this.parts.tell?.()
      else if (said.kind === "NodeJudged") this.judged(said)
      else if (said.kind === "JobEnded") {
        if (!this.watchers.has(said.campaign)) continue
        const list = ended.get(said.campaign) ?? []
        ended.set(said.campaign, list)
        list.push({ index: said.index, outcome: said.outcome })
      } else this.links!.speak(said)
    }
    for (const campaign of changed) {
      for (const listener of [...(this.watchers.get(campaign) ?? [])]) listener({ ended: ended.get(campaign) ?? [] })
    }
  }

  private judged({ node, quarantined, why }: Extract<Speech, { kind: "NodeJudged" }>): void {
    const name = this.state.nodes.get(node)?.name ?? ""
    const message = quarantined ? "a node is put into quarantine" : "a node has left quarantine"
    this.parts.log.warn({ node, name, why }, message)
  }

  private reply(request: RequestId, reply: Reply): void {
    const waiter = this.requests.get(request)
    this.requests.delete(request)
    if (reply.kind === "error") waiter?.reject(reply.error)
    else waiter?.resolve(reply as never)
  }

  // ---- trouble --------------------------------------------------------------------------------------------

  /** Memory is ahead of a disk that did not follow. Nothing of it was said: forget it, and load what is on disk. */
  private beginAgain(why: string): void {
    this.trouble = why
    this.parts.log.error({ why }, "the store failed; what was not on disk is forgotten, nobody was told of it")
    const error = this.unavailable()
    for (const waiter of [...this.requests.values(), ...this.rowWaiters]) waiter.reject(error)
    this.requests.clear()
    this.rowWaiters = []
    this.rows = []
    this.queue = []
    this.postponed = []
    this.effects = noEffects()
    this.callOff()
    this.links!.drop(why)
    this.reopen()
  }

  private reopen(): void {
    this.parts.store.reopen().then(
      () => {
        this.load()
        this.trouble = null
        this.links!.resume()
        this.parts.log.info({}, "the store is open again")
        this.wake()
        this.rest()
      },
      error => {
        this.trouble = String(error instanceof Error ? error.message : error)
        this.parts.timer.at(this.parts.clock.nowMs() + REOPEN_MS, () => this.reopen())
      },
    )
  }

  private load(): void {
    this.state = restore(this.parts.store, this.now())
  }

  /** Why is the operator's business: the status page and the log say it. */
  private unavailable(cause?: Error): CahError {
    const message = "the hub has trouble with its disk, of which its operator knows: nothing was lost; try again later"
    return new CahError("unavailable", message, { cause: cause ?? this.trouble })
  }
}

/** Null: the campaign is on disk already. */
function lineAmong(writes: readonly Write[], campaign: CampaignId, index: number): string | null {
  for (const write of writes) {
    if (write.kind !== "parameters" || write.campaign !== campaign) continue
    const line = write.lines[index - write.first]
    if (line !== undefined) return line
  }
  return null
}

function addCounts(sum: Counts, counts: Readonly<Counts>): void {
  for (const key of Object.keys(sum) as (keyof Counts)[]) sum[key] += counts[key]
}
