// The scientist's service, whole: one file for each noun, put together here. Who may call was decided by the interceptor.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { scopesByName } from "../../auth/words.ts"
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
      }
    },
    ...submitMethods(parts),
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
