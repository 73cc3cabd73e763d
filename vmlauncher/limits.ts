// Every bound of the launcher, with its unit and its reason. Reaching one is an outcome, and tested.

const MIB = 1024 ** 2

// ---- core ----

/**
 * From the start of the VM to the agent's hello, in time that the VM had a processor or wanted none: a boot takes 18 to 20 processor seconds
 * under emulation, which at a tenth of the processor are 200 s of the clock. Time for which it was held back is not counted (Held).
 */
export const HELLO_MS = 180_000
/** A restored VM's agent is there at once; what it must do is dial again. */
export const RESTORED_HELLO_MS = 120_000
/** A guest that has no work yet waits so long for a hub that is away, before it gives the computer's memory back for a while. */
export const HUB_AWAY_MS = 3_600_000
/** No line, no byte and no dial of a guest for this long, while it may run and has a processor: it hangs. An agent dials at least every two minutes. */
export const SILENCE_MS = 10 * 60_000
/** Waits between starts after failures, doubling between these. */
export const RESTART_MIN_MS = 5_000
export const RESTART_MAX_MS = 300_000
/** Failures in a row before the launcher gives up for a while: a VM that does not come up five times needs more than patience. */
export const FAILURES_MAX = 5
/** A VM whose agent has been well for this long begins a new row. */
export const HEALTHY_MS = 10 * 60_000
/** To put a VM together and see it alive: QEMU takes 0.1 s, a restore of 4 GB from a slow disk nearly a minute. */
export const START_MS = 120_000
/** The client kills after 60 s. Within these the memory must be on disk; then the remainder is for ending without it. */
export const SAVE_MS = 40_000
/** For an orderly power-off: the agent gives running jobs up in 20 s at most. Save and power-off never follow each other in full. */
export const POWER_DOWN_MS = 40_000
/** All that a quit may take from the client's word on, before what is left is killed; with DESTROY_MS below its 60 s. */
export const QUIT_MS = 45_000
/** A restore under way when the client says quit may end within these, so that it can be saved again. */
export const QUIT_RESTORE_MS = 8_000
/** Below this much of QUIT_MS an orderly power-off is not begun. */
export const POWER_DOWN_MIN_MS = 10_000
/** A VM without a job for this long gives its processor and memory back. A client's own minutes of idleness are 3; a boot and a download cost more. */
export const IDLE_MS = 10 * 60_000
/** For an orderly power-off when less memory is allowed: the client measures each 10 s, and calls the task one that failed. */
export const SHRINK_MS = 4_000
/** The loop looks each second. A gap of this much was no load but a halt. */
export const FROZE_MS = 15_000
/** To end a VM that need not be kept. Killing QEMU takes milliseconds; VirtualBox may take a few seconds. */
export const DESTROY_MS = 12_000
/** A VM that stands because the disk is full tries again this often, and gives up after so long. */
export const DISK_RETRY_MS = 30_000
export const DISK_FULL_MAX_MS = 10 * 60_000
/** "Later" for what a volunteer may mend within hours, and for what will hardly change today. Seconds, as the client counts them. */
export const LATER_SECONDS = 3_600
export const MUCH_LATER_SECONDS = 86_400

// ---- client ----

/** The client looks each second, its own library ten times a second. */
export const POLL_MS = 100
export const STATUS_MS = 1_000
/** Whether the client lives, and how long its heartbeat may be away where that is all there is to go by (BOINC's own numbers). */
export const CLIENT_LOOK_MS = 10_000
export const HEARTBEAT_MAX_MS = 30_000
/** Another launcher in this slot: BOINC's library waits as long, then comes back later. Ours, whose client is gone, takes QUIT_MS and 10 s at most. */
export const LOCK_WAIT_MS = 35_000
export const LOCK_LATER_SECONDS = 60
/** init_data.xml of a stock client has 6 to 9 kB; preferences of a project may add to it. */
export const INIT_DATA_MAX_BYTES = MIB
/** A soft link's line. Paths have 4096 bytes at most. */
export const LINK_MAX_BYTES = 4_200
/** volunteer.json, with room for a bundle of certificates. */
export const VOLUNTEER_MAX_BYTES = 256 * 1024
/** What a project sends down is a word or two. */
export const TRICKLE_MAX_BYTES = 64 * 1024
/** The hub hears of the VM by trickle this often; each costs the client a request. */
export const TRICKLE_MS = 6 * 3_600_000
/** Of a reason that the client shows in one line. */
export const REASON_MAX_CHARS = 250
/** Wall time running ahead of the monotonic clock by more than this: the computer slept. */
export const SLEPT_MS = 30_000

// ---- hypervisors ----

/** One question to a hypervisor's program, like its version. */
export const ASK_MS = 20_000
/** A boot that shows whether acceleration works: 1 to 3 s with KVM. Where KVM is broken it hangs, and nothing comes. */
export const PROBE_MS = 20_000
/** With all the time that it stood in line for a processor: two minutes of a volunteer's patience, once for each kernel. */
export const PROBE_LONGEST_MS = 120_000
export const PROBE_MEMORY_BYTES = 256 * MIB
/** QMP answers in milliseconds; a host that swaps takes longer. */
export const QMP_ANSWER_MS = 10_000
/** One message of QMP. Lists of capabilities have 30 kB. */
export const QMP_LINE_MAX_BYTES = MIB
/** Code that TCG has translated. QEMU's own default is up to a GiB of the volunteer's memory. */
export const TCG_CODE_MIB = 96
/**
 * Beyond the guest's memory, as the client counts it: QEMU itself (60 MiB), the code it has translated, and this launcher (75 MiB). A relay is no
 * child of ours, and is not counted. The hub adds the same when it asks for memory.
 */
export const OVERHEAD_BYTES = 256 * MIB
/** Of a hypervisor's complaints the last bytes are kept, to tell why it ended. */
export const COMPLAINT_MAX_BYTES = 4_096
/** One line of the guest's console. */
export const CONSOLE_LINE_MAX_BYTES = 1_024
/** The console's last lines, told when a guest fails. */
export const CONSOLE_LINES_KEPT = 20
/** Free disk beyond the memory to be saved: a full disk hurts more than an unsaved VM. */
export const SAVE_SPARE_BYTES = 64 * MIB
/** How often processor time is counted where it is capped; what a VM may run ahead of its share. */
export const CAP_TICK_MS = 100
export const CAP_BURST_MS = 200
/** VBoxManage is asked for the VM's state this often: it has nothing that tells. */
export const VBOX_LOOK_MS = 2_000
/** VBoxManage when a session is locked: tried again 1, 2, 4, 8 s later, as others who drive it do. */
export const VBOX_TRIES = 5
export const VBOX_RETRY_MS = 1_000

// ---- network ----

/** Tokens come in steps, so that a slow line sends few large packets rather than many small ones. */
export const REFILL_MS = 100
/** An agent has one link; a second may overlap while it redials. */
export const RELAYS_MAX = 8
/** Connections beyond RELAYS_MAX within FLOOD_MS: the cable is pulled. */
export const FLOOD_CONNECTIONS = 24
export const FLOOD_MS = 10_000
/** How often the count of refused connections is looked at. */
export const REFUSED_LOOK_MS = 500
/** To reach the hub, with its name looked up. */
export const DIAL_MS = 20_000
/** One side of a connection has ended; the other may still speak for this long. */
export const LINGER_MS = 10_000
/** Bytes of a connection that wait for their turn, in each direction, before its sender is stopped. */
export const WAITING_MAX_BYTES = 256 * 1024
/** Counted bytes are written down at least this often: a crash forgets no more than that. */
export const LEDGER_MS = 10_000
/** Hosts that a volunteer names to be reached without a proxy. */
export const EXEMPT_MAX = 256
/** A proxy's answer to CONNECT. */
export const PROXY_ANSWER_MAX_BYTES = 16 * 1024

// ---- what a volunteer may set ----

export const PROCESSORS_MAX = 256
/** Scratch disk: below it no job fits; the default and the most that is taken of what is free, unless told. */
export const DISK_MIN_BYTES = 256 * MIB
export const DISK_DEFAULT_BYTES = 10 * 1024 * MIB
export const DISK_FREE_SHARE = 0.5
/** What a computer keeps free beside the guest's memory when a machine is made: the hypervisor's own needs, and some air. */
export const MEMORY_SPARE_BYTES = 512 * MIB
/** Under BOINC a machine gets no more memory for each processor, however much is allowed: a guest fills all it has with copies of its files. */
export const MEMORY_PER_PROCESSOR_BYTES = 4 * 1024 * MIB
/** The default of memory: this share of the machine's. */
export const MEMORY_SHARE = 0.25

// ---- files ----

/** Half of what the workunit allows for its one output. */
export const CONSOLE_LOG_MAX_BYTES = 512 * 1024
