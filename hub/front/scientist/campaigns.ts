// Campaigns in the contract's words.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServiceImpl } from "@connectrpc/connect"
import type { CampaignSchema } from "../../../proto/gen/cah/v1/job_pb.ts"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Campaigns, CampaignView } from "../../cases/campaigns.ts"
import type { Cases } from "../../cases/cases.ts"
import { callerOf } from "../rpc/caller.ts"
import { decodeSpec } from "../spec.ts"
import { campaignIdOf } from "../values.ts"
import { type NodeNames, wireCampaign, wireJob, wireOutcomes } from "./convert.ts"

type Service = ServiceImpl<typeof ScientistService>
type Methods = "listCampaigns" | "getCampaign" | "watchCampaign" | "cancel" | "setHold" | "retryJobs" | "forget"

export function campaignMethods({ campaigns, jobs }: Pick<Cases, "campaigns" | "jobs">): Pick<Service, Methods> {
  const nameOf: NodeNames = node => jobs.nodeName(node)
  return {
    listCampaigns({ limit, before: wireBefore, live, everybody }, context) {
      const isAny = wireBefore === 0n || wireBefore > Number.MAX_SAFE_INTEGER
      const before = isAny ? null : campaignIdOf(wireBefore)
      const page = campaigns.list(callerOf(context), { limit, before, live, everybody })
      return { campaigns: page.map(view => wireView(view, "without")) }
    },

    getCampaign({ campaign }, context) {
      return wireShown(campaign, campaigns.show(callerOf(context), campaignIdOf(campaign)))
    },

    async *watchCampaign({ campaign, jobs: wantsJobs }, context) {
      const news = campaigns.watch(callerOf(context), campaignIdOf(campaign), wantsJobs, context.signal)
      for await (const { ended, ...view } of news) {
        if (ended === null) yield { campaign: wireView(view, "with spec") }
        else yield { campaign: wireView(view, "without"), ended: ended.map(job => wireJob(job, nameOf)) }
      }
    },

    async setHold({ campaign, held, ranges }, context) {
      return { jobs: await campaigns.hold(callerOf(context), campaignIdOf(campaign), held, ranges) }
    },

    async retryJobs({ campaign, ranges, seenResubmissions }, context) {
      const seen = seenResubmissions === undefined ? null : Number(seenResubmissions)
      const done = await campaigns.retry(callerOf(context), campaignIdOf(campaign), ranges, seen)
      return { campaign, jobs: done.jobs, existed: done.existed, dependants: done.campaigns.map(BigInt) }
    },

    async cancel({ campaign, ranges }, context) {
      return { cancelled: await campaigns.cancel(callerOf(context), campaignIdOf(campaign), ranges) }
    },

    async forget({ campaign }, context) {
      await campaigns.forget(callerOf(context), campaignIdOf(campaign))
      return {}
    },
  }
}

/** With the specification, or without where the reader has it already. */
function wireView(
  { row, ...beside }: CampaignView,
  spec: "with spec" | "without",
): MessageInitShape<typeof CampaignSchema> {
  return wireCampaign(row, spec === "without" ? null : decodeSpec(row.spec), beside)
}

function wireShown(campaign: bigint, { errors, warnings, ...view }: ReturnType<Campaigns["show"]>) {
  return {
    campaign: wireView(view, "with spec"),
    errors: errors.map(({ outcome, exitCode, message, count, exampleIndex: index }) => ({
      outcome: wireOutcomes[outcome],
      exitCode,
      message,
      count,
      example: { campaign, index },
    })),
    warnings: warnings.map(({ text, count, exampleIndex: index }) => ({ text, count, example: { campaign, index } })),
  }
}
