// Values of the contract in the hub's words: numbers, names of campaigns, jobs and blobs. Those that can be of nothing are refused here.
import type { Blob as WireBlob, JobId as WireJobId } from "../../proto/gen/cah/v1/job_pb.ts"
import { type Digest, parseDigest } from "../../proto/wire/digest.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef, CampaignId } from "../core/model.ts"

export function numberOf(wire: bigint, what: string): number {
  if (wire < 0n || wire > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new CahError("invalid_argument", `${what} ${wire} is out of range`)
  }
  return Number(wire)
}

/** A number beyond what we ever give out is of nothing, and said as it came. */
export function campaignIdOf(wire: bigint): CampaignId {
  if (wire <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(wire) as CampaignId
  throw new CahError("not_found", `there is no campaign ${wire}: numbers of campaigns are below 2^53`)
}

export function jobOf(wire: WireJobId | undefined): { campaign: CampaignId; index: number } {
  if (wire === undefined) throw new CahError("invalid_argument", "no job named: give campaign and index")
  return { campaign: campaignIdOf(wire.campaign), index: wire.index }
}

export function digestIn(text: string): Digest {
  const digest = parseDigest(text)
  if (digest !== null) return digest
  throw new CahError("invalid_argument", 'a blob is named "sha256:" and 64 lower-case hexadecimal digits')
}

export function blobOf(wire: WireBlob | undefined): BlobRef {
  return { digest: digestIn(wire?.digest ?? ""), sizeBytes: numberOf(wire?.sizeBytes ?? 0n, "size_bytes") }
}

export function wireBlob(blob: BlobRef): { digest: string; sizeBytes: bigint } {
  return { digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) }
}
