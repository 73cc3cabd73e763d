// latency: how long one job takes from the scientist's call to its command running, on an idle hub with 1,000 agents connected. Jobs are
// submitted one after the other, each when the one before has ended, with a pause, so that nothing waits for anything else.
// Fair, because hub and bare hub answer the same call over one kept connection and the same agents wait for both; the
// clock is the load process's own, which is scientist and agent in one. In turns, after a warm-up.
// And the same beside other work: small campaigns that come all the time, a quarter, a half and three quarters of as many jobs a
// second as the hub was seen to run just before.
import { type Figure, quantile, type Row, ratios } from "../figures.ts"
import type { Latencies } from "../load/protocol.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { type Subject, startBare, startHub } from "../subject.ts"

const PAUSE_MS = 2

/** Of what the hub can do at most. */
const LOADS = [0.25, 0.5, 0.75]
/** Agents with this many slots, so that what runs beside leaves a slot free for the job that is measured. */
const SLOTS = 4

interface Plan {
  readonly agents: number
  readonly jobs: number
  readonly warmUp: number
  readonly fullLoadJobs: number
  readonly loads: readonly number[]
}

interface Measured {
  readonly idle: Latencies
  /** While idle was measured. */
  readonly cpuUsPerJob: number
  readonly loopDelayMs: number
  /** One for each of the loads. */
  readonly beside: readonly Latencies[]
}

export async function latency(settings: Settings): Promise<Row> {
  const plan: Plan = settings.quick
    ? { agents: 100, jobs: 50, warmUp: 10, fullLoadJobs: 1_000, loads: LOADS.slice(0, 1) }
    : { agents: 1_000, jobs: 1_000, warmUp: 300, fullLoadJobs: 20_000, loads: LOADS }
  const ours: Measured[] = []
  const bare: Measured[] = []
  for (let run = 0; run < settings.runs; run++) {
    const hub = async () => void ours.push(await measure(await startHub(), plan))
    const other = async () => void bare.push(await measure(await startBare(), { ...plan, loads: [] }))
    for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
  }
  const of = (
    subject: string,
    runs: readonly Measured[],
    name: string,
    q: number,
    key: "runningMs" | "endedMs",
  ): Figure => ({
    name,
    unit: "ms",
    subject,
    values: runs.map(({ idle }) => quantile(idle[key], q)),
  })
  // Jobs that come one by one are a commit each: more than in noop, where one is for many.
  const costs = (subject: string, runs: readonly Measured[]): Figure[] => [
    { name: "processor", unit: "µs/job", subject, values: runs.map(one => one.cpuUsPerJob) },
    { name: "event loop p99", unit: "ms", subject, values: runs.map(one => one.loopDelayMs) },
  ]
  const p50 = of("hub", ours, "submit → running p50", 0.5, "runningMs")
  const p99 = of("hub", ours, "submit → running p99", 0.99, "runningMs")
  const bareP50 = of("bare hub", bare, "submit → running p50", 0.5, "runningMs")
  return {
    name: "latency",
    work: `${plan.jobs.toLocaleString("en-GB")} jobs one after the other, ${plan.agents.toLocaleString("en-GB")} agents connected`,
    figures: [
      {
        ...p50,
        ...{ series: "p50", x: 0 },
        ratio: { to: "bare hub", values: ratios(p50.values, bareP50.values) },
        target: { of: "ratio", max: 1.5 },
      },
      {
        ...p99,
        ...{ series: "p99", x: 0 },
        ratio: { to: "its p50", values: ratios(p99.values, p50.values) },
        target: { of: "ratio", max: 5 },
      },
      of("hub", ours, "submit → acknowledged end p50", 0.5, "endedMs"),
      of("hub", ours, "submit → acknowledged end p99", 0.99, "endedMs"),
      ...costs("hub", ours),
      bareP50,
      of("bare hub", bare, "submit → running p99", 0.99, "runningMs"),
      of("bare hub", bare, "submit → acknowledged end p50", 0.5, "endedMs"),
      ...costs("bare hub", bare),
      ...plan.loads.flatMap((load, i) =>
        underLoad(
          load,
          ours.map(({ beside }) => beside[i]!),
        ),
      ),
    ],
    caveats: [
      "Running means: the offer is at the agent, whose command does nothing. Two commits lie in between for a hub that is idle.",
    ],
  }
}

function underLoad(load: number, runs: readonly Latencies[]): Figure[] {
  const at = (name: string, q: number): Figure => ({
    name: `submit → running ${name} at ${load * 100} % of full load`,
    unit: "ms",
    subject: "hub",
    series: name,
    x: load,
    values: runs.map(one => quantile(one.runningMs, q)),
  })
  const besides = runs.map(({ besidesPerSecond }) => besidesPerSecond)
  return [
    at("p50", 0.5),
    at("p99", 0.99),
    { name: `jobs that ran beside at ${load * 100} %`, unit: "jobs/s", subject: "hub", values: besides },
  ]
}

/** The subject is stopped and its data removed. */
async function measure(subject: Subject, { agents, jobs, warmUp, fullLoadJobs, loads }: Plan): Promise<Measured> {
  const load = Load.start()
  try {
    await load.connect(subject, { agents, slots: SLOTS })
    const warm = await load.latency(subject, warmUp, 0)
    await subject.loopDelayMs()
    const { cpuMs } = subject.usage()
    const idle = await load.latency(subject, jobs, PAUSE_MS)
    const cpuUsPerJob = ((subject.usage().cpuMs - cpuMs) * 1_000) / idle.runningMs.length
    const loopDelayMs = await subject.loopDelayMs()
    let stored = idle.runningMs.length + warm.runningMs.length
    const beside: Latencies[] = []
    if (loads.length > 0) {
      const { seconds } = await load.campaign(subject, fullLoadJobs, "array")
      stored += fullLoadJobs
      for (const share of loads) {
        const latencies = await load.latency(subject, jobs, PAUSE_MS, (share * fullLoadJobs) / seconds)
        beside.push(latencies)
        stored += latencies.runningMs.length + latencies.besides
      }
    }
    await load.stop()
    await subject.stop()
    subject.demandStored(stored)
    return { idle, cpuUsPerJob, loopDelayMs, beside }
  } finally {
    await load.stop()
    await subject.stop().catch(() => {})
    await subject.clear()
  }
}
