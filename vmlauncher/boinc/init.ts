// init_data.xml, which the client writes into the slot: who we are, where things lie, what the volunteer allows. It also holds the volunteer's
// account key, which this reader leaves where it is. The file is the client's, but a project's preferences are in it, so it is read like a
// stranger's: with a size cap, no entities, no document type, and every number checked.
import { readFileSync, statSync } from "node:fs"
import { XMLParser } from "fast-xml-parser"
import { Failure, type HubProxy } from "../core/ports.ts"
import { EXEMPT_MAX, INIT_DATA_MAX_BYTES } from "../limits.ts"

export const INIT_FILE = "init_data.xml"

export interface InitData {
  readonly resultName: string
  readonly projectDirectory: string
  /** Of the client; 0 if it does not say. */
  readonly clientPid: number
  /** Totals of earlier runs, up to the last checkpoint. */
  readonly cpuSeconds: number
  readonly elapsedSeconds: number
  readonly checkpointSeconds: number
  /** Unix time; 0: none. */
  readonly deadlineSeconds: number
  readonly processors: number
  /** What the workunit may use; 0: not said. */
  readonly memoryBoundBytes: number
  readonly diskBoundBytes: number
  readonly hostMemoryBytes: number
  /** 0 to 100, the smaller of in use and idle. */
  readonly memoryPercent: number
  readonly processorPercent: number
  /** 0: no limit. */
  readonly upBytesPerSecond: number
  readonly downBytesPerSecond: number
  readonly budgetMegabytes: number
  readonly budgetDays: number
  readonly proxy: HubProxy | null
}

/** Failure says what is wrong with the file. */
export function readInit(path: string): InitData {
  const { size } = statSync(path)
  if (size > INIT_DATA_MAX_BYTES) throw broken(path, `it has ${size} bytes, more than ${INIT_DATA_MAX_BYTES}`)
  return parseInit(readFileSync(path, "latin1"), path)
}

export function parseInit(xml: string, path: string = INIT_FILE): InitData {
  if (/<!(DOCTYPE|ENTITY)/i.test(xml)) throw broken(path, "it has a document type, which no client writes")
  const parser = new XMLParser({
    processEntities: false,
    parseTagValue: false,
    ignoreAttributes: true,
    // Anything at all may be in there, and none of it is for us.
    stopNodes: ["app_init_data.project_preferences", "app_init_data.authenticator"],
  })
  let parsed: unknown
  try {
    parsed = parser.parse(xml)
  } catch (error) {
    throw broken(path, error instanceof Error ? error.message : String(error))
  }
  const root = child(parsed, "app_init_data")
  if (root === null) throw broken(path, "it holds no <app_init_data>")
  const preferences = child(root, "global_preferences")
  const host = child(root, "host_info")
  const ramPercent = ["ram_max_used_busy_pct", "ram_max_used_idle_pct"].map(tag => number(preferences, tag, 100))
  return {
    resultName: name(root, path),
    projectDirectory: text(root, "project_dir"),
    clientPid: Math.floor(number(root, "client_pid", 0)),
    cpuSeconds: number(root, "wu_cpu_time", 0),
    elapsedSeconds: number(root, "starting_elapsed_time", 0),
    checkpointSeconds: number(root, "checkpoint_period", 60),
    deadlineSeconds: number(root, "computation_deadline", 0),
    processors: Math.max(1, Math.floor(number(root, "ncpus", 1))),
    memoryBoundBytes: number(root, "rsc_memory_bound", 0),
    diskBoundBytes: number(root, "rsc_disk_bound", 0),
    hostMemoryBytes: number(host, "m_nbytes", 0),
    memoryPercent: Math.min(100, ...ramPercent),
    // 0 is how the client says that there is no limit.
    processorPercent: Math.min(100, number(preferences, "cpu_usage_limit", 100) || 100),
    upBytesPerSecond: number(preferences, "max_bytes_sec_up", 0),
    downBytesPerSecond: number(preferences, "max_bytes_sec_down", 0),
    budgetMegabytes: number(preferences, "daily_xfer_limit_mb", 0),
    budgetDays: number(preferences, "daily_xfer_period_days", 0),
    proxy: proxyOf(child(root, "proxy_info")),
  }
}

/** The client takes the HTTP proxy if both are there. */
function proxyOf(info: Element | null): HubProxy | null {
  for (const [kind, use, server, person] of proxyKinds) {
    const host = text(info, `${server}_server_name`)
    const port = number(info, `${server}_server_port`, 0)
    const isWhole = /^[\w.:-]{1,253}$/.test(host) && port >= 1 && port <= 65_535
    if (text(info, use) !== "1" || !isWhole) continue
    return {
      kind,
      host,
      port,
      user: text(info, `${person}_user_name`),
      password: text(info, `${person}_user_passwd`),
      isNameLookedUpThere: text(info, "socks5_remote_dns") === "1",
      exempt: exemptOf(text(info, "no_proxy")),
    }
  }
  return null
}

const proxyKinds = [
  ["http", "use_http_proxy", "http", "http"],
  ["socks5", "use_socks_proxy", "socks", "socks5"],
] as const

/** "hub.example.org, https://other.example.org:8080": hosts, of which the rest does not count. */
function exemptOf(list: string): string[] {
  const hostOf = (entry: string): string =>
    entry
      .replace(/^\w+:\/\//, "")
      .replace(/\/.*$/, "")
      .replace(/^(\[.*\]|[^:]*):\d+$/, "$1")
  const hosts = list.split(/[,\s]+/).map(hostOf)
  return hosts.filter(host => /^[\w.:*[\]-]{1,255}$/.test(host)).slice(0, EXEMPT_MAX)
}

/** Names of results become names of machines. */
function name(root: Element, path: string): string {
  const said = text(root, "result_name")
  if (!/^[\w.+-]{1,255}$/.test(said))
    throw broken(path, `<result_name> must be letters, digits, . _ + -, not "${said.slice(0, 80)}"`)
  return said
}

type Element = Readonly<Record<string, unknown>>

function child(parent: unknown, tag: string): Element | null {
  const found =
    typeof parent === "object" && parent !== null && Object.hasOwn(parent, tag) ? (parent as Element)[tag] : null
  return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as Element) : null
}

/** The client writes booleans as <x/> or <x>1</x>. */
function text(parent: Element | null, tag: string): string {
  if (parent === null || !Object.hasOwn(parent, tag)) return ""
  const found = parent[tag]
  if (found === "" && tag.startsWith("use_")) return "1"
  return typeof found === "string" ? found.trim() : ""
}

/** What is missing, no number, negative or endless counts as not said. */
function number(parent: Element | null, tag: string, otherwise: number): number {
  const said = text(parent, tag)
  const value = Number(said)
  return said === "" || !Number.isFinite(value) || value < 0 ? otherwise : value
}

function broken(path: string, why: string): Failure {
  return new Failure(`${path} of the BOINC client cannot be read: ${why}`, { laterSeconds: null })
}
