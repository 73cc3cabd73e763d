// What to answer a computer that calls: which of its work ends, which goes on, and whether it gets a launch. Pure: the rows in, the
// rows out and what to say. One launch per computer at a time; a launch that failed is followed by another after a pause
// that grows. Texts are for volunteers: they say what is the matter and what to do.
import type { HostRow, LaunchEnding, LaunchRow, LaunchTally, VolunteerRow } from "../../core/volunteers.ts"
import {
  BOINC_CALL_EVERY_S,
  BOINC_CALL_SPREAD_S,
  BOINC_CLIENT_MIN,
  BOINC_MEND_DELAY_S,
  BOINC_NOTHING_DELAY_S,
  BOINC_REQUEST_DELAY_S,
  CLOCK_OFF_MS,
  HOST_QUIET_MS,
  LAUNCH_ABORTED_BACKOFF_S,
  LAUNCH_BACKOFF_S,
  LAUNCH_DEADLINE_MS,
  LAUNCH_GOOD_MS,
  LAUNCH_IDLE_MS,
} from "../../limits.ts"
import { allowedMemoryOf, gigabytes, launchIdOf, resultName, shareOf, versionsFor } from "./launch.ts"
import type { AppVersion, Release } from "./release.ts"
import type { ReportedResult, SchedulerRequest } from "./request.ts"

/** BOINC's numbers for what became of a result. */
const STATE_SUCCESS = 5
const STATE_ABORTED = 6
/** EXIT_UNSTARTED_LATE: the client gave it up, since by its clock it was late already. */
const EXIT_LATE = 200
/** Clocks are set by a second or two, and the client writes this moment with fractions. */
const CLIENT_STARTED_SLACK_S = 60

export interface Message {
  /** "notice" shows up in front of the volunteer, "low" in the log only. */
  readonly priority: "notice" | "low"
  readonly text: string
}

// ---- who is calling ---------------------------------------------------------------------------------------------

/** A host of the volunteer's, with whether it has a launch that has not ended. */
export interface KnownHost {
  readonly host: HostRow
  readonly isWorking: boolean
}

/** The record that the caller goes on with; null: it gets a new one, and its client a new id. */
export function hostFor(request: SchedulerRequest, known: readonly KnownHost[], nowMs: number): HostRow | null {
  const free = ({ host, isWorking }: KnownHost) => !isWorking || nowMs - host.heardAt >= HOST_QUIET_MS
  const named = known.find(({ host }) => host.id === request.hostId)
  if (named !== undefined && named.host.mergedInto !== null) {
    const into = known.find(({ host }) => host.id === named.host.mergedInto)
    return into !== undefined && (free(into) || isSameMachine(request, into.host)) ? into.host : null
  }
  if (named !== undefined) return isCopy(request, named.host) ? toldBefore(request, known) : named.host
  // Added again after it was removed, or installed anew: what BOINC calls a computer is made of its network card and of the
  // directory, and stays the same if the card has a number.
  const own = known.filter(({ host }) => host.mergedInto === null)
  const mine = own.filter(({ host }) => host.cpid !== "" && host.cpid === request.host.cpid)
  const again = mine.filter(each => free(each) || (request.hostId === 0 && isSameMachine(request, each.host)))
  const twin = own.filter(each => request.hostId === 0 && free(each) && isSameMachine(request, each.host))
  return again.at(-1)?.host ?? twin.at(-1)?.host ?? null
}

/** A copy that was given a record of its own and did not hear of it: the answer was lost. */
function toldBefore(
  { hostId, host: said, clientStarted }: SchedulerRequest,
  known: readonly KnownHost[],
): HostRow | null {
  const isIt = ({ host }: KnownHost) =>
    host.id !== hostId && host.sequence === 0 && host.cpid === said.cpid && host.clientStarted === clientStarted
  return clientStarted === 0 ? null : (known.find(isIt)?.host ?? null)
}

/**
 * Whether the caller is a copy of the client whose record this is. One that counts lower is. One that says the same number again mostly
 * is not: the request came twice over a bad line, or its client was killed before it noted the number; but on another machine
 * it is. And of two that run at once on one machine, the one that was started first shows up again after the other.
 */
function isCopy(request: SchedulerRequest, known: HostRow): boolean {
  if (request.sequence < known.sequence) return true
  if (request.clientStarted > 0 && request.clientStarted < known.clientStarted - CLIENT_STARTED_SLACK_S) return true
  return request.sequence === known.sequence && !isSameMachine(request, known)
}

function isSameMachine({ host }: SchedulerRequest, known: HostRow): boolean {
  return (
    host.name !== "" &&
    host.name === known.name &&
    ["p_model", "p_ncpus", "m_nbytes", "os_name"].every(fact => host.facts[fact] === known.facts[fact])
  )
}

// ---- what becomes of its work -----------------------------------------------------------------------------------

export interface Known {
  readonly volunteer: VolunteerRow
  readonly host: HostRow
  /** The launch that has not ended, and what was counted of it. */
  readonly launch: LaunchRow | null
  readonly tally: LaunchTally
  /** The launch's node as the engine has it. */
  readonly node: { readonly revoked: boolean; readonly drained: boolean; readonly isIdle: boolean } | null
  /** The last one that has ended, and whether any job waits for a node. */
  readonly last: LaunchRow | null
  readonly hasWork: boolean
  readonly release: Release | null
  /** Wall time, ms. */
  readonly nowMs: number
  /** [0, 1): spreads the calls. */
  readonly random: number
}

export interface Decision {
  readonly host: HostRow
  /** The launch as it is now; ended perhaps. */
  readonly launch: LaunchRow | null
  /** Whether its node shall take no further jobs. Null: as it is, which may be the operator's wish. */
  readonly drain: boolean | null
  /** "new": make one of this version. "again": the same as before, word by word. "deadline": only that moved. */
  readonly send: { readonly kind: "new"; readonly version: AppVersion } | { readonly kind: "again" | "deadline" } | null
  /** Names of results: received, and to be stopped. */
  readonly acknowledge: readonly string[]
  readonly abort: readonly string[]
  /** Names of results whose program shall end in order: it has nothing to do, and gets nothing more. */
  readonly finish: readonly string[]
  readonly messages: readonly Message[]
  readonly delayS: number
  /** When it should call again, even if it has no reason of its own. */
  readonly callAfterS: number | null
}

export function decide(request: SchedulerRequest, known: Known): Decision {
  const { nowMs } = known
  const acknowledge = request.reported.map(result => result.name)
  let { host, launch } = known
  if (known.node?.revoked && launch !== null && launch.stopping === null) {
    // Not by us: the launch would say so. The operator does not want this machine.
    host = { ...host, barred: true }
    launch = { ...launch, stopping: "The operator of this hub took this computer out." }
  }
  const mine = launch === null ? null : resultName(launch)
  const reported = request.reported.find(result => result.name === mine)
  const isThere = mine !== null && request.inProgress.includes(mine)
  const others = request.inProgress.filter(name => name !== mine && launchIdOf(name) !== null)
  const common = { acknowledge, abort: others, finish: [], drain: null, delayS: BOINC_REQUEST_DELAY_S }

  if (launch !== null && reported !== undefined) {
    ;({ host, launch } = ended(host, launch, reported, nowMs))
  } else if (launch !== null && isThere) {
    return goOn(request, { ...known, host, launch }, common)
  } else if (launch !== null) {
    const again = mayGoAgain({ ...known, launch })
    if (again) return { ...common, host, launch, send: { kind: "again" }, messages: [], callAfterS: nextCallS(known) }
    host = paused(host, launch, nowMs)
    launch = { ...launch, ending: "lost", endedAt: nowMs, message: "The computer no longer has it." }
  }
  // What a copy works on is the original's, and is ended there: it has room, though it did not ask.
  const isCopied = others.length > 0
  return {
    ...common,
    launch,
    ...offer({ ...request, wantsWork: request.wantsWork || isCopied }, { ...known, host, last: launch ?? known.last }),
  }
}

function nextCallS({ random }: Known): number {
  return Math.round(BOINC_CALL_EVERY_S + random * BOINC_CALL_SPREAD_S)
}

type Common = Pick<Decision, "acknowledge" | "abort" | "finish" | "drain" | "delayS">

/** It works on it. Stop it, or let it be. */
function goOn(request: SchedulerRequest, known: Known & { launch: LaunchRow }, common: Common): Decision {
  const { host, release, nowMs, node } = known
  let { launch } = known
  const isOld = release !== null && release.versionNumber !== launch.versionNumber
  const stopping = host.stopped ? "You pressed stop on the hub's page." : launch.stopping
  if (stopping === null && isOld && (node === null || node.isIdle)) {
    launch = { ...launch, stopping: "A newer version takes its place." }
  } else if (stopping !== launch.stopping) launch = { ...launch, stopping }
  if (launch.stopping !== null) {
    const messages: Message[] = [{ priority: "low", text: launch.stopping }]
    const abort = [...common.abort, resultName(launch)]
    return { ...common, host, launch, send: null, abort, messages, callAfterS: BOINC_REQUEST_DELAY_S }
  }
  const wasDraining = launch.draining !== null
  const draining = isOld ? "A newer version takes its place." : request.refusesWork ? NO_NEW_TASKS : null
  if (launch.draining !== draining) launch = { ...launch, draining }
  const drain = draining !== null ? true : wasDraining ? false : null
  const base = { ...common, host, drain, callAfterS: nextCallS(known) }
  if (!isOld && draining !== null) {
    const messages: Message[] = [{ priority: "low", text: draining }]
    // One that may be offered a job while this answer is under way is asked to end at the next call.
    if (node?.isIdle && !node.drained) {
      return { ...base, launch, send: null, messages, callAfterS: BOINC_REQUEST_DELAY_S }
    }
    const isDone = node === null || node.isIdle
    return { ...base, launch, send: null, messages, finish: isDone ? [resultName(launch)] : [] }
  }
  const messages = [...clockNotice(request, nowMs), ...silence(request)]
  if (launch.deadlineAt - nowMs > LAUNCH_DEADLINE_MS / 2) return { ...base, launch, send: null, messages }
  return {
    ...base,
    launch: { ...launch, deadlineAt: nowMs + LAUNCH_DEADLINE_MS },
    send: { kind: "deadline" },
    messages,
  }
}

/** Deadlines are told as moments: by a clock that is days ahead every task is late before it is begun. */
function clockNotice({ clientNow }: SchedulerRequest, nowMs: number): Message[] {
  const aheadMs = clientNow * 1_000 - nowMs
  if (clientNow === 0 || Math.abs(aheadMs) < CLOCK_OFF_MS) return []
  const off = `${inWords(Math.abs(aheadMs) / 1_000)} ${aheadMs > 0 ? "ahead" : "late"}`
  const text =
    `This computer's clock is wrong: it is ${off}. BOINC gives up tasks by it, and certificates are judged by it. ` +
    "Please set date and time right (on Debian and Ubuntu: sudo timedatectl set-ntp true)."
  return [{ priority: "notice", text }]
}

const NO_NEW_TASKS =
  "BOINC takes no new tasks from this hub: the virtual machine does what it has, takes nothing more, and ends then."

/** It asks for more while it has the one launch that a computer gets. */
function silence(request: SchedulerRequest): Message[] {
  if (!request.wantsWork) return []
  return [
    { priority: "low", text: "This computer has what it gets from this hub: one virtual machine that does many jobs." },
  ]
}

/** The answer with the launch was lost on its way: nothing of it has been used yet. */
function mayGoAgain({ launch, tally, release, host, nowMs }: Known & { launch: LaunchRow }): boolean {
  const isUnused = tally.node === null && launch.stopping === null && !host.stopped && !host.barred
  return isUnused && release?.versionNumber === launch.versionNumber && launch.deadlineAt > nowMs
}

function ended(
  host: HostRow,
  launch: LaunchRow,
  reported: ReportedResult,
  nowMs: number,
): { host: HostRow; launch: LaunchRow } {
  const { state, exitStatus } = reported
  const ending: LaunchEnding = state === STATE_SUCCESS ? "finished" : state === STATE_ABORTED ? "aborted" : "failed"
  const over = { ...launch, ending, exitStatus, message: reported.stderr, endedAt: nowMs }
  // What the hub itself wanted to end is nobody's failure.
  if (launch.stopping !== null) return { host: { ...host, failures: 0, notBefore: nowMs }, launch: over }
  if (ending === "finished") return { host: { ...host, failures: 0, notBefore: nowMs + LAUNCH_IDLE_MS }, launch: over }
  // A person's wish, or a date that has passed: no failure, and the next hypervisor's turn has not come.
  if (ending === "aborted")
    return { host: { ...host, notBefore: nowMs + LAUNCH_ABORTED_BACKOFF_S * 1_000 }, launch: over }
  return { host: paused(host, launch, nowMs), launch: over }
}

/** No other launch for a while, longer each time in a row: else a client could have any number of them made. */
function paused(host: HostRow, launch: LaunchRow, nowMs: number): HostRow {
  const before = nowMs - launch.madeAt >= LAUNCH_GOOD_MS ? 0 : host.failures
  const pauses = LAUNCH_BACKOFF_S
  const growing = pauses[Math.min(before, pauses.length - 1)]!
  return { ...host, failures: before + 1, notBefore: nowMs + growing * 1_000 }
}

// ---- a new launch -----------------------------------------------------------------------------------------------

type Offer = Pick<Decision, "host" | "send" | "messages" | "delayS" | "callAfterS">

function offer(request: SchedulerRequest, known: Known): Offer {
  const { host, last, hasWork, release, nowMs } = known
  const no = (messages: Message[], rest: Partial<Offer> = {}): Offer => {
    return { host, send: null, messages, delayS: BOINC_REQUEST_DELAY_S, callAfterS: null, ...rest }
  }
  const notice = (text: string, rest: Partial<Offer> = {}) => no([{ priority: "notice", text }], rest)
  const never = { delayS: BOINC_NOTHING_DELAY_S }
  const mend = { delayS: BOINC_MEND_DELAY_S }

  if (release === null) return notice("This hub has nothing for volunteers yet. Please come back another day.", never)
  if (isOlder(request.clientVersion, BOINC_CLIENT_MIN)) {
    const text = `BOINC ${request.clientVersion.join(".")} is too old for this hub: please install ${BOINC_CLIENT_MIN.join(".")} or newer.`
    return notice(text, never)
  }
  if (!hasKey(request.codeSignKey, release.codeSignKey)) {
    const text =
      "This hub signs its programs with another key than your BOINC knows, so BOINC would refuse them. If the hub's operator " +
      "says that the change is theirs: remove this project from BOINC and add it again."
    return notice(text, never)
  }
  if (host.barred) return notice("The operator of this hub took this computer out. Please ask them why.", never)
  if (host.stopped) {
    const text =
      "You stopped this computer on the hub's page for volunteers. Press start there when you want it to go on."
    return no([{ priority: "low", text }], { callAfterS: nextCallS(known) })
  }
  if (request.refusesWork) return no([])
  const clock = clockNotice(request, nowMs)
  if (clock.length > 0) return no(clock, mend)
  // A client that was told to call again need not ask for work then: those whose machine failed, and those that had none to do, which
  // the client takes for a reason to ask ever more seldom.
  const wasIdle = last?.ending === "finished" && last.stopping === null
  if (!request.wantsWork && host.failures === 0 && !wasIdle) return no([])
  if (host.notBefore > nowMs) {
    const waitS = Math.ceil((host.notBefore - nowMs) / 1_000)
    const text = `${whatBecameOf(last, host)}; this computer gets another in ${inWords(waitS)}.`
    return no([{ priority: "low", text }], { callAfterS: waitS + 1 })
  }
  if (wasIdle && !hasWork) {
    const callAfterS = nextCallS(known)
    const text = `This hub has no work just now: the virtual machine comes back when there is some. BOINC asks again in ${inWords(callAfterS)}.`
    return no([{ priority: "low", text }], { callAfterS })
  }
  const share = shareOf(request, release.minMemoryBytes)
  if (share.memoryBytes < release.minMemoryBytes) {
    const text =
      `BOINC may use ${gigabytes(allowedMemoryOf(request))} of this computer's memory, and the virtual machine needs ` +
      `${gigabytes(release.minMemoryBytes)}: please allow more in Options, Computing preferences, Disk and memory.`
    return notice(text, mend)
  }
  if (share.diskBytes < release.minDiskBytes) {
    const text =
      `BOINC may use ${gigabytes(share.diskBytes)} of this computer's disk for this project, and the virtual machine needs ` +
      `${gigabytes(release.minDiskBytes)}: please free some space, or allow more in Options, Computing preferences.`
    return notice(text, mend)
  }
  const versions = versionsFor(release, request)
  if (typeof versions === "string") return notice(versions, never)
  // Where one kind of hypervisor failed, the next may do.
  const version = versions[host.failures % versions.length]!
  return no([], { send: { kind: "new", version }, callAfterS: nextCallS(known) })
}

function whatBecameOf(last: LaunchRow | null, { failures }: HostRow): string {
  if (last?.ending === "aborted" && last.exitStatus === EXIT_LATE) {
    return "BOINC gave up the last virtual machine here, since by this computer's clock its time was over"
  }
  if (last?.ending === "aborted" && last.stopping === null) return "The last virtual machine here was aborted in BOINC"
  if (failures > 0) return "The last virtual machine here ended with an error"
  return "The last virtual machine here has ended, as it had nothing to do"
}

function hasKey(theirs: string, ours: string): boolean {
  const plain = (key: string) => key.replace(/\s+/g, " ").trim()
  return theirs === "" || plain(theirs) === plain(ours)
}

function isOlder(version: readonly number[], least: readonly number[]): boolean {
  for (const [at, part] of least.entries()) {
    const mine = version[at] ?? 0
    if (mine !== part) return mine < part
  }
  return false
}

export function inWords(seconds: number): string {
  if (seconds < 90) return `${seconds} seconds`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} minutes`
  return `${Math.round(seconds / 3_600)} hours`
}
