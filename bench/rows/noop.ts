// noop: 50,000 jobs that do nothing, each different from the others as a peer's messages are (a line of parameters), submitted in one
// stream, offered, reported and acknowledged twice, to 100 agents of 4 slots over WebSockets. What agents send is what the real agent
// sends for a job without stagein and outputs: "running" and "ended", in two writes at least one turn of the event loop apart;
// with --four-reports "staging" and "returning" as well, in the same two writes.
// Fair, because hub and bare hub get the same bytes from the same load process, run with the same durability (SQLite,
// synchronous=FULL, nothing acknowledged before COMMIT), each on a core of its own, in turns. In both a smaller campaign
// warms up first. What the bare hub leaves out stands in its file.
import { type CampaignFigures, campaignFigures, runCampaign } from "../campaign.ts"
import { type Figure, type Row, ratios } from "../figures.ts"
import type { Settings } from "../settings.ts"
import { startBare, startHub } from "../subject.ts"

export const noopPlan = { jobs: 50_000, warmUp: 10_000, agents: 100, slots: 4, how: "different" } as const
export const quickPlan = { ...noopPlan, jobs: 2_000, warmUp: 200, agents: 20 } as const

export async function noop(settings: Settings): Promise<Row> {
  const { fourReports } = settings
  const plan = { ...(settings.quick ? quickPlan : noopPlan), fourReports }
  const ours: CampaignFigures[] = []
  const bare: CampaignFigures[] = []
  for (let run = 0; run < settings.runs; run++) {
    const hub = async () => {
      ours.push(await runCampaign(await startHub({ profile: settings.profile }), { ...plan, profileTo: `noop-${run}` }))
    }
    const other = async () => {
      bare.push(await runCampaign(await startBare(), plan))
    }
    // Not always the same one first: what the machine remembers (disk, caches, turbo) favours neither.
    for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
  }
  const [throughput, ...rest] = campaignFigures("hub", ours) as [Figure, ...Figure[]]
  const reference = campaignFigures("bare hub", bare)
  return {
    name: "noop",
    work: `${plan.jobs.toLocaleString("en-GB")} different no-op jobs over ${plan.agents} agents of ${plan.slots} slots`,
    figures: [
      {
        ...throughput,
        ratio: { to: "bare hub", values: ratios(throughput.values, reference[0]!.values) },
        target: { of: "ratio", min: 0.6 },
      },
      ...rest,
      ...reference,
    ],
    caveats: [
      "The hub, its writer's thread included, has one core, and the agents another.",
      `Agents are simulated: the real protocol byte for byte, of each job ${fourReports ? "staging, running, returning and ended" : "running and ended"}.`,
    ],
    notes: ours.flatMap(({ profile }) => profile ?? []),
  }
}
