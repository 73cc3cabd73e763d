// Where a job may go from where it is. The only place where `phase` is assigned.
//
//                    +--------- lost / refused, budget left (after a back-off) -----------+
//                    v                                                                    |
//     submitted -> queued --offer--> offered --> staging --> running --> returning        |
//                    |  ^               |           |           |            |            |
//                    |  |               +-----------+-----+-----+------------+------------+
//                    |  +- a lost attempt that no one   |                 |
//                    |     else has got comes back:     | cancel          | result; or lost, budget spent
//                    |     back to where it is          v                 v
//                    +------------- cancel ---------> ended <-------------+
//
// queued      entered by submit or loss; left by an offer, a revival, a cancel. Timer: the back-off.
// offered     the node has been told. Timer: OFFER_MS, then taken back as lost.
// staging     the node has it in its journal. From here on the node's lease and the attempt's age are the timers.
// running     the command runs.      returning   the command is over, outputs are on their way.
// ended       for good. The job leaves memory.
//
// An agent may report a later phase without the ones between (a stagein that fails goes from staging to ended). An
// earlier one is a repetition: harmless. Nothing an agent says is ever an assertion.
import type { Phase } from "./model.ts"

export type Trigger = "offer" | "staging" | "running" | "returning" | "result" | "requeue" | "giveUp" | "cancel"

const live: Partial<Record<Trigger, Phase>> = {
  staging: "staging",
  running: "running",
  returning: "returning",
  result: "ended",
  requeue: "queued",
  giveUp: "ended",
  cancel: "ended",
}

const table: Record<Phase, Partial<Record<Trigger, Phase>>> = {
  queued: {
    offer: "offered",
    // A revival: same attempt, same node, nobody else has got it meanwhile.
    staging: "staging",
    running: "running",
    returning: "returning",
    result: "ended",
    cancel: "ended",
  },
  held: { cancel: "ended" },
  offered: live,
  staging: without(live, "staging"),
  running: without(live, "staging", "running"),
  returning: without(live, "staging", "running", "returning"),
  ended: {},
}

function without(row: Partial<Record<Trigger, Phase>>, ...triggers: Trigger[]): Partial<Record<Trigger, Phase>> {
  return Object.fromEntries(Object.entries(row).filter(([trigger]) => !triggers.includes(trigger as Trigger)))
}

/** The phase after it, or null: this cannot happen there. */
export function after(phase: Phase, trigger: Trigger): Phase | null {
  return table[phase][trigger] ?? null
}

/** Whether an attempt is on a node in this phase. */
export function onNode(phase: Phase): boolean {
  return phase === "offered" || phase === "staging" || phase === "running" || phase === "returning"
}
