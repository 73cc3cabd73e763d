// What a volunteer's computers do, gathered from those who know and put into sentences. Reads only.
import { creditAt } from "../../core/credit.ts"
import type { Clock, Engine, StoreReader } from "../../core/ports.ts"
import { accountOf, type HostRow, type LaunchRow, type VolunteerRow } from "../../core/volunteers.ts"
import { LAUNCH_READY_MS } from "../../limits.ts"
import { whySlow } from "../boinc/ground.ts"
import { inWords } from "../boinc/schedule.ts"
import { duration } from "../status/words.ts"

export interface OverviewParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly engine: Pick<Engine, "node" | "campaign">
  readonly clock: Clock
}

export interface Computer {
  readonly host: HostRow
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
  const hosts = store.volunteers.hostsOf(volunteer.id).reverse()
  const lately = hosts.filter(host => nowMs - host.heardAt < GONE_MS)
  return {
    computers: (lately.length > 0 ? lately : hosts).map(host => computerOf(parts, host, nowMs)),
    credit: creditAt(total, nowMs),
    hours: total.slotMs / 3_600_000,
    results: total.results,
  }
}

function computerOf(parts: OverviewParts, host: HostRow, nowMs: number): Computer {
  const { volunteers } = parts.store
  const [last] = volunteers.launchesOf(host.id, 1)
  const live = last?.endedAt === null ? last : null
  const total = volunteers.hostCredit(host.id)
  return {
    host,
    doing: doing(parts, host, { live, last: last ?? null }, nowMs),
    slow: whySlow(host.facts),
    said: live === null && last?.ending === "failed" ? last.message : "",
    isStopped: host.stopped,
    credit: creditAt(total, nowMs).total,
    hours: total.slotMs / 3_600_000,
    results: total.results,
    ...volunteers.trafficOf(host.id),
    heardAt: host.heardAt,
  }
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
  if (node === null) return gettingReady(nowMs - live.madeAt)
  if (node.link === null) {
    return `It is paused, switched off or out of reach. It was last heard ${ago(nowMs - host.heardAt)} ago, and goes on by itself.`
  }
  const works = [...node.held.values()].filter(held => held.stopping === null)
  if (works.length === 0) return "It is ready, and waits for work: there is none for it just now."
  const names = new Map<string, number>()
  for (const { campaign } of works) {
    const found = parts.engine.campaign(campaign)
    const name = found === null ? "work that is just ending" : `${titled(found.name, campaign)} for ${found.owner}`
    names.set(name, (names.get(name) ?? 0) + 1)
  }
  const list = [...names].map(([name, count]) => (count === 1 ? name : `${count} jobs of ${name}`))
  return `It works on ${list.join(", and on ")}.`
}

/** What hinders it stands in the BOINC on that computer, which does not tell us. */
function gettingReady(sinceMs: number): string {
  if (sinceMs < LAUNCH_READY_MS) return "It is getting ready: BOINC fetches the virtual machine and starts it."
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
