// Jobs in the contract's words.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Jobs } from "../../cases/jobs.ts"
import { callerOf } from "../rpc/caller.ts"
import { campaignIdOf, jobOf } from "../values.ts"
import { type NodeNames, outcomeOf, phaseOf, wireJob } from "./convert.ts"

type Service = ServiceImpl<typeof ScientistService>

export function jobMethods(jobs: Jobs): Pick<Service, "listJobs" | "getJob"> {
  const nameOf: NodeNames = node => jobs.nodeName(node)
  return {
    listJobs({ campaign, limit, fromIndex, phase, outcome, parameters }, context) {
      const wanted = { limit, fromIndex, phase: phaseOf(phase), outcome: outcomeOf(outcome), parameters }
      const page = jobs.list(callerOf(context), campaignIdOf(campaign), wanted)
      return { jobs: page.map(view => wireJob(view, nameOf)) }
    },

    getJob({ id }, context) {
      return { job: wireJob(jobs.show(callerOf(context), jobOf(id)), nameOf) }
    },
  }
}
