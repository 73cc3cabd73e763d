// What a simulated world is to be like, and what is told of it afterwards.
import type { MutantName } from "./broken.ts"

export interface Setting {
  readonly seed: number
  readonly agents: number
  readonly jobs: number
  /** Virtual hours with faults; afterwards the world is left in peace until it rests. */
  readonly hours: number
  readonly faults: string
  /** Sqlite: the hub's own database, so that each restart is the real one. */
  readonly store: "memory" | "sqlite"
  /** A deliberately broken core, to show that the checkers find it. */
  readonly broken: MutantName | null
  /** False: slow attempts are not doubled. */
  readonly rescue: boolean
  /** Three owners with different pasts who all want more than there is, to see what they get. */
  readonly fair: boolean
}

export interface Report {
  readonly violations: readonly string[]
  readonly hash: string
  readonly virtualHours: number
  readonly moves: number
  readonly losses: number
  readonly runs: number
  /** Attempts offered beside a slow one. */
  readonly rescues: number
  readonly hubCrashes: number
  /** Campaigns, by their owners or by age. */
  readonly forgotten: number
  /** Campaigns of which something was tried again after it had ended. */
  readonly retried: number
  /** Nodes where every command fails. */
  readonly sick: number
  readonly outcomes: Record<string, number>
  /** The longest that an owner's turn took, ms. */
  readonly longestWaitMs: number
  /** Core-seconds by owner in the second half of the time with faults. */
  readonly used: Readonly<Record<string, number>>
}
