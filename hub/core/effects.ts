// All that the core may ask for. Writes go to disk first, as one transaction a tick; the rest is spoken after.
// Every effect is idempotent or derivable again from the store, so a crash between the two costs a delay, never a job.
import type { CahError } from "./errors.ts"
import type { ReportPhase, RequestId } from "./events.ts"
import type { Account, Campaign, CampaignId, Job, LinkId, Node, NodeId, Outcome, Phase, Shape } from "./model.ts"
import type { Write } from "./rows.ts"
import type { Why } from "./why.ts"

export type ReconcileAnswer = "continue" | "kill" | "discard" | "accepted"
export type ReportAnswer = "accepted" | "already" | "stale"

export interface AttemptName {
  readonly campaign: CampaignId
  readonly index: number
  readonly attempt: number
}

/** All that the agent needs of an offer, as it stood when it was decided: nothing is looked up when it is said. */
export interface FullOffer extends AttemptName {
  /** Null: the campaign's first, which the specification says. */
  readonly shape: Shape | null
  readonly owner: string
  readonly spec: Uint8Array
  /** Of the job's parameters. */
  readonly line: string | null
  readonly total: number
  /** In a container's room. */
  readonly inside: boolean
}

export interface OfferSpeech extends FullOffer {
  readonly kind: "Offer"
  readonly link: LinkId
  /** The job has a line, which the engine puts in before the commit: the core keeps none. */
  readonly hasLine: boolean
  line: string | null
}

export type Speech =
  /** To whoever asked: the campaign of a submit, the number of jobs a cancel ended. */
  | { readonly kind: "Reply"; readonly request: RequestId; readonly reply: Reply }
  | {
      readonly kind: "Welcome"
      readonly link: LinkId
      readonly node: NodeId
      readonly epoch: number
      readonly leaseMs: number
      readonly heartbeatMs: number
      readonly reconciled: readonly (AttemptName & { readonly answer: ReconcileAnswer })[]
    }
  | OfferSpeech
  /** For the operator: a node was put into quarantine, or has left it. */
  | { readonly kind: "NodeJudged"; readonly node: NodeId; readonly quarantined: boolean; readonly why: string }
  /** Somebody is to be told of a campaign: the notices are on disk. */
  | { readonly kind: "Tell" }
  | ({ readonly kind: "Kill"; readonly link: LinkId; readonly reason: string } & AttemptName)
  | ({
      readonly kind: "AnswerReport"
      readonly link: LinkId
      readonly phase: ReportPhase
      readonly answer: ReportAnswer
    } & AttemptName)
  | { readonly kind: "AnswerHeartbeat"; readonly link: LinkId; readonly sequence: number; readonly leaseMs: number }
  /** Another session took its place, the node was revoked, or its lease ran out in silence. */
  | { readonly kind: "CloseLink"; readonly link: LinkId; readonly why: "superseded" | "revoked" | "silent" }
  | { readonly kind: "JobEnded"; readonly campaign: CampaignId; readonly index: number; readonly outcome: Outcome }

/** What is said to agents, but for offers. */
export type LinkSpeech = Exclude<Speech, { kind: "Offer" | "Reply" | "JobEnded" | "Tell" | "NodeJudged" }>

export type Reply =
  | { readonly kind: "submitted"; readonly campaign: CampaignId; readonly jobs: number; readonly existed: boolean }
  | { readonly kind: "cancelled"; readonly jobs: number }
  | { readonly kind: "held"; readonly jobs: number }
  /** `existed`: it had been asked for and done before. `campaigns` wait anew for what they need. */
  | {
      readonly kind: "retried"
      readonly jobs: number
      readonly existed: boolean
      readonly campaigns: readonly CampaignId[]
    }
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly error: CahError }

/** One change of a job, for logs, metrics and the simulator's trace. */
export interface Move extends AttemptName {
  readonly node: NodeId | null
  readonly why: Why
  /** One sentence for people. */
  readonly event: string
  readonly from: Phase
  /** The phase, or the outcome of a job that ended. */
  readonly to: Phase | Outcome
  /** How long the job had been where it was. Wall time: for people. */
  readonly tookMs: number
  /** With an attempt's result: how long its command ran, as the node measured it. */
  readonly runMs: number | null
}

/**
 * What the ticks of one transaction ask for. Rows are made when it is committed, so that a job that changed three times is
 * written once.
 */
export interface Effects {
  readonly speech: Speech[]
  /** Jobs that had ended and live again, before the rows that say so: at most one of a campaign. */
  readonly retries: Extract<Write, { kind: "retry" }>[]
  /** Writes that are not the latest state of something: in this order, after the rows. */
  readonly writes: Write[]
  readonly campaigns: Set<Campaign>
  /** Campaigns that have ended, by owner and key: gone from the state, and perhaps not on disk yet. */
  readonly ended: Map<string, Campaign>
  readonly jobs: Set<Job>
  readonly nodes: Set<Node>
  /** Whose usage changed. */
  readonly accounts: Set<Account>
  readonly moves: Move[]
}

export function noEffects(): Effects {
  return {
    speech: [],
    retries: [],
    writes: [],
    campaigns: new Set(),
    ended: new Map(),
    jobs: new Set(),
    nodes: new Set(),
    accounts: new Set(),
    moves: [],
  }
}
