// cah sub --dry-run: what would be sent, without sending it, and what the hub would make of it. The stagein is listed and measured here; the rest
// is the hub's to say, if it can be asked, and said to be unknown otherwise. Leaves nothing anywhere.
import { type Duration, durationMs, type Timestamp } from "@bufbuild/protobuf/wkt"
import { type PlanResponse, PlanResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, exitCodes } from "../errors.ts"
import { json } from "../json.ts"
import { fields } from "../output.ts"
import { plural, showBytes, showDuration } from "../quantities.ts"
import { measureStagein } from "../stagein.ts"
import { needsInWords, reservationInWords } from "../text.ts"
import type { Draft } from "./draft.ts"
import { expectationInWords } from "./expectation.ts"
import { isDigest } from "./input.ts"
import { named, storedBlob } from "./send.ts"
import { quoteWords } from "./shellwords.ts"
import { momentInWords, spanInWords } from "./timewords.ts"

export interface Plan {
  readonly name: string
  readonly command: readonly string[]
  readonly jobs: number
  /** The first few lines. */
  readonly parameters: readonly string[]
  readonly stagein: PlannedStagein | null
  readonly waitsFor: readonly string[]
  readonly needs: string
  readonly walltime: string
  readonly deadline: string
  readonly reservation: string
  /** What the hub says. Null: it could not be asked. */
  readonly hub: PlanResponse | null
}

interface PlannedStagein {
  readonly path: string
  readonly digest: string
  readonly sizeBytes: number
  readonly entries: number | null
  /** Bytes that the submission would send. Null: the hub could not be asked. */
  readonly toSendBytes: number | null
}

const LINES_SHOWN = 3

/** `name`: the job's own within a graph, whose edges the hub is not told. */
export async function planOf(context: Context, draft: Draft, name: string | null): Promise<Plan> {
  const { spec } = draft
  const [first, ...others] = [{ needs: spec.needs, walltime: spec.walltime }, ...(spec.shapes ?? [])]
  const stagein = draft.stagein === null ? null : await plannedStagein(context, draft.stagein, draft.dereference)
  return {
    name: name ?? spec.name,
    command: spec.command,
    jobs: draft.jobs,
    parameters: draft.parameters.slice(0, LINES_SHOWN),
    stagein,
    waitsFor: [
      ...draft.after.map(id => `after ${id}`),
      ...draft.afterOk.map(id => `after ${id} if all finished`),
      ...(draft.gather === null ? [] : [`gathers ${draft.gather}`]),
      ...(draft.inside === null ? [] : [`inside ${draft.inside}`]),
    ],
    needs: [first, ...others].map(shape => needsInWords(shape?.needs)).join(", or else "),
    walltime: [first, ...others]
      .map(shape => (shape?.walltime === undefined ? "the hub's default" : spanInWords(shape.walltime as Duration)))
      .join(", or else "),
    deadline: spec.deadline === undefined ? "" : momentInWords(spec.deadline as Timestamp, Date.now()),
    reservation: reservationInWords(spec.reservation),
    hub: await hubsPlan(context, draft, stagein),
  }
}

async function plannedStagein(context: Context, path: string, dereference: boolean): Promise<PlannedStagein> {
  if (isDigest(path)) {
    const { digest, sizeBytes } = await storedBlob(await context.hub(), path)
    return { path, digest, sizeBytes: Number(sizeBytes), entries: null, toSendBytes: 0 }
  }
  const { digest, sizeBytes, entries } = await measureStagein(path, { dereference, signal: context.signal })
  const blob = { digest, sizeBytes: BigInt(sizeBytes) }
  const what = "Whether the hub has the stagein already is unknown"
  const stored = await ifReached(context, what, async () => (await context.hub()).has(blob))
  return { path, digest, sizeBytes, entries, toSendBytes: stored === null ? null : stored ? 0 : sizeBytes }
}

async function hubsPlan(context: Context, draft: Draft, stagein: PlannedStagein | null): Promise<PlanResponse | null> {
  return ifReached(context, "What the hub would do is unknown", async () => {
    const hub = await context.hub()
    const spec = await named(hub, draft)
    const blob = stagein === null ? null : { digest: stagein.digest, sizeBytes: BigInt(stagein.sizeBytes) }
    return hub.plan(blob === null ? spec : { ...spec, stagein: blob }, draft.jobs)
  })
}

/** A dry run needs no hub: what it would have said is left open. */
async function ifReached<T>(context: Context, unknown: string, ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (thrown) {
    const error = ClientError.from(thrown)
    if (!["unavailable", "unauthenticated", "unimplemented"].includes(error.code)) throw error
    context.output.warn(`${unknown}: ${error.message}`)
    return null
  }
}

/** The exit code: that of a refusal where there would be one. */
export async function showPlans(context: Context, plans: readonly Plan[]): Promise<number> {
  const { output } = context
  const values = plans.map(plan => ({
    ...plan,
    hub: plan.hub === null ? null : json(PlanResponseSchema, plan.hub),
  }))
  await output.value(values.length === 1 ? values[0] : values, {
    table: () => plans.map(plan => showPlan(context, plan)).join("\n\n"),
    quiet: () => plans.map(plan => plan.jobs).join("\n"),
  })
  output.note("Nothing was sent or submitted.")
  for (const { hub } of plans) for (const warning of hub?.warnings ?? []) output.warn(warning)
  return plans.some(({ hub }) => (hub?.refusal ?? "") !== "") ? exitCodes.failed_precondition : 0
}

function showPlan(context: Context, plan: Plan): string {
  const { parameters, jobs } = plan
  const more = jobs > parameters.length ? ", …" : ""
  return fields(
    [
      ["Name", plan.name],
      ["Command", plan.command.length === 1 ? (plan.command[0] ?? "") : quoteWords(plan.command)],
      ["Jobs", String(jobs)],
      ["Parameters", parameters.length === 0 ? "" : `${parameters.join("  |  ")}${more}`],
      ["Needs", plan.needs],
      ["Walltime", plan.walltime],
      ["Deadline", plan.deadline],
      ["Reserved", plan.reservation],
      ["Stagein", stageinInWords(plan.stagein)],
      ["", plan.stagein?.digest ?? ""],
      ["Waits", plan.waitsFor.join(", ")],
      ...(plan.hub === null ? [] : hubInWords(plan.hub)),
    ],
    context.output.colors,
  )
}

function stageinInWords(stagein: PlannedStagein | null): string {
  if (stagein === null) return ""
  const { entries, sizeBytes, toSendBytes } = stagein
  const count = entries === null ? "" : ` in ${entries === 1 ? "1 entry" : `${entries} entries`}`
  const sending =
    toSendBytes === null
      ? "not known whether the hub has it"
      : toSendBytes === 0
        ? "the hub has it already"
        : "to be sent"
  return `${showBytes(sizeBytes)}${count}, ${sending}`
}

function hubInWords(plan: PlanResponse): [string, string][] {
  const { nodesOnline, nodesAway, jobsNow, jobsAtOnce, jobsAhead, stageinBytes, atMost, expectation } = plan
  const away = nodesAway === 0 ? "" : `, and ${nodesAway} that ${nodesAway === 1 ? "is" : "are"} away`
  return [
    ["Refused", plan.refusal],
    ["Nodes", `${nodesOnline} online could take it${away}`],
    ["At once", `${plural(jobsNow, "job")} now, ${jobsAtOnce} when these nodes are empty`],
    ["Ahead", jobsAhead === 0n ? "" : `${plural(jobsAhead, "ready job")} of others and yours`],
    ["To nodes", stageinBytes === 0n ? "" : `${showBytes(stageinBytes)} of stagein, once to each`],
    [
      "At most",
      atMost === undefined
        ? "unknown: no node that could take it is online"
        : `${showDuration(durationMs(atMost) / 1000)}, if every job takes its whole walltime`,
    ],
    ["Expect", expectation === undefined ? "" : expectationInWords(expectation, plan.jobs)],
  ]
}
