// idle: what agents cost that are connected and only heartbeat, as most agents do most of the time: 1,000, 10,000 and 18,000 in one hub
// process, which may have 20,000 file handles here. Memory is looked at while nothing else happens, for long enough that every agent has
// beaten and V8 has tidied up; processor time over the same while, less what a hub without agents takes.
// Fair, because the bare hub holds the same links for the same time. What 100,000 would take is a line through these points:
// an extrapolation, and called so.
import { setTimeout as pause } from "node:timers/promises"
import { HEARTBEAT_MS } from "../../hub/limits.ts"
import { type Figure, fit, type Row, ratios } from "../figures.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { type Subject, startBare, startHub } from "../subject.ts"
import { sampleMemory } from "../watch.ts"

interface Level {
  readonly agents: number
  readonly residentBytes: number
  /** ms of processor time in a second. */
  readonly cpuMsPerSecond: number
  readonly loopDelayMs: number
}

const FAR = 100_000
const KIB = 1024

export async function idle(settings: Settings): Promise<Row> {
  const levels = settings.quick ? [50, 100, 200] : [1_000, 10_000, 18_000]
  const windowMs = settings.quick ? 3_000 : HEARTBEAT_MS * 1.25
  // Ten minutes each, and the slope is of many agents already.
  const runs = Math.min(settings.runs, 2)
  const ours: Level[][] = []
  const bare: Level[][] = []
  for (let run = 0; run < runs; run++) {
    const hub = async () => void ours.push(await measure(await startHub(), levels, windowMs))
    const other = async () => void bare.push(await measure(await startBare(), levels, windowMs))
    for (const side of run % 2 === 0 ? [hub, other] : [other, hub]) await side()
  }
  const perAgent = (run: readonly Level[]) => memoryLine(run).slope / KIB
  const slope = ours.map(perAgent)
  const bareSlope = bare.map(perAgent)
  const cpu = ours.map(run => cpuPerThousand(run, levels.at(-1)!))
  const cpuOfFew = ours.map(run => cpuPerThousand(run, levels[0]!))
  const figures: Figure[] = [
    {
      ...figure("hub", "resident for each agent", "KiB", slope),
      ratio: { to: "bare hub", values: ratios(slope, bareSlope) },
      target: { of: "value", max: 12 },
    },
    {
      ...figure("hub", `processor for 1,000 agents, of ${count(levels.at(-1)!)}`, "ms/s", cpu),
      ratio: { to: `that of ${count(levels[0]!)}`, values: ratios(cpu, cpuOfFew) },
      // Flat, as far as hundredths of seconds of so little work can tell.
      target: { of: "ratio", max: 1.25 },
    },
    ...[0, ...levels].flatMap(agents => levelFigures("hub", ours, agents)),
    figure(
      "hub",
      `resident with ${count(FAR)} agents, extrapolated`,
      "MiB",
      ours.map(run => at(memoryLine(run), FAR) / KIB ** 2),
    ),
    figure(
      "hub",
      `processor with ${count(FAR)} agents, extrapolated`,
      "ms/s",
      ours.map(run => at(cpuLine(run), FAR)),
    ),
    figure("bare hub", "resident for each agent", "KiB", bareSlope),
    ...[0, ...levels].flatMap(agents => levelFigures("bare hub", bare, agents)),
  ]
  return {
    name: "idle",
    work: `${levels.map(count).join(", ")} agents connected, heartbeats every ${HEARTBEAT_MS / 1_000} s, watched for ${windowMs / 1_000} s each`,
    figures,
    caveats: [
      "Resident memory of the process alone: the kernel's socket buffers come on top, some 4 KiB for an idle connection.",
      `${count(FAR)} agents do not fit into the file handles of one process here: those figures are a line through the others.`,
    ],
  }
}

function count(agents: number): string {
  return agents.toLocaleString("en-GB")
}

function figure(subject: string, name: string, unit: string, values: readonly number[], x?: number): Figure {
  return { name, unit, subject, values, ...(x === undefined ? {} : { x }) }
}

function levelFigures(subject: string, runs: readonly (readonly Level[])[], agents: number): Figure[] {
  const of = (value: (level: Level) => number) => runs.map(run => value(run.find(level => level.agents === agents)!))
  const memory = of(level => level.residentBytes / KIB ** 2)
  const cpu = of(level => level.cpuMsPerSecond)
  const loopDelay = of(level => level.loopDelayMs)
  return [
    { ...figure(subject, `resident with ${count(agents)} agents`, "MiB", memory, agents), series: "resident" },
    { ...figure(subject, `processor with ${count(agents)} agents`, "ms/s", cpu, agents), series: "processor" },
    figure(subject, `event loop p99 with ${count(agents)} agents`, "ms", loopDelay),
  ]
}

/** From the first level on: a hub that has never had an agent has not loaded all its code. */
function memoryLine(run: readonly Level[]) {
  return fit(run.slice(1).map(({ agents, residentBytes }) => [agents, residentBytes]))
}

function cpuLine(run: readonly Level[]) {
  return fit(run.map(({ agents, cpuMsPerSecond }) => [agents, cpuMsPerSecond]))
}

function at({ slope, intercept }: { slope: number; intercept: number }, x: number): number {
  return intercept + slope * x
}

function cpuPerThousand(run: readonly Level[], agents: number): number {
  const level = run.find(one => one.agents === agents)!
  return ((level.cpuMsPerSecond - run[0]!.cpuMsPerSecond) * 1_000) / agents
}

/** From none on. The subject is stopped and its data removed. */
async function measure(subject: Subject, levels: readonly number[], windowMs: number): Promise<Level[]> {
  const load = Load.start()
  try {
    const found: Level[] = []
    for (const agents of [0, ...levels]) {
      const more = agents - (found.at(-1)?.agents ?? 0)
      if (more > 0) await load.connect(subject, { agents: more, slots: 1 })
      found.push(await watch(subject, agents, windowMs))
      await demandAllBeating(load, agents)
    }
    await load.stop()
    await subject.stop()
    return found
  } finally {
    await load.stop()
    await subject.stop().catch(() => {})
    await subject.clear()
  }
}

async function watch(subject: Subject, agents: number, windowMs: number): Promise<Level> {
  await subject.loopDelayMs()
  const memory = sampleMemory(subject, 1_000)
  const { cpuMs } = subject.usage()
  const startMs = performance.now()
  await pause(windowMs)
  const seconds = (performance.now() - startMs) / 1_000
  const cpuMsPerSecond = (subject.usage().cpuMs - cpuMs) / seconds
  const residentBytes = memory.stop().lastBytes
  return { agents, residentBytes, cpuMsPerSecond, loopDelayMs: await subject.loopDelayMs() }
}

/** Connected without a break, and every heartbeat answered. */
async function demandAllBeating(load: Load, agents: number): Promise<void> {
  const look = await load.lookUntil(({ beats, heartbeats }) => beats === heartbeats, "every heartbeat is answered")
  if (look.links !== agents || look.lostLinks > 0) {
    throw new Error(`of ${agents} agents ${look.links} are connected, and ${look.lostLinks} links were lost`)
  }
  await load.demandNothingOdd()
}
