// The words that people read for the states of the wire, and the sums over a campaign's counts.
// One table per enum; a state that a newer hub may send is shown as "?" rather than refused.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt"
import {
  type Campaign,
  type NeedsSchema,
  NodeState,
  Outcome,
  Phase,
  type ReservationSchema,
} from "../proto/gen/cah/v1/job_pb.ts"
import { Scope } from "../proto/gen/cah/v1/scope_pb.ts"
import { plural, showBytes, showTime } from "./quantities.ts"

export const phaseWords: Readonly<Record<number, string>> = {
  [Phase.QUEUED]: "queued",
  [Phase.HELD]: "held",
  [Phase.OFFERED]: "offered",
  [Phase.STAGING]: "staging",
  [Phase.RUNNING]: "running",
  [Phase.RETURNING]: "returning",
  [Phase.ENDED]: "ended",
}

export const outcomeWords: Readonly<Record<number, string>> = {
  [Outcome.FINISHED]: "finished",
  [Outcome.FAILED]: "failed",
  [Outcome.TIMEDOUT]: "timedout",
  [Outcome.LOST]: "lost",
  [Outcome.REFUSED]: "refused",
  [Outcome.CANCELLED]: "cancelled",
}

export const nodeStateWords: Readonly<Record<number, string>> = {
  [NodeState.ONLINE]: "online",
  [NodeState.AWAY]: "away",
  [NodeState.DRAINED]: "drained",
  [NodeState.QUARANTINED]: "quarantined",
  [NodeState.REVOKED]: "revoked",
}

export const scopeWords: Readonly<Record<number, string>> = {
  [Scope.READ]: "read",
  [Scope.SUBMIT]: "submit",
  [Scope.CANCEL]: "cancel",
  [Scope.ADMIN]: "admin",
}

/** In local time with its zone; programs read UTC in the JSON. */
export function showMoment(at: Timestamp | undefined): string {
  return at === undefined ? "" : showTime(timestampMs(at))
}

/** "4 slots, 8.6 GB of memory". */
export function needsInWords(needs: MessageInitShape<typeof NeedsSchema> | undefined): string {
  const { slots, memoryBytes = 0n, diskBytes = 0n } = needs ?? {}
  const parts = [plural(slots || 1, "slot")]
  if (memoryBytes > 0n) parts.push(`${showBytes(memoryBytes)} of memory`)
  if (diskBytes > 0n) parts.push(`${showBytes(diskBytes)} of disk`)
  return parts.join(", ")
}

/** "2026-11-30 18:00:00+01:00 to 2026-11-30 20:00:00+01:00". */
export function reservationInWords(reservation: MessageInitShape<typeof ReservationSchema> | undefined): string {
  const { start, end } = (reservation ?? {}) as { start?: Timestamp; end?: Timestamp }
  return end === undefined ? showMoment(start) : `${showMoment(start)} to ${showMoment(end)}`
}

/** How a job stands, in one word: how it ended, or where it is. The jobs of a held campaign are held, though the hub has them queued. */
export function jobState(job: { phase: number; outcome: number }, isHeld = false): string {
  if (isHeld && job.phase === Phase.QUEUED) return phaseWords[Phase.HELD] ?? "held"
  return (job.phase === Phase.ENDED ? outcomeWords[job.outcome] : phaseWords[job.phase]) ?? "?"
}

export interface Tally {
  readonly total: number
  readonly ended: number
  readonly finished: number
  /** Ended, but not well: failed, timedout, lost, cancelled. */
  readonly unwell: number
  /** On a node, in whatever phase. */
  readonly active: number
  readonly waiting: number
}

export function tally(campaign: Campaign | undefined): Tally {
  const counts = campaign?.counts
  if (counts === undefined) return { total: 0, ended: 0, finished: 0, unwell: 0, active: 0, waiting: 0 }
  const waiting = counts.queued + counts.held
  const active = counts.offered + counts.staging + counts.running + counts.returning
  const ended = Math.max(0, counts.total - waiting - active)
  return {
    total: counts.total,
    ended,
    finished: counts.finished,
    unwell: Math.max(0, ended - counts.finished),
    active,
    waiting,
  }
}

export function hasEnded(campaign: Campaign | undefined): boolean {
  return campaign?.endedAt !== undefined
}

/** A campaign's state in one word. */
export function campaignState(campaign: Campaign): string {
  const { total, finished, active, unwell, waiting, ended } = tally(campaign)
  if (hasEnded(campaign)) {
    if (finished === total) return "finished"
    return campaign.counts?.cancelled === unwell ? "cancelled" : "failed"
  }
  if (campaign.held && active === 0) return "held"
  if (active > 0 || ended > 0) return "running"
  return waiting > 0 && campaign.counts?.held === waiting ? "held" : "queued"
}

/** Names that --state takes, for jobs. */
export function parseState(text: string): { phase: Phase; outcome: Outcome } | null {
  const outcome = Object.entries(outcomeWords).find(([, word]) => word === text)
  if (outcome !== undefined) return { phase: Phase.ENDED, outcome: Number(outcome[0]) as Outcome }
  const phase = Object.entries(phaseWords).find(([, word]) => word === text)
  return phase === undefined ? null : { phase: Number(phase[0]) as Phase, outcome: Outcome.UNSPECIFIED }
}

/** What shells and the system mean by how a job ended, where that is not what people expect of it; with what to do. */
export function codeInWords({ outcome, exitCode, message }: JobEnd): string[] {
  if (outcome === Outcome.TIMEDOUT || outcome === "timedout") {
    return ["Timed out: it was ended at its walltime. Give it more with --walltime, or make the jobs smaller."]
  }
  // The node knows better: it saw the memory run out, or its own walls hit.
  if (exitCode === KILLED && message !== "" && !message.startsWith("ended by")) return []
  const meaning = codeMeanings[exitCode]
  return meaning === undefined ? [] : [`Exit ${exitCode}: ${meaning}`]
}

export interface JobEnd {
  /** The contract's, or the agent's own word where it ran a job here. */
  readonly outcome: Outcome | "finished" | "failed" | "timedout"
  readonly exitCode: number
  readonly message: string
}

/** 128 and SIGKILL. */
const KILLED = 137

/** The exit code of ours that passes a job's on. What did not fail by a code of its own is a failure all the same. */
export function propagated(code: number): number {
  return code >= 1 && code <= 255 ? code : 1
}

const codeMeanings: Readonly<Record<number, string>> = {
  126: "the program may not be executed: chmod +x before it is sent.",
  127: "there is no such program on the node: bring it along with --stagein and begin it as ./NAME, or ask for nodes that have it with -p.",
  [KILLED]:
    "it was killed, by itself or for want of memory: see what it took with cah show, ask for more with -l mem=.",
}
