// What a scientist has on the hub and may do without: stageins that were sent or named, and campaigns that have ended.
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { parseDigest } from "../../../proto/wire/digest.ts"
import { CahError } from "../../core/errors.ts"
import { BLOB_CAMPAIGNS_LISTED } from "../../limits.ts"
import { campaignIdOf, wireBlob } from "../values.ts"
import { callerOf, campaignFor, noteAct, pageOf, type ScientistParts } from "./parts.ts"

type Service = ServiceImpl<typeof ScientistService>

export function cacheMethods(parts: ScientistParts): Pick<Service, "listBlobs" | "removeBlob" | "forget"> {
  const { engine, store, clock, retention } = parts
  return {
    listBlobs({ limit, before }, context) {
      const { principal } = callerOf(context)
      const usedBefore = before === undefined ? Number.MAX_SAFE_INTEGER : timestampMs(before)
      const page = store.uploads(principal, usedBefore, pageOf(limit))
      return {
        blobs: page.map(({ blob, usedAt }) => ({
          blob: wireBlob(blob),
          usedAt: timestampFromMs(usedAt),
          campaigns: store.campaignsWithStagein(principal, blob.digest, BLOB_CAMPAIGNS_LISTED).map(BigInt),
        })),
      }
    },

    async removeBlob({ digest: text }, context) {
      const { principal } = callerOf(context)
      const digest = parseDigest(text)
      if (digest === null) {
        throw new CahError("invalid_argument", 'a blob is named "sha256:" and 64 lower-case hexadecimal digits')
      }
      if (!store.ownsBlob(digest, principal, "uploaded")) {
        if (store.ownsBlob(digest, principal)) {
          const message = `${digest} is what a job of yours gave back: it goes with its campaign, \`cah forget\``
          throw new CahError("failed_precondition", message)
        }
        throw new CahError("not_found", `there is no blob ${digest} of yours: \`cah cache ls\` lists them`)
      }
      for (const campaign of store.campaignsWithStagein(principal, digest, Number.MAX_SAFE_INTEGER)) {
        if (engine.campaign(campaign) === null) continue
        const message = `campaign ${campaign} has it as its stagein and has not ended: wait for it, or cancel it`
        throw new CahError("failed_precondition", message)
      }
      await engine.commit([{ kind: "disownBlob", digest, owner: principal }])
      return {}
    },

    async forget({ campaign }, context) {
      const caller = callerOf(context)
      const row = campaignFor(store, caller, campaignIdOf(campaign))
      if (row.endedAt === null) {
        const message = `campaign ${row.id} has not ended: cancel it first with \`cah del ${row.id}\``
        throw new CahError("failed_precondition", message)
      }
      const gathering = engine.gathers(row.id)
      if (gathering !== null) {
        const message = `campaign ${gathering} gathers what campaign ${row.id} gave back: wait for it, or cancel it`
        throw new CahError("failed_precondition", message)
      }
      await engine.commit([{ kind: "forgetCampaign", campaign: row.id, at: clock.wallMs() }])
      noteAct(parts, caller, row, "forgotten")
      void retention.wake()
      return {}
    },
  }
}
