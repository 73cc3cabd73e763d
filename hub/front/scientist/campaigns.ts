// Campaigns as their owner sees them: listed, shown, cancelled. All that is shown is on disk.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { CahError } from "../../core/errors.ts"
import type { IndexRange } from "../../core/model.ts"
import type { CampaignRow } from "../../core/rows.ts"
import { RANGES_MAX } from "../../limits.ts"
import { campaignIdOf } from "../values.ts"
import { callerOf, campaignFor, isAdmin, noteAct, pageOf, type ScientistParts, viewOf } from "./parts.ts"
import { wireOutcomes } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

/** Distinct errors, and warnings, shown with a campaign: more than fit on a screen help nobody. */
const ERRORS_SHOWN = 10

export function campaignMethods(
  parts: ScientistParts,
): Pick<Service, "listCampaigns" | "getCampaign" | "cancel" | "setHold"> {
  const { engine, store } = parts
  return {
    listCampaigns({ limit, before, live, everybody }, context) {
      const caller = callerOf(context)
      if (everybody && !isAdmin(caller)) {
        throw new CahError("permission_denied", "only admins may list everybody's campaigns")
      }
      const rows = store.campaigns({
        owner: everybody ? null : caller.principal,
        before: before === 0n || before > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : campaignIdOf(before),
        limit: pageOf(limit),
        live,
      })
      return { campaigns: rows.map(row => viewOf(parts, row, "without")) }
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
      const warnings = store.warnings(row.id, ERRORS_SHOWN).map(({ text, count, exampleIndex: index }) => ({
        text,
        count,
        example: { campaign, index },
      }))
      return { campaign: viewOf(parts, row, "with spec"), errors, warnings }
    },

    async setHold({ campaign, held, ranges }, context) {
      const caller = callerOf(context)
      const row = campaignFor(store, caller, campaignIdOf(campaign))
      const chosen = rangesOf(row, ranges, "hold")
      const jobs = chosen.length === 0 ? 0 : await engine.holdJobs(row.id, chosen, held)
      if (chosen.length === 0) await engine.hold(row.id, held)
      noteAct(parts, caller, row, held ? "held" : "resumed", { jobs })
      return { jobs }
    },

    async cancel({ campaign, ranges }, context) {
      const caller = callerOf(context)
      const row = campaignFor(store, caller, campaignIdOf(campaign))
      const chosen = ranges.length > 0 ? rangesOf(row, ranges, "cancel") : [{ first: 0, last: row.total - 1 }]
      const cancelled = await engine.cancel(row.id, chosen)
      noteAct(parts, caller, row, "cancelled", { cancelled })
      return { cancelled }
    },
  }
}

function rangesOf(row: CampaignRow, ranges: readonly IndexRange[], what: string): IndexRange[] {
  if (ranges.length > RANGES_MAX) {
    throw new CahError("invalid_argument", `${ranges.length} ranges to ${what} are too many: ${RANGES_MAX} at most`)
  }
  for (const { first, last } of ranges) {
    if (first <= last && last < row.total) continue
    const message = `the range ${first}-${last} is not within campaign ${row.id}, which has jobs 0 to ${row.total - 1}`
    throw new CahError("invalid_argument", message)
  }
  return ranges.map(({ first, last }) => ({ first, last }))
}
