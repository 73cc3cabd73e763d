// Bounds of an order that both sides know: the hub refuses what is beyond one, a client says so sooner and with the line. Here once, so that
// they cannot differ.

/** Jobs in one campaign. */
export const ARRAY_MAX = 10_000_000
/** Campaigns that one may wait for. */
export const AFTER_MAX = 100
/** Ways in which one campaign's jobs may be run. People write two or three. */
export const SHAPES_MAX = 16
/** Further tries of one job, and attempts it may lose: beyond it a job is poison, whatever its scientist hopes. */
export const RETRIES_MAX = 100
export const LOSS_MAX_MAX = 1_000
/** Named parameters of a job: each is an environment variable. More belong into a file of the stagein. */
export const PARAMETER_NAMES_MAX = 64
/** Priorities either way, and slots of one job: guesses. */
export const PRIORITY_MAX = 1_000
export const SLOTS_MAX = 1_024
