// What the agent knows, in its own words. Times are monotonic milliseconds of this process.
import type { Digest } from "../../proto/wire/digest.ts"
import type { NodeProperties } from "../../proto/wire/property.ts"

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
  /** The stagein is gathered from another campaign's stageouts, besides. */
  readonly gather: boolean
  readonly stageout: readonly string[]
  /** A pattern that matches nothing is a failure. */
  readonly requireStageout: boolean
  readonly walltimeMs: number
  /** From the TERM at its walltime to the KILL. */
  readonly graceMs: number
  /** What the node must be like; empty: anything. */
  readonly property: string
  readonly needs: Needs
  /** The job's line of the parameter list. */
  readonly line: string | null
  readonly arraySize: number
  /** It has its room from a container that runs here, and takes none of its own. */
  readonly inside: boolean
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
  /** One a line; empty: nothing. They do not change the outcome. */
  readonly warnings: string
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
 *        |                     told to stop                  |                          |                  answered:
 *        |                         v                         |                          |                  forgotten
 *        |                     stopping --CommandEnded--+    |                          |
 *        +---------------- told to stop ----------------+----+--------------------------+---> reporting "lost"
 *
 * The answer to the last report (accepted, already or stale) ends it here; until then it is in the journal.
 */
export type Step = "staging" | "running" | "stopping" | "packing" | "uploading" | "reporting"

export interface Attempt {
  readonly name: AttemptName
  readonly spec: RunSpec
  step: Step
  /** The engine is at work on this step. False in staging and uploading: it waits to try again. */
  underway: boolean
  /** Killed at its walltime, not by the hub: its result counts, as timedout. */
  overtime: boolean
  /** Why it is being stopped, in stopping. */
  stopReason: string
  /** From the end of the command on. */
  exit: Exit | null
  /** From the end of packing on. */
  result: Result | null
  /** When the command must be over. Null while it does not run. */
  deadlineMs: number | null
  /** The hub has answered the report of the present step. */
  acknowledged: boolean
  /** When that report is to be repeated. */
  repeatAtMs: number
  /** Tries of a stagein or an upload that failed: backs off. */
  tries: number
  /** When to try again. */
  retryAtMs: number | null
}

export interface Capacity {
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

export interface State {
  readonly capacity: Capacity
  /** In an appliance, what this node is judged by; null elsewhere. */
  readonly facts: NodeProperties | null
  readonly attempts: Map<AttemptId, Attempt>
  /** Between a welcome and the loss of the link. */
  connected: boolean
  heartbeatMs: number
  nextHeartbeatMs: number
  sequence: number
  /** No more offers are taken; set when the agent is stopping. */
  leaving: boolean
}
