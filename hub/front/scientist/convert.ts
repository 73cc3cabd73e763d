// Between the scientist's contract and the hub's words, in tables: the only file that knows both for jobs and campaigns.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import {
  type CampaignSchema,
  type CampaignSpec,
  type JobSchema,
  type NodeSchema,
  NodeState,
  type QuarantineSchema,
  type ResultSchema,
  Outcome as WireOutcome,
  Phase as WirePhase,
  Verdict as WireVerdict,
  Why as WireWhy,
} from "../../../proto/gen/cah/v1/job_pb.ts"
import type { JobView } from "../../cases/jobs.ts"
import type { NodeView } from "../../cases/nodes.ts"
import { CahError } from "../../core/errors.ts"
import type { LogRef, NodeId, Outcome, Phase, Quarantine, Verdict } from "../../core/model.ts"
import type { CampaignRow, ResultRow } from "../../core/rows.ts"
import { linesOf } from "../../core/story.ts"
import type { Why } from "../../core/why.ts"
import { busySlots, type NodeStateName, nodeState } from "../node-state.ts"
import { wireBlob } from "../values.ts"

export const wirePhases: Record<Phase, WirePhase> = {
  queued: WirePhase.QUEUED,
  held: WirePhase.HELD,
  offered: WirePhase.OFFERED,
  staging: WirePhase.STAGING,
  running: WirePhase.RUNNING,
  returning: WirePhase.RETURNING,
  ended: WirePhase.ENDED,
}

export const wireOutcomes: Record<Outcome, WireOutcome> = {
  finished: WireOutcome.FINISHED,
  failed: WireOutcome.FAILED,
  timedout: WireOutcome.TIMEDOUT,
  lost: WireOutcome.LOST,
  refused: WireOutcome.REFUSED,
  cancelled: WireOutcome.CANCELLED,
}

const wireVerdicts: Record<Verdict, WireVerdict> = {
  unchecked: WireVerdict.UNCHECKED,
  agreed: WireVerdict.AGREED,
  disputed: WireVerdict.DISPUTED,
  rejected: WireVerdict.REJECTED,
}

const wireWhys: Record<Why, WireWhy> = {
  unknown: WireWhy.UNSPECIFIED,
  offered: WireWhy.OFFERED,
  speculated: WireWhy.SPECULATED,
  progressed: WireWhy.PROGRESSED,
  came_back: WireWhy.CAME_BACK,
  finished: WireWhy.FINISHED,
  failed: WireWhy.FAILED,
  exit_code_rule: WireWhy.EXIT_CODE_RULE,
  walltime: WireWhy.WALLTIME,
  quarantine: WireWhy.QUARANTINE,
  given_up: WireWhy.GIVEN_UP,
  refused: WireWhy.REFUSED,
  lease_expired: WireWhy.LEASE_EXPIRED,
  node_restarted: WireWhy.NODE_RESTARTED,
  node_forgot: WireWhy.NODE_FORGOT,
  node_revoked: WireWhy.NODE_REVOKED,
  offer_unanswered: WireWhy.OFFER_UNANSWERED,
  overdue: WireWhy.OVERDUE,
  superseded: WireWhy.SUPERSEDED,
  preempted: WireWhy.PREEMPTED,
  container_gone: WireWhy.CONTAINER_GONE,
  held: WireWhy.HELD,
  resumed: WireWhy.RESUMED,
  cancelled: WireWhy.CANCELLED,
  deadline: WireWhy.DEADLINE,
  reservation_over: WireWhy.RESERVATION_OVER,
  too_many_failures: WireWhy.TOO_MANY_FAILURES,
  container_ended: WireWhy.CONTAINER_ENDED,
  dependency_failed: WireWhy.DEPENDENCY_FAILED,
  retried_by_owner: WireWhy.RETRIED_BY_OWNER,
}

/** Undefined: any. A number that this hub does not know is refused, for its answer would be a wrong one. */
export function phaseOf(wire: WirePhase): Phase | undefined {
  return wordOf(wirePhases, wire, WirePhase.UNSPECIFIED, "phase")
}

export function outcomeOf(wire: WireOutcome): Outcome | undefined {
  return wordOf(wireOutcomes, wire, WireOutcome.UNSPECIFIED, "outcome")
}

function wordOf<W extends string, N extends number>(
  table: Record<W, N>,
  wire: N,
  unspecified: N,
  what: string,
): W | undefined {
  if (wire === unspecified) return undefined
  for (const word of Object.keys(table) as W[]) if (table[word] === wire) return word
  throw new CahError("invalid_argument", `${what} ${wire} is unknown to this hub`)
}

// ---- what goes out --------------------------------------------------------------------------------------------

/** `spec` is left out where the reader has it already; beside it stands what the row does not know. */
export function wireCampaign(
  row: CampaignRow,
  spec: CampaignSpec | null,
  beside: { readonly nodes: number; readonly expiresAt: number | null },
): MessageInitShape<typeof CampaignSchema> {
  const { retries, losses, preemptions, stageinBytes, stageoutBytes, coreMs, resubmissions } = row.totals
  const { refused, ...counts } = row.counts
  return {
    id: BigInt(row.id),
    name: row.name,
    owner: row.owner,
    // A refused attempt is offered elsewhere: no job ends as refused. If one did, it would be a failure to its owner.
    counts: { total: row.total, ...counts, failed: counts.failed + refused },
    submittedAt: timestampFromMs(row.submittedAt),
    held: row.held,
    waitsFor: row.waitsFor.map(({ campaign }) => BigInt(campaign)),
    totals: {
      retries: BigInt(retries),
      losses: BigInt(losses),
      preemptions: BigInt(preemptions),
      stageinBytes: BigInt(stageinBytes),
      stageoutBytes: BigInt(stageoutBytes),
      coreTime: durationFromMs(Math.round(coreMs)),
      nodes: beside.nodes,
      resubmissions: BigInt(resubmissions),
    },
    ...(row.endedAt === null ? {} : { endedAt: timestampFromMs(row.endedAt) }),
    ...(beside.expiresAt === null ? {} : { expiresAt: timestampFromMs(beside.expiresAt) }),
    ...(spec === null ? {} : { spec }),
  }
}

/** What people call a node; empty where it is known no more. */
export type NodeNames = (node: NodeId) => string

export function wireJob(
  { job, result, line, whole, earlier = [] }: JobView,
  nameOf: NodeNames,
): MessageInitShape<typeof JobSchema> {
  return {
    id: { campaign: BigInt(job.campaign), index: job.index },
    phase: wirePhases[job.phase],
    outcome: job.outcome === null ? WireOutcome.UNSPECIFIED : wireOutcomes[job.outcome],
    verdict: wireVerdicts[job.verdict],
    attempt: job.attempt,
    node: job.node ?? "",
    nodeName: job.node === null ? "" : nameOf(job.node),
    failures: job.failures,
    losses: job.losses,
    ...(result === null ? {} : { result: wireResult(result) }),
    ...(line === null ? {} : { parameters: { line } }),
    earlier: earlier.map(row => ({ attempt: row.attempt, node: row.node, result: wireResult(row) })),
    story: whole
      ? linesOf(job.story).map(({ at, why, event, phase, attempt, node }) => ({
          at: timestampFromMs(at),
          why: wireWhys[why],
          event,
          phase: wirePhases[phase],
          attempt,
          node: node ?? "",
          nodeName: node === null ? "" : nameOf(node),
        }))
      : [],
  }
}

function wireResult(result: ResultRow): MessageInitShape<typeof ResultSchema> {
  return {
    outcome: wireOutcomes[result.outcome],
    exitCode: result.exitCode,
    message: result.message,
    warnings: result.warnings,
    ...(result.stageout === null ? {} : { stageout: wireBlob(result.stageout) }),
    stdout: wireLog(result.stdout),
    stderr: wireLog(result.stderr),
    runTime: durationFromMs(result.runMs),
    cpuTime: durationFromMs(result.cpuMs),
    peakMemoryBytes: BigInt(result.peakMemoryBytes),
  }
}

function wireLog({ inline, blob, droppedBytes }: LogRef) {
  return {
    ...(inline === null ? {} : { inline }),
    ...(blob === null ? {} : { blob: wireBlob(blob) }),
    droppedBytes: BigInt(droppedBytes),
  }
}

export function wireNode({ node, lastSeenAt, whereabouts }: NodeView): MessageInitShape<typeof NodeSchema> {
  return {
    id: node.id,
    name: node.name,
    state: nodeStates[nodeState(node)],
    slots: node.slots,
    slotsBusy: busySlots(node),
    memoryBytes: BigInt(node.memoryBytes),
    diskBytes: BigInt(node.diskBytes),
    properties: { ...node.properties },
    agentVersion: node.agentVersion,
    ...(lastSeenAt === null ? {} : { lastSeenAt: timestampFromMs(lastSeenAt) }),
    ...(node.quarantine === null ? {} : { quarantine: wireQuarantine(node.quarantine) }),
    ...(whereabouts === null ? {} : wireWhereabouts(whereabouts)),
  }
}

function wireWhereabouts({ account, host, network }: NonNullable<NodeView["whereabouts"]>) {
  return { account, network, ...(host === null ? {} : { host: BigInt(host) }) }
}

function wireQuarantine({ sinceAt, why, failed, clean }: Quarantine): MessageInitShape<typeof QuarantineSchema> {
  return { since: timestampFromMs(sinceAt), why, failed, clean }
}

const nodeStates: Record<NodeStateName, NodeState> = {
  online: NodeState.ONLINE,
  away: NodeState.AWAY,
  drained: NodeState.DRAINED,
  quarantined: NodeState.QUARANTINED,
  revoked: NodeState.REVOKED,
}
