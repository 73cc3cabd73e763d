// One measured campaign on one subject, from start to checked database: what noop, array and peers have in common. Smaller ones
// run before it, so that neither just-in-time compiler nor empty database is measured: two, since most of what the first had
// compiled is compiled anew for the second.
import type { Figure } from "./figures.ts"
import { type Crowd, Load } from "./load.ts"
import { threadsOf } from "./machine.ts"
import type { Subject } from "./subject.ts"
import { watchMemory } from "./watch.ts"

export interface CampaignFigures {
  readonly jobsPerSecond: number
  readonly acceptSeconds: number
  readonly cpuUsPerJob: number
  readonly loopDelayMs: number
  /** More than before, at the most. */
  readonly grownBytes: number
  /** Of the load's one core that it took: near 1 it is the load that was measured. */
  readonly loadShare: number
  /** Of the subject's processor time, its main thread's. The rest is the writer's and V8's. */
  readonly mainUsPerJob: number
  /** Where a profile was written, and what it says. */
  readonly profile?: string
}

export interface CampaignPlan extends Crowd {
  readonly jobs: number
  /** Jobs of each campaign before it. */
  readonly warmUp: number
  readonly how: "different" | "array"
  /** Prefix of files for the profile, of subjects that have a profiler. */
  readonly profileTo?: string
}

const WARM_UPS = 2

/** The subject is stopped and its data removed. */
export async function runCampaign(subject: Subject, plan: CampaignPlan): Promise<CampaignFigures> {
  const { jobs, warmUp, how, profileTo } = plan
  const load = Load.start()
  try {
    await load.connect(subject, plan)
    for (let i = 0; i < WARM_UPS; i++) await load.campaign(subject, warmUp, how)
    await subject.loopDelayMs()
    const mainBefore = threadsOf(subject.pid).main
    const { cpuMs } = subject.usage()
    const memory = watchMemory(subject)
    await subject.profiler?.begin()
    const ran = await load.campaign(subject, jobs, how)
    const grownBytes = memory.stop()
    const cpuUsed = subject.usage().cpuMs - cpuMs
    const mainUsed = threadsOf(subject.pid).main - mainBefore
    const loopDelayMs = await subject.loopDelayMs()
    const profile = profileTo === undefined ? undefined : await subject.profiler?.finish(profileTo)
    subject.profiler?.close()
    await load.stop()
    await subject.stop()
    subject.demandStored(jobs + WARM_UPS * warmUp)
    return {
      jobsPerSecond: jobs / ran.seconds,
      acceptSeconds: ran.acceptSeconds,
      cpuUsPerJob: (cpuUsed * 1_000) / jobs,
      loopDelayMs,
      grownBytes,
      loadShare: ran.loadCpuSeconds / ran.seconds,
      mainUsPerJob: (mainUsed * 1_000) / jobs,
      ...(profile === undefined ? {} : { profile }),
    }
  } finally {
    await load.stop()
    await subject.stop().catch(() => {})
    await subject.clear()
  }
}

/** The figures that every campaign gives. */
export function campaignFigures(subject: string, runs: readonly CampaignFigures[]): Figure[] {
  const of = (name: string, unit: string, value: (run: CampaignFigures) => number): Figure => {
    return { name, unit, subject, values: runs.map(value) }
  }
  return [
    of("throughput", "jobs/s", run => run.jobsPerSecond),
    of("processor", "µs/job", run => run.cpuUsPerJob),
    of("processor of its main thread", "µs/job", run => run.mainUsPerJob),
    of("event loop p99", "ms", run => run.loopDelayMs),
    of("load's share of its core", "1", run => run.loadShare),
  ]
}
