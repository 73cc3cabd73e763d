// Simulated scientists who try again what did not end well, in its own campaign.
import type { CahError } from "../core/errors.ts"
import type { CampaignId, IndexRange } from "../core/model.ts"
import type { StoreReader } from "../core/ports.ts"
import type { HubEngine } from "../engine.ts"
import type { Checkers } from "./checkers.ts"
import type { Random } from "./random.ts"
import type { VirtualTime } from "./time.ts"

interface Around {
  readonly time: VirtualTime
  readonly store: StoreReader
  readonly checkers: Checkers
  /** Null: it is down. */
  engine(): HubEngine | null
  isPeace(): boolean
}

const hour = 3_600_000

/** All of it or some; sometimes the answer is lost, and it is asked for once more. */
export function retryNowAndThen(around: Around, campaign: CampaignId, jobs: number, random: Random): void {
  const { time, store } = around
  time.after(random.exponential(hour / 2), () => {
    const seen = store.campaign(campaign)?.totals.resubmissions
    if (around.isPeace() || seen === undefined) return
    const first = random.chance(0.5) ? 0 : random.whole(0, jobs - 1)
    for (let times = random.chance(0.3) ? 2 : 1; times > 0; times--)
      retry(around, campaign, { first, last: jobs - 1 }, seen)
    retryNowAndThen(around, campaign, jobs, random)
  })
}

function retry({ time, store, checkers, engine }: Around, campaign: CampaignId, range: IndexRange, seen: number): void {
  const hub = engine()
  if (hub === null) return
  time.follow(
    hub.retry({ campaign, ranges: [range], by: "its owner", seen }),
    () => checkers.resubmitted(campaign, seen + 1, store),
    (error: unknown) => {
      const { code } = error as CahError
      const isExpected = ["failed_precondition", "not_found", "unavailable", "aborted"].includes(code)
      if (!isExpected) checkers.rest(`retry: ${String(error)}`)
    },
  )
}
