// Watching a campaign: as it is, then as it changes, at most five times a second, until it has ended. News are counted, not
// queued: a slow reader gets fewer and larger ones, and one that does not read at all is let go.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { InlineBudget } from "../../cases/inline.ts"
import { Signal } from "../../cases/signal.ts"
import { untouchedJob } from "../../core/change.ts"
import { CahError } from "../../core/errors.ts"
import {
  KEEP_ALIVE_MS,
  PAGE_MAX,
  WATCH_EVERY_MS,
  WATCH_PENDING_MAX,
  WATCH_SLICE_MS,
  WATCH_SLICES,
} from "../../limits.ts"
import { campaignIdOf } from "../values.ts"
import { listed, nodeNames } from "./jobs.ts"
import { callerOf, campaignFor, type ScientistParts, viewOf } from "./parts.ts"
import { wireJob } from "./words.ts"

type Service = ServiceImpl<typeof ScientistService>

export function watchMethods(parts: ScientistParts): Pick<Service, "watchCampaign"> {
  const { engine, store, quotas } = parts
  return {
    async *watchCampaign({ campaign, jobs: wantsJobs }, context) {
      const caller = callerOf(context)
      const id = campaignIdOf(campaign)
      const watch = quotas.watch(caller.principal)
      const news = new Signal(context.signal)
      const nameOf = nodeNames(engine)
      let ended: number[] = []
      let tooMany = false
      // Before the first look, so that nothing falls between the two.
      const stop = engine.watch(id, ({ ended: more }) => {
        if (wantsJobs && !tooMany) for (const { index } of more) ended.push(index)
        if (ended.length > WATCH_PENDING_MAX) {
          tooMany = true
          ended = []
        }
        news.raise()
      })
      try {
        let row = campaignFor(store, caller, id)
        yield { campaign: viewOf(parts, row, "with spec") }
        while (ended.length > 0 || row.endedAt === null) {
          if (ended.length === 0) await news.wait(KEEP_ALIVE_MS)
          // A call cut short must not look like a campaign that ended: the reason of the abort is thrown.
          context.signal.throwIfAborted()
          // Not all at once: many may watch one campaign, and each takes a while to be told. What else happens within the fifth of a second goes into the same news.
          await news.pause(WATCH_EVERY_MS + (watch.number % WATCH_SLICES) * WATCH_SLICE_MS)
          context.signal.throwIfAborted()
          if (tooMany) {
            const message = "you read too slowly, and too many jobs ended meanwhile: list them, then watch again"
            throw new CahError("resource_exhausted", message)
          }
          const batch = ended.splice(0, PAGE_MAX)
          row = campaignFor(store, caller, id)
          const current = row
          const budget = new InlineBudget()
          yield {
            campaign: viewOf(parts, current, "without"),
            ended: batch.map(index => {
              const job = store.job(id, index) ?? untouchedJob(current.id, index)
              return wireJob(listed(store, job, budget), nameOf)
            }),
          }
        }
      } finally {
        stop()
        watch.end()
      }
    },
  }
}
