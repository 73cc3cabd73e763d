// All that may happen to the agent. Made by the link, the runner, the cache and the engine's timer.
import type { AttemptName, Exit, Result, RunSpec } from "./model.ts"

export type ReconcileAnswer = "continue" | "kill" | "discard" | "accepted"
export type ReportPhase = "staging" | "running" | "returning" | "ended"

export type Event =
  /** The hub knows us again. Answers come for each attempt named in the hello. */
  | {
      readonly kind: "Welcomed"
      readonly heartbeatMs: number
      readonly reconciled: readonly (AttemptName & { readonly answer: ReconcileAnswer })[]
    }
  | { readonly kind: "LinkLost" }
  | { readonly kind: "Offered"; readonly name: AttemptName; readonly spec: RunSpec }
  | { readonly kind: "KillAsked"; readonly name: AttemptName; readonly reason: string }
  | {
      readonly kind: "ReportAnswered"
      readonly name: AttemptName
      readonly phase: ReportPhase
      readonly answer: "accepted" | "already" | "stale" | "blobMissing"
    }
  /** Found in the journal at start: what an earlier run of the agent left. */
  | { readonly kind: "Recovered"; readonly name: AttemptName; readonly spec: RunSpec; readonly result: Result | null }
  | { readonly kind: "StageinReady"; readonly name: AttemptName }
  /** `final`: trying again will not help (a hostile archive, a blob the hub does not have). */
  | { readonly kind: "StageinFailed"; readonly name: AttemptName; readonly message: string; readonly final: boolean }
  /** The walltime counts from here: neither what was unpacked for it nor a wait for the disk is the command's. */
  | { readonly kind: "CommandBegan"; readonly name: AttemptName }
  | { readonly kind: "CommandEnded"; readonly name: AttemptName; readonly exit: Exit }
  /** Outputs are in the spool, the result names them. `outcome` in it is the core's business: the engine gives what was packed. */
  | { readonly kind: "ResultPacked"; readonly name: AttemptName; readonly packed: Packed }
  | { readonly kind: "Uploaded"; readonly name: AttemptName }
  | { readonly kind: "UploadFailed"; readonly name: AttemptName; readonly message: string; readonly final: boolean }
  /** Asked to stop: what runs is given up and reported lost, so that the hub need not wait for its lease. */
  | { readonly kind: "Leaving" }
  | { readonly kind: "Ticked" }

/** What packing found. A message tells what could not be packed (disk full, too large), and makes the job fail. */
export interface Packed extends Pick<Result, "stageout" | "stdout" | "stderr" | "warnings"> {
  readonly message: string
}
