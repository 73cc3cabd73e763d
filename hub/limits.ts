// Every bound of the hub, with its unit and its reason. Reaching one is an outcome, and tested.
// Frame and chunk sizes are the contract's: proto/wire/frame.ts; bounds that clients and agents know too: proto/wire/bounds.ts.

import { ARRAY_MAX } from "../proto/wire/bounds.ts"

export * from "../proto/wire/bounds.ts"

// ---- decisions ----

/** The right to hold attempts, renewed by each heartbeat. Longer than a hub restart and a reboot of a home router. */
export const LEASE_MS = 10 * 60_000
/**
 * A tenth of a lease, so that nine may be lost. It only renews: that the socket lives is known by pings. 100,000 agents then
 * cost 4–9 % of a core (measured at twice this rate: 7–18 %).
 */
export const HEARTBEAT_MS = 60_000
/** An offer not answered by then is taken back when the node is next heard. The agent answers as soon as its journal has it. */
export const OFFER_MS = 60_000
/** Attempts that nodes may lose before the job ends as lost. A guess: a node that loses ten in a row is the job's fault. */
export const LOSS_MAX = 10
/** Kinds of demand that the operator's page asks whether any node could run: each costs a look at the nodes until one could. */
export const OUTLOOK_DEMANDS_MAX = 1_000
/** Looks at a campaign's tail: often enough to help, seldom enough to cost nothing. */
export const TAIL_EVERY_MS = 10_000
/** Sooner when it is known that something is due, but not before this… */
export const TAIL_SOON_MS = 1_000
/** …nor before this for each job that is left: a look costs about half a microsecond for each, so that looks are 1 % of the time. */
export const TAIL_SOON_MS_PER_JOB = 0.05
/** Attempts of one job under way: the job's own and its rescue. More would cost what a third node could do for others. */
export const REPLICAS_MAX = 2
/** An attempt is slow, and doubled on an idle node, after this many times what its campaign's attempts took on average… */
export const TAIL_SLOW_FACTOR = 1.5
/** …and not before this: what ends in seconds is not worth a second run. */
export const TAIL_SLOW_MIN_MS = 20_000
/** A link that broke is back by then if it can be: an agent dials anew within 1 s, then 2. Later its node is missed in the tail. */
export const MISSED_MS = 5_000
/** After a start of the hub, when all nodes are away: agents have come back by then, also those that were told when (DRAIN_RETRY_MAX_MS). */
export const MISSED_AT_START_MS = 2 * 60_000
/** Used core-seconds count half after this: a week of silence nearly forgives a campaign. */
export const USAGE_HALF_LIFE_MS = 7 * 24 * 3_600_000
/** What a job counts for its owner's share when several are placed at once, before any of it was used. */
export const USAGE_PLACED_SECONDS = 60
/** A place in the order of owners is that of use so long ago at most: nobody notices a second, and a busy queue does not recount it. */
export const FAIR_STALE_MS = 1_000
/** Looks at what waits although it should not: jobs too large for any gap, best effort in others' way, reservations to come. */
export const LOOK_EVERY_MS = 5_000
/** A reservation's start is moved when the wall clock was set by more than this. */
export const CLOCK_JUMP_MS = 1_000
/** How late a campaign's deadline may be noticed when the wall clock was set meanwhile. */
export const DEADLINE_LOOK_MS = 10 * 60_000
/** A job whose turn it is and for which no gap was large enough gets a node kept for it after this. A guess at a patient scientist. */
export const PATIENCE_MS = 10 * 60_000
/** Of the nodes that are connected, as many may be kept for such jobs: idle slots are the price. One in any case. */
export const CLAIMS_SHARE = 0.1
/** A reservation is refused when it is less likely than this to get all it asks for. */
export const RESERVATION_CONFIDENCE_MIN = 0.5
/** What is known of now says less about later: after this, 1/e of it is left beside what the weeks before say. */
export const PRESENCE_MEMORY_MS = 6 * 3_600_000
/** Weeks of a node's presence that are remembered; older ones count half each time. */
export const PRESENCE_WEEKS = 8
/** Jobs of one hold that have not begun: each gets a row. Beyond it the whole campaign is the thing to hold. */
export const HOLD_JOBS_MAX = 10_000
/** Jobs that are tried again at once after they had ended: each is read from disk and gets a row, in one piece of the hub's time. */
export const RETRY_JOBS_MAX = 10_000
/** Campaigns that wait again at once because what they need is tried again. */
export const RETRY_CAMPAIGNS_MAX = 1_000
/** After a loss the job waits, doubling from here to the maximum, so that a poison job cannot spin through nodes. */
export const BACKOFF_MIN_MS = 1_000
export const BACKOFF_MAX_MS = 5 * 60_000
/**
 * What an attempt may take beyond its walltime, for staging, returning and pauses: six hours carry 2 GiB each way over a slow
 * home line. A guess. After it a node that only heartbeats has lost the attempt.
 */
export const ATTEMPT_SLACK_MS = 6 * 3_600_000
/** Failures in a row on one node, of one campaign, before anybody asks whether the node is to blame. */
export const STRIKES_MIN = 3
/** So unlikely by chance that the node gets no more of the campaign while its others are waited for. */
export const DOUBT_MAX = 0.05
/** Until so many elsewhere have gone well, nobody knows. */
export const ENOUGH_WELL = 8
/** Such a pause is looked at this often, and lasts so long, doubling to the maximum. */
export const PAUSE_LOOK_MS = 1_000
export const PAUSE_MIN_MS = 15_000
export const PAUSE_MAX_MS = 5 * 60_000
/** Attempts elsewhere speak for the campaign's jobs once they have run for ten times what the failed one took, and this. */
export const SURVIVED_FACTOR = 10
export const SURVIVED_MIN_MS = 10_000
/** Jobs looked at for that: a quarter of a thousand settles it, and costs a few microseconds. */
export const SURVIVORS_LOOKED_MAX = 256
/** A node in quarantine gets a job after this, doubling with each that fails, so that a sick one costs next to nothing… */
export const PROBE_MIN_MS = 60_000
export const PROBE_MAX_MS = 6 * 3_600_000
/** …and leaves after so many in a row that went well. */
export const PROBES_CLEAN = 3
/** A job that failed is kept from the nodes where it did for so long, if there are others. A guess: they may all be busy. */
export const ELSEWHERE_MS = 60_000
/** Lines in one stored page of parameters: a page is what one offer reads. */
export const PARAMETER_PAGE_LINES = 1_000
/** Attempts of a job that failed and were tried again, kept with what they wrote: the last ones… */
export const ATTEMPTS_KEPT = 5
/** …of so many such attempts of a campaign, the first ones: what fails more often is known by then. */
export const ATTEMPTS_PER_CAMPAIGN_MAX = 10_000
/** …and of each output, if it is no longer than this. With all that, 5 GB for a campaign that does nothing but fail and write. */
export const ATTEMPT_LOG_BYTES_MAX = 256 * 1024
/** Transitions kept per job for its story. Enough for three attempts in full. */
export const STORY_MAX = 24
/** Attempts one node may name in a hello or hold at once: bounds what a stranger can make us remember. */
export const HELD_MAX = 1_024
/** Between tries to open a store that failed: a full disk is not freed any faster. */
export const REOPEN_MS = 2_000
/** Events taken in one tick, so that a flood cannot keep the loop from its timers. */
export const TICK_EVENTS_MAX = 4_096

// ---- fronts ----

/** Whom one campaign may tell. */
export const NOTICES_MAX = 10
export const WEBHOOK_URL_CHARACTERS_MAX = 2_000
/** How far ahead nodes can be reserved: what is known of their habits says little beyond a few weeks. */
export const RESERVATION_AHEAD_MAX_MS = 30 * 24 * 3_600_000

/** What one owner may have unless the operator says otherwise (--quota-…). Jobs of campaigns under way: one array of the largest kind. */
export const QUOTA_JOBS = ARRAY_MAX
/** Submits: a hub takes a few thousand a second, from all. So many seconds' worth may come at once. */
export const QUOTA_SUBMITS_PER_SECOND = 1_000
export const QUOTA_SUBMITS_S = 20
/** Stagein that an owner keeps here. The disk's floor bounds all owners together. */
export const QUOTA_BYTES = 1024 ** 4
/** Campaigns watched and logs followed at once: each costs about a millisecond when its campaign changes. */
export const QUOTA_WATCHES = 200
/** Owners whose submits are remembered; the one who submitted longest ago is forgotten first. */
export const QUOTA_OWNERS_MAX = 10_000
/** Notices tried at once, over all owners and of one, and how long one try may take: a mailer or a web server that is slow is not waited for. */
export const NOTICES_AT_ONCE = 32
export const NOTICES_PER_OWNER = 2
/** A receiver that did not answer in that time is left alone for so long. */
export const NOTICE_SILENT_MS = 60_000
export const NOTICE_MS = 15_000
/** Between tries of a notice; after the last it is given up. */
export const NOTICE_RETRY_MS: readonly number[] = [60_000, 5 * 60_000, 30 * 60_000, 2 * 3_600_000, 12 * 3_600_000]

/** How finely the event loop's delay is sampled: 50 times a second costs nothing that can be measured. */
export const EVENT_LOOP_RESOLUTION_MS = 20
/** Whoever decides by the lag wants that of now, and not of one hiccup: fifty samples. */
export const EVENT_LOOP_WINDOW_MS = 1_000
/** A peer that has not said by then what it speaks is closed. As HELLO_MS of agents: slow is not silent. */
export const SNIFF_MS = 5_000
/** Handshakes and HTTP/1 heads: the same patience. */
export const HEADERS_MS = 5_000
/** HTTP heads, either version. Our longest real one is under 2 KiB. */
export const HEADER_BYTES_MAX = 16 * 1024
/** Streams of one HTTP/2 connection at once. */
export const HTTP2_STREAMS_MAX = 100
/** Bytes on their way on one HTTP/2 stream and on one connection: 100 Mbit/s at 80 ms. The default 64 KiB gives 6. */
export const HTTP2_STREAM_WINDOW_BYTES = 512 * 1024
export const HTTP2_SESSION_WINDOW_BYTES = 1024 * 1024
/** Memory one HTTP/2 session may hold, in MB (Node's unit). */
export const HTTP2_SESSION_MEMORY_MB = 8
/** Connections on the port: those of agents, and 500 more. The file-handle limit here is 20,000; blobs and the database need some of it. */
export const SOCKETS_MAX = 19_000
/** Above it, while the address that has most connections gives one up to another: so short that it is about those just accepted. */
export const SOCKETS_SPARE = 100
/** Connections from one address, loopback excepted (reverse proxies). A campus behind one NAT still fits. */
export const SOCKETS_PER_PEER_MAX = 1_024
/** A connection on which nothing moves is closed. Watches and followed logs say something every KEEP_ALIVE_MS. */
export const IDLE_MS = 2 * 60_000
export const KEEP_ALIVE_MS = 30_000
/** At the end, open calls may finish until then. Longer than an ordinary call, shorter than systemd's 90 s. */
export const DRAIN_MS = 10_000

// ---- volunteers ----

/** One scheduler request. An honest one has 6 to 10 KiB, and 64 KiB more for each result with much to say. */
export const BOINC_REQUEST_BYTES_MAX = 256 * 1024
/** Bodies of volunteers' requests that are being read at once, over all clients: at most 64 MiB. */
export const BOINC_REQUESTS_MAX = 256
/** Of these from one address: a school whose computers all call after a power cut, each for some milliseconds. */
export const BOINC_REQUESTS_PER_ADDRESS_MAX = 32
/** From such a request's head to its body's end: an honest one of 10 KiB comes in the first packets. */
export const BODY_MS = 30_000
/** The same of a file: LAUNCH_LOG_BYTES_MAX over 20 kbit/s. What came is kept. */
export const UPLOAD_BODY_MS = 10 * 60_000
/** Their tags within tags: an honest request has five. */
export const BOINC_XML_DEPTH_MAX = 16
/** Openings and closings in one text. A busy client's request has some hundreds; as many as fit in a request's bytes would cost 0.1 s. */
export const BOINC_XML_TAGS_MAX = 16_000
/** Results, platforms or messages in one request: of ours there is one. */
export const BOINC_LIST_MAX = 1_000
/** Of what a program said, kept for its volunteer and for the operator: its end. */
export const BOINC_STDERR_CHARACTERS = 4_096
/** One fact about a machine. */
export const BOINC_FACT_CHARACTERS_MAX = 256
/** Clients older than this know neither how to leave a virtual machine unthrottled nor how to report at once. Tried with 7.20.5. */
export const BOINC_CLIENT_MIN = [7, 2, 0] as const
/** A client may call again after this. Classic servers say the same. */
export const BOINC_REQUEST_DELAY_S = 7
/** A computer that works, or that its volunteer stopped, calls this often: so long takes an abort or a new start… */
export const BOINC_CALL_EVERY_S = 540
/** …and at random up to so much later, so that two copies of one client fall out of step and are told apart. */
export const BOINC_CALL_SPREAD_S = 120
/** What a volunteer can mend (a wrong key, too little memory) is looked at again after this; they can make it sooner. */
export const BOINC_MEND_DELAY_S = 3_600
/** What they cannot (a kind of machine that we have nothing for). */
export const BOINC_NOTHING_DELAY_S = 24 * 3_600
/** After the n-th launch in a row that failed. The first is often only a spent enrolment. */
export const LAUNCH_BACKOFF_S = [60, 600, 3_600, 6 * 3_600, 24 * 3_600] as const
/** A launch that lived so long does not count with the failures before it. */
export const LAUNCH_GOOD_MS = 3_600_000
/** A launch that its volunteer aborted is not followed by another sooner. */
export const LAUNCH_ABORTED_BACKOFF_S = 3_600
/** After one that ended well: it had nothing to do for as long (the launcher's IDLE_MS), and would boot for nothing if at once. */
export const LAUNCH_IDLE_MS = 10 * 60_000
/** A computer's clock may be so far off: a wrong time zone at worst. Beyond, deadlines mean nothing to its client. */
export const CLOCK_OFF_MS = 26 * 3_600_000
/** How long a launch may go on without the computer calling; moved on with each call when half of it is over. */
export const LAUNCH_DEADLINE_MS = 30 * 24 * 3_600_000
/** The enrolment in a launch: a slow line downloads for days, and a computer may be off for a week. */
export const LAUNCH_ENROLMENT_MS = 7 * 24 * 3_600_000
/** A download of 90 MB and a boot take minutes: later a volunteer is told where to look. */
export const LAUNCH_READY_MS = 30 * 60_000
/** After so long the page says what it may be waiting for. */
export const LAUNCH_SOON_MS = 3 * 60_000
/** What BOINC thinks that a launch takes, for its own planning; and when it would kill it: never. */
export const LAUNCH_ESTIMATE_S = 24 * 3_600
export const LAUNCH_BOUND_S = 10 * 365 * 24 * 3_600
/** Of the memory that BOINC may use at most this is asked for: the rest is for a task of a graphics card, some hundred megabytes, or another project's. */
export const LAUNCH_MEMORY_SHARE = 0.75
/** More a machine has no use for: the launcher gives a guest no more for each processor, and needs so much for itself and the hypervisor. */
export const LAUNCH_PROCESSOR_MEMORY_BYTES = 4 * 1024 ** 3
export const LAUNCH_HYPERVISOR_BYTES = 256 * 1024 ** 2
/** Of a slot's disk at most this is asked for, however much there is. */
export const LAUNCH_DISK_BYTES_MAX = 64 * 1024 ** 3
/** A record of a computer is taken over by a client that lost its id only after so long a silence: before, it may be a copy. */
export const HOST_QUIET_MS = 30 * 60_000
/** Computers of one account: a school. */
export const HOSTS_PER_VOLUNTEER_MAX = 1_000
/** The launcher's log, the one file that a launch may send. */
export const LAUNCH_LOG_BYTES_MAX = 1024 * 1024
/** How long it is kept, for whoever wants to know why launches fail. */
export const LAUNCH_LOG_KEPT_MS = 30 * 24 * 3_600_000
/** What comes before the data of an upload: some 600 bytes. */
export const UPLOAD_HEADER_BYTES_MAX = 16 * 1024

/** How often the bytes of volunteers' computers are written: they look at their page no oftener. */
export const TRAFFIC_EVERY_MS = 60_000
/** How often the volunteer's page looks while it is looked at. */
export const VOLUNTEER_LOOK_MS = 15_000
/** One form of the volunteer's page. */
export const WEB_FORM_BYTES_MAX = 16 * 1024
/** A login on the web: a week, as long as people stay away between two looks. */
export const WEB_SESSION_MS = 7 * 24 * 3_600_000
/** Statistics are made anew at most so often: sites fetch them once a day. */
export const STATS_EVERY_MS = 3_600_000
/** How long sites are told whom to delete: BOINC's own servers do so for as long. */
export const STATS_DELETED_MS = 60 * 24 * 3_600_000
/** Rows in one go while they are made: about a millisecond each hundred. */
export const STATS_PAGE = 500

// ---- link ----

/** Stageouts named in one page of a gather: 1,000 are about 90 KiB, well within a frame. */
export const GATHER_PAGE_ENTRIES = 1_000

/** From the upgrade to the hello. An honest agent signs in a millisecond; the rest is its network. */
export const HELLO_MS = 5_000
/** A challenge's nonce is good for this long, and for one hello. */
export const NONCE_MS = 30_000
/** From the hello to the engine's welcome: a commit, usually of milliseconds. Beyond it the agent is sent away to try again. */
export const WELCOME_MS = 30_000
/** Silence after which a link is pinged, and again; it is dead after two such pings without any answer: within 45 s. */
export const PING_MS = 14_000
export const PING_MISSES_MAX = 2
/** How often deadlines of links are looked at. One timer for all of them. */
export const LINK_WATCH_MS = 1_000
/** A peer that takes nothing of what is sent for this long, or moves nothing on a stream it opened, is given up. */
export const STUCK_MS = 60_000
/** Links in all. Below the 20,000 file handles of a process, with room for blobs and everybody else. */
export const LINKS_MAX = 18_500
/** From one address, or one /64 of IPv6: a lab behind one router. Loopback is exempt: it is the operator or a proxy. */
export const LINKS_PER_ADDRESS_MAX = 256
/**
 * Answers that the hub may owe one link, to reports that name blobs and to lists of what is gathered: with more nothing is read from it.
 * A read from a socket holds some hundred such frames at most, so a hub in the same process never comes here for long.
 */
export const LINK_QUESTIONS_MAX = 256
/** Links that have not said a proper hello yet: signatures being checked, and slow lorises. */
export const PENDING_HELLOS_MAX = 500
/** Of these from one address: as many as it may have links, so that a lab is back at once. */
export const PENDING_HELLOS_PER_ADDRESS_MAX = 256
/** Upgrades a second, and at once. Ten thousand agents are back in half a minute after a restart. */
export const ACCEPTS_PER_SECOND = 300
export const ACCEPTS_BURST = 1_000
/** Of them half are kept for addresses that took no more than these, at once and again each second: a home with some agents. */
export const ACCEPTS_FREE_PER_ADDRESS = 16
export const ACCEPTS_PER_ADDRESS_PER_SECOND = 0.2
/** Log lines that strangers cause: each of them gets one so often, with a count… */
export const SPARING_EVERY_MS = 60_000
/** …and so many different ones at most. A line has some 200 bytes: 30 MB a day at the worst. */
export const SPARING_LINES_MAX = 100
/** The same for agents that come and go, which are enrolled: after a restart a large hub says how many came, and names the first. */
export const SPARING_AGENTS_MAX = 1_000
/** A loop later than this takes no new links. */
export const LOOP_LAG_MAX_MS = 200
/** How often that is measured. */
export const LAG_SAMPLE_MS = 100
/** An agent sent away for overload comes back after this and at most twice this. */
export const OVERLOAD_RETRY_MS = 5_000
/** At a drain agents are told to come back after between these: longer than a restart, spread enough to be no storm. */
export const DRAIN_RETRY_MIN_MS = 5_000
export const DRAIN_RETRY_MAX_MS = 30_000
/** A drained link that has not taken its goodbye by then is cut. */
export const CLOSE_MS = 5_000
/** Frames of one link: 500 jobs a second with four reports each, five times over. A full chunk costs nothing here. */
export const FRAMES_PER_SECOND = 10_000
export const FRAMES_BURST = 20_000
/** Bytes of one link outside of streams, where credit is the bound. */
export const CONTROL_BYTES_PER_SECOND = 16 * 1024 * 1024
export const CONTROL_BYTES_BURST = 64 * 1024 * 1024
/** WebSocket fragments of one message. Our agents never fragment; a proxy may. */
export const FRAGMENTS_MAX = 64
/** Waiting to be sent, over all links: above it no more blobs are read. */
export const LINKS_BUFFER_MAX_BYTES = 256 * 1024 * 1024
/** Transfers over all links: each holds a file open. */
export const LINKS_STREAMS_MAX = 4_096
/** From a credit to the bytes that it allows, or from bytes to their credit: no agent that is farther than a building away is so quick. */
export const NEAR_MS = 5
/** What all streams with near agents together have under way, a chunk or two each at least: one core takes that in two milliseconds. */
export const NEAR_BYTES = 512 * 1024
/** Of all that come in, windows are wider until they are so much together; then each is the least. */
export const LINKS_WINDOWS_BYTES = 64 * 1024 * 1024
/** Different blobs that one attempt may send: three when all goes well, and as many after each restart of its agent. */
export const STAGEOUTS_PER_ATTEMPT_MAX = 32
/** Kept free on the blobs' file system: the database and its log live there too. */
export const DISK_RESERVE_BYTES = 256 * 1024 * 1024
/** Of a followed log, kept for those who begin to follow later. */
export const LOG_REPLAY_MAX_BYTES = 256 * 1024
/** People who follow one output of one attempt at once. */
export const FOLLOWERS_MAX = 32
/** An agent asked to serve a log opens its stream by then. */
export const FOLLOW_OPEN_MS = 15_000
/** Memory or disk that a node may say it has. Far above any machine; bounds what arithmetic must bear. */
export const NODE_BYTES_MAX = 2 ** 50
/** Longest measured time in a result: ten years of processor time. */
export const RESULT_TIME_MAX_MS = 10 * 365 * 24 * 3_600_000
/** Tokens the hub knows, ended ones too: all are in memory, at some 300 bytes each. */
export const TOKENS_MAX = 10_000
/** How long a token that has ended is still known, so that its user hears why; of those, as many at most as live ones. */
export const TOKEN_KEPT_MS = 30 * 24 * 3_600_000
/** Ended tokens dropped in one transaction. */
export const TOKENS_PAGE = 500
/** When a token was last used is for people, not for decisions: one write a minute and token at most. */
export const LAST_USED_EVERY_MS = 60_000
/** Enrolment tokens live long enough to carry one to the next machine by hand. */
export const ENROLMENT_DEFAULT_MS = 15 * 60_000
export const ENROLMENT_MAX_MS = 30 * 24 * 3_600_000
/** Failed logins of one address: so many at once, then one every so often. A guess at a patient human. */
export const AUTH_FAILURES_MAX = 20
export const AUTH_FAILURE_REFILL_MS = 6_000
/** Addresses whose failures are remembered; the oldest is forgotten first. About 100 bytes each. */
export const AUTH_PEERS_MAX = 10_000
/** Accounts made from one address: so many at once, then one every so often. A class in a school fits. */
export const SIGNUPS_MAX = 40
export const SIGNUP_REFILL_MS = 6 * 60_000
/** Passwords tried from one address, right or wrong: each costs a third of a second of a core. */
export const LOGINS_MAX = 40
export const LOGIN_REFILL_MS = 6_000
/** scrypt's cost for volunteers' passwords, as a power of 2: 128 MiB and 0.3 s each, one at a time. */
export const PASSWORD_SCRYPT_COST = 17
/** Logins that wait for their turn: the last one about half a minute. Beyond it they are sent away. */
export const PASSWORDS_WAITING_MAX = 100
/** The longest address that mail can have. */
export const EMAIL_CHARACTERS_MAX = 254
/** Of a password; BOINC's programs demand it where it is chosen. */
export const PASSWORD_CHARACTERS_MIN = 8
/** After a revocation a stream whose reader does not read is cut. The promise is 5 s (I16). */
export const REVOKED_CUT_MS = 1_000

// ---- store and blobs ----

/** How long a statement waits for another process's lock on the database: a backup or a curious sqlite3 shell. */
export const SQLITE_BUSY_MS = 5_000
/** Pages that each handle keeps, KiB. Jobs come and go at one end of a table: 16 MiB, the driver's own, only cost memory. */
export const SQLITE_CACHE_KIB = 6 * 1024
/** Pages (4 KiB) in the WAL before its content moves into the database: 16 MiB, some hundred milliseconds of copying. */
export const WAL_CHECKPOINT_PAGES = 4_096
/** The WAL file is cut back to this after a checkpoint, so that one burst does not keep its disk for ever. */
export const WAL_KEPT_BYTES = 64 * 1024 * 1024
/** Of the journal of live jobs, before it is put away: some 50,000 changes, which a start reads in a quarter of a second. */
export const JOURNAL_KEPT_CHARACTERS = 8 * 1024 * 1024
/** Live jobs that get their row with one batch, while the journal is put away: about 3 ms of the writer. */
export const PUT_AWAY_ROWS = 500
/** A failed store counts as well again once this much could be written: more than a tick, so that it does not fail at the next. */
export const REOPEN_PROBE_BYTES = 1024 * 1024
/** UTF-16 units in one page of parameters, beside PARAMETER_PAGE_LINES: long lines must not make a page slow to parse. */
export const PARAMETER_PAGE_BYTES = 256 * 1024
/** Pages of parameters kept parsed, last used first: offers go through a campaign in order. At most 32 MiB. */
export const PARAMETER_PAGES_KEPT = 64
/** Distinct errors of one campaign that a summary looks at. Messages are strangers' text, so there may be any number. */
export const ERROR_GROUPS_READ = 10_000
/** Rows of blobs read, or forgotten, at once: about a millisecond. */
export const BLOB_ROWS_PAGE = 1_000
/** A blob is read in pieces of this: four chunks of a stream. Each costs a turn in one of Node's threads, whatever its size. */
export const BLOB_PIECE_BYTES = 256 * 1024
/** In smaller ones, of a chunk at least, while so many are read that their pieces would come to more than this. */
export const BLOB_PIECES_BYTES = 64 * 1024 * 1024
/** An unfinished upload is hashed anew in pieces of this when it is resumed: 0.15 ms of the loop each. */
export const BLOB_REHASH_BYTES = 256 * 1024
/** An upload is made durable each time so much has come, so that finishing it does not wait for gigabytes. */
export const BLOB_SYNC_BYTES = 4 * 1024 * 1024
/** Files whose size is asked for at once while listing blobs: Node has four threads for it. */
export const BLOB_STATS_AT_ONCE = 64
/** has() marks the file as used at most so often: a mark is a write. Far below BLOB_UNUSED_MS. */
export const BLOB_TOUCH_MS = 3_600_000
/** Blobs that nothing names, and unfinished uploads that nobody goes on with, are garbage after this. */
export const BLOB_UNUSED_MS = 24 * 3_600_000
/** Blobs that went bad stay for a person to look at, then make room. */
export const BLOB_QUARANTINE_MS = 30 * 24 * 3_600_000
/** Violations that the check at start lists one by one; of the others it gives the number. */
export const BLOB_VIOLATIONS_LISTED = 20
/** Lost blobs that are remembered by name: about 10 MB of memory. Beyond it their number is "at least". */
export const BLOBS_DAMAGED_MAX = 100_000
/** One message of a call with parameters. Uploads and long lists come in many. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024
/** Its fields and elements at all levels, counted before they are decoded: 32,000 lines, which take some 60 ms. Our client sends 14,000 at once. */
export const MESSAGE_LINES_ENTRIES_MAX = 65_536
/** A specification without parameters, also in JSON, or as many ranges as one call may have; each range is three entries. */
export const MESSAGE_SPEC_BYTES_MAX = 192 * 1024
export const MESSAGE_SPEC_ENTRIES_MAX = 10_000
export const MESSAGE_RANGES_ENTRIES_MAX = 4_096
/** A message that names things: ids, names, a digest. */
export const MESSAGE_SMALL_BYTES_MAX = 8 * 1024
export const MESSAGE_SMALL_ENTRIES_MAX = 256
/** Of a service that asks for no token: the name of a service or a symbol. A stranger may send many at once, and each is in memory. */
export const MESSAGE_OPEN_BYTES_MAX = 1024
export const MESSAGE_OPEN_ENTRIES_MAX = 64
/** Of an upload: UPLOAD_MESSAGE_BYTES_MAX in JSON's base64, with room for one that is too large to be told so in words. */
export const MESSAGE_UPLOAD_BYTES_MAX = 512 * 1024
/** Levels of a message: ours have five. */
export const MESSAGE_DEPTH_MAX = 32
/** Digits of one number in JSON's quotes, which cost the square of their number to read: a line of parameters may be all digits. */
export const MESSAGE_DIGITS_MAX = 16 * 1024
/** From a message's first byte to its last, whoever sends it: 4 MiB over 0.6 Mbit/s. */
export const MESSAGE_MS = 60_000
/** A body of HTTP/1 that is waited for and read at once. */
export const GATHERED_BYTES_MAX = 64 * 1024
/** How long a refused call's body of up to GATHERED_BYTES_MAX may take before the refusal overtakes it. */
export const REFUSED_BODY_MS = 1_000
/** A campaign's specification travels with each offer and must leave room in a frame of 256 KiB. */
export const SPEC_BYTES_MAX = 64 * 1024
/** Parameters of all submits under way: they are in memory until they are on disk. */
export const PARAMETERS_PENDING_BYTES_MAX = 512 * 1024 * 1024
/** Rows in one answer when no number is asked for. */
export const PAGE_DEFAULT = 100
/** News of a watched campaign: five a second is as fast as anybody reads. */
export const WATCH_EVERY_MS = 200
/** News go to watchers in so many parts, one after the other: else all that one owner may have would take a fifth of a second at once. */
export const WATCH_SLICES = 20
export const WATCH_SLICE_MS = 10
/** Ended jobs that wait for a slow watcher: 24 bytes each. Beyond it the watch ends and says so. */
export const WATCH_PENDING_MAX = 100_000
/** Live output that waits for a slow reader. */
export const FOLLOW_PENDING_BYTES_MAX = 1024 * 1024
/** Of a webhook's answer, which nobody reads beyond its status. */
export const WEBHOOK_ANSWER_BYTES_MAX = 64 * 1024
/** Bytes in one message of an upload (the contract's number). */
export const UPLOAD_MESSAGE_BYTES_MAX = 256 * 1024
/** Uploads of one owner at once. */
export const UPLOADS_PER_OWNER_MAX = 16
/** An upload that says nothing for so long is suspended, so that its owner can go on over another connection. */
export const UPLOAD_STALL_MS = 60_000
/** Free bytes on the data directory's disk below which nothing new is taken. */
export const DISK_FLOOR_BYTES = 1024 ** 3
/** Free pages of the database, of 4 KiB, that stay for what comes next; the rest goes back to the disk, so many at once: some 20 ms. */
export const FREE_PAGES_KEPT = 2_048
export const VACUUM_PAGES = 2_000
/** Between looks at what has been kept for long enough. */
export const RETENTION_EVERY_MS = 3_600_000
/** Of the campaigns that have ended, as many are forgotten by age in one round at most: a clock that is wrong for an hour costs these. */
export const RETENTION_SHARE = 1 / 20
/**
 * A wall clock that is further ahead of what the hub last knew than this is not believed for CLOCK_DOUBT_MS: nothing is removed by
 * age, so that an operator has a day to read of it. A hub that was off for longer loses a day of tidying by it.
 */
export const CLOCK_AHEAD_MS = 24 * 3_600_000
export const CLOCK_DOUBT_MS = 24 * 3_600_000
/** Between notes of the time in the database, by which the next start judges its clock. */
export const CLOCK_NOTE_MS = 3_600_000
/** Campaigns forgotten in one transaction, and rows of forgotten ones swept in one: some milliseconds each. */
export const RETENTION_PAGE_CAMPAIGNS = 100
export const SWEEP_ROWS = 500
/** Campaigns named beside a blob that they have as their stagein. */
export const BLOB_CAMPAIGNS_LISTED = 10
/** Between rounds of looking for blobs that nothing names. They are kept a day, so an hour more or less is nothing. */
export const COLLECT_EVERY_MS = 3_600_000
/** How often nodes and enrolments are looked through for those whose time is over, and how many nodes at once. */
export const EXPIRY_EVERY_MS = 3_600_000
export const EXPIRY_PAGE_NODES = 500
/** An enrolment that has ended is known for a day more: an agent whose link was cut before its welcome comes again with it. */
export const ENROLMENT_KEPT_MS = 24 * 3_600_000
/** How often whoever asked for a backup hears how far it is. */
export const BACKUP_TOLD_EVERY_MS = 1_000
/** Outputs inline in one answer that lists jobs. With all else of a thousand jobs it stays below gRPC's usual 4 MiB. */
export const PAGE_INLINE_BYTES_MAX = 1024 * 1024

// ---- certificate ----

/** How often the TLS certificate's files are looked at: two calls of stat, and a renewal that need not wait for somebody's SIGHUP. */
export const CERTIFICATE_LOOK_MS = 10_000
/** A chain of ten certificates has 20 kB. */
export const CERTIFICATE_BYTES_MAX = 1024 ** 2
/** Said on the status page so long before it ends: renewals run at a third of 90 days. `cah doctor` says it as early. */
export const CERTIFICATE_WARN_MS = 14 * 24 * 3_600_000
/** Unknown nodes that knock are remembered for longer than the longest that an agent which was sent away waits: 80 minutes. And so many of them. */
export const STRANGER_MS = 2 * 3_600_000
export const STRANGERS_MAX = 10_000
