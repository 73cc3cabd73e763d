// What the agent knows, in its own words. Times are monotonic milliseconds of this process.
import type { Digest } from "../../proto/wire/digest.ts"

/** "12.7#2": the second attempt at job 12.7. */
export type AttemptId = string & { readonly brand: "AttemptId" }

export interface AttemptName {
  readonly campaign: number
  readonly index: number
  readonly attempt: number
}

export function attemptId(name: AttemptName): AttemptId {
  return `${name.campaign}.${name.index}#${name.attempt}` as AttemptId
}

export interface BlobRef {
  readonly digest: Digest
  readonly sizeBytes: number
}

export interface Needs {
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

/** All that is needed to run it; kept in the journal, so plain JSON. */
export interface RunSpec {
  readonly owner: string
  readonly campaignName: string
  readonly project: string
  /** One element: a line for `sh -c`. More: a program and its arguments. */
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly stagein: BlobRef | null
  readonly stageout: readonly string[]
  readonly walltimeMs: number
  readonly needs: Needs
  /** The job's line of the parameter list. */
  readonly line: string | null
  readonly arraySize: number
}

export type Outcome = "finished" | "failed" | "timedout" | "lost" | "refused"

/** How the command ended. */
export interface Exit {
  /** 128 + n after signal n. */
  readonly exitCode: number
  /** One sentence when the exit code does not say it all; else empty. */
  readonly message: string
  readonly runMs: number
  readonly cpuMs: number
  readonly peakMemoryBytes: number
}

/** One output stream as it was kept: inline up to LOG_INLINE_MAX_BYTES, else as a spooled blob. */
export interface LogRef {
  /** Base64, so that a result is plain JSON in the journal. */
  readonly inline: string | null
  readonly blob: BlobRef | null
  readonly droppedBytes: number
}

export interface Result {
  readonly outcome: Outcome
  readonly exitCode: number
  readonly message: string
  readonly stageout: BlobRef | null
  readonly stdout: LogRef
  readonly stderr: LogRef
  readonly runMs: number
  readonly cpuMs: number
  readonly peakMemoryBytes: number
}

/**
 * Where an attempt is on this node:
 *
 *     staging --StageinReady--> running --CommandEnded--> packing --ResultPacked--> uploading --Uploaded--> reporting
 *        |                         |                         |                          |                      |
 *        +--------- stopping (told to kill; waits for what is under way to end) -------+                   forgotten
 *
 * `reporting` ends when the hub has answered the report: accepted, already or stale.
 */
export type Step = "staging" | "running" | "packing" | "uploading" | "reporting" | "stopping"

export interface Attempt {
  readonly name: AttemptName
  readonly spec: RunSpec
  step: Step
  /** In stopping: what is still under way and must end first. */
  underway: boolean
  /** Killed at its walltime, not by the hub: its result counts, as timedout. */
  overtime: boolean
  result: Result | null
  /** When the command must be over. Null while it does not run. */
  deadlineMs: number | null
  /** The last step that the hub acknowledged; reports are repeated until it is the present one. */
  acknowledged: "nothing" | "staging" | "running" | "returning"
  /** When the present report is to be repeated. */
  repeatAtMs: number
  /** Tries of an upload or a stagein so far: backs off. */
  tries: number
  /** When to try again, if waiting for that. */
  retryAtMs: number | null
}

export interface Capacity {
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

export interface State {
  readonly capacity: Capacity
  readonly attempts: Map<AttemptId, Attempt>
  /** Between a welcome and the loss of the link. */
  connected: boolean
  heartbeatMs: number
  nextHeartbeatMs: number
  sequence: number
  /** No more offers are taken; set when the agent is stopping. */
  leaving: boolean
}
