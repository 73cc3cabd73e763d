// Why something is where it is: a question to the core, answered in the contract's words. It changes nothing.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import {
  type ExplainResponseSchema,
  type ScientistService,
  Cause as WireCause,
} from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Jobs } from "../../cases/jobs.ts"
import type { Cause, Explanation } from "../../core/asking/explain.ts"
import { failedJobs, hasFailedTooOften } from "../../core/change.ts"
import type { CampaignRow } from "../../core/rows.ts"
import { callerOf } from "../rpc/caller.ts"
import { campaignIdOf } from "../values.ts"

type Service = ServiceImpl<typeof ScientistService>

export function explainMethods(jobs: Jobs): Pick<Service, "explain"> {
  return {
    explain({ campaign, index }, context) {
      const answer = jobs.explain(callerOf(context), campaignIdOf(campaign), index ?? null)
      switch (answer.kind) {
        case "waits":
          return wireExplanation(answer.found)
        case "campaign ended":
          return ended(answer.campaign, index)
        case "job ended":
          return endedJob(campaign, index!, answer.outcome)
      }
    },
  }
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

function endedJob(id: bigint, index: number, outcome: string | null) {
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
