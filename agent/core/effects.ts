// All that the agent's core may ask for, carried out in this order by the engine. Journal entries are on disk before
// anything after them is done.
import type { ReportPhase } from "./events.ts"
import type { AttemptName, BlobRef, Exit, Result, RunSpec } from "./model.ts"

export type Effect =
  /** Kept on disk until forgotten: survives our own kill -9. */
  | { readonly kind: "Journal"; readonly name: AttemptName; readonly spec: RunSpec; readonly result: Result | null }
  /** Journal entry, working directory and spooled outputs go. Anything still under way for it is aborted. */
  | { readonly kind: "Forget"; readonly name: AttemptName }
  /** Dropped silently if the link is down: the core repeats it. */
  | {
      readonly kind: "SendReport"
      readonly name: AttemptName
      readonly phase: ReportPhase
      readonly result: Result | null
    }
  | { readonly kind: "SendHeartbeat"; readonly sequence: number }
  /** Fetch the stagein once per digest, unpack it safely into a fresh working directory. Ends in StageinReady or StageinFailed. */
  | { readonly kind: "Stage"; readonly name: AttemptName; readonly spec: RunSpec }
  /** CommandBegan, once it runs; then it ends in CommandEnded, whatever happens. */
  | { readonly kind: "Run"; readonly name: AttemptName; readonly spec: RunSpec }
  /** TERM to the whole tree, KILL after the grace. Said again with a shorter grace, the shorter one counts. For a stage, pack or upload under way: abort it (then no event follows). */
  | { readonly kind: "Stop"; readonly name: AttemptName; readonly reason: string; readonly graceMs: number }
  /** Changed files and logs into the spool. Ends in ResultPacked. */
  | { readonly kind: "Pack"; readonly name: AttemptName; readonly spec: RunSpec; readonly exit: Exit }
  /** Each blob that the hub has not. Ends in Uploaded or UploadFailed. */
  | { readonly kind: "Upload"; readonly name: AttemptName; readonly blobs: readonly BlobRef[] }
