// A scientist's bytes on their way in, and what of them is here, in the contract's words.
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import type { ScientistService, UploadRequest } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { Files } from "../../cases/files.ts"
import { CahError } from "../../core/errors.ts"
import { UPLOAD_MESSAGE_BYTES_MAX, UPLOAD_STALL_MS } from "../../limits.ts"
import { callerOf } from "../rpc/caller.ts"
import { blobOf, digestIn, numberOf, wireBlob } from "../values.ts"

type Service = ServiceImpl<typeof ScientistService>

export function fileMethods(files: Files): Pick<Service, "getUpload" | "upload" | "listBlobs" | "removeBlob"> {
  return {
    async getUpload({ blob }, context) {
      const { offset, stored } = await files.state(callerOf(context), blobOf(blob))
      return { offset: BigInt(offset), stored }
    },

    async upload(requests, context) {
      const iterator = requests[Symbol.asyncIterator]()
      const first = await nextOf(iterator)
      if (first === null) throw new CahError("invalid_argument", "an upload begins with the blob's digest and size")
      const blob = blobOf(first.blob)
      await files.upload(callerOf(context), blob, numberOf(first.offset, "offset"), async sink => {
        for (let request: UploadRequest | null = first; request !== null; request = await nextOf(iterator)) {
          if (request !== first && request.blob !== undefined) {
            throw new CahError("invalid_argument", "the blob belongs into the first message only")
          }
          if (request.data.byteLength > UPLOAD_MESSAGE_BYTES_MAX) {
            const message = `${request.data.byteLength} bytes in one message are too many: ${UPLOAD_MESSAGE_BYTES_MAX} at most`
            throw new CahError("invalid_argument", message)
          }
          await sink(request.data)
        }
      })
      return { blob: wireBlob(blob) }
    },

    listBlobs({ limit, before }, context) {
      const page = files.list(callerOf(context), before === undefined ? null : timestampMs(before), limit)
      return {
        blobs: page.map(({ blob, usedAt, campaigns }) => ({
          blob: wireBlob(blob),
          usedAt: timestampFromMs(usedAt),
          campaigns: campaigns.map(BigInt),
        })),
      }
    },

    async removeBlob({ digest }, context) {
      await files.remove(callerOf(context), digestIn(digest))
      return {}
    },
  }
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
