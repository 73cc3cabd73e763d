// What the agent needs from the world, as interfaces. Adapters implement them and do not know each other; main.ts alone names concrete
// ones. Same shapes as hub/core/ports.ts where both have one, written twice because neither side imports the other.
import type { ReportPhase } from "./events.ts"
import type { AttemptName, BlobRef, Result } from "./model.ts"

export interface Clock {
  /** Monotonic ms: durations and deadlines. */
  nowMs(): number
  /** Wall time ms: people. */
  wallMs(): number
}

export type LogFields = Record<string, unknown>

export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** Something that was asked for did not work. The message goes to the hub and to people; the cause stays in the log. */
export class Failure extends Error {
  override readonly name = "Failure"
  /** Trying again will not help. */
  readonly final: boolean

  constructor(message: string, options: { final: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.final = options.final
  }
}

/** The link, as the engine and the cache see it. Rejections that are not a final Failure are worth another try. */
export interface Link {
  /** Dropped silently while there is no link: the core repeats it. */
  report(name: AttemptName, phase: ReportPhase, result: Result | null): void
  heartbeat(sequence: number): void
  /** The blob's bytes from an offset on. Not verified: that is for whoever keeps them. */
  fetchBlob(name: AttemptName, blob: BlobRef, offsetBytes: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Rejects like the others. */
  listGather(name: AttemptName, fromIndex: number, signal: AbortSignal): Promise<GatherPage>
  /** Resolves once the hub has it whole and on disk. `open` is called with the offset from which the hub wants it. */
  upload(
    name: AttemptName,
    blob: BlobRef,
    open: (offsetBytes: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void>
}

/** What an attempt gathers, page by page. */
export interface GatherPage {
  readonly entries: readonly { readonly index: number; readonly blob: BlobRef }[]
  /** Null: this was the last. */
  readonly nextIndex: number | null
  /** Jobs of the campaign that is gathered. */
  readonly arraySize: number
}

export type OutputName = "stdout" | "stderr"

/** Live output of attempts that run here, for the link to serve. Null: no such attempt, or it has ended. */
export type LogSource = (name: AttemptName, output: OutputName, offset: number) => AsyncIterable<Uint8Array> | null
