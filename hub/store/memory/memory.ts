// The store in memory, for the simulator and for tests: the same port, the same suite, no disk. When a batch counts as
// being on disk is for the caller to say (defer), and a crash loses exactly what had not got there. It is deterministic and
// copies rows shallowly: stories, specifications and outputs are never changed in place by anybody, so they are shared.
import type { Digest } from "../../../proto/wire/digest.ts"
import type { BlobRef, CampaignId, IndexRange, NodeId } from "../../core/model.ts"
import type { Committed, Store, StoreHealth } from "../../core/ports.ts"
import type {
  CampaignRow,
  EnrolmentRow,
  ErrorSummaryRow,
  Holding,
  JobFilter,
  JobRow,
  NodeRow,
  NoticeRow,
  ResultRow,
  RowWrite,
  ShareRow,
  TokenRow,
  UsageRow,
  WarningSummaryRow,
  Write,
} from "../../core/rows.ts"
import { whyNumber } from "../../core/why.ts"
import { ATTEMPTS_KEPT } from "../../limits.ts"
import { BatchQueue, refusedOf } from "../queue.ts"
import { encode, pagesOf } from "../sqlite/encode.ts"
import { demandFit } from "../sqlite/schema.ts"
import { blobsOf, MemoryBlobs } from "./blobs.ts"
import { jobIn, jobsIn, lineIn, unwellIn } from "./jobs.ts"
import { errorKey, miss, missedFor, retryJobs } from "./retries.ts"
import {
  byId,
  type CampaignTables,
  campaignCopy,
  commonest,
  compared,
  copied,
  drop,
  inOrder,
  keyOf,
  put,
} from "./rows.ts"
import { MemoryVolunteers } from "./volunteers.ts"

export interface MemoryStoreOptions {
  /** Called once for each batch with what puts the oldest waiting batch on "disk". Default: a microtask. */
  readonly defer?: (run: () => void) => void
  /** Wall time in ms, for rows that the store itself stamps. Default: always 0. */
  readonly wallMs?: () => number
  readonly hubId?: string
}

export class MemoryStore implements Store {
  readonly #wallMs: () => number
  readonly #hubId: string
  readonly #campaigns = new Map<CampaignId, CampaignTables>()
  readonly #keys = new Map<string, CampaignId>()
  readonly #nodes = new Map<string, NodeRow>()
  readonly #blobs = new MemoryBlobs()
  readonly #usages = new Map<string, UsageRow>()
  readonly #shares = new Map<string, number>()
  /** Campaigns that are gone for everybody and not swept yet. */
  readonly #forgotten = new Map<CampaignId, CampaignTables>()
  #lastForgotten = 0
  #notedMs: number | null = null
  readonly #tokens = new Map<string, TokenRow>()
  readonly #enrolments = new Map<string, EnrolmentRow>()
  readonly volunteers = new MemoryVolunteers()
  readonly #queue: BatchQueue

  constructor(options: MemoryStoreOptions = {}) {
    this.#wallMs = options.wallMs ?? (() => 0)
    this.#hubId = options.hubId ?? "0".repeat(32)
    this.#queue = new BatchQueue({
      defer: options.defer ?? queueMicrotask,
      apply: (writes, apart) => {
        this.#apply(writes)
        return refusedOf(apart, list => this.#apply(list))
      },
    })
  }

  commit(writes: readonly Write[], done: Committed, apart: readonly (readonly RowWrite[])[] = []): void {
    this.#queue.add({ writes: writes.map(copied), apart: apart.map(list => list.map(copied)), done })
  }

  /** The process dies: batches that wait are lost, and nobody hears of them. The first `reached` of them got to disk. */
  crash(reached = 0): void {
    this.#queue.crash(reached)
  }

  /** From now on commits fail with this error and reopen() rejects with it, until it is called with null. */
  fail(cause: Error | null): void {
    this.#queue.fail(cause)
  }

  async reopen(): Promise<void> {
    this.#queue.reopen()
  }

  health(): StoreHealth {
    return { handles: 0, walBytes: 0, queued: this.#queue.length, trouble: null }
  }

  async giveBack(): Promise<boolean> {
    return false
  }

  async close(): Promise<void> {
    this.#queue.settle()
  }

  // ---- changes

  /** All or nothing: every change leaves behind how to take it back. */
  #apply(writes: readonly Write[]): void {
    const undo: (() => void)[] = []
    const wallMs = this.#wallMs()
    try {
      for (const write of writes) {
        demandFit(encode(write, wallMs, () => false))
        this.#write(write, wallMs, undo)
      }
    } catch (thrown) {
      for (const takeBack of undo.reverse()) takeBack()
      throw thrown
    }
  }

  #write(write: Write, wallMs: number, undo: (() => void)[]): void {
    switch (write.kind) {
      case "campaign":
        this.#writeCampaign(write.row, undo)
        return
      case "parameters": {
        const { pages } = this.#tables(write.campaign)
        if (pages.some(({ first }) => first === write.first)) throw new Error(`a second page ${write.first}`)
        const before = pages.length
        undo.push(() => pages.splice(before))
        pages.push(...pagesOf(write.lines, write.first))
        return
      }
      case "job": {
        const tables = this.#tables(write.row.campaign)
        const { index } = write.row
        const wasLive = tables.live.has(index)
        put(tables.jobs, index, write.row, undo)
        undo.push(() => void (wasLive ? tables.live.add(index) : tables.live.delete(index)))
        if (write.row.phase === "ended") tables.live.delete(index)
        else tables.live.add(index)
        return
      }
      case "cancelledRange": {
        const { cancelled } = this.#tables(write.campaign)
        const { first, last } = write.range
        if (cancelled.some(range => range.first === first)) throw new Error(`a second range from ${first} on`)
        const at = cancelled.findIndex(range => range.first > first)
        const place = at < 0 ? cancelled.length : at
        undo.push(() => cancelled.splice(place, 1))
        cancelled.splice(place, 0, { first, count: last - first + 1, at: wallMs, why: whyNumber(write.why) })
        return
      }
      case "retry":
        retryJobs(this.#tables(write.campaign), write, undo, blob => this.#blobs.unname(blob, undo))
        return
      case "missed":
        miss(this.#tables(write.campaign), { needed: write.needed, ranges: write.ranges }, undo)
        return
      case "result":
        this.#writeResult(write.row, wallMs, undo)
        return
      case "node":
        put(this.#nodes, write.row.id, write.row, undo)
        return
      case "forgetNode":
        drop(this.#nodes, write.node, undo)
        return
      case "forgetEnrolments":
        for (const [id, { expiresAt }] of this.#enrolments)
          if (expiresAt < write.before) drop(this.#enrolments, id, undo)
        return
      case "usage":
        put(
          this.#usages,
          JSON.stringify([write.row.owner, write.row.project, write.row.bestEffort]),
          { ...write.row },
          undo,
        )
        return
      case "share":
        put(this.#shares, write.owner, write.share, undo)
        if (write.share === 1) this.#shares.delete(write.owner)
        return
      case "notice": {
        // It may be forgotten while it is being told: then there is nothing to note.
        const { campaign, occasion, target } = write.row
        const notices = this.#campaigns.get(campaign)?.notices
        if (notices !== undefined) put(notices, `${occasion} ${target}`, { ...write.row }, undo)
        return
      }
      case "clock": {
        const before = this.#notedMs
        undo.push(() => {
          this.#notedMs = before
        })
        this.#notedMs = write.wallMs
        return
      }
      case "forgetCampaign":
        this.#forget(write.campaign, undo)
        return
      case "sweepForgotten":
        this.#sweep(undo)
        return
      case "blob":
      case "blobOwner":
      case "disownBlob":
      case "forgetBlob":
        this.#blobs.write(write, wallMs, undo)
        return
      case "token":
        put(this.#tokens, write.row.id, write.row, undo)
        return
      case "forgetToken":
        drop(this.#tokens, write.id, undo)
        return
      case "enrolment":
        put(this.#enrolments, write.row.id, write.row, undo)
        return
      default:
        this.volunteers.write(write, undo)
    }
  }

  #writeCampaign(row: CampaignRow, undo: (() => void)[]): void {
    const tables = this.#campaigns.get(row.id)
    if (tables !== undefined) {
      const before = tables.row
      undo.push(() => {
        tables.row = before
      })
      const { held, waitsFor, cursor, counts, totals, told, endedAt } = row
      tables.row = { ...before, held, waitsFor, cursor, counts, totals, told, endedAt }
      return
    }
    const key = keyOf(row.owner, row.key)
    if (this.#forgotten.has(row.id)) throw new Error(`campaign ${row.id} is forgotten`)
    if (this.#keys.has(key)) throw new Error(`a second campaign with the key ${row.key} of ${row.owner}`)
    put(this.#keys, key, row.id, undo)
    const fresh = {
      pages: [],
      jobs: new Map(),
      live: new Set<number>(),
      cancelled: [],
      results: new Map(),
    }
    put(
      this.#campaigns,
      row.id,
      { ...fresh, row, errors: new Map(), warnings: new Map(), notices: new Map(), missed: null },
      undo,
    )
    const { owner, stagein, submittedAt } = row
    if (stagein === null) return
    this.#blobs.name(stagein, submittedAt, undo)
    this.#blobs.hold(stagein.digest, owner, "uploaded", undo)
  }

  #forget(id: CampaignId, undo: (() => void)[]): void {
    const tables = this.#campaigns.get(id)
    if (tables === undefined || tables.row.endedAt === null) return
    const key = keyOf(tables.row.owner, tables.row.key)
    const last = this.#lastForgotten
    undo.push(() => {
      this.#campaigns.set(id, tables)
      this.#keys.set(key, id)
      this.#lastForgotten = last
    })
    this.#campaigns.delete(id)
    this.#keys.delete(key)
    this.#lastForgotten = Math.max(last, id)
    put(this.#forgotten, id, tables, undo)
  }

  /** Whole at once: here it costs nothing. */
  #sweep(undo: (() => void)[]): void {
    for (const [id, { row, results }] of this.#forgotten) {
      if (row.stagein !== null) this.#blobs.unname(row.stagein, undo)
      for (const blob of [...results.values()].flat().flatMap(blobsOf)) this.#blobs.unname(blob, undo)
      const tables = this.#forgotten.get(id)!
      undo.push(() => void this.#forgotten.set(id, tables))
      this.#forgotten.delete(id)
    }
  }

  #writeResult(row: ResultRow, wallMs: number, undo: (() => void)[]): void {
    const tables = this.#tables(row.campaign)
    const { outcome, exitCode, message, warnings: text, index, accepted } = row
    const before = tables.results.get(index) ?? []
    if (before.some(one => one.attempt === row.attempt || (accepted && one.accepted))) {
      throw new Error(
        `a second result of attempt ${row.attempt} at job ${row.campaign}.${index}, or a second that it accepts`,
      )
    }
    const all = [...before, row].sort((a, b) => a.attempt - b.attempt)
    const spare = accepted ? [] : all.filter(one => !one.accepted).slice(0, -ATTEMPTS_KEPT)
    put(tables.results, index, spare.length === 0 ? all : all.filter(one => !spare.includes(one)), undo)
    for (const blob of blobsOf(row)) this.#blobs.name(blob, wallMs, undo)
    for (const blob of spare.flatMap(blobsOf)) this.#blobs.unname(blob, undo)
    if (!accepted) return
    if (text !== "") {
      const group = tables.warnings.get(text) ?? { text, count: 0, exampleIndex: index }
      put(tables.warnings, text, { ...group, count: group.count + 1 }, undo)
    }
    if (outcome === "finished") return
    const key = errorKey(row)
    const group = tables.errors.get(key) ?? { outcome, exitCode, message, count: 0, exampleIndex: index }
    put(tables.errors, key, { ...group, count: group.count + 1 }, undo)
  }

  #tables(campaign: CampaignId): CampaignTables {
    const tables = this.#campaigns.get(campaign)
    if (tables === undefined) throw new Error(`no campaign ${campaign}`)
    return tables
  }

  // ---- questions

  hubId(): string {
    return this.#hubId
  }

  lastCampaign(): number {
    let last = this.#lastForgotten
    for (const id of this.#campaigns.keys()) last = Math.max(last, id)
    return last
  }

  liveCampaigns(): CampaignRow[] {
    const live = [...this.#campaigns.values()].filter(({ row }) => row.endedAt === null)
    return live.map(({ row }) => campaignCopy(row)).sort((a, b) => a.id - b.id)
  }

  liveJobs(): JobRow[] {
    const campaigns = [...this.#campaigns].sort(([a], [b]) => a - b)
    return campaigns.flatMap(([, { jobs, live }]) => inOrder(live).map(index => ({ ...jobs.get(index)! })))
  }

  indicesFrom(campaign: CampaignId, fromIndex: number): number[] {
    return inOrder(this.#campaigns.get(campaign)?.jobs.keys() ?? []).filter(index => index >= fromIndex)
  }

  cancelledRanges(campaign: CampaignId): IndexRange[] {
    const ranges = this.#campaigns.get(campaign)?.cancelled ?? []
    return ranges.map(({ first, count }) => ({ first, last: first + count - 1 }))
  }

  nodes(): NodeRow[] {
    return [...this.#nodes.values()].map(row => ({ ...row })).sort(byId)
  }

  usages(): UsageRow[] {
    return inOrder(this.#usages.keys()).map(key => ({ ...this.#usages.get(key)! }))
  }

  shares(): ShareRow[] {
    return inOrder(this.#shares.keys()).map(owner => ({ owner, share: this.#shares.get(owner)! }))
  }

  dueNotices(wallMs: number, perOwner: number): NoticeRow[] {
    const places = new Map<string, number>()
    const due = this.#openNotices().filter(row => row.nextAt <= wallMs)
    const before = (a: NoticeRow, b: NoticeRow) =>
      a.nextAt - b.nextAt || a.campaign - b.campaign || compared(a.occasion, b.occasion) || a.target - b.target
    return due.sort(before).filter(({ campaign }) => {
      const { owner } = this.campaign(campaign)!
      const place = (places.get(owner) ?? 0) + 1
      places.set(owner, place)
      return place <= perOwner
    })
  }

  notices(campaign: CampaignId): NoticeRow[] {
    return [...(this.#campaigns.get(campaign)?.notices.values() ?? [])].map(row => ({ ...row }))
  }

  nextNoticeAt(): number | null {
    const at = Math.min(...this.#openNotices().map(row => row.nextAt))
    return Number.isFinite(at) ? at : null
  }

  #openNotices(): NoticeRow[] {
    const all = [...this.#campaigns.values()].flatMap(({ notices }) => [...notices.values()])
    return all.filter(row => row.doneAt === null).map(row => ({ ...row }))
  }

  endedCampaigns(endedBy: number, limit: number): CampaignId[] {
    return [...this.#campaigns.values()]
      .flatMap(({ row }) => (row.endedAt !== null && row.endedAt <= endedBy ? [{ ...row, endedAt: row.endedAt }] : []))
      .sort((a, b) => a.endedAt - b.endedAt)
      .slice(0, limit)
      .map(({ id }) => id)
  }

  endedCount(): number {
    return this.endedCampaigns(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER).length
  }

  lastWallMs(): number | null {
    const rows = [...this.#campaigns.values()].map(({ row }) => row)
    const newest = rows.sort((a, b) => b.id - a.id)[0]
    const times = [this.#notedMs, newest?.submittedAt ?? null, ...rows.map(row => row.endedAt)]
    const known = times.filter(at => at !== null)
    return known.length === 0 ? null : Math.max(...known)
  }

  hasForgotten(): boolean {
    return this.#forgotten.size > 0
  }

  uploads(owner: string, usedBefore: number, limit: number): { blob: BlobRef; usedAt: number }[] {
    return this.#blobs.uploads(owner, usedBefore, limit)
  }

  campaignsWithStagein(owner: string, digest: Digest, limit: number): CampaignId[] {
    return [...this.#campaigns.values()]
      .flatMap(({ row }) => (row.owner === owner && row.stagein?.digest === digest ? [row.id] : []))
      .sort((a, b) => b - a)
      .slice(0, limit)
  }

  campaign(id: CampaignId): CampaignRow | null {
    const tables = this.#campaigns.get(id)
    return tables === undefined ? null : campaignCopy(tables.row)
  }

  campaignByKey(owner: string, key: string): CampaignRow | null {
    const id = this.#keys.get(keyOf(owner, key))
    return id === undefined ? null : this.campaign(id)
  }

  campaigns(filter: { owner: string | null; before: number; limit: number; live: boolean }): CampaignRow[] {
    return [...this.#campaigns.values()]
      .map(({ row }) => row)
      .filter(row => filter.owner === null || row.owner === filter.owner)
      .filter(row => filter.before === 0 || row.id < filter.before)
      .filter(row => !filter.live || row.endedAt === null)
      .sort((a, b) => b.id - a.id)
      .slice(0, filter.limit)
      .map(campaignCopy)
  }

  job(campaign: CampaignId, index: number): JobRow | null {
    return jobIn(this.#campaigns.get(campaign), campaign, index)
  }

  jobs(campaign: CampaignId, filter: JobFilter): JobRow[] {
    return jobsIn(this.#campaigns.get(campaign), campaign, filter)
  }

  unwell(campaign: CampaignId, range: IndexRange, limit: number): JobRow[] {
    return unwellIn(this.#campaigns.get(campaign), range, limit)
  }

  missed(needed: CampaignId): { campaign: CampaignId; ranges: IndexRange[] }[] {
    return missedFor(this.#campaigns, needed)
  }

  attempts(campaign: CampaignId, index: number): ResultRow[] {
    return this.#resultsOf(campaign, index).flatMap(row => (row.accepted ? [] : [{ ...row }]))
  }

  result(campaign: CampaignId, index: number): ResultRow | null {
    const row = this.#resultsOf(campaign, index).find(({ accepted }) => accepted)
    return row === undefined ? null : { ...row }
  }

  #resultsOf(campaign: CampaignId, index: number): readonly ResultRow[] {
    return this.#campaigns.get(campaign)?.results.get(index) ?? []
  }

  stageouts(campaign: CampaignId, fromIndex: number, limit: number): { index: number; blob: BlobRef }[] {
    return this.#stageouts(campaign)
      .filter(({ index }) => index >= fromIndex)
      .sort((a, b) => a.index - b.index)
      .slice(0, limit)
  }

  hasStageout(campaign: CampaignId, digest: Digest): boolean {
    return this.#stageouts(campaign).some(({ blob }) => blob.digest === digest)
  }

  #stageouts(campaign: CampaignId): { index: number; blob: BlobRef }[] {
    const results = [...(this.#campaigns.get(campaign)?.results.values() ?? [])].flat()
    return results.flatMap(({ accepted, index, stageout: blob }) =>
      accepted && blob !== null ? [{ index, blob }] : [],
    )
  }

  parameters(campaign: CampaignId, index: number): string | null {
    return lineIn(this.#campaigns.get(campaign), index)
  }

  errors(campaign: CampaignId, limit: number): ErrorSummaryRow[] {
    return commonest(this.#campaigns.get(campaign)?.errors.values() ?? [], limit)
  }

  warnings(campaign: CampaignId, limit: number): WarningSummaryRow[] {
    return commonest(this.#campaigns.get(campaign)?.warnings.values() ?? [], limit)
  }

  hasBlob(digest: Digest): number | null {
    return this.#blobs.sizeOf(digest)
  }

  ownsBlob(digest: Digest, owner: string, as?: Holding): boolean {
    return this.#blobs.isHeld(digest, owner, as)
  }

  ownedBytes(owner: string): number {
    return this.#blobs.bytesOf(owner)
  }

  blobs(): BlobRef[] {
    return this.#blobs.all()
  }

  unreferencedBlobs(usedBefore: number): BlobRef[] {
    return this.#blobs.unnamed(usedBefore)
  }

  tokens(): TokenRow[] {
    return [...this.#tokens.values()].map(row => ({ ...row })).sort(byId)
  }

  token(id: string): TokenRow | null {
    const row = this.#tokens.get(id)
    return row === undefined ? null : { ...row }
  }

  lastSeenAt(node: NodeId): number | null {
    return this.#nodes.get(node)?.lastSeenAt ?? null
  }

  nodesSeenBefore(wallMs: number, after: string, limit: number): NodeId[] {
    const old = [...this.#nodes.values()].filter(
      ({ id, lastSeenAt, revoked }) => lastSeenAt < wallMs && !revoked && id > after,
    )
    return inOrder(old.map(({ id }) => id)).slice(0, limit)
  }

  enrolment(id: string): EnrolmentRow | null {
    const row = this.#enrolments.get(id)
    return row === undefined ? null : { ...row }
  }
}
