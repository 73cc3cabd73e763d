// All that the core may ask for. Writes go to disk first, as one transaction a tick; the rest is spoken after.
// Every effect is idempotent or derivable again from the store, so a crash between the two costs a delay, never a job.
import type { CahError } from "./errors.ts"
import type { RequestId } from "./events.ts"
import type { CampaignId, LinkId, NodeId, Outcome } from "./model.ts"
import type { Write } from "./ports.ts"

export type ReconcileAnswer = "continue" | "kill" | "discard" | "accepted"
export type ReportAnswer = "accepted" | "already" | "stale"

export interface AttemptName {
  readonly campaign: CampaignId
  readonly index: number
  readonly attempt: number
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
  | ({ readonly kind: "Offer"; readonly link: LinkId } & AttemptName)
  | ({ readonly kind: "Kill"; readonly link: LinkId; readonly reason: string } & AttemptName)
  | ({
      readonly kind: "AnswerReport"
      readonly link: LinkId
      readonly phase: "staging" | "running" | "returning" | "ended"
      readonly answer: ReportAnswer
    } & AttemptName)
  | { readonly kind: "AnswerHeartbeat"; readonly link: LinkId; readonly sequence: number; readonly leaseMs: number }
  /** For good: the node was revoked, or another session took its place. */
  | { readonly kind: "CloseLink"; readonly link: LinkId; readonly why: "superseded" | "revoked" }
  | { readonly kind: "CampaignChanged"; readonly campaign: CampaignId }
  | { readonly kind: "JobEnded"; readonly campaign: CampaignId; readonly index: number; readonly outcome: Outcome }

export type Reply =
  | { readonly kind: "submitted"; readonly campaign: CampaignId; readonly jobs: number; readonly existed: boolean }
  | { readonly kind: "cancelled"; readonly jobs: number }
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly error: CahError }

export interface Effects {
  readonly writes: Write[]
  readonly speech: Speech[]
}
