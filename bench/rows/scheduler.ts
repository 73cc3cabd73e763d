// scheduler: what one decision costs the hub's core, with a million queued jobs of 1,000 users, 264 different conditions and shapes, and
// 100,000 nodes; and whether that grows with the queue or with the nodes. A decision is a job placed in a tick that fills what became
// free since the last one; all that the tick does is counted, fair shares, priorities and properties included.
// There is nothing to compare with: no peer here has properties, shares and shapes at once. The target is absolute.
import { type Figure, type Row, ratios } from "../figures.ts"
import { runProgram } from "../program.ts"
import type { Scheduled, SchedulerPlan } from "../scheduler.ts"
import type { Settings } from "../settings.ts"

const program = new URL("../scheduler.ts", import.meta.url)

export async function scheduler(settings: Settings): Promise<Row> {
  const { quick } = settings
  const [few, many] = quick ? [100, 500] : [1_000, 100_000]
  const [short, long] = quick ? [1_000, 10_000] : [10_000, 1_000_000]
  const ticks = quick ? 40 : 500
  const plans = {
    all: { nodes: many!, queued: long!, ticks },
    shortQueue: { nodes: many!, queued: short!, ticks: ticks / 10 },
    fewNodes: { nodes: few!, queued: long!, ticks },
  } satisfies Record<string, SchedulerPlan>
  const runs = Math.min(settings.runs, 3)
  const found: Record<keyof typeof plans, Scheduled[]> = { all: [], shortQueue: [], fewNodes: [] }
  for (let run = 0; run < runs; run++) {
    for (const name of Object.keys(plans) as (keyof typeof plans)[]) {
      found[name].push(await runProgram<Scheduled>(program, plans[name]))
    }
  }
  const of = (name: string, unit: string, of: keyof typeof plans, value: (one: Scheduled) => number): Figure => ({
    name,
    unit,
    subject: "core",
    values: found[of].map(value),
  })
  const decision = of("a decision", "µs", "all", one => one.decisionUs)
  const against = (other: keyof typeof plans, to: string): Pick<Figure, "ratio" | "target"> => ({
    ratio: {
      to,
      values: ratios(
        decision.values,
        found[other].map(one => one.decisionUs),
      ),
    },
    // More memory is touched, so not 1; what is flat does not double while the other grows a hundred times.
    target: { of: "ratio", max: 1.5 },
  })
  const [one] = found.all
  const words = (nodes: number, queued: number) => `${count(queued)} queued, ${count(nodes)} nodes`
  return {
    name: "scheduler",
    work: `${count(one!.waiting)} jobs queued in ${count(one!.campaigns)} campaigns of 1,000 users with ${count(one!.demands)} conditions and shapes, ${count(many!)} nodes`,
    figures: [
      { ...decision, target: { of: "value", max: 20 } },
      {
        ...decision,
        name: `a decision, against the short queue`,
        ...against("shortQueue", `${count(short!)} queued`),
      },
      { ...decision, name: `a decision, against few nodes`, ...against("fewNodes", `${count(few!)} nodes`) },
      of("a decision in the worst of 100 ticks", "µs", "all", one => one.decisionP99Us),
      of(`a decision: ${words(many!, short!)}`, "µs", "shortQueue", one => one.decisionUs),
      of(`a decision: ${words(few!, long!)}`, "µs", "fewNodes", one => one.decisionUs),
      of("a report of an end", "µs", "all", one => one.reportUs),
      of("a new campaign held against a full house", "ms", "all", one => one.arrivalMs),
      of("a decision when one campaign finds all nodes idle", "µs", "all", one => one.fillUs),
      of("the tick in which it does", "ms", "all", one => one.fillMs),
    ],
    caveats: ["The core alone: no database, no links. What a whole hub takes for a job is in noop."],
  }
}

function count(value: number): string {
  return value.toLocaleString("en-GB")
}
