// Why something is where it is: a question to the core, answered in the contract's words. It changes nothing.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import {
  type ExplainResponseSchema,
  type RemedySchema,
  type ScientistService,
  Cause as WireCause,
  Without,
} from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { printValue } from "../../../proto/wire/property.ts"
import type { Answer, Jobs } from "../../cases/jobs.ts"
import type { Cause, Explanation } from "../../core/asking/explain.ts"
import { callerOf } from "../rpc/caller.ts"
import { campaignIdOf } from "../values.ts"

type Service = ServiceImpl<typeof ScientistService>

export function explainMethods(jobs: Jobs): Pick<Service, "explain"> {
  return {
    explain({ campaign, index }, context) {
      const answer = jobs.explain(callerOf(context), campaignIdOf(campaign), index ?? null)
      return answer.kind === "waits" ? wireExplanation(answer.found) : wireEnd(answer)
    },
  }
}

function wireEnd({ sentence, index, again }: Extract<Answer, { kind: "ended" }>) {
  const what = { case: "resubmitFailed", value: BigInt(again ?? 0) } as const
  const remedies = again === null ? [] : [{ change: `cah resub ${again} --failed`, nodes: 0, what }]
  return { cause: WireCause.ENDED, sentence, remedies, ...(index === null ? {} : { index }) }
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

/** In words of the command line too, for clients that know nothing else. */
function wireRemedy({ change, nodes }: Explanation["remedies"][number]): MessageInitShape<typeof RemedySchema> {
  switch (change.kind) {
    case "needs": {
      const { size, value } = change
      const needs = { [size]: size === "slots" ? value : BigInt(value) }
      const [name, text] = size === "slots" ? ["core", `${value}`] : [sizeNames[size], printValue("mem", value)]
      return { change: `-l ${name}=${text}`, nodes, what: { case: "needs", value: needs } }
    }
    case "property":
      return { change: `-p "${change.property}"`, nodes, what: { case: "property", value: change.property } }
    case "without":
      return change.what === "property"
        ? { change: "without -p", nodes, what: { case: "without", value: Without.PROPERTY } }
        : { change: "without -t besteffort", nodes, what: { case: "without", value: Without.BEST_EFFORT } }
    case "resume": {
      const { campaign, index } = change
      const held = { campaign: BigInt(campaign), ...(index === null ? {} : { index }) }
      const name = index === null ? `${campaign}` : `${campaign}.${index}`
      return { change: `cah resume ${name}`, nodes, what: { case: "resume", value: held } }
    }
    case "explain":
      return {
        change: `cah explain ${change.campaign}`,
        nodes,
        what: { case: "explain", value: BigInt(change.campaign) },
      }
  }
}

const sizeNames = { memoryBytes: "mem", diskBytes: "disk" } as const

function wireExplanation(found: Explanation): MessageInitShape<typeof ExplainResponseSchema> {
  return {
    cause: causes[found.cause],
    sentence: found.sentence,
    obstacles: found.obstacles.map(({ lacks, nodes }) => ({ lacks, nodes })),
    remedies: found.remedies.map(wireRemedy),
    jobsAhead: BigInt(found.jobsAhead),
    ...(found.index === null ? {} : { index: found.index }),
    ...(found.notBefore === null ? {} : { notBefore: timestampFromMs(found.notBefore) }),
  }
}
