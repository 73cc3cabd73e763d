// submit: how fast 100,000 different jobs are taken, each with a line of its own, 100 in a message, in one stream, by grpc-js, Connect and
// gRPC-web; answered means on disk. Nobody runs them, so that nothing else is measured.
// Fair, because bare grpc-js gets the same messages from the same process, decodes them with the same library and puts the lines into
// SQLite with the same durability; what it leaves out stands in its file. The load encodes everything before the clock starts.
// One process takes all three in turns, after one of each that is not measured, and each side is a fresh process.
import { type Figure, type Row, ratios } from "../figures.ts"
import type { Via } from "../load/protocol.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { type Subject, startBare, startHub } from "../subject.ts"
import { watchMemory } from "../watch.ts"

const names: Readonly<Record<Via, string>> = { grpc: "grpc-js", connect: "Connect", "grpc-web": "gRPC-web" }
const vias = Object.keys(names) as Via[]

interface Submitted {
  readonly jobsPerSecond: number
  readonly cpuUsPerJob: number
  readonly grownBytes: number
  readonly loadShare: number
}

export async function submit(settings: Settings): Promise<Row> {
  const jobs = settings.quick ? 5_000 : 100_000
  const ours: Record<Via, Submitted[]> = { grpc: [], connect: [], "grpc-web": [] }
  const bare: Submitted[] = []
  const loopDelays: number[] = []
  for (let run = 0; run < settings.runs; run++) {
    const hub = async () => {
      const subject = await startHub()
      const taken = await measure(subject, jobs, vias, delayMs => void loopDelays.push(delayMs))
      vias.forEach((via, i) => void ours[via].push(taken[i]!))
    }
    const other = async () => void bare.push(...(await measure(await startBare("bare grpc"), jobs, ["grpc"])))
    for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
  }
  const bareRate = bare.map(one => one.jobsPerSecond)
  const figures = vias.flatMap((via): Figure[] => {
    const of = (what: string, unit: string, value: (one: Submitted) => number): Figure => ({
      name: `${names[via]}: ${what}`,
      unit,
      subject: "hub",
      values: ours[via].map(value),
    })
    const rate = of("throughput", "jobs/s", one => one.jobsPerSecond)
    return [
      {
        ...rate,
        ratio: { to: "bare grpc", values: ratios(rate.values, bareRate) },
        target: { of: "ratio", min: 0.6 },
      },
      of("processor", "µs/job", one => one.cpuUsPerJob),
      of("more memory at most", "MB", one => one.grownBytes / 1e6),
      of("load's share of its core", "1", one => one.loadShare),
    ]
  })
  const bareOf = (name: string, unit: string, value: (one: Submitted) => number): Figure => {
    return { name: `grpc-js: ${name}`, unit, subject: "bare grpc", values: bare.map(value) }
  }
  return {
    name: "submit",
    work: `${jobs.toLocaleString("en-GB")} different jobs in one stream, 100 in a message`,
    figures: [
      ...figures,
      { name: "event loop p99", unit: "ms", subject: "hub", values: loopDelays },
      bareOf("throughput", "jobs/s", one => one.jobsPerSecond),
      bareOf("processor", "µs/job", one => one.cpuUsPerJob),
      bareOf("load's share of its core", "1", one => one.loadShare),
    ],
    caveats: [
      "Connect's and gRPC-web's bytes are made without their client libraries, and sent over HTTP/1.1; grpc-js is itself.",
      "The ratio of all three is to bare grpc-js: what a protocol costs is in it.",
    ],
  }
}

/** One for each way. The subject is stopped and its data removed. */
async function measure(
  subject: Subject,
  jobs: number,
  by: readonly Via[],
  tell?: (loopDelayMs: number) => void,
): Promise<Submitted[]> {
  const load = Load.start()
  try {
    for (const via of by) await load.submit(subject, jobs, via)
    if (tell !== undefined) await subject.loopDelayMs()
    const taken: Submitted[] = []
    for (const via of by) {
      const { cpuMs } = subject.usage()
      const memory = watchMemory(subject)
      const { seconds, loadCpuSeconds } = await load.submit(subject, jobs, via)
      taken.push({
        jobsPerSecond: jobs / seconds,
        cpuUsPerJob: ((subject.usage().cpuMs - cpuMs) * 1_000) / jobs,
        grownBytes: memory.stop(),
        loadShare: loadCpuSeconds / seconds,
      })
    }
    if (tell !== undefined) tell(await subject.loopDelayMs())
    await load.stop()
    await subject.stop()
    subject.demandQueued(2 * by.length, jobs)
    return taken
  } finally {
    await load.stop()
    await subject.stop().catch(() => {})
    await subject.clear()
  }
}
