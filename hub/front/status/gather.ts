// What an operator wants to know at one glance, gathered from those who hold it: one value for the page and for
// /api/v1/status. It asks nothing that costs more than a few hundred microseconds, because anybody on loopback may ask.

import type { Outlook, OwnerWork, Stuck } from "../../core/asking/outlook.ts"
import { CahError } from "../../core/errors.ts"
import type { Counts } from "../../core/model.ts"
import type { BlobStore, Clock, Engine, Links, Store } from "../../core/ports.ts"
import { CERTIFICATE_WARN_MS, LOOP_LAG_MAX_MS } from "../../limits.ts"
import type { Metrics } from "../../metrics.ts"
import { busySlots, type NodeStateName, nodeState } from "../node-state.ts"
import { count, duration, size } from "../text.ts"

export interface StatusParts {
  readonly engine: Pick<Engine, "health" | "nodes" | "outlook">
  readonly store: Pick<Store, "campaigns" | "health" | "hubId">
  readonly blobs: Pick<BlobStore, "freeBytes">
  readonly links: Pick<Links, "health">
  readonly clock: Clock
  readonly metrics: Metrics
  readonly version: string
  readonly diskFloorBytes: number
  /** Blobs that are missing, found at start, or bad, found whenever they are read: lost data. */
  readonly damagedBlobs: () => number
  /** Of the TLS certificate that is served; null: there is none. */
  readonly certificate: () => { readonly notAfterMs: number; readonly refused: string | null } | null
  /** Why nothing is removed by age now, in words; null: the clock is believed. */
  readonly clockDoubt: () => string | null
  /** Nodes that knocked of late and that this hub does not know. */
  readonly strangers: () => number
  /** The data directory, where the database was made at this start and nobody said --init; else null. */
  readonly madeAnew: string | null
  /** The command that starts an agent, without its token. */
  readonly agentCommand: string
}

/** One thing that needs a person, and what to do about it. */
export interface Need {
  readonly what: string
  readonly fix: string
}

export interface Check {
  readonly name: "database" | "disk" | "draining"
  readonly ok: boolean
  readonly detail: string
}

export interface Status {
  readonly verdict: string
  readonly needs: readonly Need[]
  readonly hub: { readonly id: string; readonly version: string; readonly uptimeSeconds: number }
  readonly jobs: Readonly<Counts>
  readonly liveCampaigns: number
  readonly nodes: NodeCounts
  readonly links: { readonly links: number; readonly streams: number; readonly bufferedBytes: number }
  /** Since the hub was started. */
  readonly bytes: { readonly in: number; readonly out: number }
  /** The command that starts an agent, without its token. */
  readonly agentCommand: string
  /** Null: this hub serves no TLS itself. */
  readonly certificate: { readonly validUntil: string } | null
  /** The rest is for those who may see all. */
  readonly database?: { readonly handles: number; readonly walBytes: number; readonly queued: number }
  readonly disk?: { readonly freeBytes: number; readonly floorBytes: number }
  readonly process?: { readonly rssBytes: number; readonly eventLoopLagSeconds: number }
  readonly campaigns?: readonly CampaignStatus[]
  /** With work under way, the most jobs first. */
  readonly owners?: readonly OwnerWork[]
}

export type NodeCounts = Readonly<Record<NodeStateName, number>> & {
  /** Of nodes that are online, and those of them that jobs have. */
  readonly slots: number
  readonly slotsBusy: number
  /** What jobs have on nodes that are away or drained: not part of the sums above. */
  readonly slotsElsewhere: number
}

export interface CampaignStatus {
  readonly id: number
  readonly name: string
  readonly owner: string
  readonly total: number
  /** As a whole, by its owner. */
  readonly held: boolean
  readonly counts: Readonly<Counts>
}

const CAMPAIGNS_SHOWN = 20
const OWNERS_SHOWN = 10
const STUCK_SHOWN = 3
const NODES_NAMED = 3

/** Whether the hub can take work now, and if not, why. */
export async function readiness(parts: StatusParts): Promise<{ ready: boolean; checks: readonly Check[] }> {
  const { trouble, draining } = parts.engine.health()
  const broken = trouble ?? parts.store.health().trouble
  const { freeBytes, trouble: unreadable } = await roomOf(parts)
  const checks: Check[] = [
    { name: "database", ok: broken === null, detail: broken ?? "writable" },
    {
      name: "disk",
      ok: freeBytes >= parts.diskFloorBytes && unreadable === null,
      detail: unreadable ?? `${freeBytes} bytes free, ${parts.diskFloorBytes} are kept free`,
    },
    { name: "draining", ok: !draining, detail: draining ? "the hub is stopping" : "no" },
  ]
  return { ready: checks.every(check => check.ok), checks }
}

/** None where there is no disk any more, and why. */
async function roomOf({ blobs }: Pick<StatusParts, "blobs">): Promise<{ freeBytes: number; trouble: string | null }> {
  try {
    return { freeBytes: await blobs.freeBytes(), trouble: null }
  } catch (thrown) {
    return { freeBytes: 0, trouble: `the free space cannot be read: ${CahError.from(thrown).message}` }
  }
}

export async function gather(parts: StatusParts, seesAll: boolean): Promise<Status> {
  const health = parts.engine.health()
  const nodes = countNodes(parts)
  const { freeBytes } = await roomOf(parts)
  const lagSeconds = parts.metrics.eventLoopLagSeconds()
  const certificate = parts.certificate()
  const outlook = parts.engine.outlook(OWNERS_SHOWN)
  const needs = needsOf(parts, { online: nodes.online, freeBytes, lagSeconds, outlook }, seesAll)
  const common = {
    verdict:
      needs.length === 0 ? "All well" : needs.length === 1 ? "1 thing needs you" : `${needs.length} things need you`,
    needs,
    hub: { id: parts.store.hubId(), version: parts.version, uptimeSeconds: Math.floor(process.uptime()) },
    jobs: health.counts,
    liveCampaigns: health.liveCampaigns,
    nodes,
    links: parts.links.health(),
    bytes: await bytesOf(parts.metrics),
    agentCommand: parts.agentCommand,
    certificate: certificate === null ? null : { validUntil: new Date(certificate.notAfterMs).toISOString() },
  }
  if (!seesAll) return common
  const newest = parts.store.campaigns({
    owner: null,
    before: Number.MAX_SAFE_INTEGER,
    limit: CAMPAIGNS_SHOWN,
    live: false,
  })
  return {
    ...common,
    database: parts.store.health(),
    disk: { freeBytes, floorBytes: parts.diskFloorBytes },
    process: { rssBytes: process.memoryUsage.rss(), eventLoopLagSeconds: lagSeconds },
    campaigns: newest.map(({ id, name, owner, total, held, counts }) => ({ id, name, owner, total, held, counts })),
    owners: outlook.owners,
  }
}

export function countNodes({ engine }: { readonly engine: Pick<Engine, "nodes"> }): NodeCounts {
  const nodes = {
    online: 0,
    away: 0,
    drained: 0,
    quarantined: 0,
    revoked: 0,
    slots: 0,
    slotsBusy: 0,
    slotsElsewhere: 0,
  }
  for (const node of engine.nodes()) {
    const state = nodeState(node)
    nodes[state]++
    const busy = busySlots(node)
    if (state !== "online") nodes.slotsElsewhere += busy
    else {
      nodes.slots += node.slots
      nodes.slotsBusy += busy
    }
  }
  return nodes
}

interface Now {
  readonly online: number
  readonly freeBytes: number
  readonly lagSeconds: number
  readonly outlook: Outlook
}

function needsOf(parts: StatusParts, now: Now, seesAll: boolean): Need[] {
  const { trouble: broken, draining } = parts.engine.health()
  const trouble = broken ?? parts.store.health().trouble
  const needs: Need[] = []
  if (trouble !== null) {
    needs.push({
      what: `The hub cannot write to its disk: ${trouble}`,
      fix: "Free space or repair the disk. The hub tries again by itself; agents compute on meanwhile.",
    })
  }
  if (now.freeBytes < parts.diskFloorBytes) {
    needs.push({
      what: `Only ${size(now.freeBytes)} are free on the disk: below ${size(parts.diskFloorBytes)} no upload is taken.`,
      fix: "Free space on the disk of the data directory, or start the hub with a lower --disk-floor.",
    })
  }
  const damaged = parts.damagedBlobs()
  if (damaged > 0) {
    needs.push({
      what: `${damaged} stored file${damaged === 1 ? " is" : "s are"} missing or damaged, and not served; the log names them.`,
      fix: "Restore them from the backup of the data directory's blobs, and look at the disk's health.",
    })
  }
  const doubt = parts.clockDoubt()
  if (doubt !== null) {
    needs.push({
      what: "The machine's clock jumped ahead: nothing is removed by age for now.",
      fix: `Look at it: ${doubt}.`,
    })
  }
  needs.push(...strangersInWords(parts, now.online))
  const { due, stuck } = now.outlook
  if (due > 0 && now.online === 0) {
    needs.push({
      what: `${count(due, "job")} cannot go on: no node is online.`,
      fix: `Start an agent: ${parts.agentCommand}`,
    })
  } else {
    needs.push(...stuck.slice(0, STUCK_SHOWN).map(one => stuckInWords(one, seesAll)))
    const rest = stuck.slice(STUCK_SHOWN)
    const jobs = rest.reduce((sum, one) => sum + one.jobs, 0)
    if (rest.length > 0)
      needs.push({ what: `${count(jobs, "more job")} wait for nodes likewise.`, fix: "Mend the first ones." })
  }
  needs.push(...quarantineNeeds(parts))
  if (now.lagSeconds * 1e3 > LOOP_LAG_MAX_MS) {
    needs.push({
      what: `The hub is late: its timers lag ${Math.round(now.lagSeconds * 1e3)} ms.`,
      fix: "Look at what else runs on this machine. New agents are sent away until it is better.",
    })
  }
  needs.push(...certificateNeeds(parts))
  if (draining) needs.push({ what: "The hub is stopping.", fix: "Start it again when you are done." })
  return needs
}

/** Names only for those who may see all. */
function stuckInWords({ campaign, name, owner, campaigns, jobs, why, isFinal }: Stuck, seesAll: boolean): Need {
  const called = seesAll ? `${name === "" ? "" : ` (${name})`} of ${owner}` : ""
  const others = campaigns === 1 ? "" : ` and ${count(campaigns - 1, "other campaign")} like it`
  return {
    what: `${count(jobs, "job")} of campaign ${campaign}${called}${others} cannot start: ${why}.`,
    fix: isFinal
      ? `Add a node that can run it, or let its owner ask for less: cah explain ${campaign} names the smallest change.`
      : `See what became of those nodes: cah nodes; cah explain ${campaign} says which are meant.`,
  }
}

/** Of several nodes the page names the first ones. */
function quarantineNeeds({ engine }: StatusParts): Need[] {
  const found = [...engine.nodes()].filter(node => nodeState(node) === "quarantined")
  if (found.length === 0) return []
  const named = found.slice(0, NODES_NAMED).map(({ name, id, quarantine }) => `${name || id} (${quarantine!.why})`)
  const more = found.length > NODES_NAMED ? `, and ${found.length - NODES_NAMED} more` : ""
  const what = `${count(found.length, "node")} in quarantine, where jobs fail that go well elsewhere: ${named.join(", ")}${more}.`
  const fix =
    "Look at what is wrong there, then: cah nodes release NODE. Until then it gets a job now and then, to see."
  return [{ what, fix }]
}

function certificateNeeds({ certificate, clock }: StatusParts): Need[] {
  const state = certificate()
  if (state === null) return []
  const needs: Need[] = []
  const fix = "Renew it and put the new files in place of the old: the hub takes them within seconds, or at SIGHUP."
  const leftMs = state.notAfterMs - clock.wallMs()
  const on = new Date(state.notAfterMs).toISOString().slice(0, 10)
  if (leftMs <= 0)
    needs.push({ what: `The TLS certificate expired on ${on}: no agent and no client can connect.`, fix })
  else if (leftMs < CERTIFICATE_WARN_MS) {
    needs.push({ what: `The TLS certificate expires in ${duration(leftMs / 1e3)}, on ${on}.`, fix })
  }
  if (state.refused !== null) {
    needs.push({ what: "The new TLS certificate is not used: it does not fit.", fix: `${state.refused}.` })
  }
  return needs
}

/**
 * That a hub is on the wrong database nobody can prove to it: nodes that it does not know may be anybody's. But where they are all that
 * come to a database which was made just now, or more than those that it knows, a person should look.
 */
function strangersInWords({ engine, strangers, madeAnew }: StatusParts, online: number): Need[] {
  const unknown = strangers()
  if (unknown <= online) return []
  const knock = `${count(unknown, "node")} knock${unknown === 1 ? "s" : ""} that this hub does not know`
  const comeBack = "They come back by themselves within the hour."
  const [anyNode] = engine.nodes()
  if (madeAnew !== null && anyNode === undefined) {
    return [
      {
        what: `${knock}, and its database is new: it was made at this start, in ${madeAnew}.`,
        fix: `If there should have been one, stop the hub, and start it where its data lies (a disk that is not mounted? another --data?). ${comeBack} If a new hub is meant, start it with --init.`,
      },
    ]
  }
  if (anyNode === undefined) return []
  return [
    {
      what: `${knock}: more than are online.`,
      fix: `If they have joined this hub, it is on an older copy of its database, or on another's: start it on the right one. ${comeBack} Else enrol them anew: cah admin enrol.`,
    },
  ]
}

async function bytesOf(metrics: Metrics): Promise<{ in: number; out: number }> {
  const sum = { in: 0, out: 0 }
  for (const { labels, value } of (await metrics.streamBytes.get()).values) {
    if (labels.dir === "in" || labels.dir === "out") sum[labels.dir] += value
  }
  return sum
}
