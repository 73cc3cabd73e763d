// What use cases are made of, and the one rule that all that is somebody's shares: an object of somebody else does not
// exist. "Not found", never "forbidden", so that ids tell a stranger nothing.
import { allows, type Caller } from "../auth/tokens.ts"
import { CahError } from "../core/errors.ts"
import type { CampaignId } from "../core/model.ts"
import type { BlobStore, Clock, Engine, Log, LogTap, StoreReader } from "../core/ports.ts"
import type { CampaignRow } from "../core/rows.ts"
import { PAGE_DEFAULT, PAGE_MAX } from "../limits.ts"
import type { Metrics } from "../metrics.ts"
import type { Quotas } from "./quotas.ts"
import type { EncodeSpecification } from "./specification.ts"

export interface CaseParts {
  readonly engine: Engine
  readonly store: StoreReader
  readonly blobs: BlobStore
  readonly logTap: LogTap
  readonly clock: Clock
  readonly metrics: Metrics
  /** For what admins do with what is others'. */
  readonly log: Log
  readonly retention: { expiresAt(endedAt: number): number | null; wake(): Promise<void> }
  /** Free bytes below which no upload is taken. */
  readonly diskFloorBytes: number
  /** What one owner may have. */
  readonly quotas: Quotas
  readonly encodeSpec: EncodeSpecification
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

export interface JobName {
  readonly campaign: CampaignId
  readonly index: number
}

/** The job's campaign, which has such a job. */
export function campaignOf(store: StoreReader, caller: Caller, { campaign: id, index }: JobName): CampaignRow {
  const campaign = campaignFor(store, caller, id)
  checkIndex(campaign, index)
  return campaign
}

export function checkIndex(campaign: CampaignRow, index: number): void {
  if (index < campaign.total) return
  const message = `campaign ${campaign.id} has jobs ${campaign.id}.0 to ${campaign.id}.${campaign.total - 1}, not .${index}`
  throw new CahError("not_found", message)
}

/** What somebody did with a campaign of another's, which only admins may. */
export function noteAct(
  { log }: Pick<CaseParts, "log">,
  caller: Caller,
  row: CampaignRow,
  act: string,
  fields: object = {},
): void {
  if (caller.principal === row.owner) return
  log.info({ by: caller.principal, campaign: row.id, owner: row.owner, ...fields }, `campaign of another's ${act}`)
}

/** 0: as many as are usual. */
export function pageOf(limit: number): number {
  if (limit > PAGE_MAX) throw new CahError("invalid_argument", `limit ${limit} is too large: ${PAGE_MAX} at most`)
  return limit === 0 ? PAGE_DEFAULT : limit
}
