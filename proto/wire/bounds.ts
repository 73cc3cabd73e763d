// Bounds that both sides of the contract know: the hub refuses what is beyond one, a client or an agent says so sooner and with the line. Here
// once, so that they cannot differ; each side's limits.ts passes them on.

// ---- an order ----

/** Jobs in one campaign. */
export const ARRAY_MAX = 10_000_000
/** Campaigns that one may wait for. */
export const AFTER_MAX = 100
/** Ways in which one campaign's jobs may be run. People write two or three. */
export const SHAPES_MAX = 16
/** Further tries of one job, and attempts it may lose: beyond it a job is poison, whatever its scientist hopes. */
export const RETRIES_MAX = 100
export const LOSS_MAX_MAX = 1_000
/** Priorities either way, and slots of one job: guesses. */
export const PRIORITY_MAX = 1_000
export const SLOTS_MAX = 1_024
/** Walltime when the scientist names none (OAR's habit), the shortest, and the longest. */
export const WALLTIME_DEFAULT_MS = 2 * 3_600_000
export const WALLTIME_MIN_MS = 1_000
export const WALLTIME_MAX_MS = 30 * 24 * 3_600_000
/** Patterns that say which files come back. */
export const STAGEOUT_GLOBS_MAX = 100
/** Names people give: of campaigns, projects, principals, accounts. */
export const NAME_CHARACTERS_MAX = 200
/** What makes a repeated submit the same. */
export const KEY_CHARACTERS_MAX = 200
/** Characters of a secret that webhooks are signed with. */
export const WEBHOOK_SECRET_CHARACTERS_MIN = 16
export const WEBHOOK_SECRET_CHARACTERS_MAX = 256

// ---- parameters ----

/** Named parameters of a job: each is an environment variable. More belong into a file of the stagein. */
export const PARAMETER_NAMES_MAX = 64
/** One line of parameters: travels with its offer, in a frame of 256 KiB. */
export const PARAMETER_BYTES_MAX = 16 * 1024
/** Parameters of one campaign: both sides hold them in memory, the client for a retry, the hub until they are on disk. */
export const PARAMETERS_BYTES_MAX = 128 * 1024 * 1024

// ---- files ----

/** One stagein. A guess: larger data belongs nearer to the nodes. */
export const STAGEIN_BYTES_MAX = 16 * 1024 ** 3
/** One stageout: what a job gives back at most. */
export const STAGEOUT_BYTES_MAX = 2 * 1024 ** 3

// ---- calls ----

/** Rows in one answer. */
export const PAGE_MAX = 1_000
/** The same with the parameters of each: 4 MiB of lines at most. */
export const PARAMETER_ROWS_MAX = 250
/** Ranges of jobs in one cancel or hold. More are sent in several. */
export const RANGES_MAX = 1_000
/** Agents that may join with one enrolment. */
export const ENROLMENT_USES_MAX = 10_000
/** An owner's share of the machines, against everybody's 1. */
export const SHARE_MIN = 0.001
export const SHARE_MAX = 1_000

// ---- nodes ----

/** Slots that a node may say it has. Far above any machine; bounds what arithmetic must bear. */
export const NODE_SLOTS_MAX = 4_096
