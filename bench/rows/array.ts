// array: one campaign of a million jobs that are all alike, in one message: how soon the hub has taken it (answered means on disk), how much
// memory it costs, and how fast it runs to its end. The rate is compared with noop's of the same turn, on the same hub
// with the same agents: an array may not be slower than so many different jobs for being large.
import { type CampaignFigures, runCampaign } from "../campaign.ts"
import { type Figure, type Row, ratios } from "../figures.ts"
import type { Settings } from "../settings.ts"
import { startHub } from "../subject.ts"
import { noopPlan, quickPlan } from "./noop.ts"

export async function array(settings: Settings): Promise<Row> {
  const noop = { ...(settings.quick ? quickPlan : noopPlan), fourReports: settings.fourReports }
  const plan = { ...noop, jobs: settings.quick ? 20_000 : 1_000_000, how: "array" } as const
  // Minutes each: fewer runs than of what takes seconds.
  const runs = Math.min(settings.runs, 3)
  const large: CampaignFigures[] = []
  const small: CampaignFigures[] = []
  for (let run = 0; run < runs; run++) {
    small.push(await runCampaign(await startHub(), noop))
    large.push(await runCampaign(await startHub({ profile: settings.profile }), { ...plan, profileTo: `array-${run}` }))
  }
  const of = (name: string, unit: string, value: (run: CampaignFigures) => number): Figure => ({
    name,
    unit,
    subject: "hub",
    values: large.map(value),
  })
  const rate = of("throughput", "jobs/s", run => run.jobsPerSecond)
  const noopRate = small.map(run => run.jobsPerSecond)
  return {
    name: "array",
    work: `one array of ${plan.jobs.toLocaleString("en-GB")} jobs over ${plan.agents} agents of ${plan.slots} slots`,
    figures: [
      { ...of("accepted", "s", run => run.acceptSeconds), target: { of: "value", max: 1 } },
      { ...of("more memory at most", "MB", run => run.grownBytes / 1e6), target: { of: "value", max: 100 } },
      { ...rate, ratio: { to: "noop", values: ratios(rate.values, noopRate) }, target: { of: "ratio", min: 0.6 } },
      of("processor", "µs/job", run => run.cpuUsPerJob),
      of("event loop p99", "ms", run => run.loopDelayMs),
      { name: "throughput of noop", unit: "jobs/s", subject: "hub", values: noopRate },
    ],
    caveats: ["Memory is the process's resident set, from just before the submit to its highest while the jobs run."],
    notes: large.flatMap(({ profile }) => profile ?? []),
  }
}
