// What the hub needs from the world, as interfaces. Adapters implement them and do not know each other (scripts/walls.ts); hub.ts
// alone names concrete ones. Every implementation of a port passes that port's one suite (*.suite.ts). What is stored is in rows.ts.
import type { Digest } from "../../proto/wire/digest.ts"
import type { Explanation } from "./asking/explain.ts"
import type { Judgement, Prospect, Wish } from "./asking/feasible.ts"
import type { Outlook } from "./asking/outlook.ts"
import type { AttemptName, FullOffer, LinkSpeech } from "./effects.ts"
import type { CampaignSubmitted, Event, JobsRetried } from "./events.ts"
import type { BlobRef, Campaign, CampaignId, Counts, IndexRange, Job, LinkId, Node, NodeId, Outcome } from "./model.ts"
import type { OwnerShare } from "./placing/shares.ts"
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
} from "./rows.ts"
import type { VolunteerReader } from "./volunteers.ts"

// ---- store ----------------------------------------------------------------------------------------------------

/** Everything that can be asked of the store. Synchronous, small, on the reader's own handle. */
export interface StoreReader {
  readonly volunteers: VolunteerReader
  hubId(): string
  /** Highest campaign id ever given, 0 if none. */
  lastCampaign(): number
  liveCampaigns(): CampaignRow[]
  /** Rows of jobs that have not ended. */
  liveJobs(): JobRow[]
  /** Of all jobs that have a row, ended ones too, those from this index on. */
  indicesFrom(campaign: CampaignId, fromIndex: number): number[]
  /** Ranges of jobs cancelled before they began, by first index. job() and jobs() show them as rows all the same. */
  cancelledRanges(campaign: CampaignId): IndexRange[]
  /** Jobs with a row that ended otherwise than well, by index, of this range. */
  unwell(campaign: CampaignId, range: IndexRange, limit: number): JobRow[]
  /** Campaigns that were cancelled because this one did not end well, and which of their jobs. */
  missed(needed: CampaignId): { campaign: CampaignId; ranges: IndexRange[] }[]
  nodes(): NodeRow[]
  usages(): UsageRow[]
  shares(): ShareRow[]
  /** Notices that are due at this wall time (ms), of each owner so many, the earliest first; and those of a campaign. */
  dueNotices(wallMs: number, perOwner: number): NoticeRow[]
  notices(campaign: CampaignId): NoticeRow[]
  /** When the earliest of those that are still to be told is due, or null. */
  nextNoticeAt(): number | null
  /** Ended at or before that wall time (ms) and not forgotten, by id. */
  endedCampaigns(endedBy: number, limit: number): CampaignId[]
  /** How many have ended and are not forgotten: reads an index of them, so it is for rounds of an hour, not for requests. */
  endedCount(): number
  /** The latest wall time that the store knows of: noted, or that of a campaign. Null: none. */
  lastWallMs(): number | null
  /** There are rows of forgotten campaigns to sweep. */
  hasForgotten(): boolean
  /** What the owner uploaded or named as a stagein, the last used first, those used before that wall time (ms) only. */
  uploads(owner: string, usedBefore: number, limit: number): { blob: BlobRef; usedAt: number }[]
  /** The owner's campaigns that have it as their stagein, newest first. */
  campaignsWithStagein(owner: string, digest: Digest, limit: number): CampaignId[]
  campaign(id: CampaignId): CampaignRow | null
  campaignByKey(owner: string, key: string): CampaignRow | null
  campaigns(filter: { owner: string | null; before: number; limit: number; live: boolean }): CampaignRow[]
  job(campaign: CampaignId, index: number): JobRow | null
  /** Stageouts of a campaign's jobs, by index from one on. */
  stageouts(campaign: CampaignId, fromIndex: number, limit: number): { index: number; blob: BlobRef }[]
  /** Whether a job of the campaign has this stageout. */
  hasStageout(campaign: CampaignId, digest: Digest): boolean
  /** Only jobs that have a row or lie in a cancelled range; the caller fills in those still untouched (index >= cursor, no row). */
  jobs(campaign: CampaignId, filter: JobFilter): JobRow[]
  /** The one that the job accepted. */
  result(campaign: CampaignId, index: number): ResultRow | null
  /** Of attempts at the job whose result was not accepted, as far as they are kept, in their order. */
  attempts(campaign: CampaignId, index: number): ResultRow[]
  parameters(campaign: CampaignId, index: number): string | null
  errors(campaign: CampaignId, limit: number): ErrorSummaryRow[]
  warnings(campaign: CampaignId, limit: number): WarningSummaryRow[]
  /** Its size, or null. A row that nothing names may go; naming the blob makes it anew, and the file outlives it for a while. */
  hasBlob(digest: Digest): number | null
  /** `as`: in that way; else in any. */
  ownsBlob(digest: Digest, owner: string, as?: Holding): boolean
  /** Of all blobs that the owner has, each once. */
  ownedBytes(owner: string): number
  /** All rows, by digest. */
  blobs(): Iterable<BlobRef>
  /** Blobs that no campaign and no result refers to, last used before that wall time (ms). */
  unreferencedBlobs(usedBefore: number): BlobRef[]
  tokens(): TokenRow[]
  token(id: string): TokenRow | null
  enrolment(id: string): EnrolmentRow | null
  /** When its row was last written, wall time ms; null: there is none. */
  lastSeenAt(node: NodeId): number | null
  /** Nodes, not revoked, whose rows were last written before this wall time (ms), with a greater id than `after`. */
  nodesSeenBefore(wallMs: number, after: string, limit: number): NodeId[]
}

export interface StoreHealth {
  /** Open connections to the database file (one writes, one reads): the same with one agent and with ten thousand. */
  handles: number
  walBytes: number
  /** Batches given and not yet on disk. */
  queued: number
  /** Why the next batch will fail, as far as can be seen now, in words; null: nothing stands against it. */
  trouble: string | null
}

/** Null once it is on disk, else nothing of it is. `refused`: those of `apart`, by their place, that a rule of the tables stands against. */
export type Committed = (error: Error | null, refused: ReadonlyMap<number, Error>) => void

export interface Store extends StoreReader {
  /**
   * One transaction. Batches are committed in the order given. After an error every later batch fails too, until reopen().
   * Each of `apart` comes after `writes`, is carried out whole or not at all, and when it is refused only that one is: rows
   * that no decision depends on, one list for each who asked.
   */
  commit(writes: readonly Write[], done: Committed, apart?: readonly (readonly RowWrite[])[]): void
  /** After a failed commit: opens the database anew. Rejects while the cause (a full disk, say) is still there. */
  reopen(): Promise<void>
  health(): StoreHealth
  /** Gives space that removed rows left back to the disk, a little at a time. True: there is more. */
  giveBack(): Promise<boolean>
  close(): Promise<void>
}

// ---- blobs ----------------------------------------------------------------------------------------------------

/** A blob on its way in. Bytes after `offsetBytes` are still to come; one writer at a time for an upload. */
export interface BlobWriter {
  readonly blob: BlobRef
  /** Bytes that are here. Where to go on. */
  readonly offsetBytes: number
  /** Appends them at offsetBytes. CahError resource_exhausted on a full disk, invalid_argument beyond the declared size. */
  write(...pieces: Uint8Array[]): Promise<void>
  /**
   * Checks size and digest, makes file and directory durable, and gives the blob its name. CahError data_loss if the digest does not
   * match: what was there is thrown away, and the upload begins at 0 again.
   */
  finish(): Promise<void>
  /** Keeps what is here for a later resume. */
  suspend(): Promise<void>
}

export interface BlobStore {
  /**
   * Goes on with an unfinished upload of this blob under this name, or begins one. `upload` separates uploads of the same
   * digest by different senders, so that none can spoil another's. CahError aborted if it is being written.
   */
  openWriter(upload: string, blob: BlobRef): Promise<BlobWriter>
  /** Bytes of an unfinished upload. 0 if there is none. */
  partialBytes(upload: string, digest: Digest): Promise<number>
  /** Counts as a touch: whoever is told yes may name the blob in the store, and it stays for that long. */
  has(digest: Digest): Promise<boolean>
  /**
   * The bytes from an offset on, in pieces of at most 64 KiB. CahError not_found; data_loss when the bytes no longer match the digest
   * (checked on every whole read; a blob found bad is moved aside and never served).
   */
  read(digest: Digest, offsetBytes: number): AsyncIterable<Uint8Array>
  /** Removes it if nobody wrote it or asked has() for so long. False: it was touched, or is not there. */
  remove(digest: Digest, untouchedForMs: number): Promise<boolean>
  /** Every blob on disk, by digest. */
  list(): AsyncIterable<BlobRef>
  /** Removes temporary files and unfinished uploads that nobody touched for this long. Returns bytes freed. */
  sweep(olderThanMs: number): Promise<number>
  /** Free bytes on the blobs' file system. */
  freeBytes(): Promise<number>
}

/** A database in one file, as it stood at one moment, whichever version of the hub it was made by: what backups are made of. */
export interface DatabaseCopy {
  readonly hubId: string
  /** The database's version. */
  readonly schema: number
  readonly campaigns: number
  readonly blobCount: number
  /** By digest. */
  blobs(): Iterable<BlobRef>
  has(digest: Digest): boolean
  close(): void
}

// ---- the engine, as fronts and links see it -------------------------------------------------------------------

export interface Clock {
  /** Monotonic ms: durations and deadlines. */
  nowMs(): number
  /** Wall time ms: rows and people. */
  wallMs(): number
}

/** When the engine is called next. Virtual in the simulator. */
export interface Timer {
  /** After what is going on now, before anything that waits for time. */
  soon(run: () => void): void
  /** At a moment of the clock's nowMs. Returns the way to call it off. */
  at(nowMs: number, run: () => void): () => void
}

export type LogFields = Record<string, unknown>

export interface Log {
  /** Whether lines of this level go anywhere: many are not even put together then. Missing: they do. */
  isLevelEnabled?(level: "debug"): boolean
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** What the front checked and the core will decide about. Shapes and units as in CampaignSubmitted. */
export type Order = Omit<CampaignSubmitted, "kind" | "request" | "earlier">

export type RetryWish = Omit<JobsRetried, "kind" | "request" | "ground">

export interface CampaignNews {
  /** Jobs that ended since the last news. */
  readonly ended: readonly { readonly index: number; readonly outcome: Outcome }[]
}

/** The engine, as fronts and links see it. Promises resolve once what they ask for is on disk; they reject with CahError. */
export interface Engine {
  submit(order: Order): Promise<{ campaign: CampaignId; jobs: number; existed: boolean }>
  /** Number of jobs it ended. */
  cancel(campaign: CampaignId, ranges: readonly IndexRange[]): Promise<number>
  hold(campaign: CampaignId, held: boolean): Promise<void>
  /** Number of jobs whose hold changed. */
  holdJobs(campaign: CampaignId, ranges: readonly IndexRange[], held: boolean): Promise<number>
  /** Queues jobs of the campaign again that ended otherwise than well; all that is not of them is left as it is. */
  retry(wish: RetryWish): Promise<{ jobs: number; existed: boolean; campaigns: readonly CampaignId[] }>
  setShare(owner: string, share: number): Promise<void>
  drainNode(node: NodeId, drained: boolean): Promise<void>
  revokeNode(node: NodeId): Promise<void>
  /** One that is away and holds nothing; CahError failed_precondition else. */
  forgetNode(node: NodeId): Promise<void>
  /** Out of quarantine. */
  releaseNode(node: NodeId): Promise<void>
  /**
   * Rows that no decision depends on (tokens, enrolments, blobs), in the next transaction. Rejects with CahError aborted, and leaves
   * everybody else's alone, if a rule of the tables stands against them: what they rest on has changed meanwhile.
   */
  commit(writes: readonly RowWrite[]): Promise<void>
  /** For links. Applied in the order posted. */
  post(event: Event): void

  /** Live work as it stands in memory, at most one tick ahead of the disk. Null: ended, or never was; ask the store. */
  campaign(id: CampaignId): Readonly<Campaign> | null
  job(campaign: CampaignId, index: number): Readonly<Job> | null
  nodes(): Iterable<Readonly<Node>>
  node(id: NodeId): Readonly<Node> | null
  /** Why a job is where it is; `index` null: the campaign's next. Null: it has ended. */
  explain(campaign: CampaignId, index: number | null): Explanation | null
  /** How an order would go as things stand, and whether it is to be refused. */
  prospect(wish: Wish): Prospect
  judge(wish: Wish): Judgement
  /** A live campaign that gathers this one's stageouts, or null. */
  gathers(campaign: CampaignId): CampaignId | null
  /** Jobs of the owner's campaigns under way. */
  jobsOf(owner: string): number
  /** Owners who have used something, or have a share of their own. */
  shares(): OwnerShare[]
  /** Whose work there is, and which of it no node can run; so many of each list at the most. */
  outlook(shown: number): Outlook
  /** Calls back after each commit that touched the campaign. Returns the way to stop it. */
  watch(campaign: CampaignId, listener: (news: CampaignNews) => void): () => void
  health(): EngineHealth
}

export interface EngineHealth {
  /** Null while all is well; else what is wrong, for people ("the disk is full: …"). */
  readonly trouble: string | null
  readonly draining: boolean
  readonly liveCampaigns: number
  readonly liveJobs: number
  /** Sums over live campaigns. */
  readonly counts: Readonly<Counts>
}

// ---- links, as the engine and fronts see them -----------------------------------------------------------------

/** Sends what was decided. A link that is gone by now is no error: the next hello settles it. */
export interface Links {
  offer(link: LinkId, offer: FullOffer): void
  speak(speech: LinkSpeech): void
  /** Closes every link, and takes none until resume(): the store has trouble, and the engine will start anew from it. */
  drop(reason: string): void
  /** All is well again: agents may come back and reconcile. */
  resume(): void
  health(): { links: number; streams: number; bufferedBytes: number }
}

/** Live output of a running attempt. */
export interface LogTap {
  /**
   * Asks the node for the attempt's output and passes it on until the attempt ends, the link does, or stop() is called.
   * Bytes before the follower came are sent too, as far as the node kept them; those before `offset` may be left out. `isCut`: there may
   * be more, which can be followed from where it stopped once the node is back.
   */
  follow(
    node: NodeId,
    attempt: AttemptName,
    output: "stdout" | "stderr",
    on: { data(bytes: Uint8Array, offset: number): void; end(isCut: boolean): void },
    offset: number,
  ): { stop(): void }
}
