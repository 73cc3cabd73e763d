// A process of simulated agents and of the scientist who submits to them: the load that the real hub and the bare ones are measured
// under, the same for both. Takes orders from bench/load.ts over its IPC channel, and ends when that closes.
import { Campaigns } from "./load/campaigns.ts"
import { Crowd } from "./load/crowd.ts"
import type { LoadAnswer, LoadLook, LoadOrder } from "./load/protocol.ts"
import { Tally } from "./load/tally.ts"

const tally = new Tally()
const crowd = new Crowd(tally)
const campaigns = new Campaigns(tally)

function look(): LoadAnswer {
  const { links, lostLinks, beats, heartbeats, reports, answers, endedAway, lastWelcomeMs, refusals, found } = tally
  const shown: LoadLook = {
    ...{ links, lostLinks, beats, heartbeats, reports, answers, endedAway },
    ...tally.all(),
    lastWelcomeAt: performance.timeOrigin + lastWelcomeMs,
    refusals: [...refusals],
    oddities: found,
  }
  return { kind: "looked", look: shown }
}

async function carryOut(order: LoadOrder): Promise<LoadAnswer> {
  switch (order.kind) {
    case "connect":
      return crowd.connect(order)
    case "begin":
      return campaigns.begin(order)
    case "finish":
      return campaigns.finish(order)
    case "latency":
      return campaigns.latency(order)
    case "steady":
      return campaigns.steady(order)
    // What few rows need is loaded by them alone.
    case "submit":
      return (await import("./load/submit.ts")).submitOnly(order)
    case "prepareTransfer":
      return (await import("./load/transfer.ts")).prepareTransfer(order)
    case "transfer":
      return (await import("./load/transfer.ts")).transfer()
    case "look":
      return look()
    default:
      return order satisfies never
  }
}

process.on("message", (order: LoadOrder) => {
  carryOut(order).then(
    answer => process.send!(answer),
    (error: unknown) =>
      process.send!({ kind: "failed", message: String(error instanceof Error ? error.stack : error) }),
  )
})
process.on("disconnect", () => process.exit(0))
