// Where a job may be, and how it gets from there to elsewhere.
//
//                    +--- its last try lost or failed, budget left (after a back-off) ---+
//                    v                                                                   |
//     submitted -> queued --offer--> offered --> staging --> running --> returning       |
//                    |  ^               |           |           |            |           |
//                    |  |               +-----------+-----+-----+------------+-----------+
//                    |  +- a lost attempt that no one   |                 |
//                    |     else has got comes back      | cancel          | a result; or lost, budget spent
//                    |                                  v                 v
//                    +------------- cancel ---------> ended <-------------+
//
// A job's phase is derived: ended once it has an outcome, else that of its furthest try, else held or queued. Mostly there is one
// try. In a campaign's tail a slow one may have a second on another node; the first result that is taken ends the other.
//
// queued      entered by submit or loss; left by an offer, a revival, a hold, a cancel. Timer: the back-off.
// held        by its owner, from queued and back. What runs goes on; if it is lost it is queued and not held.
// offered     the node has been told. Timer: OFFER_MS, then taken back as lost.
// staging     the node has it in its journal. From here on the node's lease and the attempt's age are the timers.
// running     the command runs.      returning   the command is over, outputs are on their way.
// ended       for good. The job leaves memory.
//
// A try only goes forward. An agent may report a later phase without the ones between (a stagein that fails goes from
// staging to ended). An earlier one is a repetition: harmless. Nothing an agent says is ever an assertion.
import type { Attempt, Job, Phase } from "./model.ts"

const order: Record<Attempt["phase"], number> = { offered: 0, staging: 1, running: 2, returning: 3 }

/** Whether a report of this phase is news about the try. */
export function isForward(from: Attempt["phase"], to: Attempt["phase"]): boolean {
  return order[to] > order[from]
}

export function phaseOf(job: Pick<Job, "outcome" | "tries" | "held">): Phase {
  if (job.outcome !== null) return "ended"
  let furthest: Attempt["phase"] | null = null
  for (const { phase } of job.tries) if (furthest === null || order[phase] > order[furthest]) furthest = phase
  return furthest ?? (job.held ? "held" : "queued")
}
