// storm: the hub is killed and started again under 10,000 agents, all of which run a job. Measured: how long until the last of them is
// back, what the hub's loop does meanwhile, and that nothing is lost: every job ends once, in its first attempt, whether its
// command ended before the crash, while the hub was away, or after. Agents come back as the real ones do: full jitter, and the
// hub's own Retry-After where it turns them away.
// There is nothing to compare with: a bare hub that forgets everything has nothing to reconcile. The targets are absolute.
import { ACCEPTS_BURST, ACCEPTS_PER_SECOND } from "../../hub/limits.ts"
import type { Figure, Row } from "../figures.ts"
import type { RunMs } from "../load/protocol.ts"
import { Load } from "../load.ts"
import type { Settings } from "../settings.ts"
import { type HubSubject, startHub } from "../subject.ts"

interface Plan {
  readonly agents: number
  readonly runMs: RunMs
}

interface Storm {
  readonly awaySeconds: number
  readonly backSeconds: number
  readonly backSinceStartSeconds: number
  readonly loopDelayMs: number
  readonly cpuMsPerAgent: number
  readonly runningAtCrash: number
  readonly endedWhileAway: number
  readonly refusals: ReadonlyMap<string, number>
}

export async function storm(settings: Settings): Promise<Row> {
  const plan: Plan = settings.quick
    ? { agents: 200, runMs: [3_000, 9_000] }
    : // Not further apart: the hub would double the longest on nodes that are idle by then, as it should.
      { agents: 10_000, runMs: [30_000, 75_000] }
  const runs = Math.min(settings.runs, 3)
  const storms: Storm[] = []
  for (let run = 0; run < runs; run++) storms.push(await measure(await startHub(), plan))
  const of = (name: string, unit: string, value: (storm: Storm) => number): Figure => {
    return { name, unit, subject: "hub", values: storms.map(value) }
  }
  return {
    name: "storm",
    work: `the hub killed under ${plan.agents.toLocaleString("en-GB")} agents that run a job each, of ${plan.runMs.map(ms => ms / 1_000).join(" to ")} s`,
    figures: [
      { ...of("all back after the kill", "s", storm => storm.backSeconds), target: { of: "value", max: 60 } },
      { ...of("event loop p99 until then", "ms", storm => storm.loopDelayMs), target: { of: "value", max: 500 } },
      of("all back after it listens", "s", storm => storm.backSinceStartSeconds),
      of("hub away", "s", storm => storm.awaySeconds),
      of("processor until then", "ms/agent", storm => storm.cpuMsPerAgent),
      of("jobs running at the kill", "jobs", storm => storm.runningAtCrash),
      of("commands that ended without a hub or before their agent was back", "jobs", storm => storm.endedWhileAway),
      of("dials in vain", "dials", storm => [...storm.refusals.values()].reduce((sum, dials) => sum + dials, 0)),
    ],
    caveats: [
      `ACCEPTS_PER_SECOND (${ACCEPTS_PER_SECOND}, and ${ACCEPTS_BURST} at once) alone makes it ${Math.max(0, (plan.agents - ACCEPTS_BURST) / ACCEPTS_PER_SECOND).toFixed(0)} s at least.`,
      "All agents are in one process on one core, which signs as many hellos as it has agents.",
    ],
    notes: storms.map((one, run) => {
      const reasons = [...one.refusals].map(([why, dials]) => `${dials} × ${why}`).join(", ")
      return `  run ${run + 1}: dials in vain: ${reasons === "" ? "none" : reasons}`
    }),
  }
}

/** The subject is stopped and its data removed. */
async function measure(hub: HubSubject, { agents, runMs }: Plan): Promise<Storm> {
  const load = Load.start()
  try {
    await load.connect(hub, { agents, slots: 1, runMs })
    const began = await load.begin(hub, agents, "array")
    const before = await load.lookUntil(({ offered }) => offered === agents, "every job is with an agent")

    const killedAt = performance.timeOrigin + performance.now()
    await hub.killAndStart()
    const listensAt = performance.timeOrigin + performance.now()
    const after = await load.lookUntil(
      ({ links, lastWelcomeAt }) => links === agents && lastWelcomeAt > killedAt,
      "every agent is back",
    )
    // Since its start: of the new process all is the storm's.
    const loopDelayMs = await hub.loopDelayMs()
    const { cpuMs } = hub.usage()
    // A repeated offer is nothing wrong: the hub cannot know what became of the first.
    await load.finish(began, false)
    await load.stop()
    await hub.stop()
    hub.demandStored(agents)
    const refusedBefore = new Map(before.refusals)
    return {
      awaySeconds: (listensAt - killedAt) / 1_000,
      backSeconds: (after.lastWelcomeAt - killedAt) / 1_000,
      backSinceStartSeconds: (after.lastWelcomeAt - listensAt) / 1_000,
      loopDelayMs,
      cpuMsPerAgent: cpuMs / agents,
      runningAtCrash: agents - before.ended,
      endedWhileAway: after.endedAway,
      refusals: new Map(
        after.refusals
          .map(([why, dials]) => [why, dials - (refusedBefore.get(why) ?? 0)] as const)
          .filter(([, dials]) => dials > 0),
      ),
    }
  } finally {
    await load.stop()
    await hub.stop().catch(() => {})
    await hub.clear()
  }
}
