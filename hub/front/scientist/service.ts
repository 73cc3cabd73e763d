// The scientist's service, whole: one file for each noun, put together here. Who may call was decided by the guard.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServiceImpl } from "@connectrpc/connect"
import type { QuotaSchema, ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Cases } from "../../cases/cases.ts"
import type { OwnQuota } from "../../cases/quotas.ts"
import { callerOf } from "../rpc/caller.ts"
import { scopesByName } from "../rpc/scopes.ts"
import { campaignMethods } from "./campaigns.ts"
import { wireNode } from "./convert.ts"
import { explainMethods } from "./explain.ts"
import { fileMethods } from "./files.ts"
import { jobMethods } from "./jobs.ts"
import { outputMethods } from "./outputs.ts"
import { submitMethods } from "./submit.ts"

export interface ScientistParts {
  readonly cases: Cases
  readonly hubId: string
  readonly version: string
}

export function scientistService({ cases, hubId, version }: ScientistParts): ServiceImpl<typeof ScientistService> {
  return {
    whoAmI(_request, context) {
      const caller = callerOf(context)
      return {
        principal: caller.principal,
        scopes: caller.scopes.flatMap(name => scopesByName.get(name) ?? []),
        hubId,
        hubVersion: version,
        quota: wireQuota(cases.quota(caller)),
      }
    },
    listNodes({ limit, after }, context) {
      return { nodes: cases.nodes.list(callerOf(context), after, limit).map(wireNode) }
    },
    ...submitMethods(cases.submits),
    ...campaignMethods(cases),
    ...jobMethods(cases.jobs),
    ...explainMethods(cases.jobs),
    ...fileMethods(cases.files),
    ...outputMethods(cases.outputs),
  }
}

function wireQuota({ most, jobs, bytes, watches }: OwnQuota): MessageInitShape<typeof QuotaSchema> {
  return {
    jobsMax: BigInt(most.jobs),
    jobs: BigInt(jobs),
    bytesMax: BigInt(most.bytes),
    bytes: BigInt(bytes),
    watchesMax: most.watches,
    watches,
    submitsPerSecondMax: most.submitsPerSecond,
  }
}
