// Delivers notices that the core left in the store: each at least once, tried again for a day, then given up aloud. The change
// a notice tells of is on disk together with the notice, so a crash costs a delay or a second copy, never silence.
import { CahError } from "../core/errors.ts"
import type { CampaignId, Notice } from "../core/model.ts"
import type { Clock, Log, StoreReader } from "../core/ports.ts"
import type { CampaignRow, NoticeRow, RowWrite } from "../core/rows.ts"
import { NOTICE_MS, NOTICE_RETRY_MS, NOTICE_SILENT_MS, NOTICES_AT_ONCE, NOTICES_PER_OWNER } from "../limits.ts"

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
  /** The same for each try: a receiver knows a second copy by it. A campaign whose jobs were tried again ends anew, which is another. */
  readonly id: string
}

export interface DeliveryParts {
  readonly store: Pick<StoreReader, "hubId" | "dueNotices" | "nextNoticeAt" | "campaign" | "errors">
  readonly clock: Clock
  readonly log: Log
  readonly commit: (writes: RowWrite[]) => Promise<void>
  /** Ends one try: a test's own. */
  readonly timeout?: () => AbortSignal
  readonly carriers: Readonly<Record<Notice["target"]["kind"], Carrier>>
}

/** Longer than a timer of Node's can wait: then it looks again. */
const TIMER_MAX_MS = 24 * 3_600_000
/** A store in trouble must not be asked without end. */
const TROUBLE_MS = 1_000
const ERRORS_TOLD = 3

/** What is under way, or was found silent. */
interface Lane {
  readonly owner: string
  /** Of the owner's own: another owner's notice to the same machine is not judged by it. */
  readonly peer: string
}

/**
 * Each owner has a lane of its own, a few notices wide, so that receivers who never answer hold up nobody else's. And a machine that
 * did not answer one notice is asked for none of the same owner's for a while: they are put off, and it is not counted as a try.
 */
export class Delivery {
  private readonly parts: DeliveryParts
  private readonly stopping = new AbortController()
  private timer: NodeJS.Timeout | undefined
  private readonly running = new Map<string, Promise<void>>()
  private readonly lanes = new Map<string, number>()
  /** Wall time, ms, until which a peer is left alone. */
  private readonly silent = new Map<string, number>()

  constructor(parts: DeliveryParts) {
    this.parts = parts
  }

  /** There may be something due. */
  wake(): void {
    if (this.stopping.signal.aborted) return
    clearTimeout(this.timer)
    try {
      this.look()
      this.wait()
    } catch (error) {
      this.parts.log.warn({ error }, "notices could not be looked at this time")
      this.again(TROUBLE_MS)
    }
  }

  private again(waitMs: number): void {
    if (this.stopping.signal.aborted) return
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.wake(), waitMs)
  }

  /** What is under way is called off, and tried again after the next start. */
  async stop(): Promise<void> {
    this.stopping.abort()
    clearTimeout(this.timer)
    await Promise.all(this.running.values())
  }

  private look(): void {
    const { store, clock } = this.parts
    const nowMs = clock.wallMs()
    for (const [peer, untilMs] of this.silent) if (untilMs <= nowMs) this.silent.delete(peer)
    for (const row of store.dueNotices(nowMs, NOTICES_PER_OWNER)) {
      if (this.running.size >= NOTICES_AT_ONCE) return
      const key = `${row.campaign} ${row.occasion} ${row.target}`
      const told = this.newsOf(row)
      const owner = told?.news.campaign.owner ?? ""
      if (this.running.has(key) || (this.lanes.get(owner) ?? 0) >= NOTICES_PER_OWNER) continue
      const lane = { owner, peer: told === null ? "" : peerOf(owner, told.target) }
      this.begin(key, lane, this.deliver(row, told, lane.peer))
    }
  }

  private begin(key: string, { owner }: Lane, work: Promise<void>): void {
    this.lanes.set(owner, (this.lanes.get(owner) ?? 0) + 1)
    const done = work
      .then(
        () => true,
        error => {
          this.parts.log.warn({ error }, "what became of a notice could not be noted")
          return false
        },
      )
      .then(isNoted => {
        this.running.delete(key)
        const left = this.lanes.get(owner)! - 1
        if (left === 0) this.lanes.delete(owner)
        else this.lanes.set(owner, left)
        if (isNoted) this.wake()
        else this.again(TROUBLE_MS)
      })
    this.running.set(key, done)
  }

  /** Until the next is due. While some are under way their ends look again. */
  private wait(): void {
    const { store, clock } = this.parts
    if (this.running.size > 0 || this.stopping.signal.aborted) return
    const next = store.nextNoticeAt()
    if (next === null) return
    this.again(Math.min(Math.max(next - clock.wallMs(), TROUBLE_MS), TIMER_MAX_MS))
  }

  private async deliver(row: NoticeRow, told: Told | null, peer: string): Promise<void> {
    const { clock, log, commit, carriers } = this.parts
    const { campaign: id, occasion, target: number } = row
    const fields = { campaign: id, occasion, target: number, tries: row.tries + 1 }
    const silentUntil = this.silent.get(peer)
    if (silentUntil !== undefined) {
      log.debug({ ...fields, tries: row.tries }, "a notice waits: its receiver did not answer another")
      return commit([{ kind: "notice", row: { ...row, nextAt: silentUntil, trouble: row.trouble || SILENT } }])
    }
    const trouble = told === null ? "" : await this.attempt(carriers[told.target.kind], told, peer)
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

  private newsOf({ campaign: id, occasion, target: number, at }: NoticeRow): Told | null {
    const { store } = this.parts
    const campaign = store.campaign(id as CampaignId)
    const target = campaign?.rules.notices[number]?.target
    // Forgotten by its owner: there is nobody to tell.
    if (campaign === null || target === undefined) return null
    const errors = store.errors(id, ERRORS_TOLD)
    return {
      target,
      news: { campaign, occasion, at, errors, id: `${store.hubId()}-${id}-${occasion}-${number}-${at}` },
    }
  }

  /** What went wrong, in words; "": nothing. */
  private async attempt(carrier: Carrier, { target, news }: Told, peer: string): Promise<string> {
    const timeout = this.parts.timeout?.() ?? AbortSignal.timeout(NOTICE_MS)
    const signal = AbortSignal.any([this.stopping.signal, timeout])
    try {
      await carrier.carry(target, news, signal)
      return ""
    } catch (thrown) {
      if (signal.reason instanceof DOMException && signal.reason.name === "TimeoutError") {
        this.silent.set(peer, this.parts.clock.wallMs() + NOTICE_SILENT_MS)
        return `no answer within ${NOTICE_MS / 1_000} s`
      }
      return thrown instanceof CahError || thrown instanceof Error ? thrown.message : String(thrown)
    }
  }
}

const SILENT = "its receiver did not answer another notice just now"

interface Told {
  readonly target: Notice["target"]
  readonly news: News
}

function peerOf(owner: string, target: Notice["target"]): string {
  const machine = target.kind === "webhook" && URL.canParse(target.url) ? new URL(target.url).host : target.kind
  return `${owner} ${machine}`
}
