// All questions to the database, on a read-only handle of the hub's own thread. Each is one indexed statement that answers
// in well under a millisecond, which is why it may be synchronous; a question that would read history does not belong here.
import { type Digest, digestOf } from "../../../proto/wire/digest.ts"
import { noTotals } from "../../core/change.ts"
import type {
  BlobRef,
  CampaignId,
  IndexRange,
  LogRef,
  NodeId,
  Occasion,
  Outcome,
  Rules,
  Totals,
} from "../../core/model.ts"
import type { StoreReader } from "../../core/ports.ts"
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
  ScopeName,
  ShareRow,
  TokenRow,
  UsageRow,
  WarningSummaryRow,
} from "../../core/rows.ts"
import { noRules } from "../../core/rules.ts"
import type { HostId, LaunchId } from "../../core/volunteers.ts"
import { BLOB_ROWS_PAGE, ERROR_GROUPS_READ, PARAMETER_PAGES_KEPT } from "../../limits.ts"
import { digestBytes } from "./encode.ts"
import type { ByJob } from "./journal.ts"
import type { Db } from "./open.ts"
import { JobsReader } from "./read-jobs.ts"
import { SqliteVolunteers } from "./read-volunteers.ts"
import { bytes, type Columns, found } from "./row.ts"

const campaignSelect = `
  SELECT c.*, p.cursor, p.counts, p.ended_at, p.held, p.waits_for, p.totals, p.told,
         s.digest AS stagein, b.size_bytes AS stagein_bytes
  FROM campaigns c JOIN progress p ON p.campaign = c.id AND p.forgotten_at IS NULL
  LEFT JOIN blob_references s ON s.campaign = c.id AND s.idx IS NULL AND s.attempt IS NULL AND s.role = 'stagein'
  LEFT JOIN blobs b ON b.digest = s.digest`

/** Of a result, the blob that it refers to as this. */
const blobJoin = (role: string) => `
  LEFT JOIN blob_references ${role}_ref
    ON ${role}_ref.campaign = r.campaign AND ${role}_ref.idx = r.idx AND ${role}_ref.attempt = r.attempt AND ${role}_ref.role = '${role}'
  LEFT JOIN blobs ${role}_blob ON ${role}_blob.digest = ${role}_ref.digest`

const resultSelect = `
  SELECT r.*, ${["stageout", "stdout", "stderr"].map(role => `${role}_blob.digest AS ${role}, ${role}_blob.size_bytes AS ${role}_bytes`)}
  FROM results r ${["stageout", "stdout", "stderr"].map(blobJoin).join("")}`

/** The highest number ever given to a campaign, also when that is forgotten; 0: none. */
export const LAST_CAMPAIGN = `
  SELECT max(coalesce((SELECT max(id) FROM campaigns), 0),
             coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'last_campaign'), 0))`

/** Prepared once per handle; those of jobs() by their filter when it is first used. */
function prepare(db: Db) {
  const campaignPage = (owner: boolean, live: boolean) =>
    db.prepare<[{ owner: string | null; before: number; limit: number }], Columns>(
      `${campaignSelect} WHERE c.id < @before ${owner ? "AND c.owner = @owner" : ""}
       ${live ? "AND p.ended_at IS NULL" : ""} ORDER BY c.id DESC LIMIT @limit`,
    )
  return {
    hubId: db.prepare<[], string>("SELECT value FROM meta WHERE key = 'hub_id'").pluck(),
    lastCampaign: db.prepare<[], number | null>(LAST_CAMPAIGN).pluck(),
    liveCampaigns: db.prepare<[], Columns>(`${campaignSelect} WHERE p.ended_at IS NULL ORDER BY p.campaign`),
    nodes: db.prepare<[], Columns>("SELECT * FROM nodes ORDER BY id"),
    usages: db.prepare<[], Columns>("SELECT * FROM usage ORDER BY owner, project, best_effort"),
    shares: db.prepare<[], { owner: string; share: number }>("SELECT owner, share FROM shares ORDER BY owner"),
    dueNotices: db.prepare<[number, number], Columns>(
      `SELECT * FROM (
         SELECT notices.*,
                row_number() OVER (PARTITION BY owner ORDER BY next_at, campaign, occasion, target) AS place
         FROM notices INDEXED BY notices_due JOIN campaigns ON campaigns.id = notices.campaign
         WHERE done_at IS NULL AND next_at <= ?
       ) WHERE place <= ? ORDER BY next_at, campaign, occasion, target`,
    ),
    notices: db.prepare<[number], Columns>("SELECT * FROM notices WHERE campaign = ? ORDER BY at, occasion, target"),
    nextNotice: db
      .prepare<[], number | null>("SELECT min(next_at) FROM notices INDEXED BY notices_due WHERE done_at IS NULL")
      .pluck(),
    endedCampaigns: db
      .prepare<[number, number], CampaignId>(
        `SELECT campaign FROM progress INDEXED BY progress_ended
         WHERE ended_at IS NOT NULL AND forgotten_at IS NULL AND ended_at <= ? ORDER BY ended_at LIMIT ?`,
      )
      .pluck(),
    endedCount: db
      .prepare<[], number>(
        `SELECT count(*) FROM progress INDEXED BY progress_ended WHERE ended_at IS NOT NULL AND forgotten_at IS NULL`,
      )
      .pluck(),
    // Each an end of an index. A database of before has no note.
    lastWall: db
      .prepare<[], number | null>(
        `SELECT max(at) FROM (
           SELECT CAST(value AS INTEGER) AS at FROM meta WHERE key = 'wall_ms'
           UNION ALL SELECT max(ended_at) FROM progress INDEXED BY progress_ended
             WHERE ended_at IS NOT NULL AND forgotten_at IS NULL
           UNION ALL SELECT submitted_at FROM campaigns WHERE id = (SELECT max(id) FROM campaigns))`,
      )
      .pluck(),
    forgotten: db
      .prepare<[], number>(
        "SELECT 1 FROM progress INDEXED BY progress_forgotten WHERE forgotten_at IS NOT NULL LIMIT 1",
      )
      .pluck(),
    uploads: db.prepare<[string, number, number], Columns>(
      `SELECT b.digest, b.size_bytes, b.used_at
       FROM blob_references o INDEXED BY blob_references_of_owner JOIN blobs b ON b.digest = o.digest
       WHERE o.owner = ? AND o.campaign IS NULL AND o.role = 'uploaded' AND b.used_at < ?
       ORDER BY b.used_at DESC, b.digest LIMIT ?`,
    ),
    withStagein: db
      .prepare<[Uint8Array, string, number], CampaignId>(
        `SELECT r.campaign FROM blob_references r INDEXED BY blob_references_of_blob
         JOIN progress p ON p.campaign = r.campaign AND p.forgotten_at IS NULL
         WHERE r.digest = ? AND r.role = 'stagein' AND r.owner = ? ORDER BY r.campaign DESC LIMIT ?`,
      )
      .pluck(),
    missed: db.prepare<[number], { campaign: CampaignId; first: number; count: number }>(
      "SELECT campaign, first, count FROM missed INDEXED BY missed_for WHERE needed = ? ORDER BY campaign, first",
    ),
    campaign: db.prepare<[number], Columns>(`${campaignSelect} WHERE c.id = ?`),
    campaignByKey: db.prepare<[string, string], Columns>(`${campaignSelect} WHERE c.owner = ? AND c.key = ?`),
    campaigns: {
      all: { all: campaignPage(false, false), live: campaignPage(false, true) },
      owned: { all: campaignPage(true, false), live: campaignPage(true, true) },
    },
    result: db.prepare<[number, number], Columns>(
      `${resultSelect} WHERE r.campaign = ? AND r.idx = ? AND r.accepted = 1`,
    ),
    stageouts: db.prepare<[number, number, number], Columns>(
      `SELECT s.idx, s.digest AS stageout, b.size_bytes AS stageout_bytes
       FROM blob_references s INDEXED BY blob_references_of_result
       CROSS JOIN results r ON r.campaign = s.campaign AND r.idx = s.idx AND r.attempt = s.attempt AND r.accepted = 1
       CROSS JOIN blobs b ON b.digest = s.digest
       WHERE s.campaign = ? AND s.idx >= ? AND s.role = 'stageout' ORDER BY s.idx LIMIT ?`,
    ),
    stageout: db
      .prepare<[number, Uint8Array], number>(
        `SELECT 1 FROM blob_references s INDEXED BY blob_references_of_blob
         CROSS JOIN results r ON r.campaign = s.campaign AND r.idx = s.idx AND r.attempt = s.attempt AND r.accepted = 1
         WHERE s.campaign = ? AND s.digest = ? AND s.role = 'stageout' AND s.owner IS NULL LIMIT 1`,
      )
      .pluck(),
    page: db.prepare<[number, number], { first: number; count: number }>(
      "SELECT first, count FROM parameters WHERE campaign = ? AND first <= ? ORDER BY first DESC LIMIT 1",
    ),
    lines: db
      .prepare<[number, number], string>("SELECT lines FROM parameters WHERE campaign = ? AND first = ?")
      .pluck(),
    errors: db.prepare<[number, number, number], Columns>(
      `SELECT * FROM (SELECT * FROM errors WHERE campaign = ? LIMIT ?) ORDER BY count DESC, example_idx LIMIT ?`,
    ),
    warnings: db.prepare<[number, number, number], Columns>(
      `SELECT * FROM (SELECT * FROM warnings WHERE campaign = ? LIMIT ?) ORDER BY count DESC, example_idx LIMIT ?`,
    ),
    blob: db.prepare<[Uint8Array], number>("SELECT size_bytes FROM blobs WHERE digest = ?").pluck(),
    attempts: db.prepare<[number, number], Columns>(
      `${resultSelect} WHERE r.campaign = ? AND r.idx = ? AND r.accepted = 0 ORDER BY r.attempt`,
    ),
    ownedBytes: db
      .prepare<[string], number | null>(
        `SELECT sum(size_bytes) FROM blobs WHERE digest IN
           (SELECT digest FROM blob_references INDEXED BY blob_references_of_owner WHERE owner = ? AND campaign IS NULL)`,
      )
      .pluck(),
    // Two at most: uploaded and returned.
    holdings: db
      .prepare<[string, Uint8Array], Holding>(
        `SELECT role FROM blob_references INDEXED BY blob_references_of_owner
         WHERE owner = ? AND digest = ? AND campaign IS NULL`,
      )
      .pluck(),
    blobsAfter: db.prepare<[Uint8Array, number], Columns>(
      "SELECT digest, size_bytes FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?",
    ),
    unnamed: db.prepare<[number], Columns>(
      "SELECT digest, size_bytes FROM blobs INDEXED BY blobs_unnamed WHERE named = 0 AND used_at < ? ORDER BY digest",
    ),
    tokens: db.prepare<[], Columns>("SELECT * FROM tokens ORDER BY id"),
    token: db.prepare<[string], Columns>("SELECT * FROM tokens WHERE id = ?"),
    enrolment: db.prepare<[string], Columns>("SELECT * FROM enrolments WHERE id = ?"),
    lastSeen: db.prepare<[string], number>("SELECT last_seen_at FROM nodes WHERE id = ?").pluck(),
    seenBefore: db
      .prepare<[number, string, number], NodeId>(
        "SELECT id FROM nodes WHERE last_seen_at < ? AND revoked = 0 AND id > ? ORDER BY id LIMIT ?",
      )
      .pluck(),
  }
}

export class SqliteReader implements StoreReader {
  #ask: ReturnType<typeof prepare>
  readonly #jobs: JobsReader
  /** Pages never change, so those last used are kept parsed: jobs are offered in order. */
  readonly #pages = new Map<string, string[]>()
  #lastPage: { readonly campaign: CampaignId; readonly first: number; readonly lines: readonly string[] } | null = null

  readonly volunteers: SqliteVolunteers

  /** `live`: jobs as they stand since the journal was put away. */
  constructor(db: Db, live: ByJob<JobRow>) {
    this.#ask = prepare(db)
    this.#jobs = new JobsReader(db, live)
    this.volunteers = new SqliteVolunteers(db)
  }

  /** Goes on with another handle on the same database. */
  protected readFrom(db: Db, live: ByJob<JobRow>): void {
    this.#ask = prepare(db)
    this.#jobs.readFrom(db, live)
    this.volunteers.readFrom(db)
  }

  hubId(): string {
    return this.#ask.hubId.get()!
  }

  lastCampaign(): number {
    return this.#ask.lastCampaign.get() ?? 0
  }

  liveCampaigns(): CampaignRow[] {
    return this.#ask.liveCampaigns.all().map(campaignRow)
  }

  liveJobs(): JobRow[] {
    return this.#jobs.liveJobs()
  }

  indicesFrom(campaign: CampaignId, fromIndex: number): number[] {
    return this.#jobs.indicesFrom(campaign, fromIndex)
  }

  cancelledRanges(campaign: CampaignId): IndexRange[] {
    return this.#jobs.cancelledRanges(campaign).map(({ first, count }) => ({ first, last: first + count - 1 }))
  }

  nodes(): NodeRow[] {
    return this.#ask.nodes.all().map(nodeRow)
  }

  usages(): UsageRow[] {
    return this.#ask.usages.all().map(c => ({
      owner: c.owner as string,
      project: c.project as string,
      bestEffort: c.best_effort === 1,
      coreSeconds: c.core_seconds as number,
      at: c.at as number,
    }))
  }

  shares(): ShareRow[] {
    return this.#ask.shares.all()
  }

  dueNotices(wallMs: number, perOwner: number): NoticeRow[] {
    return this.#ask.dueNotices.all(wallMs, perOwner).map(noticeRow)
  }

  notices(campaign: CampaignId): NoticeRow[] {
    return this.#ask.notices.all(campaign).map(noticeRow)
  }

  nextNoticeAt(): number | null {
    return this.#ask.nextNotice.get() ?? null
  }

  endedCampaigns(endedBy: number, limit: number): CampaignId[] {
    return this.#ask.endedCampaigns.all(endedBy, limit)
  }

  endedCount(): number {
    return this.#ask.endedCount.get() ?? 0
  }

  lastWallMs(): number | null {
    return this.#ask.lastWall.get() ?? null
  }

  hasForgotten(): boolean {
    return this.#ask.forgotten.get() !== undefined
  }

  uploads(owner: string, usedBefore: number, limit: number): { blob: BlobRef; usedAt: number }[] {
    return this.#ask.uploads
      .all(owner, usedBefore, limit)
      .map(c => ({ blob: blobRef(c.digest, c.size_bytes)!, usedAt: c.used_at as number }))
  }

  campaignsWithStagein(owner: string, digest: Digest, limit: number): CampaignId[] {
    return this.#ask.withStagein.all(digestBytes(digest), owner, limit)
  }

  campaign(id: CampaignId): CampaignRow | null {
    return found(this.#ask.campaign.get(id), campaignRow)
  }

  campaignByKey(owner: string, key: string): CampaignRow | null {
    return found(this.#ask.campaignByKey.get(owner, key), campaignRow)
  }

  campaigns(filter: { owner: string | null; before: number; limit: number; live: boolean }): CampaignRow[] {
    const page = this.#ask.campaigns[filter.owner === null ? "all" : "owned"][filter.live ? "live" : "all"]
    const before = filter.before === 0 ? Number.MAX_SAFE_INTEGER : filter.before
    return page.all({ owner: filter.owner, before, limit: filter.limit }).map(campaignRow)
  }

  job(campaign: CampaignId, index: number): JobRow | null {
    return this.#jobs.job(campaign, index)
  }

  jobs(campaign: CampaignId, filter: JobFilter): JobRow[] {
    return this.#jobs.jobs(campaign, filter)
  }

  unwell(campaign: CampaignId, range: IndexRange, limit: number): JobRow[] {
    return this.#jobs.unwell(campaign, range, limit)
  }

  missed(needed: CampaignId): { campaign: CampaignId; ranges: IndexRange[] }[] {
    const found = new Map<CampaignId, IndexRange[]>()
    for (const { campaign, first, count } of this.#ask.missed.all(needed)) {
      const ranges = found.get(campaign) ?? []
      found.set(campaign, ranges)
      ranges.push({ first, last: first + count - 1 })
    }
    return [...found].map(([campaign, ranges]) => ({ campaign, ranges }))
  }

  attempts(campaign: CampaignId, index: number): ResultRow[] {
    return this.#ask.attempts.all(campaign, index).map(resultRow)
  }

  result(campaign: CampaignId, index: number): ResultRow | null {
    return found(this.#ask.result.get(campaign, index), resultRow)
  }

  stageouts(campaign: CampaignId, fromIndex: number, limit: number): { index: number; blob: BlobRef }[] {
    return this.#ask.stageouts
      .all(campaign, fromIndex, limit)
      .map(c => ({ index: c.idx as number, blob: blobRef(c.stageout, c.stageout_bytes)! }))
  }

  hasStageout(campaign: CampaignId, digest: Digest): boolean {
    return this.#ask.stageout.get(campaign, digestBytes(digest)) !== undefined
  }

  parameters(campaign: CampaignId, index: number): string | null {
    // Jobs are offered in order: the next one is nearly always on the page of the one before.
    const last = this.#lastPage
    const known = last?.campaign === campaign ? last.lines[index - last.first] : undefined
    if (known !== undefined) return known
    const page = this.#ask.page.get(campaign, index)
    if (page === undefined || index >= page.first + page.count) return null
    const lines = this.#linesOf(campaign, page.first)
    this.#lastPage = { campaign, first: page.first, lines }
    return lines[index - page.first]!
  }

  #linesOf(campaign: CampaignId, first: number): string[] {
    const key = `${campaign}.${first}`
    const lines = this.#pages.get(key) ?? (JSON.parse(this.#ask.lines.get(campaign, first)!) as string[])
    this.#pages.delete(key)
    this.#pages.set(key, lines)
    if (this.#pages.size > PARAMETER_PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value!)
    return lines
  }

  errors(campaign: CampaignId, limit: number): ErrorSummaryRow[] {
    return this.#ask.errors.all(campaign, ERROR_GROUPS_READ, limit).map(c => ({
      outcome: c.outcome as Outcome,
      exitCode: c.exit_code as number,
      message: c.message as string,
      count: c.count as number,
      exampleIndex: c.example_idx as number,
    }))
  }

  warnings(campaign: CampaignId, limit: number): WarningSummaryRow[] {
    return this.#ask.warnings.all(campaign, ERROR_GROUPS_READ, limit).map(c => ({
      text: c.text as string,
      count: c.count as number,
      exampleIndex: c.example_idx as number,
    }))
  }

  hasBlob(digest: Digest): number | null {
    return this.#ask.blob.get(digestBytes(digest)) ?? null
  }

  ownsBlob(digest: Digest, owner: string, as?: Holding): boolean {
    const holdings = this.#ask.holdings.all(owner, digestBytes(digest))
    return as === undefined ? holdings.length > 0 : holdings.includes(as)
  }

  ownedBytes(owner: string): number {
    return this.#ask.ownedBytes.get(owner) ?? 0
  }

  /** In pages, so that no read transaction stays open between two of them: it would keep the WAL from being reset. */
  *blobs(): Generator<BlobRef> {
    let after = new Uint8Array(0)
    while (true) {
      const page = this.#ask.blobsAfter.all(after, BLOB_ROWS_PAGE)
      for (const columns of page)
        yield { digest: digestOf(columns.digest as Uint8Array), sizeBytes: columns.size_bytes as number }
      if (page.length < BLOB_ROWS_PAGE) return
      after = page.at(-1)!.digest as Uint8Array<ArrayBuffer>
    }
  }

  unreferencedBlobs(usedBefore: number): BlobRef[] {
    return this.#ask.unnamed.all(usedBefore).map(c => blobRef(c.digest, c.size_bytes)!)
  }

  tokens(): TokenRow[] {
    return this.#ask.tokens.all().map(tokenRow)
  }

  token(id: string): TokenRow | null {
    return found(this.#ask.token.get(id), tokenRow)
  }

  enrolment(id: string): EnrolmentRow | null {
    return found(this.#ask.enrolment.get(id), enrolmentRow)
  }

  lastSeenAt(node: NodeId): number | null {
    return this.#ask.lastSeen.get(node) ?? null
  }

  nodesSeenBefore(wallMs: number, after: string, limit: number): NodeId[] {
    return this.#ask.seenBefore.all(wallMs, after, limit)
  }
}

function campaignRow(c: Columns): CampaignRow {
  return {
    id: c.id as CampaignId,
    owner: c.owner as string,
    project: c.project as string,
    key: c.key as string,
    specDigest: digestOf(c.spec_digest as Uint8Array),
    name: c.name as string,
    spec: bytes(c.spec),
    stagein: blobRef(c.stagein, c.stagein_bytes),
    slots: c.slots as number,
    memoryBytes: c.memory_bytes as number,
    diskBytes: c.disk_bytes as number,
    walltimeMs: c.walltime_ms as number,
    priority: c.priority as number,
    total: c.total as number,
    hasParameters: c.has_parameters === 1,
    rules: { ...noRules, ...(JSON.parse(c.rules as string) as Partial<Rules>) },
    held: c.held === 1,
    waitsFor: (JSON.parse(c.waits_for as string) as [CampaignId, boolean][]).map(([campaign, success]) => ({
      campaign,
      success,
    })),
    cursor: c.cursor as number,
    counts: JSON.parse(c.counts as string),
    totals: { ...noTotals(), ...(JSON.parse(c.totals as string) as Partial<Totals>) },
    told: JSON.parse(c.told as string) as Occasion[],
    submittedAt: c.submitted_at as number,
    endedAt: c.ended_at as number | null,
  }
}

function resultRow(c: Columns): ResultRow {
  const log = (inline: unknown, digest: unknown, size: unknown, dropped: unknown): LogRef => ({
    inline: inline === null ? null : bytes(inline),
    blob: blobRef(digest, size),
    droppedBytes: dropped as number,
  })
  return {
    campaign: c.campaign as CampaignId,
    index: c.idx as number,
    attempt: c.attempt as number,
    node: c.node as NodeId,
    accepted: c.accepted === 1,
    outcome: c.outcome as ResultRow["outcome"],
    exitCode: c.exit_code as number,
    message: c.message as string,
    warnings: c.warnings as string,
    stageout: blobRef(c.stageout, c.stageout_bytes),
    stdout: log(c.stdout_inline, c.stdout, c.stdout_bytes, c.stdout_dropped_bytes),
    stderr: log(c.stderr_inline, c.stderr, c.stderr_bytes, c.stderr_dropped_bytes),
    runMs: c.run_ms as number,
    cpuMs: c.cpu_ms as number,
    peakMemoryBytes: c.peak_memory_bytes as number,
  }
}

function nodeRow(c: Columns): NodeRow {
  return {
    id: c.id as NodeId,
    account: c.account as string,
    host: c.host as HostId | null,
    network: c.network as string,
    name: c.name as string,
    publicKey: bytes(c.public_key),
    agentVersion: c.agent_version as string,
    bootId: c.boot_id as string,
    epoch: c.epoch as number,
    slots: c.slots as number,
    memoryBytes: c.memory_bytes as number,
    diskBytes: c.disk_bytes as number,
    properties: JSON.parse(c.properties as string),
    drained: c.drained === 1,
    revoked: c.revoked === 1,
    presence: c.presence === null ? null : bytes(c.presence),
    quarantine: c.quarantine === null ? null : JSON.parse(c.quarantine as string),
    lastSeenAt: c.last_seen_at as number,
  }
}

function noticeRow(c: Columns): NoticeRow {
  return {
    campaign: c.campaign as CampaignId,
    occasion: c.occasion as Occasion,
    target: c.target as number,
    at: c.at as number,
    tries: c.tries as number,
    nextAt: c.next_at as number,
    trouble: c.trouble as string,
    doneAt: c.done_at as number | null,
  }
}

function tokenRow(c: Columns): TokenRow {
  return {
    id: c.id as string,
    hash: bytes(c.hash),
    principal: c.principal as string,
    scopes: JSON.parse(c.scopes as string) as ScopeName[],
    createdAt: c.created_at as number,
    expiresAt: c.expires_at as number | null,
    revokedAt: c.revoked_at as number | null,
    lastUsedAt: c.last_used_at as number | null,
  }
}

function enrolmentRow(c: Columns): EnrolmentRow {
  return {
    id: c.id as string,
    hash: bytes(c.hash),
    account: c.account as string,
    usesLeft: c.uses_left as number,
    expiresAt: c.expires_at as number,
    launch: c.launch as LaunchId | null,
  }
}

function blobRef(digest: unknown, sizeBytes: unknown): BlobRef | null {
  return digest === null ? null : { digest: digestOf(digest as Uint8Array), sizeBytes: sizeBytes as number }
}
