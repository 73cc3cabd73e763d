// cah resub --failed --into: jobs that did not finish well get further attempts in their own campaign, with its specification as it is.
// What waited for that campaign and was cancelled waits for it again. Nothing is submitted.
import { type RetryJobsResponse, RetryJobsResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { ClientError, usage } from "../errors.ts"
import { plural } from "../quantities.ts"
import { checkRanges, findTargets, nameOfTarget, type Target } from "../targets.ts"
import { wholeCampaign } from "./send.ts"
import { spelled } from "./spec.ts"

export interface IntoWish {
  readonly into: string
  readonly failed: boolean
  /** Jobs of that campaign; undefined: all. */
  readonly selector: string | undefined
  /** Other flags that were said, by their names. */
  readonly others: readonly string[]
}

/** Campaigns named in a sentence. */
const IDS_SHOWN = 8

export async function retryInto(context: Context, wish: IntoWish): Promise<number> {
  checkFlags(wish)
  context.onInterrupt = "Nothing was queued again."
  const hub = await context.hub()
  const { campaign: id, ranges } = await targetOf(hub, wish)
  const { campaign } = await hub.show(id)
  if (campaign === undefined) throw new ClientError("internal", `The hub describes no campaign ${id}.`)
  if (ranges !== null) checkRanges(id, ranges, campaign.counts?.total ?? 0)
  context.onInterrupt = `They may be queued again: see cah show ${id}`
  const seen = campaign.totals?.resubmissions ?? 0n
  const answer = await hub.retry(id, { ranges: ranges ?? [], seen })
  context.hubIsBack()
  context.onInterrupt = `The work goes on; cancel it with: cah del ${id}`
  await context.output.one(RetryJobsResponseSchema, answer, {
    table: () => inWords(answer),
    quiet: () => String(answer.campaign),
  })
  const ids = [id, ...answer.dependants].slice(0, IDS_SHOWN).join(",")
  context.output.note(`Wait for it: cah wait ${ids}    fetch its results: cah get ${id}`)
  return 0
}

function checkFlags({ into, failed, others }: IntoWish): void {
  if (!failed) {
    throw usage(
      "--into: in a campaign that there is, only jobs that did not finish well are tried again.",
      `Say so: cah resub --failed --into ${into}`,
    )
  }
  if (others.length === 0) return
  throw usage(
    `--into and ${others.map(spelled).join(", ")} exclude each other.`,
    "A campaign keeps what it was submitted with. To change that, submit its jobs as a new one: leave out --into.",
  )
}

async function targetOf(
  hub: Parameters<typeof findTargets>[0],
  { into, selector }: Pick<IntoWish, "into" | "selector">,
): Promise<Target> {
  const [target, other] = await findTargets(hub, [selector ?? into])
  if (target === undefined || other !== undefined) {
    throw usage(
      `"${selector ?? into}" is not one campaign.`,
      "Name one, or jobs of it: cah resub --failed --into 12.3-9",
    )
  }
  if (selector === undefined) return target
  const campaign = await wholeCampaign(hub, into, "--into ")
  if (campaign === target.campaign) return target
  throw usage(
    `--into ${into}: ${nameOfTarget(target)} is not of that campaign.`,
    `Jobs are tried again in their own: cah resub --failed --into ${nameOfTarget(target)}`,
  )
}

function inWords({ campaign, jobs, existed, dependants }: RetryJobsResponse): string {
  if (existed) return `Jobs of campaign ${campaign} were queued again already, by this call or by another meanwhile.`
  const queued = `${plural(jobs, "job")} of campaign ${campaign} ${jobs === 1 ? "is" : "are"} queued again`
  if (dependants.length === 0) return `${queued}.`
  const shown: (bigint | string)[] = dependants.slice(0, IDS_SHOWN)
  if (shown.length < dependants.length) shown.push("…")
  const one = dependants.length === 1
  return `${queued}; ${one ? "campaign" : "campaigns"} ${shown.join(", ")} ${one ? "waits" : "wait"} for it again.`
}
