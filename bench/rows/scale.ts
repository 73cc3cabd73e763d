// scale: whether twice the machines take half the time. Three looks:
// - the thesis's test in the simulator: 720 frames on nodes of 8 cores, one slot a core. The system it describes stopped at 320 cores;
// - a million jobs in the simulator on 320 to 100,000 agents that come and go, with the production engine and cores in virtual time;
// - the real hub with agents whose commands sleep, where each should be busy from beginning to end.
// Fair, because the efficiency is against what nobody could beat without knowing the future: the same jobs and machines without any
// delay (ideal.ts); of the real hub, the sleep itself. Jobs take 60 to 120 s, those of the real hub 60 s.
import { type Figure, type Row, ratios, type Target } from "../figures.ts"
import { Load } from "../load.ts"
import { runProgram } from "../program.ts"
import type { Scaled, ScalePlan } from "../scale.ts"
import type { Settings } from "../settings.ts"
import { startHub } from "../subject.ts"

const program = new URL("../scale.ts", import.meta.url)
const FRAMES = 720
const CORES_PER_NODE = 8
/** Jobs that each agent of the real hub runs. */
const ROUNDS = 4
const EFFICIENCY: Target = { of: "value", min: 0.98 }

export async function scale(settings: Settings): Promise<Row> {
  const { quick } = settings
  const plan = quick
    ? { cores: [80, 320], agents: [20, 200], jobs: 2_000, real: [10, 20], sleepMs: 500 }
    : {
        cores: [80, 160, 240, 320, 400, 480, 560, 640, 720],
        agents: [320, 1_000, 10_000, 100_000],
        jobs: 1_000_000,
        real: [320, 1_000],
        sleepMs: 60_000,
      }
  const figures: Figure[] = []
  for (const cores of plan.cores) {
    const scaled = await simulate({
      agents: cores / CORES_PER_NODE,
      slots: CORES_PER_NODE,
      jobs: FRAMES,
      comeAndGo: false,
    })
    const name = `${FRAMES} frames, ${cores} cores`
    figures.push(...figuresOf("simulator", name, scaled, { series: "frames", x: cores }))
  }
  const campaigns: { readonly agents: number; readonly scaled: Scaled }[] = []
  for (const agents of plan.agents) {
    const scaled = await simulate({ agents, slots: 1, jobs: plan.jobs, comeAndGo: true })
    campaigns.push({ agents, scaled })
    const name = `${count(plan.jobs)} jobs, ${count(agents)} agents`
    figures.push(...figuresOf("simulator", name, scaled, { series: "campaign", x: agents }))
    figures.push(
      figure("simulator", `${name}: makespan`, "h", scaled.makespanMs / 3_600_000),
      figure("simulator", `${name}: attempts lost`, "attempts", scaled.losses),
      {
        ...figure("simulator", `${name}: processor of engine and core`, "µs/job", scaled.hubUsPerJob),
        series: "processor",
        x: agents,
      },
    )
  }
  figures.push(flatness(campaigns))
  for (const agents of plan.real) figures.push(...(await real(agents, plan.sleepMs)))
  return {
    name: "scale",
    work: `${FRAMES} frames, and ${count(plan.jobs)} jobs on up to ${count(plan.agents.at(-1)!)} agents in the simulator; the real hub with up to ${count(plan.real.at(-1)!)}`,
    figures,
    caveats: [
      "Simulated volunteers are on for four hours and off for one, on average; what they computed for a job when they leave is lost. They leave as a machine that is switched off does, whose link closes: of one that falls silent the hub hears by its pings, within 45 s. One seed, one run: virtual time has no noise.",
      "Efficiency is the time of whom nothing delays, on the same machines with the same jobs, divided by ours. Who has a job when leaving is luck, ours and theirs: of 10,000 agents the last one to leave with a job moves it by some hundredths, and it may be above 1.",
      "The simulated hub's processor time is its engine's and core's: no database, no sockets. The real hub's is all of it.",
    ],
  }
}

function simulate(plan: ScalePlan): Promise<Scaled> {
  return runProgram<Scaled>(program, plan)
}

function figure(subject: string, name: string, unit: string, value: number): Figure {
  return { name, unit, subject, values: [value] }
}

function figuresOf(
  subject: string,
  name: string,
  scaled: Scaled,
  at: Required<Pick<Figure, "series" | "x">>,
): Figure[] {
  const { makespanMs, idealMs, workMs } = scaled
  return [
    { ...figure(subject, `${name}: speed-up`, "×", workMs / makespanMs), ...at },
    {
      ...figure(subject, `${name}: speed-up without delay`, "×", workMs / idealMs),
      ...at,
      series: `${at.series}, ideal`,
    },
    { ...figure(subject, `${name}: efficiency`, "1", idealMs / makespanMs), target: EFFICIENCY },
  ]
}

/** What a job costs the hub with the most agents, against a thousand. */
function flatness(campaigns: readonly { readonly agents: number; readonly scaled: Scaled }[]): Figure {
  const [few, most] = [campaigns.find(({ agents }) => agents >= 1_000) ?? campaigns[0]!, campaigns.at(-1)!]
  const of = ({ scaled }: { scaled: Scaled }) => [scaled.hubUsPerJob]
  return {
    ...figure(
      "simulator",
      `processor of engine and core, ${count(most.agents)} agents`,
      "µs/job",
      most.scaled.hubUsPerJob,
    ),
    ratio: { to: `${count(few.agents)} agents`, values: ratios(of(most), of(few)) },
    // A hundred times the agents touch more memory.
    target: { of: "ratio", max: 1.5 },
  }
}

async function real(agents: number, sleepMs: number): Promise<Figure[]> {
  const hub = await startHub()
  const load = Load.start()
  try {
    await load.connect(hub, { agents, slots: 1, runMs: [sleepMs, sleepMs] })
    const { cpuMs } = hub.usage()
    await hub.loopDelayMs()
    const jobs = agents * ROUNDS
    const { seconds } = await load.campaign(hub, jobs, "array")
    const cpuUsPerJob = ((hub.usage().cpuMs - cpuMs) * 1_000) / jobs
    const loopDelayMs = await hub.loopDelayMs()
    await load.stop()
    await hub.stop()
    hub.demandStored(jobs)
    const name = `${count(jobs)} jobs that sleep ${sleepMs / 1_000} s, ${count(agents)} agents`
    const idealSeconds = (ROUNDS * sleepMs) / 1_000
    return [
      { ...figure("hub", `${name}: efficiency`, "1", idealSeconds / seconds), target: EFFICIENCY },
      { ...figure("hub", `${name}: speed-up`, "×", (agents * idealSeconds) / seconds), series: "real", x: agents },
      figure("hub", `${name}: processor`, "µs/job", cpuUsPerJob),
      figure("hub", `${name}: event loop p99`, "ms", loopDelayMs),
    ]
  } finally {
    await load.stop()
    await hub.stop().catch(() => {})
    await hub.clear()
  }
}

function count(value: number): string {
  return value.toLocaleString("en-GB")
}
