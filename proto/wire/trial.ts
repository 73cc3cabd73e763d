// What `cah-agent try DIR` leaves in DIR/result.json for `cah try`, which share no code but the contract.

export interface TryResult {
  readonly outcome: "finished" | "failed" | "timedout"
  readonly exitCode: number
  /** One sentence when the exit code does not say it all; else empty. */
  readonly message: string
  /** One a line; else empty. */
  readonly warnings: string
  readonly runMs: number
  readonly cpuMs: number
  readonly peakMemoryBytes: number
  /** Whether DIR/stageout.tar is there. */
  readonly hasStageout: boolean
  /** Bytes of output beyond what an agent keeps. */
  readonly droppedBytes: { readonly stdout: number; readonly stderr: number }
  readonly sandbox: "bwrap" | "none"
  /** Why there is no sandbox; else empty. */
  readonly whyNone: string
  readonly processor: string
}
