// The dry run, and why something is where it is: questions to the core, answered in the contract's words. They change nothing.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import {
  type ExpectationSchema,
  type ExplainResponseSchema,
  type ScientistService,
  Cause as WireCause,
} from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Cause, Explanation } from "../../core/asking/explain.ts"
import { failedJobs, hasFailedTooOften } from "../../core/change.ts"
import { CahError } from "../../core/errors.ts"
import type { Expectation } from "../../core/placing/reservations.ts"
import type { CampaignRow } from "../../core/rows.ts"
import { ARRAY_MAX } from "../../limits.ts"
import { orderOf } from "./order.ts"
import { callerOf, campaignFor, checkIndex, type ScientistParts } from "./parts.ts"
import { campaignIdOf } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

export function explainMethods({ engine, store, clock }: ScientistParts): Pick<Service, "plan" | "explain"> {
  return {
    plan({ spec, jobs }, context) {
      if (jobs > ARRAY_MAX) throw new CahError("invalid_argument", `${jobs} jobs are too many: ${ARRAY_MAX} at most`)
      const { principal } = callerOf(context)
      // Named parameters are held against their lines at the submit itself.
      const counted = spec === undefined ? spec : { ...spec, array: jobs || spec.array, parameterNames: [] }
      const order = orderOf(principal, "a dry run", counted, null, [], clock.wallMs())
      const found = engine.prospect(order)
      const nodes = Math.min(found.nodesOnline, order.total)
      return {
        warnings: [...found.warnings],
        refusal: found.refusal ?? "",
        jobs: order.total,
        nodesOnline: found.nodesOnline,
        nodesAway: found.nodesAway,
        jobsNow: found.jobsNow,
        jobsAtOnce: found.jobsAtOnce,
        stageinBytes: BigInt((order.stagein?.sizeBytes ?? 0) * nodes),
        jobsAhead: BigInt(found.jobsAhead),
        ...(found.atMostMs === null ? {} : { atMost: durationFromMs(found.atMostMs) }),
        ...(found.expectation === null ? {} : { expectation: wireExpectation(found.expectation) }),
      }
    },

    explain({ campaign, index }, context) {
      const row = campaignFor(store, callerOf(context), campaignIdOf(campaign))
      if (index !== undefined) checkIndex(row, index)
      if (row.endedAt !== null) return ended(row, index)
      const found = engine.explain(row.id, index ?? null)
      return found === null ? endedJob(row, index!, store.job(row.id, index!)?.outcome ?? null) : wireExplanation(found)
    },
  }
}

export function wireExpectation({ jobs, confidence, nodes }: Expectation): MessageInitShape<typeof ExpectationSchema> {
  return { jobs, confidence, nodes }
}

function ended({ id, counts, total, rules }: CampaignRow, index: number | undefined) {
  const well = counts.finished === total
  const sentence = well
    ? `campaign ${id} has ended: all ${total} jobs finished`
    : `campaign ${id} has ended: ${counts.finished} of ${total} jobs finished${stopped(counts, rules)}`
  const remedies = well ? [] : [{ change: `cah resub ${id} --failed`, nodes: 0 }]
  return { cause: WireCause.ENDED, sentence, remedies, ...(index === undefined ? {} : { index }) }
}

function stopped(counts: CampaignRow["counts"], rules: CampaignRow["rules"]): string {
  if (!hasFailedTooOften(counts, rules)) return ""
  return `; ${failedJobs(counts)} failed, and after ${rules.failMax} the others were cancelled (--max-fails)`
}

function endedJob({ id }: CampaignRow, index: number, outcome: string | null) {
  return { cause: WireCause.ENDED, sentence: `job ${id}.${index} has ended: ${outcome ?? "just now"}`, index }
}

const causes: Record<Cause, WireCause> = {
  underWay: WireCause.UNDER_WAY,
  campaignHeld: WireCause.CAMPAIGN_HELD,
  jobHeld: WireCause.JOB_HELD,
  waitsForCampaign: WireCause.WAITS_FOR_CAMPAIGN,
  reservedForLater: WireCause.RESERVED_FOR_LATER,
  backsOff: WireCause.BACKS_OFF,
  noNodes: WireCause.NO_NODES,
  noSuchNode: WireCause.NO_SUCH_NODE,
  nodesAway: WireCause.NODES_AWAY,
  tooLarge: WireCause.TOO_LARGE,
  nodesBusy: WireCause.NODES_BUSY,
  containerNotRunning: WireCause.CONTAINER_NOT_RUNNING,
  containerFull: WireCause.CONTAINER_FULL,
  roomKeptBack: WireCause.ROOM_KEPT_BACK,
  atOnce: WireCause.AT_ONCE,
}

function wireExplanation(found: Explanation): MessageInitShape<typeof ExplainResponseSchema> {
  return {
    cause: causes[found.cause],
    sentence: found.sentence,
    obstacles: found.obstacles.map(({ lacks, nodes }) => ({ lacks, nodes })),
    remedies: found.remedies.map(({ change, nodes }) => ({ change, nodes })),
    jobsAhead: BigInt(found.jobsAhead),
    ...(found.index === null ? {} : { index: found.index }),
    ...(found.notBefore === null ? {} : { notBefore: timestampFromMs(found.notBefore) }),
  }
}
