// An earlier campaign once more: its specification as a new one, with changes, and with all its jobs, some, or those that did not finish
// well. The hub keeps the parameters of each job; a job of a plain array has nothing but its number, and is told the old one.
import { Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { ClientError, usage } from "../errors.ts"
import type { Hub } from "../library.ts"
import { RESUBMIT_LINES_MAX } from "../limits.ts"
import type { Range } from "../selector.ts"
import { checkRanges, eachParallel, type Target } from "../targets.ts"
import type { Wishes } from "./flags.ts"
import { numbered } from "./numbers.ts"
import { fieldsOf, type Spec } from "./spec.ts"

export interface Again {
  readonly spec: Spec & { readonly command: string[] }
  readonly parameters: readonly string[]
  readonly jobs: number
  /** Numbers in the old campaign, in the order of the new one. Null: all, as they were. */
  readonly indices: readonly number[] | null
}

/** Questions at once, each of one job. */
const ASKED_AT_ONCE = 8

/** What an earlier campaign may have had that can be left out of a later one. */
export const withouts = ["property", "besteffort", "inner", "retries"] as const
export type Without = (typeof withouts)[number]

export interface AgainOptions {
  /** Only those that did not finish well. */
  readonly failed: boolean
  /** What is to be otherwise. */
  readonly wishes: Wishes
  readonly without: readonly Without[]
}

export async function againOf(hub: Hub, { campaign: id, ranges }: Target, options: AgainOptions): Promise<Again> {
  const { campaign } = await hub.show(id)
  const old = campaign?.spec
  if (campaign === undefined || old === undefined)
    throw new ClientError("internal", `The hub describes no campaign ${id}.`)
  const total = campaign.counts?.total ?? 0
  if (ranges !== null) checkRanges(id, ranges, total)
  if (options.failed && campaign.endedAt === undefined) {
    throw new ClientError("failed_precondition", `Campaign ${id} has not ended: more of its jobs may fail.`, {
      hint: `Wait for it first: cah wait ${id}`,
    })
  }
  const indices = options.failed ? await unwell(hub, id, ranges) : ranges === null ? null : numbersOf(id, ranges)
  if (indices !== null && indices.length === 0) {
    throw new ClientError("failed_precondition", `All these jobs of campaign ${id} finished well.`, {
      hint: `To run them all again: cah resub ${id}`,
    })
  }
  // What it waited for has been; held jobs, deadlines and reservations were of that time.
  const { $typeName: _, $unknown: __, deadline: ___, reservation: ____, ...kept } = old
  const changes = { ...leftOut(options.without), ...fieldsOf(options.wishes, old, Date.now()) }
  const spec: Again["spec"] = {
    ...kept,
    after: [],
    hold: false,
    ...changes,
    env: { ...old.env, ...changes.env },
    command: old.command,
  }
  // Spec.array is the number that was asked for, and zero where lines were sent in place of it.
  const wanted = indices ?? Array.from({ length: Math.min(total, RESUBMIT_LINES_MAX + 1) }, (_, index) => index)
  const first = wanted[0] === undefined ? null : await hub.job({ campaign: id, index: wanted[0] })
  const hasLines = (first?.parameters?.line ?? "") !== "" || spec.parameterNames?.length !== 0
  if (!hasLines) return indices === null ? plain(spec, total) : renumbered(spec, indices, total)
  if (wanted.length > RESUBMIT_LINES_MAX) {
    throw usage(
      `Campaign ${id} has ${total} jobs with parameters of their own, too many to ask the hub for one by one.`,
      `Submit it again from its parameter file; resub does ${RESUBMIT_LINES_MAX} at most.`,
    )
  }
  const parameters = await lines(hub, id, wanted)
  return { spec: { ...spec, array: parameters.length }, parameters, jobs: parameters.length, indices }
}

function leftOut(without: readonly Without[]): Spec {
  return {
    ...(without.includes("property") ? { property: "" } : {}),
    ...(without.includes("besteffort") ? { bestEffort: false } : {}),
    ...(without.includes("inner") ? { inside: 0n } : {}),
    ...(without.includes("retries") ? { retries: { max: 0 } } : {}),
  }
}

function plain(spec: Again["spec"], total: number): Again {
  return { spec: { ...spec, array: total }, parameters: [], jobs: total, indices: null }
}

function numbersOf(id: bigint, ranges: readonly Range[]): number[] {
  const count = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  if (count > RESUBMIT_LINES_MAX) {
    throw usage(`${count} single jobs are too many: ${RESUBMIT_LINES_MAX} at most.`, `Run all of them: cah resub ${id}`)
  }
  return ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at))
}

async function unwell(hub: Hub, id: bigint, ranges: readonly Range[] | null): Promise<number[]> {
  const indices: number[] = []
  for await (const job of hub.jobs(id, { phase: Phase.ENDED, ranges })) {
    if (job.outcome === Outcome.FINISHED || job.id === undefined) continue
    indices.push(job.id.index)
    if (indices.length > RESUBMIT_LINES_MAX) {
      throw usage(
        `More than ${RESUBMIT_LINES_MAX} jobs of campaign ${id} did not finish well.`,
        `Run all of them: cah resub ${id}`,
      )
    }
  }
  return indices
}

async function lines(hub: Hub, id: bigint, indices: readonly number[]): Promise<string[]> {
  const found = new Array<string>(indices.length).fill("")
  await eachParallel(indices.entries(), ASKED_AT_ONCE, async ([at, index]) => {
    const job = await hub.job({ campaign: id, index })
    found[at] = job.parameters?.line ?? ""
  })
  return found
}

/** Jobs of a plain array under their old numbers. The new campaign numbers them anew for everything else. */
function renumbered(spec: Again["spec"], indices: readonly number[], total: number): Again {
  return {
    spec: { ...spec, command: numbered(spec.command, total), array: indices.length },
    parameters: indices.map(String),
    jobs: indices.length,
    indices,
  }
}
