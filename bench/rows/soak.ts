// soak: ten minutes at half of what the hub can do, as small campaigns that come all the time: whether its memory grows, and whether it
// keeps up. Memory after the first third, when caches and heap have found their size, is compared with that at the end, by a line
// through all samples between. There is nothing to compare with: the bare hub forgets nothing by design.
import { fit, type Row } from "../figures.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { startHub } from "../subject.ts"
import { sampleMemory } from "../watch.ts"
import { noopPlan, quickPlan } from "./noop.ts"

const SAMPLE_MS = 500
const SHARE = 0.5

export async function soak(settings: Settings): Promise<Row> {
  const { agents, slots } = settings.quick ? quickPlan : noopPlan
  const { jobs, seconds } = settings.quick ? { jobs: 1_000, seconds: 6 } : { jobs: noopPlan.jobs, seconds: 600 }
  const hub = await startHub()
  const load = Load.start()
  try {
    await load.connect(hub, { agents, slots })
    await load.campaign(hub, jobs, "array")
    const full = await load.campaign(hub, jobs, "array")
    const perSecond = (SHARE * jobs) / full.seconds
    await hub.loopDelayMs()
    const { cpuMs } = hub.usage()
    const memory = sampleMemory(hub, SAMPLE_MS)
    const ran = await load.steady(hub, perSecond, seconds)
    const { samples } = memory.stop()
    const cpuUsPerJob = ((hub.usage().cpuMs - cpuMs) * 1_000) / ran.jobs
    const loopDelayMs = await hub.loopDelayMs()
    await load.stop()
    await hub.stop()
    hub.demandStored(2 * jobs + ran.jobs)
    const late = samples.slice(Math.floor(samples.length / 3))
    const { slope } = fit(late.map((bytes, i) => [i, bytes]))
    const grownBytes = slope * late.length
    const of = (name: string, unit: string, value: number) => ({ name, unit, subject: "hub", values: [value] })
    return {
      name: "soak",
      work: `${ran.jobs.toLocaleString("en-GB")} jobs in ${seconds} s, half of full load, over ${agents} agents of ${slots} slots`,
      figures: [
        // A twentieth of what the process has: less than one collection of V8's old space moves.
        { ...of("growth over the last two thirds", "MB", grownBytes / 1e6), target: { of: "value", max: 20 } },
        of("resident after a third", "MB", late[0]! / 1e6),
        of("resident at the end", "MB", late.at(-1)! / 1e6),
        // More would mean a queue that grows.
        { ...of("from the last submit to the last end", "s", ran.seconds - seconds), target: { of: "value", max: 1 } },
        of("throughput", "jobs/s", ran.jobs / ran.seconds),
        of("processor", "µs/job", cpuUsPerJob),
        of("event loop p99", "ms", loopDelayMs),
      ],
      caveats: ["Ended jobs stay in the database, which grows; what is measured is the process."],
    }
  } finally {
    await load.stop()
    await hub.stop().catch(() => {})
    await hub.clear()
  }
}
