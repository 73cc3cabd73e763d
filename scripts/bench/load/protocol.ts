// What the benchmark and its load processes say to each other: each order is answered once, in order.
import type { CampaignTally } from "./tally.ts"

export type LoadOrder =
  | {
      readonly kind: "connect"
      readonly url: string
      readonly enrolTokens: readonly string[]
      readonly agents: number
      readonly slots: number
      readonly runMs: number
      readonly fourReports: boolean
      /** Of the first agent, so that names differ between processes. */
      readonly firstNumber: number
    }
  /** Submits, and waits until every job's end was accepted here. */
  | {
      readonly kind: "campaign"
      readonly url: string
      readonly bearer: string
      readonly jobs: number
      /** Each job with a line of its own; else one array. */
      readonly different: boolean
    }
  /** Submits one job after the other, each when the one before is over. */
  | {
      readonly kind: "latency"
      readonly url: string
      readonly bearer: string
      readonly jobs: number
      readonly pauseMs: number
    }
  | { readonly kind: "look" }

export interface CampaignRan extends CampaignTally {
  /** From the first byte of the submit to the last accepted end, to the submit's answer, and to the first offer. */
  readonly seconds: number
  readonly acceptSeconds: number
  readonly firstOfferSeconds: number
  /** Of the load process, meanwhile: at its limit it is the load that is measured. */
  readonly loadCpuSeconds: number
}

export interface Latencies {
  /** From the submit's first byte to the offer at an agent, whose command runs then; and to the accepted end. ms, one each. */
  readonly runningMs: readonly number[]
  readonly endedMs: readonly number[]
}

export interface LoadLook {
  readonly links: number
  readonly lostLinks: number
  readonly heartbeats: number
  readonly reports: number
  readonly answers: number
  readonly lastWelcomeMs: number
  readonly refusals: readonly (readonly [why: string, count: number])[]
  readonly oddities: readonly string[]
}

export type LoadAnswer =
  | { readonly kind: "connected"; readonly seconds: number }
  | { readonly kind: "ran"; readonly ran: CampaignRan }
  | { readonly kind: "latencies"; readonly latencies: Latencies }
  | { readonly kind: "looked"; readonly look: LoadLook }
  | { readonly kind: "failed"; readonly message: string }
