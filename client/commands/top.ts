// cah top: what is under way, live: campaigns with their speed and the time they will still take, and the nodes. Redrawn in place on a
// terminal, a line every ten seconds elsewhere, a snapshot a line with -o ndjson. Ends at Ctrl-C, which here is no failure.
import type { Command } from "commander"
import { type Campaign, type Node, NodeState } from "../../proto/gen/cah/v1/job_pb.ts"
import { pause } from "../backoff.ts"
import { drawBar } from "../bars.ts"
import type { Context } from "../context.ts"
import type { Hub } from "../library.ts"
import { TOP_CAMPAIGNS_MAX, TOP_LINE_MS, TOP_REDRAW_MS, TOP_WINDOW_MS } from "../limits.ts"
import { type Colors, clean, cut, statePaint, table } from "../output.ts"
import { figuresOf, sumOf } from "../progress.ts"
import { plural, showBytes, showDuration } from "../quantities.ts"
import { campaignState, hasEnded, tally } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

export interface Snapshot {
  readonly atMs: number
  /** Newest first. */
  readonly campaigns: readonly Campaign[]
  readonly nodes: readonly Node[]
}

export const top: Verb = {
  define(command: Command): void {
    command
      .description("Watch your campaigns, their speed and the nodes, until Ctrl-C.")
      .option("--once", "one look, and no more")
      .option("--everybody", "campaigns of all owners (operators only)")
      .addHelpText("after", examples("cah top", "cah top --once -o json | jq .jobsPerSecond"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { once = false, everybody = false } = command.opts<{ once?: boolean; everybody?: boolean }>()
    const hub = await context.hub()
    const { output, signal } = context
    const live = output.format === "table" && output.stdout.isTTY === true && !context.config.terminal.dumb && !once
    const looks: Snapshot[] = []
    try {
      for (;;) {
        const look = await lookAt(hub, looks.at(-1), everybody)
        hub.bePatient()
        context.hubIsBack()
        looks.push(look)
        while ((looks[0]?.atMs ?? 0) < look.atMs - TOP_WINDOW_MS) looks.shift()
        await show(context, looks, live, once)
        if (once) return 0
        await pause(live ? TOP_REDRAW_MS : TOP_LINE_MS, signal)
      }
    } catch (thrown) {
      if (!signal.aborted) throw thrown
      if (live) output.stdout.write("\n")
      return 0
    }
  },
}

/** Campaigns that have ended since the last look are shown once more, so that their last jobs count. */
async function lookAt(hub: Hub, before: Snapshot | undefined, everybody: boolean): Promise<Snapshot> {
  const campaigns: Campaign[] = []
  for await (const campaign of hub.list({ live: true, everybody, max: TOP_CAMPAIGNS_MAX })) campaigns.push(campaign)
  const still = new Set(campaigns.map(({ id }) => id))
  for (const { id, endedAt } of before?.campaigns ?? []) {
    if (still.has(id) || endedAt !== undefined) continue
    const { campaign } = await hub.show(id)
    if (campaign !== undefined && hasEnded(campaign)) campaigns.push(campaign)
  }
  const nodes: Node[] = []
  for await (const node of hub.nodes()) nodes.push(node)
  campaigns.sort((a, b) => Number(b.id - a.id))
  return { atMs: performance.now(), campaigns, nodes }
}

async function show(context: Context, looks: readonly Snapshot[], live: boolean, once: boolean): Promise<void> {
  const { output } = context
  const sums = sumsOf(looks)
  if (output.format !== "table") {
    await output.value(sums, { table: () => "", quiet: () => String(sums.jobsPerSecond) })
  } else if (live) {
    const lines = frame(looks, output.colors).split("\n")
    const { columns = 80, rows = 24 } = process.stdout
    const shown = lines.length < rows ? lines : [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} more`]
    // Home, each line over the old one, and nothing left below: no flicker of a cleared screen.
    const narrow = output.colors.bold("x") === "x" ? shown.map(line => cut(line, columns - 1)) : shown
    await output.write(`\u001b[H${narrow.map(line => `${line}\u001b[K\n`).join("")}\u001b[J`)
  } else if (once) await output.lines(frame(looks, output.colors))
  else await output.lines(headline(sums))
}

export interface Sums {
  readonly campaigns: number
  readonly running: number
  readonly waiting: number
  readonly jobsPerSecond: number
  readonly nodesOnline: number
  readonly slots: number
  readonly slotsBusy: number
  readonly retries: number
  readonly losses: number
  readonly preemptions: number
  readonly stageinBytes: number
  readonly stageoutBytes: number
}

export function sumsOf(looks: readonly Snapshot[]): Sums {
  const last = looks.at(-1)
  const tallies = (last?.campaigns ?? []).map(tally)
  const online = (last?.nodes ?? []).filter(({ state }) => state === NodeState.ONLINE)
  const speed = (last?.campaigns ?? []).reduce((sum, { id }) => sum + speedOf(looks, id), 0)
  return {
    campaigns: (last?.campaigns ?? []).filter(campaign => !hasEnded(campaign)).length,
    running: tallies.reduce((sum, one) => sum + one.active, 0),
    waiting: tallies.reduce((sum, one) => sum + one.waiting, 0),
    jobsPerSecond: Math.round(speed * 10) / 10,
    nodesOnline: online.length,
    slots: online.reduce((sum, { slots }) => sum + slots, 0),
    slotsBusy: online.reduce((sum, { slotsBusy }) => sum + slotsBusy, 0),
    ...sumOf((last?.campaigns ?? []).map(({ totals }) => figuresOf(totals))),
  }
}

/** Jobs that ended per second, over the window; from the first look at the campaign on. */
export function speedOf(looks: readonly Snapshot[], id: bigint): number {
  const seen = looks.flatMap(({ atMs, campaigns }) => {
    const campaign = campaigns.find(one => one.id === id)
    return campaign === undefined ? [] : [{ atMs, ended: tally(campaign).ended }]
  })
  const [first, last] = [seen[0], seen.at(-1)]
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0
  return ((last.ended - first.ended) * 1000) / (last.atMs - first.atMs)
}

function count(value: bigint | number | undefined): string {
  return String(value ?? 0)
}

export function headline(sums: Sums): string {
  return [
    `${plural(sums.campaigns, "campaign")} under way`,
    `${sums.running} running, ${sums.waiting} waiting`,
    `${sums.jobsPerSecond} jobs/s`,
    `${plural(sums.nodesOnline, "node")} online, ${sums.slotsBusy} of ${plural(sums.slots, "slot")} busy`,
  ].join("  ·  ")
}

export function frame(looks: readonly Snapshot[], colors: Colors): string {
  const campaigns = looks.at(-1)?.campaigns ?? []
  const head = headline(sumsOf(looks))
  if (campaigns.length === 0) return head
  const left = (campaign: Campaign) => {
    const speed = speedOf(looks, campaign.id)
    const { total, ended } = tally(campaign)
    return speed === 0 || ended === total ? "" : showDuration((total - ended) / speed)
  }
  const rows = table(
    campaigns,
    [
      { title: "ID", value: ({ id }) => String(id), right: true },
      { title: "NAME", value: ({ name }) => clean(name).slice(0, 24) || "–" },
      { title: "STATE", value: campaignState, paint: one => statePaint(campaignState(one), colors) },
      {
        title: "PROGRESS",
        value: one => `${drawBar(tally(one).ended, tally(one).total, 10)} ${tally(one).ended}/${tally(one).total}`,
      },
      { title: "RUN", value: one => String(tally(one).active), right: true },
      { title: "WAIT", value: one => String(tally(one).waiting), right: true },
      { title: "FAIL", value: one => String(tally(one).unwell), right: true },
      { title: "JOBS/S", value: ({ id }) => speedOf(looks, id).toFixed(1), right: true },
      { title: "ETA", value: left, right: true },
      { title: "RETRY", value: ({ totals }) => count(totals?.retries), right: true },
      { title: "LOST", value: ({ totals }) => count(totals?.losses), right: true },
      { title: "PREEMPTED", value: ({ totals }) => count(totals?.preemptions), right: true },
      { title: "UP", value: ({ totals }) => showBytes(totals?.stageinBytes ?? 0n), right: true },
      { title: "DOWN", value: ({ totals }) => showBytes(totals?.stageoutBytes ?? 0n), right: true },
      { title: "NODES", value: ({ totals }) => count(totals?.nodes), right: true },
    ],
    colors,
  )
  return `${head}\n\n${rows}`
}
