// The scientist's service, whole: one file for each noun, put together here. Who may call was decided by the interceptor.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServiceImpl } from "@connectrpc/connect"
import type { QuotaSchema, ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { Submits } from "../../cases/submit.ts"
import { scopesByName } from "../rpc/scopes.ts"
import { cacheMethods } from "./cache.ts"
import { campaignMethods } from "./campaigns.ts"
import { downloadMethods } from "./downloads.ts"
import { explainMethods } from "./explain.ts"
import { jobMethods } from "./jobs.ts"
import { nodeMethods } from "./nodes.ts"
import { callerOf, type ScientistParts } from "./parts.ts"
import { submitMethods } from "./submit.ts"
import { uploadMethods } from "./uploads.ts"
import { watchMethods } from "./watch.ts"

export type { ScientistParts } from "./parts.ts"

export function scientistService(parts: ScientistParts): ServiceImpl<typeof ScientistService> {
  return {
    whoAmI(_request, context) {
      const { principal, scopes } = callerOf(context)
      return {
        principal,
        scopes: scopes.flatMap(name => scopesByName.get(name) ?? []),
        hubId: parts.store.hubId(),
        hubVersion: parts.version,
        quota: quotaOf(parts, principal),
      }
    },
    ...submitMethods(new Submits(parts)),
    ...campaignMethods(parts),
    ...jobMethods(parts),
    ...watchMethods(parts),
    ...explainMethods(parts),
    ...cacheMethods(parts),
    ...nodeMethods(parts),
    ...uploadMethods(parts),
    ...downloadMethods(parts),
  }
}

function quotaOf({ engine, store, quotas }: ScientistParts, owner: string): MessageInitShape<typeof QuotaSchema> {
  const { jobs, bytes, watches, submitsPerSecond } = quotas.limits
  return {
    jobsMax: BigInt(jobs),
    jobs: BigInt(engine.jobsOf(owner)),
    bytesMax: BigInt(bytes),
    bytes: BigInt(store.ownedBytes(owner)),
    watchesMax: watches,
    watches: quotas.watched(owner),
    submitsPerSecondMax: submitsPerSecond,
  }
}
