// Several campaigns that wait for each other, as one file describes them: an order in which each comes after what it waits for, or the
// cycle that makes that impossible, named. Pure; a graph is refused as a whole before anything of it is sent.
import { usage } from "../errors.ts"
import { parseSelector } from "../selector.ts"
import type { GraphJob } from "./jobfile.ts"

export interface Edge {
  /** A job of the same file. */
  readonly on: string
  readonly kind: "after" | "afterOk" | "gather" | "inside"
}

export interface PlacedJob extends GraphJob {
  readonly edges: readonly Edge[]
}

/** Each job after all that it waits for, otherwise in the order of the file. Names are taken out of the wishes and become edges. */
export function inOrder(jobs: readonly GraphJob[]): PlacedJob[] {
  const names = new Set(jobs.map(job => job.name))
  const placed = new Map(jobs.map(job => [job.name, edgesOf(job, names)]))
  const done = new Set<string>()
  const order: PlacedJob[] = []
  const path: string[] = []
  const visit = (name: string) => {
    const job = placed.get(name)
    if (job === undefined || done.has(name)) return
    const loop = path.indexOf(name)
    if (loop !== -1) {
      const cycle = [...path.slice(loop), name].join(" → ")
      throw usage(`${job.place}: the jobs wait for each other in a circle: ${cycle}.`, "Nothing was submitted.")
    }
    path.push(name)
    for (const { on } of job.edges) visit(on)
    path.pop()
    done.add(name)
    order.push(job)
  }
  for (const { name } of jobs) visit(name)
  return order
}

function edgesOf(job: GraphJob, names: ReadonlySet<string>): PlacedJob {
  const edges: Edge[] = []
  const outside = (texts: readonly string[] | undefined, kind: Edge["kind"]) =>
    (texts ?? [])
      .flatMap(text => text.split(","))
      .map(text => text.trim())
      .filter(text => {
        if (names.has(text)) edges.push({ on: text, kind })
        else checkOutside(job, text)
        return !names.has(text)
      })
  const { after, afterOk, gather, type, ...wishes } = job.wishes
  const [before, beforeOk] = [outside(after, "after"), outside(afterOk, "afterOk")]
  const [gathered] = outside(gather === undefined ? [] : [gather], "gather")
  const types = (type ?? []).filter(one => one.kind !== "inner" || outside([one.campaign], "inside").length > 0)
  return {
    ...job,
    edges,
    wishes: {
      ...wishes,
      ...(types.length === 0 ? {} : { type: types }),
      ...(before.length === 0 ? {} : { after: before }),
      ...(beforeOk.length === 0 ? {} : { afterOk: beforeOk }),
      ...(gathered === undefined ? {} : { gather: gathered }),
    },
  }
}

/** What is no job of the file must be a campaign that is there already. */
function checkOutside(job: GraphJob, text: string): void {
  try {
    parseSelector([text])
  } catch {
    throw usage(
      `${job.place}: ${job.name} waits for "${text}", and there is no such job in this file.`,
      "Name a job of the file, or a campaign by its number.",
    )
  }
}
