// All that may happen to the hub. Named in the past; made by links, fronts and the engine's own timer.
import type { Digest } from "../../proto/wire/digest.ts"
import type {
  BlobRef,
  CampaignId,
  Dependency,
  HostId,
  IndexRange,
  LinkId,
  Needs,
  NodeId,
  Result,
  Rules,
} from "./model.ts"
import type { CampaignRow, JobRow } from "./rows.ts"

/** Where an agent can say that an attempt is. */
export type ReportPhase = "staging" | "running" | "returning" | "ended"

/** Ties an answer to who asked; chosen by the engine. */
export type RequestId = number & { readonly brand: "RequestId" }

export interface CampaignSubmitted {
  readonly kind: "CampaignSubmitted"
  readonly request: RequestId
  readonly owner: string
  readonly key: string
  readonly specDigest: Digest
  readonly name: string
  readonly project: string
  readonly spec: Uint8Array
  readonly stagein: BlobRef | null
  readonly needs: Needs
  readonly walltimeMs: number
  readonly rules: Rules
  readonly held: boolean
  /** Campaigns of the same owner. Those that have ended are not named: the front has looked. */
  readonly waitsFor: readonly Dependency[]
  readonly priority: number
  readonly total: number
  /** One line a job, or null: the jobs differ by their index only. */
  readonly lines: readonly string[] | null
  /** Jobs of campaigns under way that its owner may have, with these. Missing: any number. */
  readonly jobsMax?: number
  /** Had the key and has ended, as far as the engine knows. Missing: none. */
  readonly earlier?: Pick<CampaignRow, "id" | "specDigest" | "total">
}

export interface JobsCancelled {
  readonly kind: "JobsCancelled"
  readonly request: RequestId
  readonly campaign: CampaignId
  /** Within the campaign, in any order; they may overlap. */
  readonly ranges: readonly IndexRange[]
}

/** A campaign as it is on disk, and what of it is meant and may be tried again. */
export interface Retriable {
  readonly row: CampaignRow
  /** Jobs with a row. One more than are allowed at most. */
  readonly jobs: readonly JobRow[]
  /** Cancelled before they began: ranges, each within one that is stored. */
  readonly cancelled: readonly IndexRange[]
  /** What its cursor steps over, of a campaign that has ended. */
  readonly skipped: readonly IndexRange[]
}

export interface RetryGround {
  /** Null: there is none, or it is forgotten. */
  readonly own: Retriable | null
  /** Campaigns that were cancelled for want of it, or of one of these: by id, so that each comes after what it waits for. */
  readonly dependants: readonly Retriable[]
  /** Of campaigns that these wait for: those that have ended well. */
  readonly well: ReadonlySet<CampaignId>
}

/** Jobs that ended otherwise than well are to be queued again, in their own campaign. */
export interface JobsRetried {
  readonly kind: "JobsRetried"
  readonly request: RequestId
  readonly campaign: CampaignId
  /** Within the campaign; other jobs in them are left as they are. */
  readonly ranges: readonly IndexRange[]
  /** Who asks, for the jobs' stories. */
  readonly by: string
  /** The campaign's resubmissions as the asker saw them: what was asked before is not done again. Null: whatever they are. */
  readonly seen: number | null
  /** As in CampaignSubmitted. */
  readonly jobsMax?: number
  /** What is on disk of it; the engine looks when the event's turn has come. */
  readonly ground?: RetryGround
}

export interface NodeHello {
  readonly kind: "NodeHello"
  readonly link: LinkId
  readonly node: NodeId
  readonly account: string
  /** The volunteer's computer that its virtual machine is on; of a node that the core knows, it stands there. */
  readonly host: HostId | null
  /** From where it came, as networkOf() of common/address.ts writes it; "": that is not known. */
  readonly network: string
  readonly publicKey: Uint8Array
  readonly agentVersion: string
  readonly bootId: string
  readonly name: string
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly properties: Readonly<Record<string, string>>
  readonly holding: readonly {
    readonly campaign: CampaignId
    readonly index: number
    readonly attempt: number
    readonly phase: ReportPhase
  }[]
}

/** The link is closed. */
export interface NodeGone {
  readonly kind: "NodeGone"
  readonly node: NodeId
  readonly epoch: number
}

export interface HeartbeatReceived {
  readonly kind: "HeartbeatReceived"
  readonly node: NodeId
  readonly epoch: number
  readonly sequence: number
}

/** Every blob that the result names is on disk: the link has made sure before. */
export interface AttemptReported {
  readonly kind: "AttemptReported"
  readonly node: NodeId
  readonly epoch: number
  readonly campaign: CampaignId
  readonly index: number
  readonly attempt: number
  readonly phase: ReportPhase
  /** With phase ended, and then always. */
  readonly result: Result | null
}

export interface CampaignHeld {
  readonly kind: "CampaignHeld"
  readonly request: RequestId
  readonly campaign: CampaignId
  readonly held: boolean
}

export interface JobsHeld {
  readonly kind: "JobsHeld"
  readonly request: RequestId
  readonly campaign: CampaignId
  readonly ranges: readonly IndexRange[]
  readonly held: boolean
}

/** Bytes of a campaign's stagein have reached a node. */
export interface StageinSent {
  readonly kind: "StageinSent"
  readonly campaign: CampaignId
  readonly bytes: number
}

/** 1 is everybody's. */
export interface ShareSet {
  readonly kind: "ShareSet"
  readonly request: RequestId
  readonly owner: string
  readonly share: number
}

export interface NodeDrained {
  readonly kind: "NodeDrained"
  readonly request: RequestId
  readonly node: NodeId
  readonly drained: boolean
}

export interface NodeRevoked {
  readonly kind: "NodeRevoked"
  readonly request: RequestId
  readonly node: NodeId
}

/** One that is gone and holds nothing: the hub knows it no more. */
export interface NodeForgotten {
  readonly kind: "NodeForgotten"
  readonly request: RequestId
  readonly node: NodeId
}

/** Its operator says that it is well. */
export interface NodeReleased {
  readonly kind: "NodeReleased"
  readonly request: RequestId
  readonly node: NodeId
}

/** The last event of every tick: deadlines are looked at and work is placed. */
export interface Ticked {
  readonly kind: "Ticked"
}

export type Event =
  | CampaignSubmitted
  | JobsCancelled
  | CampaignHeld
  | JobsHeld
  | JobsRetried
  | StageinSent
  | ShareSet
  | NodeHello
  | NodeGone
  | HeartbeatReceived
  | AttemptReported
  | NodeDrained
  | NodeRevoked
  | NodeForgotten
  | NodeReleased
  | Ticked
