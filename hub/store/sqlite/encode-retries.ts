// Jobs that had ended and are tried again, as steps: what they left becomes what an earlier attempt left, or goes.
import type { Write } from "../../core/rows.ts"
import { ATTEMPTS_KEPT } from "../../limits.ts"
import type { Value } from "./statement.ts"

/** Of a campaign, the jobs with a row that are meant: a JSON array of their numbers. */
const meant = "campaign = ? AND idx IN (SELECT value FROM json_each(?))"

export const retries = {
  retriedWarnings: `UPDATE warnings SET count = warnings.count - gone.times
    FROM (SELECT warnings AS text, count(*) AS times FROM results WHERE ${meant} AND accepted = 1 AND warnings <> '' GROUP BY warnings) AS gone
    WHERE warnings.campaign = ? AND warnings.text = gone.text`,
  retriedStageouts: `DELETE FROM blob_references WHERE ${meant} AND role = 'stageout'`,
  // What stands with it of the job goes on in the job's own row.
  retriedResults: `UPDATE results SET accepted = 0, story = '[]' WHERE ${meant} AND accepted = 1`,
  retriedTrim: `DELETE FROM results WHERE ${meant} AND accepted = 0 AND attempt NOT IN
    (SELECT attempt FROM results AS each WHERE each.campaign = results.campaign AND each.idx = results.idx AND accepted = 0
     ORDER BY attempt DESC LIMIT ${ATTEMPTS_KEPT})`,
  retriedJobs: `DELETE FROM jobs WHERE ${meant}`,
  noWarnings: "DELETE FROM warnings WHERE campaign = ? AND count <= 0",
  // Summed up anew: the example of a kind of error may be among those that are gone.
  noErrors: "DELETE FROM errors WHERE campaign = ?",
  errorsAnew: `INSERT INTO errors (campaign, outcome, exit_code, message, count, example_idx)
    SELECT campaign, outcome, exit_code, message, count(*), min(idx) FROM results INDEXED BY results_bad
    WHERE campaign = ? AND outcome <> 'finished' AND accepted = 1 GROUP BY outcome, exit_code, message`,
  // Of one range that is stored, a part: what is behind it, then what is before.
  cancelledBehind: `INSERT INTO cancelled (campaign, first, count, at, why)
    SELECT campaign, ?, first + count - ?, at, why FROM cancelled
    WHERE campaign = ? AND first <= ? AND first + count > ?`,
  cancelledBefore: "UPDATE cancelled SET count = ? - first WHERE campaign = ? AND first < ? AND first + count > ?",
  notCancelled: "DELETE FROM cancelled WHERE campaign = ? AND first = ?",
} as const

type RetryStep = readonly [statement: keyof typeof retries | "forgetMissed", values: readonly Value[]]

export function retrySteps({ campaign, jobs, cancelled }: Extract<Write, { kind: "retry" }>): RetryStep[] {
  const steps: RetryStep[] = [["forgetMissed", [campaign]]]
  if (jobs.length > 0) {
    const indices = JSON.stringify(jobs)
    const of = [campaign, indices]
    steps.push(
      ["retriedWarnings", [...of, campaign]],
      ["noWarnings", [campaign]],
      ["retriedStageouts", of],
      ["retriedResults", of],
      ["retriedTrim", of],
      ["retriedJobs", of],
      ["noErrors", [campaign]],
      ["errorsAnew", [campaign]],
    )
  }
  for (const { first, last } of cancelled) {
    const next = last + 1
    steps.push(
      ["cancelledBehind", [next, next, campaign, first, next]],
      ["cancelledBefore", [first, campaign, first, first]],
      ["notCancelled", [campaign, first]],
    )
  }
  return steps
}
