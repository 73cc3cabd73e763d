// stream: how fast files go to agents and come back, over the link's streams: chunks, credit, hashing on arrival, and for what comes
// back fsync, rename and a row before the answer. One agent with all the bytes, and ten at once with a tenth each.
// Fair, because bare HTTP moves the same bytes between the same processes on the same cores, from and to the same file system, hashes
// what arrives and makes it durable alike. The agents' link is the real agent's code, in a process that is started as agents are; bare
// HTTP's has Node's defaults, which it is faster with. Their disk is left out on both sides.
// What it gives it does not hash; the hub does, so that no blob that went bad on its disk is ever sent whole, and pays for it here.
// A control frame and its answer are timed on a link that is full of chunks meanwhile, and the hub's memory is watched.
import { AGENT_NODE_FLAGS } from "../../agent/limits.ts"
import { type Figure, quantile, type Row, ratios } from "../figures.ts"
import type { Transferred } from "../load/protocol.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { demand, type Subject, startBare, startHub } from "../subject.ts"
import { watchMemory } from "../watch.ts"

interface Streamed extends Transferred {
  readonly cpuSeconds: number
  readonly grownBytes: number
  readonly loopDelayMs: number
}

const MIB = 1024 * 1024

export async function stream(settings: Settings): Promise<Row> {
  const bytes = settings.quick ? 16 * MIB : 1024 * MIB
  const plans = (["stagein", "stageout"] as const).flatMap(direction =>
    [1, 10].map((agents): Plan => ({ direction, agents, bytesEach: Math.floor(bytes / agents) })),
  )
  const ours: Streamed[][] = []
  const bare: Streamed[][] = []
  for (let run = 0; run < settings.runs; run++) {
    const hub = async () => void ours.push(await measure(await startHub(), "hub", plans))
    const other = async () => void bare.push(await measure(await startBare("bare http"), "bare http", plans))
    for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
  }
  return {
    name: "stream",
    work: `${bytes / MIB} MiB in all, by one agent and by ten at once`,
    figures: plans.flatMap((plan, i) =>
      figuresOf(
        plan,
        ours.map(run => run[i]!),
        bare.map(run => run[i]!),
      ),
    ),
    caveats: [
      "Control round trips are those of a report and its answer on one of the links that carry chunks.",
      "What the agents send is in memory and what they get is not kept: an agent's disk is left out.",
    ],
  }
}

interface Plan {
  readonly direction: "stagein" | "stageout"
  readonly agents: number
  readonly bytesEach: number
}

function figuresOf(plan: Plan, ours: readonly Streamed[], bare: readonly Streamed[]): Figure[] {
  const name = `${plan.direction}, ${plan.agents === 1 ? "1 agent" : `${plan.agents} agents`}`
  const moved = plan.agents * plan.bytesEach
  const rate = (runs: readonly Streamed[]) => runs.map(({ seconds }) => moved / MIB / seconds)
  const of = (what: string, unit: string, value: (run: Streamed) => number): Figure => ({
    name: `${name}: ${what}`,
    unit,
    subject: "hub",
    values: ours.map(value),
  })
  return [
    {
      ...of("throughput", "MiB/s", () => 0),
      values: rate(ours),
      ratio: { to: "bare http", values: ratios(rate(ours), rate(bare)) },
      target: { of: "ratio", min: 0.8 },
    },
    {
      ...of("control round trip p99", "ms", run => quantile(run.roundTripMs, 0.99)),
      target: { of: "value", max: 5 },
    },
    of("control round trip p50", "ms", run => quantile(run.roundTripMs, 0.5)),
    // Windows, write buffers and V8's own moods; a stream that piled up would show as its whole size.
    { ...of("more memory at most", "MB", run => run.grownBytes / 1e6), target: { of: "value", max: 64 } },
    of("event loop p99", "ms", run => run.loopDelayMs),
    of("processor", "s/GiB", run => (run.cpuSeconds * 1024 * MIB) / moved),
    { ...of("throughput", "MiB/s", () => 0), subject: "bare http", values: rate(bare) },
  ]
}

/** One for each plan, after one that is not measured. The subject is stopped and its data removed. */
async function measure(subject: Subject, to: "hub" | "bare http", plans: readonly Plan[]): Promise<Streamed[]> {
  const load = Load.start(to === "hub" ? AGENT_NODE_FLAGS : [])
  try {
    const warmUp: Plan = { direction: "stageout", agents: 1, bytesEach: Math.floor(plans[0]!.bytesEach / 8) }
    await move(load, subject, to, warmUp)
    const streamed: Streamed[] = []
    for (const plan of plans) streamed.push(await move(load, subject, to, plan))
    await load.stop()
    await subject.stop()
    if (to === "hub") demandAll(subject, [warmUp, ...plans])
    return streamed
  } finally {
    await load.stop()
    await subject.stop().catch(() => {})
    await subject.clear()
  }
}

async function move(load: Load, subject: Subject, to: "hub" | "bare http", plan: Plan): Promise<Streamed> {
  const enrolTokens = await subject.enrol(plan.agents)
  // Bare http is not asked for its own: nothing is compared with it.
  const loopDelayMs = () => (to === "hub" ? subject.loopDelayMs() : Promise.resolve(Number.NaN))
  const { url, bearer } = subject
  await load.prepareTransfer({ to, url, bearer, ...plan, enrolTokens })
  await loopDelayMs()
  const cpuBefore = subject.usage().cpuMs
  const memory = watchMemory(subject)
  const transferred = await load.transfer()
  const cpuSeconds = (subject.usage().cpuMs - cpuBefore) / 1_000
  return { ...transferred, cpuSeconds, grownBytes: memory.stop(), loopDelayMs: await loopDelayMs() }
}

/** Every job ended well, and every stageout is there in full. What arrived had its digest: the hub and the agents looked. */
function demandAll(subject: Subject, plans: readonly Plan[]): void {
  subject.demandStored(plans.reduce((sum, { agents }) => sum + agents, 0))
  const stageouts = plans.filter(({ direction }) => direction === "stageout")
  const queries = stageouts.map(({ agents, bytesEach }) => {
    return [
      `SELECT count(*) FROM blob_references JOIN blobs USING (digest)
       WHERE role = 'stageout' AND size_bytes = ${bytesEach}`,
      agents,
    ] as const
  })
  demand(subject.database, Object.fromEntries(queries))
}
