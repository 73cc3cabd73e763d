// What the scientist's service has in common: who calls, and campaigns as the contract says them.
import type { HandlerContext } from "@connectrpc/connect"
import type { Caller } from "../../auth/tokens.ts"
import type { CaseParts } from "../../cases/parts.ts"
import type { CampaignRow } from "../../core/rows.ts"
import { callerKey } from "../rpc/guard.ts"
import { decodeSpec } from "../spec.ts"
import { wireCampaign } from "./words.ts"

export { campaignFor, checkIndex, isAdmin, noteAct, pageOf } from "../../cases/parts.ts"

export interface ScientistParts extends CaseParts {
  readonly version: string
}

/** The guard has let the caller in; without one there is a hole in it, and nothing is served through it. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey)
  if (caller === null) throw new Error("a call came past the guard")
  return caller
}

/** As the contract says it: with the specification, or without where the reader has it already. */
export function viewOf({ engine, retention }: ScientistParts, row: CampaignRow, spec: "with spec" | "without") {
  return wireCampaign(row, spec === "without" ? null : decodeSpec(row.spec), {
    nodes: engine.campaign(row.id)?.onNodes.size ?? 0,
    expiresAt: row.endedAt === null ? null : retention.expiresAt(row.endedAt),
  })
}
