// What a submission says when it is done: the campaigns and their numbers, in the form that was asked for. The `oar` names have their own.
import { create } from "@bufbuild/protobuf"
import { type SubmitResponse, SubmitResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { plural } from "../quantities.ts"
import { expectationInWords } from "./expectation.ts"
import type { Submitted } from "./submit.ts"
import { timesInWords } from "./timewords.ts"

/** How a submission is told: `cah sub` and `oarsub` differ in nothing else. */
export type Announce = (context: Context, done: readonly Submitted[], waits: boolean) => Promise<void>

/** OAR's word, and what it is worth. */
export function okInWords({ campaign, jobs, expectation }: SubmitResponse): string {
  const expected = expectation === undefined ? "" : `: ${expectationInWords(expectation, jobs)}`
  return `Reservation of campaign ${campaign}: OK${expected}.`
}

export async function announce(context: Context, done: readonly Submitted[], waits: boolean): Promise<void> {
  const answers = done.map(({ answer }) => create(SubmitResponseSchema, answer))
  const line = ({ order, answer }: Submitted) => {
    const what = answer.existed ? "was there already under this key" : "submitted"
    const name = order.name === null ? "" : ` (${order.name})`
    return `Campaign ${answer.campaign}${name} ${what}: ${plural(answer.jobs, "job")}.`
  }
  const { output } = context
  for (const { order, answer } of done) if (order.draft.spec.reservation !== undefined) output.note(okInWords(answer))
  const [only, ...more] = answers
  if (only !== undefined && more.length === 0) {
    await output.one(SubmitResponseSchema, only, {
      table: () => done.map(line).join("\n"),
      quiet: () => String(only.campaign),
    })
  } else {
    const plain = done.map(({ order, answer }) => ({
      name: order.name,
      campaign: String(answer.campaign),
      jobs: answer.jobs,
      existed: answer.existed,
    }))
    await output.value(plain, {
      table: () => done.map(line).join("\n"),
      quiet: () => plain.map(one => one.campaign).join("\n"),
    })
  }
  noteTimes(context, done)
  const ids = answers.map(({ campaign }) => campaign).join(",")
  const held = done.filter(({ order }) => order.draft.spec.hold === true).map(({ answer }) => answer.campaign)
  if (held.length > 0) output.note(`Held until you say: cah resume ${held.join(",")}`)
  if (!waits) output.note(`Wait for it: cah wait ${ids}    fetch its results: cah get ${answers.at(-1)?.campaign}`)
}

/** What the typed times were taken for, so that a misread one is seen before it kills or cancels anything. */
export function noteTimes(context: Context, done: readonly Submitted[]): void {
  const names = new Map<string, string[]>()
  for (const { order } of done) {
    const times = timesInWords(order.draft.spec, Date.now())
    if (times !== "") names.set(times, [...(names.get(times) ?? []), order.name ?? ""])
  }
  for (const [times, jobs] of names) {
    const whose = names.size === 1 || jobs.includes("") ? "" : ` (${jobs.join(", ")})`
    context.output.note(`${times}${whose}.`)
  }
}
