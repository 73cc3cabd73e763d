// Every bound of the hub, with its unit and its reason. Reaching one is an outcome, and tested.
// Frame and chunk sizes are the contract's: proto/wire/frame.ts.

// ---- decisions ----

/** The right to hold attempts, renewed by each heartbeat. Longer than a hub restart and a reboot of a home router. */
export const LEASE_MS = 10 * 60_000
/** 20 agents per second at 600 agents: 7–18 % of a core at 100,000 (measured). A lease outlives many lost ones. */
export const HEARTBEAT_MS = 30_000
/** An offer nobody answered by then is taken back. The agent answers as soon as its journal has it. */
export const OFFER_MS = 60_000
/** Attempts that nodes may lose before the job ends as lost. A guess: a node that loses ten in a row is the job's fault. */
export const LOSS_MAX = 10
/** After a loss the job waits, doubling from here to the maximum, so that a poison job cannot spin through nodes. */
export const BACKOFF_MIN_MS = 1_000
export const BACKOFF_MAX_MS = 5 * 60_000
/** Transitions kept per job for its story. Enough for three attempts in full. */
export const STORY_MAX = 24
/** Jobs in one campaign. */
export const ARRAY_MAX = 10_000_000
/** Walltime when the scientist names none (OAR's habit), and the longest. */
export const WALLTIME_DEFAULT_MS = 2 * 3_600_000
export const WALLTIME_MAX_MS = 30 * 24 * 3_600_000
/** Attempts one node may name in a hello or hold at once: bounds what a stranger can make us remember. */
export const HELD_MAX = 1_024
/** Events taken in one tick, so that a flood cannot keep the loop from its timers. */
export const TICK_EVENTS_MAX = 4_096

// ---- fronts ----

/** How finely the event loop's delay is sampled: 50 times a second costs nothing that can be measured. */
export const EVENT_LOOP_RESOLUTION_MS = 20
