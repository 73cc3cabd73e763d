// Jobs held one by one. A job that has not begun gets a row of its own by it, which the campaign's cursor steps over.
import { HOLD_JOBS_MAX } from "../limits.ts"
import { gaps, merged } from "./campaigns.ts"
import { changed, queueAgain, untouchedJob, updateLane } from "./change.ts"
import { CahError } from "./errors.ts"
import type { JobsHeld } from "./events.ts"
import type { Campaign, Job } from "./model.ts"
import type { Stage } from "./stage.ts"

export function onJobsHeld(stage: Stage, { request, campaign: id, ranges, held }: JobsHeld): void {
  const { state, effects } = stage
  const campaign = state.campaigns.get(id)
  if (campaign === undefined) {
    const error = new CahError("failed_precondition", `campaign ${id} has ended: there is nothing to hold`)
    effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    return
  }
  const untouched = held ? untouchedIn(campaign, ranges) : []
  if (untouched.length > HOLD_JOBS_MAX) {
    const message = `more than ${HOLD_JOBS_MAX} jobs that have not begun are too many to hold one by one: hold campaign ${id} as a whole`
    const error = new CahError("resource_exhausted", message, { retry: "never" })
    effects.speech.push({ kind: "Reply", request, reply: { kind: "error", error } })
    return
  }
  let jobs = 0
  for (const job of [...campaign.jobs.values()]) {
    const isMeant = ranges.some(({ first, last }) => first <= job.index && job.index <= last)
    if (isMeant && job.phase === (held ? "queued" : "held")) jobs += turn(stage, campaign, job, held)
  }
  for (const index of untouched) {
    const job = untouchedJob(id, index)
    campaign.jobs.set(index, job)
    jobs += turn(stage, campaign, job, true)
  }
  campaign.skipped = merged([...campaign.skipped, ...untouched.map(index => ({ first: index, last: index }))])
  updateLane(state, campaign)
  effects.speech.push({ kind: "Reply", request, reply: { kind: "held", jobs } })
}

/** One more than the most that may be held, at most. */
function untouchedIn(campaign: Campaign, ranges: JobsHeld["ranges"]): number[] {
  const indices = new Set<number>()
  for (const { first, last } of ranges) {
    for (const gap of gaps(campaign.skipped, Math.max(first, campaign.cursor), Math.min(last, campaign.total - 1))) {
      for (let index = gap.first; index <= gap.last && indices.size <= HOLD_JOBS_MAX; index++) indices.add(index)
    }
  }
  return [...indices]
}

function turn(stage: Stage, campaign: Campaign, job: Job, held: boolean): 1 {
  job.held = held
  if (held) changed(stage, campaign, job, job.tries, "held", "held by its owner", job)
  else changed(stage, campaign, job, job.tries, "resumed", "resumed by its owner", job)
  if (held) campaign.again.delete(job.index)
  else queueAgain(stage.state, campaign, job.index)
  return 1
}
