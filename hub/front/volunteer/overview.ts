// What a volunteer's computers do, gathered from those who know and put into sentences. Reads only.
import { creditAt } from "../../core/credit.ts"
import type { Clock, Engine, StoreReader } from "../../core/ports.ts"
import { shapeOf } from "../../core/rules.ts"
import { accountOf, type HostId, type HostRow, type LaunchRow, type VolunteerRow } from "../../core/volunteers.ts"
import { LAUNCH_READY_MS, LAUNCH_SOON_MS } from "../../limits.ts"
import { whySlow } from "../boinc/ground.ts"
import type { Release } from "../boinc/release.ts"
import { inWords } from "../boinc/schedule.ts"
import { count, duration, size } from "../text.ts"

export interface OverviewParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly engine: Pick<Engine, "node" | "campaign" | "job" | "health">
  readonly release: Release | null
  readonly clock: Clock
}

export interface Computer {
  readonly host: HostRow
  /** The volunteer's own name for it, or its own. */
  readonly name: string
  /** One sentence: what it does now, and for whom. */
  readonly doing: string
  /** Why its virtual machine is slow, and what its volunteer can do; null: it is not, as far as is known. */
  readonly slow: string | null
  /** The last words of a virtual machine that failed; "" if none did. */
  readonly said: string
  readonly isStopped: boolean
  readonly credit: number
  readonly hours: number
  readonly results: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** What BOINC fetched for it once, the virtual machine itself; null: it has none of the present version. */
  readonly fetchedBytes: number | null
  /** What it works on now, job by job, in order; a machine has at most some hundreds. */
  readonly jobs: readonly string[]
  /** Wall time, ms. */
  readonly heardAt: number
}

export interface Overview {
  readonly computers: readonly Computer[]
  readonly credit: { readonly total: number; readonly average: number }
  readonly hours: number
  readonly results: number
}

/** Computers that were not heard for so long are left out, as long as others are there. */
const GONE_MS = 90 * 24 * 3_600_000

export function overviewOf(parts: OverviewParts, volunteer: VolunteerRow): Overview {
  const { store, clock } = parts
  const nowMs = clock.wallMs()
  const total = store.volunteers.credit(accountOf(volunteer.id))
  const all = store.volunteers.hostsOf(volunteer.id).reverse()
  const hosts = all.filter(host => !host.removed && host.mergedInto === null)
  const lately = hosts.filter(host => nowMs - host.heardAt < GONE_MS)
  const alike = (id: HostId) => all.filter(host => host.mergedInto === id)
  return {
    computers: (lately.length > 0 ? lately : hosts).map(host => computerOf(parts, host, alike(host.id), nowMs)),
    credit: creditAt(total, nowMs),
    hours: total.slotMs / 3_600_000,
    results: total.results,
  }
}

/** `merged` are earlier records of the same computer: what they gave counts with it. */
function computerOf(parts: OverviewParts, host: HostRow, merged: readonly HostRow[], nowMs: number): Computer {
  const { volunteers } = parts.store
  const [last] = volunteers.launchesOf(host.id, 1)
  const live = last?.endedAt === null ? last : null
  const records = [host, ...merged].map(({ id }) => ({ ...volunteers.hostCredit(id), ...volunteers.trafficOf(id) }))
  const sum = (of: (record: (typeof records)[number]) => number) => records.reduce((all, record) => all + of(record), 0)
  return {
    host,
    name: nameOfHost(host),
    doing: doing(parts, host, { live, last: last ?? null }, nowMs),
    slow: whySlow(host.facts),
    said: live === null && last?.ending === "failed" ? last.message : "",
    isStopped: host.stopped,
    credit: sum(record => creditAt(record, nowMs).total),
    hours: sum(record => record.slotMs) / 3_600_000,
    results: sum(record => record.results),
    bytesIn: sum(record => record.bytesIn),
    bytesOut: sum(record => record.bytesOut),
    fetchedBytes: fetchedBy(parts, host),
    jobs: live === null || host.stopped ? [] : jobsOf(parts, live),
    heardAt: host.heardAt,
  }
}

function nameOfHost({ title, name, id }: HostRow): string {
  return title || name || `computer ${id}`
}

/** BOINC fetches the files once for each version of them, in their packed form where there is one. */
function fetchedBy({ store, release }: OverviewParts, host: HostRow): number | null {
  const launches = store.volunteers.launchesOf(host.id, LAUNCHES_LOOKED_AT)
  const mine = launches.find(launch => launch.versionNumber === release?.versionNumber)
  const version = release?.appVersions.find(({ planClass }) => planClass === mine?.planClass)
  if (mine === undefined || version === undefined) return null
  return version.files.reduce((sum, { file }) => sum + (file.gzip?.sizeBytes ?? file.sizeBytes), 0)
}

/** The last ones tell which version a computer has. */
const LAUNCHES_LOOKED_AT = 10

/** Each with how long it has run, and of how long it may: that is all that is known of how far a program is. */
function jobsOf({ store, engine, clock }: OverviewParts, live: LaunchRow): string[] {
  const { node: id } = store.volunteers.launchTally(live.id)
  const node = id === null ? null : engine.node(id)
  if (node === null) return []
  const nowMs = clock.nowMs()
  return [...node.held.values()].flatMap(held => {
    const found = engine.campaign(held.campaign)
    if (found === null || held.stopping !== null) return []
    const name = `Job ${held.campaign}.${held.index} of ${titled(found.name, held.campaign)} for ${found.owner}`
    const one = engine.job(held.campaign, held.index)?.tries.find(({ attempt }) => attempt === held.attempt)
    if (one === undefined || one.startedMs === null) return [`${name}: it is getting its files.`]
    const most = ago(shapeOf(found, one.shape).walltimeMs)
    return [`${name}: it has run for ${ago(nowMs - one.startedMs)}, of at most ${most}.`]
  })
}

function doing(
  parts: OverviewParts,
  host: HostRow,
  { live, last }: { live: LaunchRow | null; last: LaunchRow | null },
  nowMs: number,
): string {
  if (host.barred) return "The people who run this hub took this computer out. Please ask them why."
  if (host.stopped) {
    return live === null
      ? "You stopped it. It does nothing here."
      : "You stopped it. Its virtual machine ends within seconds if it runs just now, else when BOINC next calls."
  }
  if (live === null) return resting(host, last, nowMs)
  const { node: id } = parts.store.volunteers.launchTally(live.id)
  const node = id === null ? null : parts.engine.node(id)
  if (node === null) return gettingReady(parts, host, live, nowMs)
  if (node.link === null) {
    return `It is paused, switched off or out of reach. It was last heard ${ago(nowMs - host.heardAt)} ago, and goes on by itself.`
  }
  const works = [...node.held.values()].filter(held => held.stopping === null)
  if (works.length === 0 && live.draining !== null) {
    return "It takes no more work, as its BOINC has “No new tasks” for this project or a newer version waits, and ends now."
  }
  if (works.length === 0) return waiting(parts)
  const names = new Map<string, number>()
  for (const { campaign } of works) {
    const found = parts.engine.campaign(campaign)
    const name = found === null ? "work that is just ending" : `${titled(found.name, campaign)} for ${found.owner}`
    names.set(name, (names.get(name) ?? 0) + 1)
  }
  const list = [...names].map(([name, count]) => (count === 1 ? name : `${count} jobs of ${name}`))
  const then = live.draining === null ? "" : " It takes nothing more after that."
  return `It works on ${list.join(", and on ")}.${then}`
}

/** What there is to do stands in the hub's memory; why not on this computer, in the scientists' own explanations. */
function waiting({ engine }: OverviewParts): string {
  const { queued } = engine.health().counts
  if (queued === 0) return "It is ready, and waits for work: nobody has any just now. Nothing is wrong."
  return `It is ready, and waits for work: ${count(queued, "job")} wait too, but for computers with something that this one does not have, or for others to end.`
}

/** What hinders it stands in the BOINC on that computer, which does not tell us. */
function gettingReady(parts: OverviewParts, host: HostRow, { madeAt }: LaunchRow, nowMs: number): string {
  const sinceMs = nowMs - madeAt
  const bytes = fetchedBy(parts, host)
  if (sinceMs < LAUNCH_READY_MS) {
    const much = bytes === null ? "" : ` (${size(bytes)}, once)`
    const ready = `It is getting ready: BOINC fetches the virtual machine${much} and starts it.`
    if (sinceMs < LAUNCH_SOON_MS) return ready
    const why =
      "If that takes long, it mostly waits there for something: the download under Transfers, another project's turn or your own settings under Tasks."
    return `${ready} That was ${ago(sinceMs)} ago, and BOINC last called ${ago(nowMs - host.heardAt)} ago. ${why}`
  }
  return (
    "Its virtual machine has not started yet. If that computer is on, its BOINC says why: look at the task, at Notices, and at " +
    "the event log. Often QEMU is not installed there."
  )
}

function titled(name: string, campaign: number): string {
  return name === "" ? `campaign ${campaign}` : `“${name}”`
}

function resting(host: HostRow, last: LaunchRow | null, nowMs: number): string {
  if (last === null) return "It is known here and has no work yet: BOINC asks for some when it has room."
  if (last.ending === "failed") {
    const waitS = Math.ceil((host.notBefore - nowMs) / 1_000)
    return `Its virtual machine ended with an error. ${waitS > 0 ? `The next try comes in ${inWords(waitS)}.` : "The next try comes when BOINC calls."}`
  }
  const waitS = Math.ceil((host.notBefore - nowMs) / 1_000)
  if (last.ending === "aborted" && last.stopping === null && waitS > 0) {
    return `Its virtual machine was aborted in BOINC. The next comes in ${inWords(waitS)}; to have none, press stop here, or "No new tasks" in BOINC.`
  }
  if (last.ending === "finished" && last.stopping === null) {
    return "There was no work for it, so its virtual machine has ended and leaves the computer to you. It comes back when there is some."
  }
  return "It has no work just now: BOINC asks for some when it has room."
}

function ago(ms: number): string {
  return ms < 60_000 ? "less than a minute" : duration(ms / 1_000)
}
