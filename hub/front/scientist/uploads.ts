// A scientist's bytes on their way in: where to go on, and going on. A blob that somebody else has sent before is no secret
// worth telling: until its owner has shown the bytes, the hub says it has nothing.
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService, UploadRequest } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { CahError } from "../../core/errors.ts"
import type { BlobRef } from "../../core/model.ts"
import type { BlobWriter } from "../../core/ports.ts"
import { STAGEIN_BYTES_MAX, UPLOAD_MESSAGE_BYTES_MAX, UPLOAD_STALL_MS, UPLOADS_PER_OWNER_MAX } from "../../limits.ts"
import { blobOf, numberOf, wireBlob } from "../values.ts"
import { callerOf, type ScientistParts } from "./parts.ts"

type Service = ServiceImpl<typeof ScientistService>

export function uploadMethods(parts: ScientistParts): Pick<Service, "getUpload" | "upload"> {
  const { engine, store, blobs, metrics, diskFloorBytes, quotas } = parts
  const open = new Map<string, number>()
  /** Bytes of the uploads under way, by owner. */
  const coming = new Map<string, number>()

  async function isStored(owner: string, { digest, sizeBytes }: BlobRef): Promise<boolean> {
    if (!store.ownsBlob(digest, owner) || store.hasBlob(digest) !== sizeBytes) return false
    return blobs.has(digest)
  }

  async function checkRoom(writer: BlobWriter): Promise<void> {
    const [free, missing] = [await blobs.freeBytes(), writer.blob.sizeBytes - writer.offsetBytes]
    if (free - missing >= diskFloorBytes) return
    const message = `the hub's disk is nearly full (${free} bytes are free, ${missing} more would come): ask its operator`
    throw new CahError("resource_exhausted", message)
  }

  async function receive(writer: BlobWriter, first: UploadRequest, rest: AsyncIterator<UploadRequest>): Promise<void> {
    for (let request: UploadRequest | null = first; request !== null; request = await nextOf(rest)) {
      if (request !== first && request.blob !== undefined) {
        throw new CahError("invalid_argument", "the blob belongs into the first message only")
      }
      if (request.data.byteLength > UPLOAD_MESSAGE_BYTES_MAX) {
        const message = `${request.data.byteLength} bytes in one message are too many: ${UPLOAD_MESSAGE_BYTES_MAX} at most`
        throw new CahError("invalid_argument", message)
      }
      if (request.data.byteLength > 0) await writer.write(request.data)
      metrics.streamBytes.inc({ dir: "in", kind: "stagein" }, request.data.byteLength)
    }
    if (writer.offsetBytes < writer.blob.sizeBytes) {
      const message = `the upload ended at ${writer.offsetBytes} of ${writer.blob.sizeBytes} bytes: go on from there`
      throw new CahError("aborted", message)
    }
  }

  return {
    async getUpload({ blob: wire }, context) {
      const owner = callerOf(context).principal
      const blob = blobOf(wire)
      if (await isStored(owner, blob)) {
        metrics.dedupSavedBytes.inc({ where: "hub" }, blob.sizeBytes)
        return { offset: BigInt(blob.sizeBytes), stored: true }
      }
      return { offset: BigInt(await blobs.partialBytes(owner, blob.digest)), stored: false }
    },

    async upload(requests, context) {
      const owner = callerOf(context).principal
      const iterator = requests[Symbol.asyncIterator]()
      const first = await nextOf(iterator)
      if (first === null) throw new CahError("invalid_argument", "an upload begins with the blob's digest and size")
      const blob = blobOf(first.blob)
      if (blob.sizeBytes > STAGEIN_BYTES_MAX) {
        throw new CahError("invalid_argument", `${blob.sizeBytes} bytes are too large: ${STAGEIN_BYTES_MAX} at most`)
      }
      if (await isStored(owner, blob)) return { blob: wireBlob(blob) }
      const uploads = open.get(owner) ?? 0
      if (uploads >= UPLOADS_PER_OWNER_MAX) {
        throw new CahError("resource_exhausted", `you have ${uploads} uploads under way: wait until one has ended`)
      }
      quotas.store(store.ownedBytes(owner) + (coming.get(owner) ?? 0), blob.sizeBytes)
      coming.set(owner, (coming.get(owner) ?? 0) + blob.sizeBytes)
      open.set(owner, uploads + 1)
      metrics.streamsOpen.inc({ kind: "stagein" })
      try {
        const writer = await blobs.openWriter(owner, blob)
        try {
          const offset = numberOf(first.offset, "offset")
          if (offset !== writer.offsetBytes) {
            const message = `the hub has ${writer.offsetBytes} bytes of it, not ${offset}: ask GetUpload where to go on`
            throw new CahError("failed_precondition", message)
          }
          await checkRoom(writer)
          await receive(writer, first, iterator)
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
        return { blob: wireBlob(blob) }
      } finally {
        metrics.streamsOpen.dec({ kind: "stagein" })
        coming.set(owner, (coming.get(owner) ?? 0) - blob.sizeBytes)
        const left = (open.get(owner) ?? 1) - 1
        if (left > 0) open.set(owner, left)
        else {
          open.delete(owner)
          coming.delete(owner)
        }
      }
    },
  }
}

/** Bytes that are not what their sender said are the sender's, and no loss of ours. */
function asSent(thrown: unknown): unknown {
  if (!(thrown instanceof CahError) || thrown.code !== "data_loss") return thrown
  return new CahError("invalid_argument", thrown.message, { retry: thrown.retry, cause: thrown })
}

/** The next message, null at the end. A sender that stalls gives the upload up, so that it can be resumed elsewhere. */
async function nextOf(iterator: AsyncIterator<UploadRequest>): Promise<UploadRequest | null> {
  const next = await new Promise<IteratorResult<UploadRequest>>((resolve, reject) => {
    const stalled = () =>
      reject(new CahError("aborted", `nothing came for ${UPLOAD_STALL_MS / 1e3} s: ask GetUpload, then go on`))
    const timer = setTimeout(stalled, UPLOAD_STALL_MS)
    iterator
      .next()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer))
  })
  return next.done ? null : next.value
}
