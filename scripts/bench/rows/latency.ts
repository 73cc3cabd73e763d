// latency: how long one job takes from the scientist's call to its command running, on an idle hub with 1,000 agents connected. Jobs are
// submitted one after the other, each when the one before has ended, with a pause, so that nothing waits for anything else.
// Fair, because hub and bare hub answer the same call over one kept connection and the same agents wait for both; the
// clock is the load process's own, which is scientist and agent in one. In turns, after a warm-up.
import { type Figure, quantile, type Row, ratios } from "../figures.ts"
import type { Latencies } from "../load/protocol.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { type Subject, startBare, startHub } from "../subject.ts"

const PAUSE_MS = 2

export async function latency(settings: Settings): Promise<Row> {
  const plan = settings.quick ? { agents: 100, jobs: 50, warmUp: 10 } : { agents: 1_000, jobs: 1_000, warmUp: 300 }
  const ours: Latencies[] = []
  const bare: Latencies[] = []
  for (let run = 0; run < settings.runs; run++) {
    const hub = async () => void ours.push(await measure(await startHub(), plan))
    const other = async () => void bare.push(await measure(await startBare(), plan))
    for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
  }
  const of = (
    subject: string,
    runs: readonly Latencies[],
    name: string,
    q: number,
    key: "runningMs" | "endedMs",
  ): Figure => ({
    name,
    unit: "ms",
    subject,
    values: runs.map(one => quantile(one[key], q)),
  })
  const p50 = of("hub", ours, "submit → running p50", 0.5, "runningMs")
  const p99 = of("hub", ours, "submit → running p99", 0.99, "runningMs")
  const bareP50 = of("bare hub", bare, "submit → running p50", 0.5, "runningMs")
  return {
    name: "latency",
    work: `${plan.jobs.toLocaleString("en-GB")} jobs one after the other, ${plan.agents.toLocaleString("en-GB")} agents connected`,
    figures: [
      {
        ...p50,
        ratio: { to: "bare hub", values: ratios(p50.values, bareP50.values) },
        target: { of: "ratio", max: 1.5 },
      },
      { ...p99, ratio: { to: "its p50", values: ratios(p99.values, p50.values) }, target: { of: "ratio", max: 5 } },
      of("hub", ours, "submit → acknowledged end p50", 0.5, "endedMs"),
      of("hub", ours, "submit → acknowledged end p99", 0.99, "endedMs"),
      bareP50,
      of("bare hub", bare, "submit → running p99", 0.99, "runningMs"),
      of("bare hub", bare, "submit → acknowledged end p50", 0.5, "endedMs"),
    ],
    caveats: [
      "Running means: the offer is at the agent, whose command does nothing. Two commits lie in between for a hub that is idle.",
    ],
  }
}

async function measure(
  subject: Subject,
  { agents, jobs, warmUp }: { agents: number; jobs: number; warmUp: number },
): Promise<Latencies> {
  const load = Load.start()
  try {
    await load.connect(subject, { agents, slots: 1 })
    await load.latency(subject, warmUp, 0)
    const latencies = await load.latency(subject, jobs, PAUSE_MS)
    await load.stop()
    await subject.stop()
    subject.demandStored(jobs + warmUp)
    return latencies
  } finally {
    await load.stop()
    await subject.stop().catch(() => {})
    await subject.clear()
  }
}
