// What the hub knows, in its own words. Only live work is here: what has ended is in the store alone.
// Times are monotonic milliseconds of this process (nowMs); wall time is stamped where rows are written.
import type { Digest } from "../../proto/wire/digest.ts"
import type { NodeProperties } from "../../proto/wire/property.ts"
import type { Deadlines } from "./deadlines.ts"
import type { Condition } from "./placing/condition.ts"
import type { Sorted } from "./placing/sorted.ts"
import type { Wanted } from "./wanted.ts"
import type { Why } from "./why.ts"

export type CampaignId = number & { readonly brand: "CampaignId" }
/** "12.7": campaign 12, index 7. */
export type JobId = string & { readonly brand: "JobId" }
export type NodeId = string & { readonly brand: "NodeId" }
/** A volunteer's computer. */
export type HostId = number & { readonly brand: "HostId" }
/** One WebSocket, numbered by the link server while the process lives. */
export type LinkId = number & { readonly brand: "LinkId" }

export type Phase = "queued" | "held" | "offered" | "staging" | "running" | "returning" | "ended"
export type Outcome = "finished" | "failed" | "timedout" | "lost" | "refused" | "cancelled"
export type Verdict = "unchecked" | "agreed" | "disputed" | "rejected"

export function jobId(campaign: CampaignId, index: number): JobId {
  return `${campaign}.${index}` as JobId
}

/** Both ends included. */
export interface IndexRange {
  readonly first: number
  readonly last: number
}

export interface Needs {
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

/** One way of running a job: what it occupies, and for how long at most. */
export interface Shape {
  readonly needs: Needs
  readonly walltimeMs: number
}

export interface Dependency {
  readonly campaign: CampaignId
  /** Only if all its jobs finished; otherwise what depends on it is cancelled. */
  readonly success: boolean
}

/** How a campaign's jobs are to be treated, as its scientist asked. Plain data: it is stored as it is. */
export interface Rules {
  /** Shapes after the first, in the order of preference. */
  readonly shapes: readonly Shape[]
  /** Further tries of a job that failed or ran into its walltime. */
  readonly retryMax: number
  /** Only after these exit codes; none: after any failure. */
  readonly retryExitCodes: readonly number[]
  /** What a node must be, as the scientist wrote it; empty: any. */
  readonly property: string
  /** The campaign whose stageouts are the stagein; null: none. */
  readonly gather: CampaignId | null
  /** Attempts that may be lost before the job ends as lost. */
  readonly lossMax: number
  /** Wall time, ms: jobs that have not ended by then are cancelled. */
  readonly deadlineAt: number | null
  /** Placed after all others, and stopped when one of these needs the room. */
  readonly bestEffort: boolean
  /** Not before its start; from then on ahead of all others. */
  readonly reservation: Reservation | null
  /** Its jobs hold room for those of campaigns that are inside it. */
  readonly container: boolean
  /** The container campaign in whose jobs' room it runs; null: on nodes themselves. */
  readonly inside: CampaignId | null
  readonly notices: readonly Notice[]
  /** Once so many of its jobs have failed the others are cancelled; null: however many. */
  readonly failMax: number | null
  /** Jobs of it that may be under way at once; null: as many as there is room for. */
  readonly atOnceMax: number | null
}

/** Wall time, ms. */
export interface Reservation {
  readonly startAt: number
  /** Null: each job's walltime is the bound. */
  readonly endAt: number | null
}

export type Occasion = "running" | "error" | "end"

/** Whom to tell of a campaign, and of what. Opaque to decisions but for the occasions. */
export interface Notice {
  readonly occasions: readonly Occasion[]
  readonly target:
    | { readonly kind: "mail"; readonly address: string }
    | { readonly kind: "webhook"; readonly url: string; readonly secret: string }
}

export interface BlobRef {
  readonly digest: Digest
  readonly sizeBytes: number
}

/** One output stream: inline while it is small, else a blob. Both null: it was empty. */
export interface LogRef {
  readonly inline: Uint8Array | null
  readonly blob: BlobRef | null
  readonly droppedBytes: number
}

/** What an attempt left behind. Opaque to decisions but for its outcome. */
export interface Result {
  readonly outcome: Exclude<Outcome, "cancelled">
  readonly exitCode: number
  readonly message: string
  /** What its owner should know although the outcome stands: one a line; else empty. */
  readonly warnings: string
  readonly stageout: BlobRef | null
  readonly stdout: LogRef
  readonly stderr: LogRef
  readonly runMs: number
  readonly cpuMs: number
  readonly peakMemoryBytes: number
}

/** How many jobs of a campaign stand where; the first seven by phase, ended ones by outcome. Sums to `total`. */
export interface Counts {
  queued: number
  held: number
  offered: number
  staging: number
  running: number
  returning: number
  finished: number
  failed: number
  timedout: number
  lost: number
  refused: number
  cancelled: number
}

/** What a campaign took and gave so far. Counts attempts and bytes; only grows. */
export interface Totals {
  /** Attempts that failed and were tried again; that were lost; that made room for others. */
  retries: number
  losses: number
  preemptions: number
  /** How often jobs of it that had ended were queued again in it. */
  resubmissions: number
  /** Sent to nodes; taken from them in results. */
  stageinBytes: number
  stageoutBytes: number
  /** Slots times ms of attempts that are over. */
  coreMs: number
}

export interface Campaign {
  readonly id: CampaignId
  readonly owner: string
  readonly project: string
  /** What its jobs use counts for. */
  readonly account: Account
  readonly key: string
  /** Of spec and parameters together: the same key with another digest is refused. */
  readonly specDigest: Digest
  readonly name: string
  /** A CampaignSpec in bytes, opaque here. */
  readonly spec: Uint8Array
  readonly stagein: BlobRef | null
  /** The first shape; others are in the rules. */
  readonly needs: Needs
  readonly walltimeMs: number
  readonly rules: Rules
  readonly priority: number
  readonly total: number
  readonly hasParameters: boolean
  /** By its owner: nothing more is offered until it is resumed. */
  held: boolean
  /** What its jobs ask of nodes; one value for all campaigns that ask for the same. */
  readonly demand: Demand
  /** It is in the queue: it has jobs that may be offered. */
  queued: boolean
  /** Its reservation has not begun. */
  early: boolean
  /** What must end before it begins. */
  waitsFor: readonly Dependency[]
  /**
   * Jobs with an index below it have a row of their own; those from it on are one range, queued as they were
   * submitted. A million-job array is this number.
   */
  cursor: number
  /** Cancelled or held before they began, at or above the cursor, sorted and disjoint. The cursor steps over them. */
  skipped: IndexRange[]
  /** Jobs below the cursor that want attempts, after a lost one say, and may be offered now. Those from the cursor on want one each. */
  readonly again: Wanted
  /** The live jobs that have a row, by index. */
  readonly jobs: Map<number, Job>
  /** How long attempts took that were not lost, from offer to end: what is slow is judged by it. */
  took: { attempts: number; sumMs: number }
  /** Of those, attempts that failed; and the nodes whose last ones did. Null: none has. */
  failures: number
  strikes: Map<NodeId, Strike> | null
  /** Failures of these nodes' rows beyond the first few. */
  excess: number
  /** When its tail is looked at next; infinite: nobody watches it. Deadlines in the heap for other moments mean nothing. */
  tailLookMs: number
  counts: Counts
  readonly totals: Totals
  /** How many attempts each node has under way. */
  readonly onNodes: Map<NodeId, number>
  /** Occasions of which it has told. */
  readonly told: Set<Occasion>
  readonly submittedAt: number
}

/** One line of a job's story. */
export interface StoryLine {
  /** Wall time, ms since 1970. For people; nothing is decided by it. */
  readonly at: number
  readonly why: Why
  /** One sentence for people. */
  readonly event: string
  readonly phase: Phase
  readonly attempt: number
  readonly node: NodeId | null
}

/** An attempt under way. Mostly a job has one; a slow one of a campaign's tail may have a second, on another node. */
export interface Attempt {
  readonly attempt: number
  readonly node: NodeId
  phase: "offered" | "staging" | "running" | "returning"
  /** Which of the campaign's shapes it has. */
  readonly shape: number
  /** When it was offered, for the last time; monotonic, since this start of the hub. */
  sinceMs: number
  /** When the hub heard that it runs. Monotonic; since an earlier life of the hub, it may be below 0. Null: not yet. */
  startedMs: number | null
  /** The same in wall time, which counts only if the hub is started anew meanwhile. */
  startedAt: number | null
}

export interface Job {
  readonly campaign: CampaignId
  readonly index: number
  /** The furthest of its tries; queued or held without any. */
  phase: Phase
  /** By its owner: it is not offered until it is resumed. */
  held: boolean
  outcome: Outcome | null
  verdict: Verdict
  /** The number given last, from 1; 0 before the first. The fence. */
  attempt: number
  /** Who has or had that attempt; at the end, whose result it is. */
  node: NodeId | null
  tries: readonly Attempt[]
  failures: number
  losses: number
  /** Nodes on which it failed, and whether it is kept from them for a while, since there are others. */
  failedOn: readonly NodeId[]
  elsewhere: boolean
  /** The last STORY_MAX transitions, oldest first. */
  readonly story: Story
}

/** A node's failures in a row at one campaign's jobs. */
export interface Strike {
  row: number
  /** Of the campaign when the row began: what came since and is not of the row is of other nodes. */
  readonly attemptsBefore: number
  readonly failuresBefore: number
  /** The longest that one of them took. */
  tookMs: number
  /** It gets none of the campaign's jobs until then, since there is little yet to judge it by. Monotonic. */
  pausedUntilMs: number
  /** How often that was. */
  pauses: number
}

/** A node that fails where others do not gets one job at a time, now and then, until some have gone well. */
export interface Quarantine {
  /** Wall time, ms. */
  readonly sinceAt: number
  /** For people. */
  readonly why: string
  /** Tries in a row that went well; that did not, of all. */
  clean: number
  failed: number
  /** When it gets the next. Monotonic; a start of the hub begins the wait anew. */
  probeMs: number
}

/** What a node holds of one job, whether or not it is still wanted. */
export interface Held {
  readonly campaign: CampaignId
  readonly index: number
  readonly attempt: number
  readonly needs: Needs
  /** Whose share it counts for; null: nobody's, being inside a container, or not placed by the hub. */
  readonly account: Account | null
  /** It gives its room to the attempts inside it. */
  readonly container: boolean
  /** The container in whose room it is; null: the node's own. */
  readonly inside: CampaignId | null
  /** The hub wants it stopped; it takes room until the node says that it has. */
  stopping: string | null
}

export interface Node {
  readonly id: NodeId
  /** From 0, in the order in which the hub came to know them. */
  readonly number: number
  readonly account: string
  /** The volunteer's computer that its virtual machine is on, if it is one. */
  readonly host: HostId | null
  /** From where its last hello came: what two nodes of one network say of a job is worth less than of two. "": not known. */
  network: string
  name: string
  /** Raw ed25519 key. */
  readonly publicKey: Uint8Array
  agentVersion: string
  bootId: string
  /** One session per node: a new hello raises it and fences the older link. */
  epoch: number
  link: LinkId | null
  /** While it is away: until then it is likely to come back, and no tail is rescued from it. */
  missedFromMs: number
  slots: number
  memoryBytes: number
  diskBytes: number
  properties: Readonly<Record<string, string>>
  /** What properties are judged by: those it reports and those we know, by lower-case name. */
  facts: NodeProperties
  /** When it is usually there. */
  readonly presence: Presence
  drained: boolean
  revoked: boolean
  /** Null: it works as others do. */
  quarantine: Quarantine | null
  /** How often it was in quarantine, since the hub began. */
  quarantines: number
  /** The lease of all it holds. Renewed by each heartbeat and report. */
  leaseUntilMs: number
  /** A deadline for the lease is in the heap. */
  leaseArmed: boolean
  readonly held: Map<JobId, Held>
}

/** Whose use something is, and for what. What is used as best effort is counted apart: it took nothing from anybody. */
export interface Account {
  readonly owner: string
  readonly project: string
  readonly bestEffort: boolean
  /** The same two for all of it, so that charging them looks for nothing. The owner's is in turn or as best effort. */
  readonly ownerUsage: Usage
  readonly projectUsage: Usage
}

/** Core-seconds, older ones counting less. True at a moment; what runs now is added as time passes. */
export interface Usage {
  coreSeconds: number
  atMs: number
  /** Slots in use now. */
  slots: number
}

/** The moment an event is stepped at: decisions use nowMs, stories are stamped with wallMs. */
export interface Now {
  /** Monotonic ms. */
  readonly nowMs: number
  /** ms since 1970. */
  readonly wallMs: number
}

export type Deadline =
  | { readonly kind: "lease"; readonly node: NodeId }
  /** The campaign's deadline; its reservation's start; a look at whether its last jobs should be doubled. */
  | { readonly kind: "deadline" | "start" | "tail"; readonly campaign: CampaignId }
  /** A look at what waits although it should not. */
  | { readonly kind: "look" }
  /** A node in quarantine may have a job; a node's pause at a campaign is to be looked at. */
  | { readonly kind: "probe"; readonly node: NodeId }
  | { readonly kind: "pause"; readonly campaign: CampaignId; readonly node: NodeId }
  /** The back-off after a loss is over. */
  | { readonly kind: "again"; readonly campaign: CampaignId; readonly index: number; readonly attempt: number }

export interface State {
  readonly campaigns: Map<CampaignId, Campaign>
  /** How many jobs the live campaigns of an owner have, ended ones among them. */
  readonly ownerJobs: Map<string, number>
  /** Owner and idempotency key of live campaigns; of ended ones the store knows. */
  readonly keys: Map<string, CampaignId>
  lastCampaign: number
  readonly nodes: Map<NodeId, Node>
  /** Numbers below the count of nodes and these that no node has: of nodes that were forgotten. */
  readonly freeNumbers: number[]
  /** Connected nodes that may have room. */
  readonly room: Set<NodeId>
  /** Of those, the ones that have more than when they were last looked at. */
  readonly freed: Set<NodeId>
  /** All that is ready to be offered. */
  readonly queue: Queue
  /** Nodes that get nothing but a job of this lane, which is too large for the gaps that come by themselves. */
  readonly claims: Map<NodeId, Lane>
  /** Reservations to come. */
  readonly bookings: Map<CampaignId, Booking>
  /** Nodes that hold best effort. */
  readonly lending: Set<NodeId>
  /** Nodes from which a container's attempt has gone since the last tick. */
  readonly shrunk: Set<NodeId>
  /** A deadline for a look at the queue is in the heap. */
  lookArmed: boolean
  /** What owners have used, for fair shares; by ownerKey. */
  readonly usage: Map<string, Usage>
  /** What projects have used is here, by projectKey. */
  readonly accounts: Map<string, Account>
  /** Of owners whose share is not 1. */
  readonly shares: Map<string, number>
  /** Campaigns that wait for this one. */
  readonly waiters: Map<CampaignId, Set<CampaignId>>
  readonly deadlines: Deadlines<Deadline>
}

/** Per node, of which there are many: one array, for each has a head as large as what it holds. */
export interface Presence {
  /** By hour of the week, weeks in which it was noted; and from HOURS on, in which the node was there. */
  readonly weeks: Uint8Array
  /** The last hour noted, since 1970. */
  hour: number
}

/** At, number of the why, event ("": the phase's own name), phase, attempt, node of the first line, then of the next. */
export type Story = (string | number | null)[]

/** A reservation to come. */
export interface Booking {
  readonly campaign: Campaign
  /** Monotonic; follows the wall clock when that is set right. */
  startMs: number
  /** Jobs of others that may still run at the start, counted in jobs of its own. */
  spare: number
  /** Something was kept back for it since the last look. */
  refused: boolean
}

// ---- the queue (placing/queue.ts) --------------------------------------------------------------------------------

/** Who goes before whom: the first with something that fits is served. */
export const ranks = ["reserved", "common", "bestEffort"] as const
export type Rank = (typeof ranks)[number]

/** What jobs ask of a node: the same value for every campaign that asks for the same. */
export interface Demand {
  readonly key: string
  readonly rank: Rank
  /** By preference. */
  readonly shapes: readonly Needs[]
  readonly condition: Condition
  readonly inside: CampaignId | null
  /** Of owners with something ready. */
  readonly lanes: Set<Lane>
  /** Live campaigns that have it. */
  campaigns: number
}

/** What one owner has ready for one demand. */
export interface Lane {
  readonly turn: Turn
  readonly demand: Demand
  /** Empty once it has nothing left; then there is another lane when the owner has something again. */
  readonly projects: Map<string, Sorted<Campaign>>
  /** Its first campaign while all are of one project; else null: which is first changes with what they use. */
  head: Campaign | null
  /** Of the head. Beside it, so that lanes are compared without their campaigns, which are seldom in a cache. */
  headPriority: number
  headId: number
  headProject: string
  /** When something of it was placed for the last time, or it came into being. Null: not looked at yet. */
  waitsSinceMs: number | null
}

/** Owners with something ready, in the order of turns. */
export type Order = Sorted<Seat>

/** What has something ready, and whose turn it is: outside of containers, inside one of them, or of what is new. */
export interface Ready {
  readonly demands: Readonly<Record<Rank, Set<Demand>>>
  readonly orders: Readonly<Record<Rank, Order>>
}

/** One owner's place in an order. Its key is the owner's use, by share, as of keyAtMs. */
export interface Seat {
  readonly turn: Turn
  readonly order: Order
  readonly lanes: Lane[]
  /** Theirs, one by one: most lanes are passed over by what they ask for, which others ask for too and is in a cache. */
  readonly demands: Demand[]
  readonly number: number
  key: number
  keyAtMs: number
  keyPlaced: number
}

/** What one owner has ready, and what it weighs against others'. */
export interface Turn {
  readonly owner: string
  /** Of the owner's usage: in turn and as best effort are two. */
  readonly usageKey: string
  readonly lanes: Map<Demand, Lane>
  /** By rank, and inside containers: few. */
  readonly seats: Seat[]
  /** Core-seconds that stand for what was placed since use was last counted. */
  placed: number
  /** What was used up to a moment, and what a core-second weighs in keys made then: all seats that are looked at in a tick have the same. */
  used: number
  weight: number
  usedAtMs: number
}

/** All that is ready to be offered; queue.ts alone changes it. */
export interface Queue {
  /** Every demand of a live campaign, by its key; and what they ask of nodes' properties. */
  readonly known: Map<string, Demand>
  readonly conditions: Map<string, Condition>
  /** Outside of containers. */
  readonly ready: Ready
  readonly inside: Map<CampaignId, Ready>
  /** Demands that became ready since all nodes were held against them. */
  readonly fresh: Set<Demand>
  /** Owners with something ready, by usageKey. */
  readonly turns: Map<string, Turn>
  /** Those of them for whom something was placed since use was last counted. */
  readonly placing: Set<Turn>
  /** Seats are numbered, so that of two owners alike the same goes first at every run. */
  seats: number
}
