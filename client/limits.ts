// Every bound of the client, with its unit and its reason. Reaching one is an error with its own text, and tested.
// Where the hub has the same bound, the hub decides: ours only says so sooner and with the line number. Those that are one with the hub's stand
// in proto/wire/bounds.ts.

export * from "../proto/wire/bounds.ts"

/** Bytes in one upload message. The contract allows 256 KiB; half of it keeps other calls on the connection quick. */
export const CHUNK_BYTES = 128 * 1024
/** A message from the hub. 1000 campaigns with their specs fit; more is a broken or hostile hub. */
export const MESSAGE_MAX_BYTES = 16 * 1024 * 1024
/** Bytes a hub may send ahead of us: 100 Mbit/s at 300 ms, four results at once. HTTP/2's 64 KiB waits for us at every chunk. */
export const RECEIVE_WINDOW_BYTES = 4 * 1024 * 1024
/** How long a call with one answer may take. The hub commits within milliseconds; a loaded one within seconds. */
export const CALL_MAX_MS = 30_000
/** How long the hub may take to sync and check a whole upload after its last byte. */
export const UPLOAD_ANSWER_MAX_MS = 10 * 60_000
/** Tries of a call that may be repeated, with waits that double between these. About three seconds in all. */
export const CALL_TRIES = 4
export const CALL_WAIT_MIN_MS = 200
export const CALL_WAIT_MAX_MS = 2_000
/** Tries of a submit or a transfer in a row without progress. About half a minute: a hub restarts in less. */
export const TRANSFER_TRIES = 10
export const TRANSFER_WAIT_MAX_MS = 8_000
/** The longest wait between two tries of a watch, which goes on for ever: `wait` outlives a night's maintenance. */
export const WATCH_WAIT_MAX_MS = 15_000
/** Pings while calls are open, and how late their answer may be: the only way to notice a silently dropped path. */
export const KEEPALIVE_MS = 20_000
export const KEEPALIVE_ANSWER_MS = 20_000

/** Of the entries of a stagein that cannot be sent, and of what is wrong with them: a screenful; the rest are counted. */
export const PROBLEMS_MAX_CHARACTERS = 3_000
/** The same, in JSON. */
export const PROBLEM_DETAILS_MAX = 1_000
/** How long before its walltime a job ends that only holds its place. A guess: a loaded node needs seconds to begin it. */
export const HOLDING_MARGIN_S = 5
/** Exit codes that --retry-exit names: there are no more. */
export const EXIT_CODE_MAX = 255
/** A script travels in the specification, which the hub bounds; larger ones belong into the stagein. */
export const SCRIPT_MAX_BYTES = 48 * 1024
/** A job file, or a graph of jobs. Parameters have files of their own. */
export const JOB_FILE_MAX_BYTES = 1024 * 1024
/** Jobs of one graph: each is a campaign and a call. */
export const GRAPH_JOBS_MAX = 500
/** `cah top` looks this often: a terminal is redrawn, elsewhere a line is written. Speed is taken over the window. */
export const TOP_REDRAW_MS = 2_000
export const TOP_LINE_MS = 10_000
export const TOP_WINDOW_MS = 30_000
/** Campaigns it shows: a screen or two, and one list call. */
export const TOP_CAMPAIGNS_MAX = 100
/** Jobs that `oarstat` lists, each in a row: what people and their scripts read. */
export const OAR_ROWS_MAX = 10_000
/** Lines of parameters that a resubmission asks the hub for, one by one. */
export const RESUBMIT_LINES_MAX = 10_000
/** Jobs of an array with numbers that do not begin at 0: each is sent as a line. A guess at what one writes as a range. */
export const NUMBERED_MAX = 100_000
/** Ranges of jobs in a command that `explain` proposes. People must be able to read it. */
export const EXPLAIN_RANGES_MAX = 8
/** Nodes looked at for a property that none reports. */
export const PROPERTY_NODES_MAX = 1_000
/** Campaigns looked through for the size of a stagein that was named by its digest only. */
export const DIGEST_CAMPAIGNS_MAX = 100
/** Parameters in one message of a submit. */
export const PARAMETER_MESSAGE_BYTES = 128 * 1024

/** Its file: the secret, a newline, and what people put around it. */
export const SECRET_FILE_MAX_BYTES = 4_096
/** Tries after exit code 99 that `-t idempotent` stands for. OAR would go on for ever; here somebody lends the machines. */
export const IDEMPOTENT_RETRIES = 10

/** How long Tab waits for the hub, how long an answer is good for the next Tab, and how many words a person looks at. */
export const COMPLETE_MAX_MS = 1_000
export const COMPLETE_CACHE_MS = 10_000
export const COMPLETE_WORDS_MAX = 100

/** Files that `try` names one by one. */
export const TRY_FILES_SHOWN = 20

/** The longest --timeout: a timer of Node's holds 2³¹ ms. */
export const TIMEOUT_MAX_S = 24 * 24 * 3_600
/** Campaigns, and ranges of jobs, that one selector may name. More is a typing error. */
export const SELECT_MAX = 10_000
/** Campaigns watched at once by one `wait`: each is an open stream at the hub. */
export const WATCH_PARALLEL = 16
/** Campaigns that `wait --any` watches at once, all of them open streams. */
export const WATCH_ANY_MAX = 100
/** Results fetched at once. More gains little on one connection and costs the hub open files. */
export const GET_PARALLEL = 4
/** Failures of single jobs that `get` spells out before it only counts them. */
export const GET_ERRORS_SHOWN = 3

/** A token file or a typed token; ours have some 60 bytes. */
export const TOKEN_MAX_BYTES = 4_096
/** A configuration or credentials file. */
export const CONFIG_MAX_BYTES = 256 * 1024
/** Backups that a number may keep: a daily one for ten years. */
export const BACKUPS_KEPT_MAX = 3_650
