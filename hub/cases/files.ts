// An owner's bytes on the hub: how many of them are here, sending the rest, what was sent, and doing without it. A blob that somebody
// else has sent before is no secret worth telling: until its owner has shown the bytes, the hub says it has nothing.
import type { Digest } from "../../proto/wire/digest.ts"
import type { Caller } from "../auth/tokens.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef, CampaignId } from "../core/model.ts"
import type { BlobWriter } from "../core/ports.ts"
import { BLOB_CAMPAIGNS_LISTED, STAGEIN_BYTES_MAX, UPLOADS_PER_OWNER_MAX } from "../limits.ts"
import { type CaseParts, pageOf } from "./parts.ts"

/** Where to go on with an upload. */
export interface UploadState {
  readonly offset: number
  readonly stored: boolean
}

export interface BlobView {
  readonly blob: BlobRef
  /** Wall time, ms. */
  readonly usedAt: number
  /** The newest campaigns that have it as their stagein. */
  readonly campaigns: readonly CampaignId[]
}

/** Takes the next bytes of an upload; resolves once they are written. */
export type Sink = (data: Uint8Array) => Promise<void>

type Parts = Pick<CaseParts, "engine" | "store" | "blobs" | "metrics" | "diskFloorBytes" | "quotas">

export class Files {
  readonly #parts: Parts
  /** Uploads under way, and their bytes, by owner. */
  readonly #open = new Map<string, number>()
  readonly #coming = new Map<string, number>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async state({ principal }: Caller, blob: BlobRef): Promise<UploadState> {
    const { blobs, metrics } = this.#parts
    if (await this.#isStored(principal, blob)) {
      metrics.dedupSavedBytes.inc({ where: "hub" }, blob.sizeBytes)
      return { offset: blob.sizeBytes, stored: true }
    }
    return { offset: await blobs.partialBytes(principal, blob.digest), stored: false }
  }

  /**
   * Bytes from `offset` on, where the hub stands, as `send` gives them to its sink; what came is kept when it throws, to be gone on
   * with. Nothing is asked of `send` when the hub has the blob.
   */
  async upload({ principal: owner }: Caller, blob: BlobRef, offset: number, send: (sink: Sink) => Promise<void>) {
    const { engine, blobs, metrics } = this.#parts
    if (blob.sizeBytes > STAGEIN_BYTES_MAX) {
      throw new CahError("invalid_argument", `${blob.sizeBytes} bytes are too large: ${STAGEIN_BYTES_MAX} at most`)
    }
    if (await this.#isStored(owner, blob)) return
    const end = this.#begin(owner, blob)
    try {
      const writer = await blobs.openWriter(owner, blob)
      try {
        if (offset !== writer.offsetBytes) {
          const message = `the hub has ${writer.offsetBytes} bytes of it, not ${offset}: ask GetUpload where to go on`
          throw new CahError("failed_precondition", message)
        }
        await this.#checkRoom(writer)
        await send(async data => {
          if (data.byteLength > 0) await writer.write(data)
          metrics.streamBytes.inc({ dir: "in", kind: "stagein" }, data.byteLength)
        })
        if (writer.offsetBytes < blob.sizeBytes) {
          const message = `the upload ended at ${writer.offsetBytes} of ${blob.sizeBytes} bytes: go on from there`
          throw new CahError("aborted", message)
        }
      } catch (error) {
        await writer.suspend()
        throw error
      }
      // Blob first, then its row, then the answer: a row without its blob is impossible.
      await writer.finish().catch(thrown => {
        throw asSent(thrown)
      })
      await engine.commit([
        { kind: "blob", ...blob },
        { kind: "blobOwner", digest: blob.digest, owner, as: "uploaded" },
      ])
    } finally {
      end()
    }
  }

  /** The last used first, those used before that wall time (ms) only. */
  list({ principal }: Caller, usedBefore: number | null, limit: number): BlobView[] {
    const { store } = this.#parts
    return store.uploads(principal, usedBefore ?? Number.MAX_SAFE_INTEGER, pageOf(limit)).map(({ blob, usedAt }) => ({
      blob,
      usedAt,
      campaigns: store.campaignsWithStagein(principal, blob.digest, BLOB_CAMPAIGNS_LISTED),
    }))
  }

  async remove({ principal: owner }: Caller, digest: Digest): Promise<void> {
    const { engine, store } = this.#parts
    if (!store.ownsBlob(digest, owner, "uploaded")) {
      if (store.ownsBlob(digest, owner)) {
        const message = `${digest} is what a job of yours gave back: it goes with its campaign, \`cah forget\``
        throw new CahError("failed_precondition", message)
      }
      throw new CahError("not_found", `there is no blob ${digest} of yours: \`cah cache ls\` lists them`)
    }
    for (const campaign of store.campaignsWithStagein(owner, digest, Number.MAX_SAFE_INTEGER)) {
      if (engine.campaign(campaign) === null) continue
      const message = `campaign ${campaign} has it as its stagein and has not ended: wait for it, or cancel it`
      throw new CahError("failed_precondition", message)
    }
    await engine.commit([{ kind: "disownBlob", digest, owner }])
  }

  async #isStored(owner: string, { digest, sizeBytes }: BlobRef): Promise<boolean> {
    const { store, blobs } = this.#parts
    if (!store.ownsBlob(digest, owner) || store.hasBlob(digest) !== sizeBytes) return false
    return blobs.has(digest)
  }

  /** One more upload of the owner's, within what they may have. Returns the way to end it. */
  #begin(owner: string, { sizeBytes }: BlobRef): () => void {
    const { store, quotas, metrics } = this.#parts
    const uploads = this.#open.get(owner) ?? 0
    if (uploads >= UPLOADS_PER_OWNER_MAX) {
      throw new CahError("resource_exhausted", `you have ${uploads} uploads under way: wait until one has ended`)
    }
    const coming = this.#coming.get(owner) ?? 0
    quotas.store(store.ownedBytes(owner) + coming, sizeBytes)
    this.#coming.set(owner, coming + sizeBytes)
    this.#open.set(owner, uploads + 1)
    metrics.streamsOpen.inc({ kind: "stagein" })
    return () => {
      metrics.streamsOpen.dec({ kind: "stagein" })
      const left = this.#open.get(owner)! - 1
      if (left > 0) {
        this.#open.set(owner, left)
        this.#coming.set(owner, this.#coming.get(owner)! - sizeBytes)
      } else {
        this.#open.delete(owner)
        this.#coming.delete(owner)
      }
    }
  }

  async #checkRoom(writer: BlobWriter): Promise<void> {
    const { blobs, diskFloorBytes } = this.#parts
    const [free, missing] = [await blobs.freeBytes(), writer.blob.sizeBytes - writer.offsetBytes]
    if (free - missing >= diskFloorBytes) return
    const message = `the hub's disk is nearly full (${free} bytes are free, ${missing} more would come): ask its operator`
    throw new CahError("resource_exhausted", message)
  }
}

/** Bytes that are not what their sender said are the sender's, and no loss of ours. */
function asSent(thrown: unknown): unknown {
  if (!(thrown instanceof CahError) || thrown.code !== "data_loss") return thrown
  return new CahError("invalid_argument", thrown.message, { retry: thrown.retry, cause: thrown })
}
