// Every bound of the agent, with its unit and its reason. Reaching one is an outcome, and tested. Those that it shares with hub and client:
// proto/wire/bounds.ts; of a command's words and variables: proto/wire/command.ts.

export {
  NODE_SLOTS_MAX,
  STAGEOUT_BYTES_MAX,
  STAGEOUT_GLOBS_MAX,
  WALLTIME_DEFAULT_MS,
  WALLTIME_MAX_MS,
} from "../proto/wire/bounds.ts"

/** A report not answered is repeated after this. Links do not lose frames; hubs that die before the commit do. */
export const REPORT_REPEAT_MS = 15_000
/** Waits between tries of a stagein or an upload, doubling between these. */
export const RETRY_MIN_MS = 1_000
export const RETRY_MAX_MS = 60_000
/** Tries of a stagein before the attempt is given up as lost: another node may have better luck. */
export const STAGE_TRIES_MAX = 8
/** TERM, then this long, then KILL: for a command whose walltime is over, and whose files are still wanted. */
export const WALLTIME_GRACE_MS = 5_000
/** The same for a command that nobody wants any more: dead within 2 s of the hub's word (I9, docs/reliability.md). */
export const CANCEL_GRACE_MS = 1_000
/** stdout and stderr each: the first half and the last half of this are kept. */
export const LOG_MAX_BYTES = 10 * 1024 * 1024
/** A log up to here travels inside the report. */
export const LOG_INLINE_MAX_BYTES = 16 * 1024

// ---- cache, runner, journal, engine ----

/** Stageins kept on disk unless told otherwise, and at most this share of what is free: a volunteer's disk is a guest room. */
export const CACHE_MAX_BYTES = 10 * 1024 ** 3
export const CACHE_FREE_SHARE = 0.25
/** In a virtual machine the disk is all the agent's: jobs get this share, the cache its own, and the rest is the journal's and the file system's. */
export const GUEST_DISK_SHARE = 0.7
/** Memory of a virtual machine that is not for jobs: kernel, agent, and page cache enough to work in. Measured: docs/appliance.md. */
export const GUEST_SYSTEM_BYTES = 128 * 1024 ** 2
/** What a stagein may unpack to, beside what the job asked for: disk the scientist never thought about. */
export const UNPACKED_MAX_BYTES = 20 * 1024 ** 3
/** Files and folders that an attempt's stageins unpack to, gathered ones together: inodes of the volunteer's. One archive has its own bound. */
export const UNPACKED_ENTRIES_MAX = 1_000_000
/** Files that changed while they were packed are left out one by one, this often, before packing is given up. */
export const PACK_TRIES_MAX = 8
/** Of the entries that could not be packed as outputs and of what is wrong with them, in a message; the rest are counted. */
export const PROBLEMS_MAX_CHARACTERS = 1_500
/** Patterns that matched nothing, each a warning; the rest are counted. */
export const PATTERNS_NAMED_MAX = 10
/** /tmp of a sandboxed job lies in memory: enough for scratch files, too little to sink a small machine. */
export const SANDBOX_TMP_BYTES = 1024 ** 3
/** Rounds of stop-and-kill over a tree that keeps forking. Each round stops all it sees first, so two are usual. */
export const KILL_ROUNDS_MAX = 20
/** After a job's tree is dead, its pipes close at once. A process that got away may hold them; nobody waits longer for it. */
export const PIPE_CLOSE_MS = 2_000
/** Usage is sampled at growing intervals, each this share of the run so far: what is missed stays a small share. */
export const SAMPLE_FIRST_MS = 10
export const SAMPLE_GROWTH = 1.2
export const SAMPLE_MAX_MS = 1_000
/** Processes and threads of one job, for each of its slots (docs/security.md, The sandbox). Where the kernel counts them. */
export const PIDS_PER_SLOT = 256
/** The sandbox is tried at start, for so long, and as often as this, each time for twice as long: a machine may be busy while it boots. */
export const PROBE_MS = 10_000
export const PROBE_TRIES_MAX = 4
/** Named pipes are made so many at a time, by one process: for 32 jobs. A name costs an entry in a directory. */
export const PIPES_AT_ONCE = 64
/**
 * Each process may set aside so many times the memory that its job may use, where the kernel does not count what is used: runtimes reserve what
 * they never touch. What is used is watched.
 */
export const DATA_LIMIT_FACTOR = 2
/** A working directory is summed up this often; if that takes long, so that it is at most this share of the time; but at least every half minute. */
export const DISK_WATCH_FIRST_MS = 2_000
export const DISK_WATCH_SHARE = 0.05
export const DISK_WATCH_MAX_MS = 30_000
/** What any file or directory counts for: some file systems keep small ones in their tables, which are no less full for it. */
export const ENTRY_LEAST_BYTES = 1_024
/** How often it is looked whether what was asked to end has ended: soon, and less often as it takes longer. */
export const END_LOOK_FIRST_MS = 5
export const END_LOOK_GROWTH = 1.5
export const END_LOOK_MAX_MS = 250
/** Told to stop, the agent ends what runs, reports it and goes after this at the latest. Systemd kills after 90 s. */
export const LEAVE_MS = 20_000

// ---- time that is lost ----

/** How often the outside clock is looked at. With the probe below, a link that did not survive is known within 5 s. */
export const LAPSE_WATCH_MS = 2_000
/** A clock of whole seconds is a second off at most; this much is no rounding. */
export const LAPSE_MIN_MS = 2_000
/** After a lapse the hub has this long to answer a ping. */
export const LAPSE_ANSWER_MS = 3_000
/** A guest's clock that is further off than this is set. */
export const CLOCK_SET_MS = 2_000

// ---- link ----

/**
 * Wait before dial n after n failures: a random part of min(this maximum, 1 s doubled n times). Full jitter. The maximum is
 * also when the last of all agents is back after the hub is: two minutes, as we promise.
 */
export const DIAL_MIN_MS = 1_000
export const DIAL_MAX_MS = 120_000
/** A hub that welcomed us is there: after a short session the wait begins again from no more than 4 s. */
export const DIAL_FAILURES_AFTER_WELCOME = 2
/** A session that held this long was a good one: the next failure counts as the first. */
export const SESSION_GOOD_MS = 60_000
/** The longest that a hub can send us away for. Beyond it somebody made a mistake. */
export const RETRY_AFTER_MAX_MS = 3_600_000
/** Another agent uses our key and took over: come back late, or the two chase each other off for ever. */
export const SUPERSEDED_RETRY_MS = 60_000
/**
 * A hub that refuses a node which has joined is asked again between this and twice this later, doubling up to the second. With the
 * jitter on top that is an hour on the average: whoever put up the wrong database needs no more than one of them.
 */
export const SENT_AWAY_FIRST_MS = 60_000
export const SENT_AWAY_MAX_MS = 2_400_000
/** TCP, TLS and the upgrade; then from the upgrade to the welcome. Longer than the hub's own patience. */
export const HANDSHAKE_MS = 20_000
export const WELCOME_MS = 45_000
/** Silence after which the hub is pinged, and again; the link is dead after two such pings without any answer: within 45 s. */
export const PING_MS = 14_000
export const PING_MISSES_MAX = 2
/** How often the link's deadlines are looked at. */
export const LINK_WATCH_MS = 1_000
/** Nothing moves on a stream, or nothing of ours is taken, for this long: it is given up and tried again. Above the hub's. */
export const STUCK_MS = 90_000
/** Of all that come in, windows are wider until they are so much together; then each is the least. */
export const WINDOWS_BYTES = 1024 * 1024
/** At a close the goodbye to the hub may take this long. */
export const CLOSE_MS = 5_000
/** WebSocket fragments of one message. Our hub never fragments; a proxy may. */
export const FRAGMENTS_MAX = 64
/** Of a refusal's words, kept for people. */
export const REFUSAL_MAX_BYTES = 512
/**
 * Node's own, given by whatever we hand out that starts an agent. What a socket brought lies outside V8's heap, which only counts it: with a young
 * generation of the usual size, collected seldom, a GiB of stagein made it collect its whole heap fifty times, for a fifth of the
 * agent's time. And an agent's heap is small, and the other cores are its jobs': threads that help to collect it only
 * hold up its own (npm run bench -- --only stream).
 */
export const AGENT_NODE_FLAGS = ["--max-semi-space-size=1", "--single-threaded-gc"]
