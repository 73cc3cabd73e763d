// agents: noop's campaign with 1 to 10,000 agents of 4 slots: whether many agents take more of the hub for the same jobs than few do. With
// few agents it is the round trip that bounds (a slot waits for its next job until the end of the last is on disk), with many
// the hub. Each number of agents is a fresh hub and a fresh bare hub, in turns.
import { type CampaignFigures, runCampaign } from "../campaign.ts"
import { type Figure, type Row, ratios } from "../figures.ts"
import type { Settings } from "../settings.ts"
import { startBare, startHub } from "../subject.ts"
import { noopPlan } from "./noop.ts"

export async function agents(settings: Settings): Promise<Row> {
  const plans = settings.quick
    ? [
        { agents: 1, jobs: 200 },
        { agents: 50, jobs: 1_000 },
      ]
    : [
        { agents: 1, jobs: 5_000 },
        { agents: 10, jobs: noopPlan.jobs },
        { agents: 100, jobs: noopPlan.jobs },
        { agents: 1_000, jobs: noopPlan.jobs },
        { agents: 10_000, jobs: 2 * noopPlan.jobs },
      ]
  const runs = Math.min(settings.runs, 3)
  const figures: Figure[] = []
  for (const { agents, jobs } of plans) {
    const plan = { ...noopPlan, agents, jobs, warmUp: jobs / 5, fourReports: settings.fourReports }
    const ours: CampaignFigures[] = []
    const bare: CampaignFigures[] = []
    for (let run = 0; run < runs; run++) {
      const hub = async () => void ours.push(await runCampaign(await startHub(), plan))
      const other = async () => void bare.push(await runCampaign(await startBare(), plan))
      for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
    }
    const many = `${agents.toLocaleString("en-GB")} ${agents === 1 ? "agent" : "agents"}`
    const of = (
      subject: string,
      of: readonly CampaignFigures[],
      name: string,
      unit: string,
      value: (one: CampaignFigures) => number,
    ): Figure => {
      return { name: `${name}, ${many}`, unit, subject, series: name, x: agents, values: of.map(value) }
    }
    const rate = of("hub", ours, "throughput", "jobs/s", one => one.jobsPerSecond)
    const bareRate = of("bare hub", bare, "throughput", "jobs/s", one => one.jobsPerSecond)
    figures.push(
      { ...rate, ratio: { to: "bare hub", values: ratios(rate.values, bareRate.values) } },
      of("hub", ours, "processor", "µs/job", one => one.cpuUsPerJob),
      of("hub", ours, "event loop p99", "ms", one => one.loopDelayMs),
      of("hub", ours, "load's share of its core", "1", one => one.loadShare),
      bareRate,
      of("bare hub", bare, "load's share of its core", "1", one => one.loadShare),
    )
  }
  return {
    name: "agents",
    work: `noop's campaign with ${plans.map(({ agents }) => agents.toLocaleString("en-GB")).join(", ")} agents of ${noopPlan.slots} slots`,
    figures,
    caveats: ["Where the load's share of its core is near 1 it is the load that is measured."],
  }
}
