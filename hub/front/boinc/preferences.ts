// The four switches of a volunteer: when, how much processor, how much memory, how much network. Kept with the account, shown on its
// page, and given to BOINC clients as what BOINC calls global preferences, newer ones replacing older ones there.
import { element, nested, readXml } from "./xml.ts"

export const whens = {
  always: "Always",
  away: "When I am not using the computer",
  night: "At night, from 8 in the evening to 7 in the morning",
} as const
export type When = keyof typeof whens

export interface Preferences {
  readonly when: When
  /** Of the processors and of the memory. */
  readonly processorPercent: number
  readonly memoryPercent: number
  /** Each way; null: as much as there is. */
  readonly networkKiBps: number | null
  /** Wall time, ms: the newer ones count. */
  readonly savedAt: number
}

/** What the form shows before anything was chosen: BOINC's own defaults. */
export const usual: Omit<Preferences, "savedAt"> = {
  when: "always",
  processorPercent: 100,
  memoryPercent: 50,
  networkKiBps: null,
}

const NIGHT = { from: 20, to: 7 }
/** BOINC takes somebody for away after so long. */
const AWAY_MINUTES = 3

/** As it was saved by this hub. */
export function readPreferences(json: string | null): Preferences | null {
  return json === null ? null : (JSON.parse(json) as Preferences)
}

/** From a form's fields; a sentence for whoever filled it in when something is not possible. */
export function preferencesOf(form: URLSearchParams, savedAt: number): Preferences | string {
  const when = form.get("when") ?? ""
  const processorPercent = Number(form.get("processor"))
  const memoryPercent = Number(form.get("memory"))
  const network = (form.get("network") ?? "").trim()
  if (!Object.hasOwn(whens, when)) return "Please choose when your computer may work."
  if (!isPercent(processorPercent)) return "Processor: please give a number from 1 to 100."
  if (!isPercent(memoryPercent)) return "Memory: please give a number from 1 to 90."
  if (memoryPercent > 90) return "Memory: at most 90, so that your own programs keep some."
  const networkKiBps = network === "" ? null : Number(network)
  if (networkKiBps !== null && !(Number.isInteger(networkKiBps) && networkKiBps >= 1 && networkKiBps <= 10_000_000)) {
    return "Network: please give a whole number of kilobytes a second, or leave it empty for no limit."
  }
  return { when: when as When, processorPercent, memoryPercent, networkKiBps, savedAt }
}

function isPercent(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 100
}

/**
 * In BOINC's words, for a client that reported what it has from the web, or "" for nothing: whatever of that is not one of the switches
 * stays as it is, for a client takes the whole in place of what it has, for all its projects. Null: what it has is newer.
 */
export function globalPreferences(preferences: Preferences, reported: string): string | null {
  const { when, processorPercent, memoryPercent, networkKiBps, savedAt } = preferences
  const has = reported === "" ? 0 : readXml(reported, ROOT).number("mod_time")
  if (has >= Math.floor(savedAt / 1_000)) return null
  const bytesPerSecond = networkKiBps === null ? 0 : networkKiBps * 1024
  return nested(
    ROOT,
    element("mod_time", Math.floor(savedAt / 1_000)),
    element("run_if_user_active", when === "away" ? 0 : 1),
    element("idle_time_to_run", AWAY_MINUTES),
    when === "night" ? `${element("start_hour", NIGHT.from)}${element("end_hour", NIGHT.to)}` : "",
    element("max_ncpus_pct", processorPercent),
    element("ram_max_used_busy_pct", memoryPercent),
    element("ram_max_used_idle_pct", memoryPercent),
    element("max_bytes_sec_up", bytesPerSecond),
    element("max_bytes_sec_down", bytesPerSecond),
    otherLines(reported),
  )
}

const ROOT = "global_preferences"

/** What the switches decide, and what the hub says itself. */
const ours: ReadonlySet<string> = new Set([
  "source_project",
  "source_scheduler",
  "mod_time",
  "run_if_user_active",
  "idle_time_to_run",
  "start_hour",
  "end_hour",
  "max_ncpus_pct",
  "max_cpus",
  "ram_max_used_busy_pct",
  "ram_max_used_idle_pct",
  "max_bytes_sec_up",
  "max_bytes_sec_down",
])

/**
 * The rest as it stands, one element a line, blocks for places and single days included, whose attributes must not be lost. By one look
 * at each tag, since it is a stranger's text; the hub's own reader has found that the tags match.
 */
function otherLines(reported: string): string {
  const kept: string[] = []
  let [depth, begin, at] = [0, 0, reported.indexOf("<")]
  while (at >= 0) {
    const end = reported.indexOf(">", at)
    if (end < 0) break
    const tag = reported.slice(at, end + 1)
    const isClosing = tag.startsWith("</")
    if (depth === 1 && !isClosing) begin = at
    if (isClosing) depth--
    else if (!tag.endsWith("/>")) depth++
    const isWhole = depth === 1 && (isClosing || tag.endsWith("/>"))
    if (isWhole && !ours.has(nameOfTag(reported.slice(begin, begin + TAG_CHARACTERS_MAX)))) {
      kept.push(reported.slice(begin, end + 1), "\n")
    }
    at = reported.indexOf("<", end)
  }
  return kept.join("")
}

const TAG_CHARACTERS_MAX = 100

function nameOfTag(tag: string): string {
  return /^<([\w-]+)/.exec(tag)?.[1] ?? ""
}
