// cah sub --dry-run: what would be sent, without sending it. The stagein is listed and measured here; whether the hub has it already is
// asked if the hub can be asked, and said to be unknown otherwise. Leaves nothing anywhere.
import { durationMs } from "@bufbuild/protobuf/wkt"
import type { Context } from "../context.ts"
import { ClientError } from "../errors.ts"
import { fields } from "../output.ts"
import { plural, showBytes, showDuration } from "../quantities.ts"
import { measureStagein } from "../stagein.ts"
import type { Draft } from "./draft.ts"
import { isDigest, storedBlob } from "./send.ts"
import { quoteWords } from "./words.ts"

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

export async function planOf(context: Context, draft: Draft): Promise<Plan> {
  const { spec } = draft
  const [first, ...others] = [{ needs: spec.needs, walltime: spec.walltime }, ...(spec.shapes ?? [])]
  const waits = [...draft.after.map(id => `after ${id}`), ...draft.afterOk.map(id => `after ${id} if all finished`)]
  return {
    name: spec.name,
    command: spec.command,
    jobs: draft.jobs,
    parameters: draft.parameters.slice(0, LINES_SHOWN),
    stagein: draft.stagein === null ? null : await plannedStagein(context, draft.stagein),
    waitsFor: draft.gather === null ? waits : [...waits, `gathers ${draft.gather}`],
    needs: [first, ...others].map(shape => needsInWords(shape?.needs)).join(", or else "),
    walltime:
      first?.walltime === undefined ? "the hub's default" : showDuration(durationMs(first.walltime as never) / 1000),
  }
}

function needsInWords(needs: { slots?: number; memoryBytes?: bigint; diskBytes?: bigint } | undefined): string {
  const parts = [plural(needs?.slots ?? 1, "slot")]
  if ((needs?.memoryBytes ?? 0n) > 0n) parts.push(`${showBytes(needs?.memoryBytes ?? 0n)} of memory`)
  if ((needs?.diskBytes ?? 0n) > 0n) parts.push(`${showBytes(needs?.diskBytes ?? 0n)} of disk`)
  return parts.join(", ")
}

async function plannedStagein(context: Context, path: string): Promise<PlannedStagein> {
  if (isDigest(path)) {
    const { digest, sizeBytes } = await storedBlob(await context.hub(), path)
    return { path, digest, sizeBytes: Number(sizeBytes), entries: null, toSendBytes: 0 }
  }
  const { digest, sizeBytes, entries } = await measureStagein(path, context.signal)
  const stored = await isStored(context, { digest, sizeBytes: BigInt(sizeBytes) })
  return { path, digest, sizeBytes, entries, toSendBytes: stored === null ? null : stored ? 0 : sizeBytes }
}

async function isStored(context: Context, blob: { digest: string; sizeBytes: bigint }): Promise<boolean | null> {
  try {
    return await (await context.hub()).has(blob)
  } catch (thrown) {
    const error = ClientError.from(thrown)
    if (error.code !== "unavailable" && error.code !== "unauthenticated") throw error
    context.output.warn(`Whether the hub has the stagein already is unknown: ${error.message}`)
    return null
  }
}

export async function showPlans(context: Context, plans: readonly Plan[]): Promise<void> {
  const { output } = context
  await output.value(plans.length === 1 ? plans[0] : plans, {
    table: () => plans.map(plan => showPlan(context, plan)).join("\n\n"),
    quiet: () => plans.map(plan => plan.jobs).join("\n"),
  })
  output.note("Nothing was sent or submitted.")
}

function showPlan(context: Context, plan: Plan): string {
  const { stagein, parameters, jobs } = plan
  const more = jobs > parameters.length ? ", …" : ""
  const sending =
    stagein === null
      ? ""
      : stagein.toSendBytes === null
        ? "not known whether the hub has it"
        : stagein.toSendBytes === 0
          ? "the hub has it already"
          : "to be sent"
  return fields(
    [
      ["Name", plan.name],
      ["Command", plan.command.length === 1 ? (plan.command[0] ?? "") : quoteWords(plan.command)],
      ["Jobs", String(jobs)],
      ["Parameters", parameters.length === 0 ? "" : `${parameters.join("  |  ")}${more}`],
      ["Needs", plan.needs],
      ["Walltime", plan.walltime],
      [
        "Stagein",
        stagein === null
          ? ""
          : `${showBytes(stagein.sizeBytes)}${stagein.entries === null ? "" : ` in ${plural(stagein.entries, "entry").replace(/ys$/, "ies")}`}, ${sending}`,
      ],
      ["", stagein?.digest ?? ""],
      ["Waits", plan.waitsFor.join(", ")],
    ],
    context.output.colors,
  )
}
