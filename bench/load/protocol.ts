// What the benchmark and its load processes say to each other: each order is answered once, in order.
import type { CampaignTally } from "./tally.ts"

/** ms at least and at most; each command draws its own. Both 0: it does nothing. */
export type RunMs = readonly [least: number, most: number]

/** Where a hub is, and what it asks a scientist for. */
export interface HubAddress {
  readonly url: string
  readonly bearer: string
}

/** By what jobs are submitted: the same messages in three protocols' envelopes. */
export type Via = "grpc" | "connect" | "grpc-web"

export type LoadOrder =
  | {
      readonly kind: "connect"
      readonly url: string
      readonly enrolTokens: readonly string[]
      readonly agents: number
      readonly slots: number
      readonly runMs: RunMs
      readonly fourReports: boolean
      /** Of the first agent, so that names differ between processes. */
      readonly firstNumber: number
    }
  /** Submits. Each job with a line of its own, or one array. */
  | (HubAddress & { readonly kind: "begin"; readonly jobs: number; readonly different: boolean })
  /** Waits until every job's end of a campaign that was begun was accepted here. */
  | { readonly kind: "finish"; readonly campaign: number }
  /** Submits one job after the other, each when the one before is over, while others run beside it, so many a second. */
  | (HubAddress & {
      readonly kind: "latency"
      readonly jobs: number
      readonly pauseMs: number
      readonly besidesPerSecond: number
    })
  /** Submits so many jobs a second for so long, and waits until all have ended. */
  | (HubAddress & { readonly kind: "steady"; readonly jobsPerSecond: number; readonly seconds: number })
  /** Only submits different jobs. */
  | (HubAddress & { readonly kind: "submit"; readonly jobs: number; readonly via: Via })
  /** Gets all there that blobs can be moved with, between the hub, or a bare HTTP server, and so many agents at once. */
  | TransferOrder
  /** Moves them. */
  | { readonly kind: "transfer" }
  | { readonly kind: "look" }

export type TransferOrder = HubAddress & {
  readonly kind: "prepareTransfer"
  readonly to: "hub" | "bare http"
  readonly enrolTokens: readonly string[]
  readonly direction: "stagein" | "stageout"
  readonly agents: number
  readonly bytesEach: number
}

export interface Began {
  readonly campaign: number
  readonly jobs: number
  /** Until the submit was answered. */
  readonly acceptSeconds: number
}

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
  /** Jobs that ran beside them, and how many that were a second. */
  readonly besides: number
  readonly besidesPerSecond: number
}

export interface SteadyRan {
  readonly jobs: number
  /** To the last accepted end: much more than was ordered means that the hub did not keep up. */
  readonly seconds: number
}

export interface Transferred {
  /** From the word "go" to the last byte, hashed and, of a stageout, on the hub's disk. */
  readonly seconds: number
  /** Of a control frame and its answer on a link that is full of chunks. ms. Empty for bare HTTP, which has none. */
  readonly roundTripMs: readonly number[]
}

export interface LoadLook {
  readonly links: number
  readonly lostLinks: number
  readonly beats: number
  readonly heartbeats: number
  readonly reports: number
  readonly answers: number
  /** Of all campaigns that were not forgotten. */
  readonly offered: number
  readonly ended: number
  /** Commands that ended while their agent had no link. */
  readonly endedAway: number
  /** Wall time, ms: comparable between processes of one machine. */
  readonly lastWelcomeAt: number
  readonly refusals: readonly (readonly [why: string, count: number])[]
  readonly oddities: readonly string[]
}

export type LoadAnswer =
  | { readonly kind: "connected"; readonly seconds: number }
  | { readonly kind: "began"; readonly began: Began }
  | { readonly kind: "ran"; readonly ran: CampaignRan }
  | { readonly kind: "latencies"; readonly latencies: Latencies }
  | { readonly kind: "steady"; readonly steady: SteadyRan }
  | { readonly kind: "submitted"; readonly seconds: number; readonly loadCpuSeconds: number }
  | { readonly kind: "transferPrepared" }
  | { readonly kind: "transferred"; readonly transferred: Transferred }
  | { readonly kind: "looked"; readonly look: LoadLook }
  | { readonly kind: "failed"; readonly message: string }
