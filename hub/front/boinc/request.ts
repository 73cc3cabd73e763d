// A scheduler request in our words. What the client says of its machine is a stranger's word: good for choosing what to
// send, for its volunteer's eyes and for statistics; nothing is credited by it.
import { CahError } from "../../core/errors.ts"
import { BOINC_FACT_CHARACTERS_MAX, BOINC_LIST_MAX } from "../../limits.ts"
import { takeOut, takeOutWhole } from "./stderr.ts"
import { type Element, readXml } from "./xml.ts"

/** Of one kind in one computer: there is room for no more. */
const GRAPHICS_CARDS_MAX = 64
const PREFERENCES = "<global_preferences>"
const PREFERENCES_END = "</global_preferences>"
const ROOT = "scheduler_request"

export interface ReportedResult {
  readonly name: string
  /** BOINC's: 5 is success, 3 an error, 6 aborted. */
  readonly state: number
  readonly exitStatus: number
  /** The end of what the program said. */
  readonly stderr: string
}

export interface SchedulerRequest {
  readonly authenticator: string
  /** 0: it has none of ours. */
  readonly hostId: number
  readonly sequence: number
  /** When the client was started, by its own clock, s; 0: it does not say. */
  readonly clientStarted: number
  /** [7, 20, 5] */
  readonly clientVersion: readonly [number, number, number]
  /** The first is what it is, the others what it can run as well. */
  readonly platforms: readonly string[]
  readonly wantsWork: boolean
  readonly refusesWork: boolean
  /** The key that it holds; "" before it has one. */
  readonly codeSignKey: string
  readonly crossId: string
  /** The preferences that it has from the web, of whatever project, as they stand in its file; "": none. */
  readonly webPreferences: string
  readonly host: HostFacts
  /** That BOINC has tasks for. */
  readonly graphicsCards: number
  /** No other project shares the computer. */
  readonly isAlone: boolean
  readonly limits: HostLimits
  readonly reported: readonly ReportedResult[]
  /** Names of results that it has and has not reported. */
  readonly inProgress: readonly string[]
  readonly messages: readonly { readonly result: string; readonly variety: string; readonly ground: Ground | null }[]
  /** What time it is by the computer's own clock, s; 0: it does not say. */
  readonly clientNow: number
}

/** What a computer's virtual machine runs on, as its launcher says. */
export interface Ground {
  /** "QEMU 7.2 with KVM". */
  readonly hypervisor: string
  /** "kvm", or "tcg" for emulation. */
  readonly acceleration: string
  /** One sentence: what was found, and for emulation what to do. */
  readonly why: string
}

export interface HostFacts {
  readonly name: string
  readonly cpid: string
  readonly processors: number
  readonly memoryBytes: number
  readonly virtualBox: string
  /** The processor could do virtualisation, and the firmware forbids it. */
  readonly extensionsDisabled: boolean
  /** For people and statistics, by BOINC's own names. */
  readonly facts: Record<string, string>
}

/** What the volunteer allows, as the client works by it. */
export interface HostLimits {
  readonly processorsPercent: number
  readonly memoryPercent: number
  readonly diskBytes: number
}

/** Which of the host's own descriptions are kept. */
const factNames = [
  "timezone",
  "p_ncpus",
  "p_vendor",
  "p_model",
  "p_fpops",
  "p_iops",
  "p_membw",
  "m_nbytes",
  "m_cache",
  "m_swap",
  "d_total",
  "d_free",
  "os_name",
  "os_version",
  "virtualbox_version",
] as const

/** The account key alone, found without reading the rest: who has none is answered cheaply. */
export function authenticatorOf(text: string): string {
  return /<authenticator>\s*([^<\s]{1,255})\s*<\/authenticator>/.exec(text.slice(0, 4_096))?.[1] ?? ""
}

/** CahError invalid_argument when it is none. */
export function parseSchedulerRequest(text: string): SchedulerRequest {
  const { root, said } = readRequest(text)
  const info = root.one("host_info")
  const preferences = root.one("working_global_preferences").one("global_preferences")
  const disk = root.one("disk_usage")
  const platforms = [root.text("platform_name"), ...root.all("alt_platform").map(each => each.text("name"))]
  return {
    authenticator: root.text("authenticator"),
    hostId: root.count("hostid"),
    sequence: root.count("rpc_seqno"),
    clientStarted: root.one("time_stats").count("client_start_time"),
    clientVersion: [
      root.count("core_client_major_version"),
      root.count("core_client_minor_version"),
      root.count("core_client_release"),
    ],
    platforms: bounded(
      platforms.filter(name => name !== ""),
      "platforms",
    ),
    wantsWork:
      root.number("work_req_seconds") > 0 || root.number("cpu_req_secs") > 0 || root.number("cpu_req_instances") > 0,
    refusesWork: root.flag("dont_send_work"),
    codeSignKey: root.text("code_sign_key"),
    crossId: root.text("cross_project_id"),
    webPreferences: webPreferencesOf(text),
    host: {
      name: short(info.text("domain_name")),
      cpid: cpidOf(info.text("host_cpid")),
      processors: Math.max(1, info.count("p_ncpus")),
      memoryBytes: info.count("m_nbytes"),
      virtualBox: short(info.text("virtualbox_version")),
      extensionsDisabled: info.flag("p_vm_extensions_disabled"),
      facts: factsOf(root, info),
    },
    graphicsCards: cardsOf(root.one("coprocs")),
    isAlone: root.number("resource_share_fraction") > 0.999,
    limits: {
      processorsPercent: percent(preferences.number("max_ncpus_pct")),
      memoryPercent: Math.min(
        percent(preferences.number("ram_max_used_busy_pct")),
        percent(preferences.number("ram_max_used_idle_pct")),
      ),
      diskBytes: disk.has("d_project_share") ? disk.count("d_project_share") : info.count("d_free"),
    },
    reported: bounded(root.all("result"), "results").map(result => reportedResult(result, said)),
    inProgress: bounded(root.one("other_results").all("other_result"), "results").map(each => each.text("name")),
    messages: bounded(root.all("msg_from_host"), "messages").map(each => ({
      result: each.text("result_name"),
      variety: short(each.text("variety")),
      ground: groundOf(each),
    })),
    clientNow: root.one("time_stats").number("now"),
  }
}

function groundOf(message: Element): Ground | null {
  const hypervisor = short(message.text("hypervisor"))
  if (hypervisor === "") return null
  return {
    hypervisor,
    acceleration: short(message.text("acceleration")),
    why: short(message.text("acceleration_why")),
  }
}

/** What programs said may hold the request's own tags: where the rest is broken by them, all of it is taken for one text. */
function readRequest(text: string): { root: Element; said: readonly string[] } {
  const taken = takeOut(text)
  try {
    return { root: readXml(taken.rest, ROOT), said: taken.said }
  } catch (thrown) {
    const whole = takeOutWhole(text)
    if (whole === null) throw thrown
    return { root: readXml(whole.rest, ROOT), said: whole.said }
  }
}

function reportedResult(result: Element, said: readonly string[]): ReportedResult {
  return {
    name: result.text("name"),
    state: result.count("state"),
    exitStatus: result.whole("exit_status"),
    stderr: said[result.count("stderr_out")] ?? "",
  }
}

/** The client copies the file, with what our reader would lose, before those that it goes by. */
function webPreferencesOf(text: string): string {
  const end = text.indexOf("<working_global_preferences>")
  const head = end < 0 ? text : text.slice(0, end)
  const [begin, last] = [head.indexOf(PREFERENCES), head.indexOf(PREFERENCES_END)]
  if (begin < 0 || last < begin) return ""
  const found = head.slice(begin, last + PREFERENCES_END.length)
  readXml(found, "global_preferences")
  return found
}

/** One element for each kind, with how many there are of it. */
function cardsOf(coprocessors: Element): number {
  const kinds = ["coproc_cuda", "coproc_ati", "coproc_intel_gpu", "coproc_apple_gpu", "coproc"]
  return kinds
    .flatMap(kind => coprocessors.all(kind))
    .reduce((sum, card) => sum + Math.min(card.count("count"), GRAPHICS_CARDS_MAX), 0)
}

function factsOf(root: Element, info: Element): Record<string, string> {
  const facts: Record<string, string> = {}
  for (const name of factNames) {
    const value = short(info.text(name))
    if (value !== "") facts[name] = value
  }
  const version = ["major_version", "minor_version", "release"].map(part => root.count(`core_client_${part}`))
  const network = root.one("net_stats")
  return { ...facts, boinc_version: version.join("."), n_bwup: network.text("bwup"), n_bwdown: network.text("bwdown") }
}

/** 32 hex characters, or "": nothing can be told by it. */
function cpidOf(text: string): string {
  return /^[0-9a-f]{32}$/.test(text) ? text : ""
}

/** To the client 0, or nothing, is no limit. */
function percent(value: number): number {
  return value > 0 && value < 100 ? value : 100
}

function short(text: string): string {
  return text.replace(/[\p{Cc}]/gu, " ").slice(0, BOINC_FACT_CHARACTERS_MAX)
}

function bounded<T>(list: T[], what: string): T[] {
  if (list.length <= BOINC_LIST_MAX) return list
  throw new CahError("invalid_argument", `more than ${BOINC_LIST_MAX} ${what} in one request`)
}
