// Every bound of the agent, with its unit and its reason. Reaching one is an outcome, and tested.

/** A report not answered is repeated after this. Links do not lose frames; hubs that die before the commit do. */
export const REPORT_REPEAT_MS = 15_000
/** Waits between tries of a stagein or an upload, doubling between these. */
export const RETRY_MIN_MS = 1_000
export const RETRY_MAX_MS = 60_000
/** Tries of a stagein before the attempt is given up as lost: another node may have better luck. */
export const STAGE_TRIES_MAX = 8
/** TERM, then this long, then KILL. */
export const KILL_GRACE_MS = 5_000
/** stdout and stderr each: the first half and the last half of this are kept. */
export const LOG_MAX_BYTES = 10 * 1024 * 1024
/** A log up to here travels inside the report. */
export const LOG_INLINE_MAX_BYTES = 16 * 1024
