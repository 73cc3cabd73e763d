// What the scientist's service is made of, and the one rule that all its nouns share: an object of somebody else does not
// exist. "Not found", never "forbidden", so that ids tell a stranger nothing.
import { fromBinary } from "@bufbuild/protobuf"
import type { HandlerContext } from "@connectrpc/connect"
import { CampaignSpecSchema } from "../../../proto/gen/cah/v1/job_pb.ts"
import { callerKey } from "../../auth/interceptor.ts"
import { allows, type Caller } from "../../auth/tokens.ts"
import { CahError } from "../../core/errors.ts"
import type { CampaignId } from "../../core/model.ts"
import type { BlobStore, Clock, Engine, Log, LogTap, StoreReader } from "../../core/ports.ts"
import type { CampaignRow } from "../../core/rows.ts"
import { PAGE_DEFAULT, PAGE_MAX } from "../../limits.ts"
import type { Metrics } from "../../metrics.ts"
import type { Quotas } from "./quotas.ts"
import { wireCampaign } from "./words.ts"

export interface ScientistParts {
  readonly engine: Engine
  readonly store: StoreReader
  readonly blobs: BlobStore
  readonly logTap: LogTap
  readonly clock: Clock
  readonly metrics: Metrics
  /** For what admins do with what is others'. */
  readonly log: Log
  readonly version: string
  readonly retention: { expiresAt(endedAt: number): number | null; wake(): Promise<void> }
  /** Free bytes below which no upload is taken. */
  readonly diskFloorBytes: number
  /** What one owner may have. */
  readonly quotas: Quotas
}

/** The interceptor has let the caller in; without one there is a hole in it, and nothing is served through it. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey)
  if (caller === null) throw new Error("a call came past the interceptor")
  return caller
}

export function isAdmin(caller: Caller): boolean {
  return allows(caller, "admin")
}

/** The campaign as it is on disk, if the caller may know of it. */
export function campaignFor(store: StoreReader, caller: Caller, id: CampaignId): CampaignRow {
  const row = store.campaign(id)
  if (row === null || (row.owner !== caller.principal && !isAdmin(caller))) {
    throw new CahError("not_found", `there is no campaign ${id}: \`cah ls\` lists yours`)
  }
  return row
}

/** What somebody did with a campaign of another's, which only admins may. */
export function noteAct(
  { log }: ScientistParts,
  caller: Caller,
  row: CampaignRow,
  act: string,
  fields: object = {},
): void {
  if (caller.principal === row.owner) return
  log.info({ by: caller.principal, campaign: row.id, owner: row.owner, ...fields }, `campaign of another's ${act}`)
}

/** As the contract says it: with the specification, or without where the reader has it already. */
export function viewOf({ engine, retention }: ScientistParts, row: CampaignRow, spec: "with spec" | "without") {
  return wireCampaign(row, spec === "without" ? null : fromBinary(CampaignSpecSchema, row.spec), {
    nodes: engine.campaign(row.id)?.onNodes.size ?? 0,
    expiresAt: row.endedAt === null ? null : retention.expiresAt(row.endedAt),
  })
}

export function checkIndex(campaign: CampaignRow, index: number): void {
  if (index < campaign.total) return
  const message = `campaign ${campaign.id} has jobs ${campaign.id}.0 to ${campaign.id}.${campaign.total - 1}, not .${index}`
  throw new CahError("not_found", message)
}

export function pageOf(limit: number): number {
  if (limit > PAGE_MAX) throw new CahError("invalid_argument", `limit ${limit} is too large: ${PAGE_MAX} at most`)
  return limit === 0 ? PAGE_DEFAULT : limit
}
