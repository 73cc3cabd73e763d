// Campaigns as their owner sees them: listed, shown, cancelled. All that is shown is on disk.
import { fromBinary } from "@bufbuild/protobuf"
import type { ServiceImpl } from "@connectrpc/connect"
import { CampaignSpecSchema } from "../../../proto/gen/cah/v1/job_pb.ts"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { CahError } from "../../core/errors.ts"
import { CANCEL_RANGES_MAX } from "../../limits.ts"
import { callerOf, campaignFor, isAdmin, pageOf, type ScientistParts } from "./parts.ts"
import { campaignIdOf, wireCampaign, wireOutcomes } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

/** Distinct errors shown with a campaign: more than fit on a screen help nobody. */
const ERRORS_SHOWN = 10

export function campaignMethods({
  engine,
  store,
}: ScientistParts): Pick<Service, "listCampaigns" | "getCampaign" | "cancel" | "setHold"> {
  return {
    listCampaigns({ limit, before, live, everybody }, context) {
      const caller = callerOf(context)
      if (everybody && !isAdmin(caller)) {
        throw new CahError("permission_denied", "only admins may list everybody's campaigns")
      }
      const rows = store.campaigns({
        owner: everybody ? null : caller.principal,
        before: before === 0n ? Number.MAX_SAFE_INTEGER : campaignIdOf(before),
        limit: pageOf(limit),
        live,
      })
      return { campaigns: rows.map(row => wireCampaign(row, null)) }
    },

    getCampaign({ campaign }, context) {
      const row = campaignFor(store, callerOf(context), campaignIdOf(campaign))
      const errors = store.errors(row.id, ERRORS_SHOWN).map(error => ({
        outcome: wireOutcomes[error.outcome],
        exitCode: error.exitCode,
        message: error.message,
        count: error.count,
        example: { campaign, index: error.exampleIndex },
      }))
      return { campaign: wireCampaign(row, fromBinary(CampaignSpecSchema, row.spec)), errors }
    },

    async setHold({ campaign, held }, context) {
      const row = campaignFor(store, callerOf(context), campaignIdOf(campaign))
      await engine.hold(row.id, held)
      return {}
    },

    async cancel({ campaign, ranges }, context) {
      const row = campaignFor(store, callerOf(context), campaignIdOf(campaign))
      if (ranges.length > CANCEL_RANGES_MAX) {
        throw new CahError("invalid_argument", `${ranges.length} ranges are too many: ${CANCEL_RANGES_MAX} at most`)
      }
      for (const { first, last } of ranges) {
        if (first > last || last >= row.total) {
          const message = `the range ${first}-${last} is not within campaign ${row.id}, which has jobs 0 to ${row.total - 1}`
          throw new CahError("invalid_argument", message)
        }
      }
      const chosen = ranges.length > 0 ? ranges : [{ first: 0, last: row.total - 1 }]
      return {
        cancelled: await engine.cancel(
          row.id,
          chosen.map(({ first, last }) => ({ first, last })),
        ),
      }
    },
  }
}
