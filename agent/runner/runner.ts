// The port that an attempt's command is run through. Implementations: process.ts (the real one), noop.ts (benchmarks). A runner knows
// nothing of links, journals or outputs; walltimes are the core's business, which asks to stop.
import type { AttemptName, Exit, RunSpec } from "../core/model.ts"

export interface RunRequest {
  readonly name: AttemptName
  readonly spec: RunSpec
  /** The attempt's own directory, which the job does not see. */
  readonly directory: string
  /** The command's working directory, which exists. */
  readonly work: string
  /** Takes the command's output. The promise is the back-pressure: until it resolves, the command's pipe is not read. */
  readonly onOutput: (output: "stdout" | "stderr", bytes: Uint8Array) => Promise<void>
}

export interface Run {
  /** Resolves, never rejects, when the command has begun, or it is clear that it never will. */
  readonly begun: Promise<void>
  /** Resolves, never rejects, when the command and all that it started are gone and all output was given. */
  readonly ended: Promise<Exit>
  /** TERM to the whole tree; KILL to what is left of it after the grace. Called again, the grace that is over first counts. */
  stop(graceMs: number): void
}

/** Whom the files of a job must belong to, where that is not the agent's own user. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface Runner {
  readonly owner: Owner | null
  start(request: RunRequest): Run
  /** Ends whatever an earlier life of the agent left running below this directory of attempts. Returns how many processes that were. */
  killLeftovers(attempts: string): Promise<number>
}
