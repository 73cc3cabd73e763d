// Delivers notices that the core left in the store: each at least once, tried again for a day, then given up aloud. The change
// a notice tells of is on disk together with the notice, so a crash costs a delay or a second copy, never silence.
import { CahError } from "../core/errors.ts"
import type { CampaignId, Notice } from "../core/model.ts"
import type { CampaignRow, Clock, Log, NoticeRow, StoreReader, Write } from "../core/ports.ts"
import { NOTICE_MS, NOTICE_RETRY_MS, NOTICES_AT_ONCE } from "../limits.ts"

/** One way of telling people. Rejects with what went wrong, in words; has seen to it that nothing is left behind. */
export interface Carrier {
  carry(target: Notice["target"], news: News, signal: AbortSignal): Promise<void>
}

/** What is told. */
export interface News {
  readonly campaign: CampaignRow
  readonly occasion: NoticeRow["occasion"]
  /** Wall time, ms. */
  readonly at: number
  /** The first distinct errors, commonest first. */
  readonly errors: ReturnType<StoreReader["errors"]>
  /** The same for each try: a receiver knows a second copy by it. */
  readonly id: string
}

export interface DeliveryParts {
  readonly store: Pick<StoreReader, "hubId" | "dueNotices" | "nextNoticeAt" | "campaign" | "errors">
  readonly clock: Clock
  readonly log: Log
  readonly commit: (writes: Write[]) => Promise<void>
  readonly carriers: Readonly<Record<Notice["target"]["kind"], Carrier>>
}

/** Longer than a timer of Node's can wait: then it looks again. */
const TIMER_MAX_MS = 24 * 3_600_000
const ERRORS_TOLD = 3

export class Delivery {
  private readonly parts: DeliveryParts
  private readonly stopping = new AbortController()
  private timer: NodeJS.Timeout | undefined
  private round: Promise<void> = Promise.resolve()
  private isAsked = false

  constructor(parts: DeliveryParts) {
    this.parts = parts
  }

  /** There may be something due. Never two rounds at once; one that is asked for meanwhile follows. */
  wake(): void {
    if (this.isAsked || this.stopping.signal.aborted) return
    this.isAsked = true
    this.round = this.round.then(() => {
      this.isAsked = false
      return this.look()
    })
  }

  /** What is under way is called off, and tried again after the next start. */
  async stop(): Promise<void> {
    this.stopping.abort()
    clearTimeout(this.timer)
    await this.round
  }

  private async look(): Promise<void> {
    const { store, clock, log } = this.parts
    clearTimeout(this.timer)
    try {
      for (;;) {
        const due = store.dueNotices(clock.wallMs(), NOTICES_AT_ONCE)
        if (due.length === 0 || this.stopping.signal.aborted) break
        await Promise.all(due.map(notice => this.deliver(notice)))
      }
    } catch (error) {
      log.warn({ error }, "notices could not be looked at this time")
    }
    if (this.stopping.signal.aborted) return
    const next = store.nextNoticeAt()
    if (next === null) return
    // At least a second: a store in trouble must not be asked without end.
    const waitMs = Math.min(Math.max(next - clock.wallMs(), 1_000), TIMER_MAX_MS)
    this.timer = setTimeout(() => this.wake(), waitMs)
  }

  private async deliver(row: NoticeRow): Promise<void> {
    const { clock, log, commit, carriers } = this.parts
    const { campaign: id, occasion, target: number } = row
    const fields = { campaign: id, occasion, target: number, tries: row.tries + 1 }
    const told = this.newsOf(row)
    const trouble = told === null ? "" : await this.attempt(carriers[told.target.kind], told.target, told.news)
    // A hub that is going down says nothing about the other side.
    if (trouble !== "" && this.stopping.signal.aborted) return
    const at = clock.wallMs()
    const waitMs = NOTICE_RETRY_MS[row.tries]
    const isOver = trouble === "" || waitMs === undefined
    const nextAt = isOver ? row.nextAt : at + waitMs
    const after = { ...row, tries: row.tries + 1, trouble, nextAt, doneAt: isOver ? at : null }
    if (trouble !== "")
      log.warn({ ...fields, trouble }, isOver ? "a notice was given up" : "a notice is tried again later")
    await commit([{ kind: "notice", row: after }])
  }

  private newsOf({ campaign: id, occasion, target: number, at }: NoticeRow) {
    const { store } = this.parts
    const campaign = store.campaign(id as CampaignId)
    const target = campaign?.rules.notices[number]?.target
    // Forgotten by its owner: there is nobody to tell.
    if (campaign === null || target === undefined) return null
    const errors = store.errors(id, ERRORS_TOLD)
    return { target, news: { campaign, occasion, at, errors, id: `${store.hubId()}-${id}-${occasion}-${number}` } }
  }

  /** What went wrong, in words; "": nothing. */
  private async attempt(carrier: Carrier, target: Notice["target"], news: News): Promise<string> {
    const signal = AbortSignal.any([this.stopping.signal, AbortSignal.timeout(NOTICE_MS)])
    try {
      await carrier.carry(target, news, signal)
      return ""
    } catch (thrown) {
      if (signal.reason instanceof DOMException && signal.reason.name === "TimeoutError") {
        return `no answer within ${NOTICE_MS / 1_000} s`
      }
      return thrown instanceof CahError || thrown instanceof Error ? thrown.message : String(thrown)
    }
  }
}
