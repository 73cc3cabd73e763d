// Why a job changed: one word of a closed list for each change. Stories, the journal, logs, metrics and the contract share it;
// the sentence beside it is for people and is never read by a program.

/** Each word's place is its number on disk: new words go to the end, and none is taken out. */
export const whys = [
  // Lines of hubs that kept sentences alone.
  "unknown",
  "offered",
  // Offered once more, beside an attempt that is slow or whose node is away.
  "speculated",
  // The node says that it goes on: staging, running, returning.
  "progressed",
  // The node came back with an attempt that was lost, or further than it was.
  "came_back",
  "finished",
  "failed",
  // Failed with an exit code after which the campaign asks for no further try, although there are some left.
  "exit_code_rule",
  "walltime",
  // Failed on a node in quarantine: held against the node, not against the job.
  "quarantine",
  // The node gave it up, or would not take it.
  "given_up",
  "refused",
  "lease_expired",
  "node_restarted",
  "node_forgot",
  "node_revoked",
  "offer_unanswered",
  // Older than its walltime and all slack.
  "overdue",
  // Its node is away, and two others have the job.
  "superseded",
  // Best effort made room for a job in turn.
  "preempted",
  // The container that it was inside has ended or shrunk.
  "container_gone",
  "held",
  "resumed",
  // By its owner.
  "cancelled",
  "deadline",
  "reservation_over",
  // So many of the campaign's jobs failed that the others are not wanted.
  "too_many_failures",
  "container_ended",
  "dependency_failed",
  // It had ended, and its owner wants it tried again.
  "retried_by_owner",
] as const

export type Why = (typeof whys)[number]

const numbers = Object.fromEntries(whys.map((why, number) => [why, number])) as Record<Why, number>

export function whyNumber(why: Why): number {
  return numbers[why]
}

/** Of a number that a newer hub wrote: unknown. */
export function whyOf(number: number): Why {
  return whys[number] ?? "unknown"
}
