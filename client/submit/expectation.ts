// What may be expected of a reservation, in words for people. Volunteers promise nothing: the hub says how likely it is, and so do we.
import type { Expectation } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { plural } from "../quantities.ts"

/** "about 3.5 of 4 jobs begin at once; all of them with 82 %; judged from 12 nodes". */
export function expectationInWords({ jobs, confidence, nodes }: Expectation, wanted: number): string {
  // The hub may expect more places than jobs.
  const about = Math.min(wanted, Math.round(jobs * 10) / 10)
  return `about ${about} of ${plural(wanted, "job")} will find a place at once, all of them with ${percent(confidence)}, judged from ${plural(nodes, "node")}`
}

function percent(probability: number): string {
  const hundredths = Math.round(probability * 100)
  if (hundredths === 100 && probability < 1) return "more than 99 %"
  return hundredths === 0 && probability > 0 ? "less than 1 %" : `${hundredths} %`
}
