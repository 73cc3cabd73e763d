// What is on disk, row by row, and the writes that put it there. Plain data, in the store's own terms: the core makes rows of what
// it changed, and both stores keep them.
import type { Digest } from "../../proto/wire/digest.ts"
import type {
  Account,
  Attempt,
  BlobRef,
  CampaignId,
  Counts,
  Dependency,
  HostId,
  IndexRange,
  NodeId,
  Occasion,
  Outcome,
  Phase,
  Quarantine,
  Result,
  Rules,
  Story,
  Totals,
  Verdict,
} from "./model.ts"
import type { LaunchId, VolunteerWrite } from "./volunteers.ts"
import type { Why } from "./why.ts"

export interface CampaignRow {
  id: CampaignId
  owner: string
  project: string
  key: string
  specDigest: Digest
  name: string
  spec: Uint8Array
  stagein: BlobRef | null
  slots: number
  memoryBytes: number
  diskBytes: number
  walltimeMs: number
  rules: Rules
  priority: number
  total: number
  hasParameters: boolean
  held: boolean
  waitsFor: readonly Dependency[]
  cursor: number
  counts: Counts
  totals: Totals
  told: Occasion[]
  /** Wall time, ms. */
  submittedAt: number
  /** Null until every job has ended. */
  endedAt: number | null
}

export interface JobRow {
  campaign: CampaignId
  index: number
  phase: Phase
  outcome: Outcome | null
  verdict: Verdict
  attempt: number
  node: NodeId | null
  tries: readonly AttemptRow[]
  failures: number
  losses: number
  story: Story
}

export type AttemptRow = Omit<Attempt, "sinceMs" | "startedMs">

export interface UsageRow extends Pick<Account, "owner" | "project" | "bestEffort"> {
  coreSeconds: number
  /** Wall time, ms. */
  at: number
}

export interface ShareRow {
  owner: string
  share: number
}

/** Somebody to be told of something. Times are wall time, ms. */
export interface NoticeRow {
  campaign: CampaignId
  occasion: Occasion
  /** Which of the campaign's notices, from 0. */
  target: number
  /** When it happened. */
  at: number
  tries: number
  nextAt: number
  /** What went wrong at the last try, for people. */
  trouble: string
  /** Told, or given up with some trouble. Null: still to be told. */
  doneAt: number | null
}

/** A result of one attempt at a job. */
export interface ResultRow extends Result {
  campaign: CampaignId
  index: number
  attempt: number
  node: NodeId
  /** The job's own: it ended with it. Else it is kept beside that, as those of attempts that failed and were tried again. */
  accepted: boolean
}

/** As what an owner has a blob: they sent it, or a campaign of theirs gave it back. */
export type Holding = "uploaded" | "returned"

export interface NodeRow {
  id: NodeId
  account: string
  host: HostId | null
  network: string
  name: string
  publicKey: Uint8Array
  agentVersion: string
  bootId: string
  epoch: number
  slots: number
  memoryBytes: number
  diskBytes: number
  properties: Record<string, string>
  /** As presence.ts writes it; null in rows from before it did. */
  presence: Uint8Array | null
  drained: boolean
  revoked: boolean
  quarantine: Omit<Quarantine, "probeMs"> | null
  /** Wall time, ms. */
  lastSeenAt: number
}

export type ScopeName = "read" | "submit" | "cancel" | "admin"

export interface TokenRow {
  id: string
  /** SHA-256 of the whole secret. The secret itself is nowhere. */
  hash: Uint8Array
  principal: string
  scopes: ScopeName[]
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
  lastUsedAt: number | null
}

export interface EnrolmentRow {
  id: string
  hash: Uint8Array
  account: string
  usesLeft: number
  expiresAt: number
  /** The launch whose virtual machine it is for: the node that enrols is noted there. */
  launch: LaunchId | null
}

/** One change of the store. A batch of them is one transaction, applied in order. */
export type Write =
  /** Inserted, or replaced in its mutable columns (held, waitsFor, cursor, counts, endedAt). */
  | { kind: "campaign"; row: CampaignRow }
  /** Parameters of jobs first … first + lines.length - 1. */
  | { kind: "parameters"; campaign: CampaignId; first: number; lines: string[] }
  /** Inserted or replaced whole. */
  | { kind: "job"; row: JobRow }
  /** Jobs none of which has a row, ended as cancelled before they began: stored as a range. */
  | { kind: "cancelledRange"; campaign: CampaignId; range: IndexRange; why: Why }
  /**
   * These jobs had ended and are tried again: a result is no longer the job's own, and loses its stageout; `cancelled` ones, each range
   * within one that was stored, have not begun again. What the campaign missed is forgotten.
   */
  | { kind: "retry"; campaign: CampaignId; jobs: readonly number[]; cancelled: readonly IndexRange[] }
  /** Of this campaign, what was cancelled because the one that it needed did not end well. In place of what was said before. */
  | { kind: "missed"; campaign: CampaignId; needed: CampaignId; ranges: readonly IndexRange[] }
  /**
   * Inserted. Of a job one is accepted: a second one is our own bug and throws, as a second of the same attempt does. Of the others
   * the last few stay.
   */
  | { kind: "result"; row: ResultRow }
  | { kind: "node"; row: NodeRow }
  | { kind: "forgetNode"; node: NodeId }
  | { kind: "usage"; row: UsageRow }
  /** 1 is everybody's: the owner has none of their own then. */
  | ({ kind: "share" } & ShareRow)
  /** Inserted, or replaced in how it stands with it. */
  | { kind: "notice"; row: NoticeRow }
  /** The owner needs what they uploaded no more. */
  | { kind: "disownBlob"; digest: Digest; owner: string }
  /** The time by a wall clock that was believed. */
  | { kind: "clock"; wallMs: number }
  /** A campaign that has ended is gone for everybody from now on; its rows go by and by. */
  | { kind: "forgetCampaign"; campaign: CampaignId; at: number }
  /** Removes so many rows at most of campaigns that are gone. */
  | { kind: "sweepForgotten"; rows: number }
  /** A blob that is whole and on disk. A repeated one only says that it is used. */
  | { kind: "blob"; digest: Digest; sizeBytes: number }
  /** This owner has shown that they have the bytes. Deduplication is per owner for those who ask, global on disk. */
  | { kind: "blobOwner"; digest: Digest; owner: string; as: Holding }
  /** Unless something names it, or used it since that wall time (ms): then nothing happens. */
  | { kind: "forgetBlob"; digest: Digest; usedBefore: number }
  | { kind: "token"; row: TokenRow }
  | { kind: "forgetToken"; id: string }
  | { kind: "enrolment"; row: EnrolmentRow }
  /** Of enrolments, those that ended before this wall time (ms). */
  | { kind: "forgetEnrolments"; before: number }
  | VolunteerWrite
/** Rows that no decision depends on: whoever asks for one may be refused alone. */
export type RowWrite = Exclude<
  Write,
  { kind: "campaign" | "parameters" | "job" | "cancelledRange" | "retry" | "missed" | "result" }
>

export interface JobFilter {
  fromIndex: number
  limit: number
  phase?: Phase
  outcome?: Outcome
}

export interface ErrorSummaryRow {
  outcome: Outcome
  exitCode: number
  message: string
  count: number
  exampleIndex: number
}

export interface WarningSummaryRow {
  text: string
  count: number
  exampleIndex: number
}
