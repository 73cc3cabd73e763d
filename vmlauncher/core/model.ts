// What the launcher knows of its one virtual machine. Times are monotonic milliseconds of this process.

/**
 * Where the machine is:
 *
 *     preparing --Prepared--> starting --Started--> up --quit--> saving --Saved------------------> ended
 *         |                   ^   |                 | \            | SaveFailed                      ^
 *     CannotPrepare      retry|   | StartFailed     |  \           v                                 |
 *         v                   |   v                 |   +------> leaving (power button) --Stopped----+
 *       ended               waiting <---Stopped--- clearing <------+ time is over                    |
 *                             |                     |                                                |
 *                             +--- too often -------+------------------------------ Stopped ---------+
 *
 * preparing: the image is checked, the hypervisor chosen, old things swept. starting: the hypervisor was told; entry of `helloLeftMs`.
 * up: it runs or stands paused. saving: its memory goes to disk. leaving: the guest was asked to switch off. clearing: it is being
 * killed. waiting: no machine; a start follows at `retryAtMs`, or when the volunteer lets it run. ended: nothing follows.
 */
export type Phase = "preparing" | "starting" | "up" | "saving" | "leaving" | "clearing" | "waiting" | "ended"

/** How the launcher ends, and what the client is told. */
export interface Ending {
  /** quit: come back whenever you like. later: not before `seconds`. done: the work is over. broken: this work cannot go on here. aborted: nobody wants it. */
  readonly kind: "quit" | "later" | "done" | "broken" | "aborted"
  /** One plain sentence for the volunteer. */
  readonly reason: string
  /** For "later". */
  readonly seconds: number
}

export interface State {
  phase: Phase
  /** The volunteer's word: run, or stand still. */
  mayRun: boolean
  /** What the machine was last told. */
  isPaused: boolean
  /** There is a saved machine to go on with. */
  hasSave: boolean
  /** The guest's agent has spoken to the hub since this start. */
  hasHello: boolean
  /** It has had work, now or before it was saved: worth the time of another save. */
  hasWork: boolean
  /** Whether no job is in the machine, as it said last; null: it has not said. */
  isIdle: boolean | null
  /** How long a machine may be idle before its computer is left to others; null: for ever. */
  readonly idleMaxMs: number | null
  /** When that is over. Null while it works, stands still, or has not been welcomed. */
  idleAtMs: number | null
  /** What was left of that when it was paused; null: it was not idle. */
  idleLeftMs: number | null
  /** The work is over once the machine holds no job. */
  isFinishing: boolean
  /** The machine is being ended so that another, smaller one can follow. */
  isShrinking: boolean
  /** A guest that was not heard for this long, while it could run, is given up. Null while it stands still. */
  silenceAtMs: number | null
  /** What was left of that when it was paused. */
  silenceLeftMs: number
  /** A guest without work that dials and is not welcomed by then is given up: its hub is away. */
  helloAtMs: number | null
  /** When the phase must be over: starting, saving, leaving, clearing. */
  deadlineMs: number | null
  /** When all must be over, once the client has said quit. */
  quitAtMs: number | null
  retryAtMs: number | null
  /** Failures in a row. */
  failures: number
  /** When the row is forgotten. */
  healthyAtMs: number | null
  /** Of the failure that is being cleared away. */
  failure: string
  diskFullSinceMs: number | null
  diskRetryAtMs: number | null
  ending: Ending | null
  /** Who forbids the network; all must agree for it to be open. */
  readonly networkClosedBy: Set<NetworkGate>
}

/** client: the volunteer's preferences. budget: its bytes are used up. */
export type NetworkGate = "client" | "budget"
