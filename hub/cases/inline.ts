// Small outputs lie inline in results. In a list of a thousand jobs they would make a message that no client takes, so beyond
// a budget they are named by their digest instead, as large ones are, and can be downloaded like those.
import { createHash } from "node:crypto"
import { digestOf } from "../../proto/wire/digest.ts"
import type { BlobRef, LogRef } from "../core/model.ts"
import { PAGE_INLINE_BYTES_MAX } from "../limits.ts"

export class InlineBudget {
  private left = PAGE_INLINE_BYTES_MAX

  fit(log: LogRef): LogRef {
    if (log.inline === null) return log
    this.left -= log.inline.byteLength
    return this.left >= 0 ? log : { ...log, inline: null, blob: blobOfBytes(log.inline) }
  }
}

export function blobOfBytes(bytes: Uint8Array): BlobRef {
  return { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.byteLength }
}
