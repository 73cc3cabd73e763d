// What goes wrong with blobs, in the words of whoever hears it. Users get no paths; those are in the cause.
import type { Digest } from "../../proto/wire/digest.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef } from "../core/model.ts"

export function notFound(digest: Digest): CahError {
  return new CahError("not_found", `there is no blob ${digest}`)
}

export function beyondEnd(digest: Digest, offsetBytes: number, sizeBytes: number): CahError {
  return new CahError("invalid_argument", `blob ${digest} ends at byte ${sizeBytes}; byte ${offsetBytes} was asked for`)
}

export function beingWritten(blob: BlobRef): CahError {
  return new CahError(
    "aborted",
    `blob ${blob.digest} is being uploaded by this sender already: try again when that ended`,
  )
}

export function tooLong(blob: BlobRef, wouldBe: number): CahError {
  return new CahError(
    "invalid_argument",
    `blob ${blob.digest} was announced with ${blob.sizeBytes} bytes, and this upload brings ${wouldBe}`,
  )
}

export function tooShort(blob: BlobRef, offsetBytes: number): CahError {
  return new CahError(
    "invalid_argument",
    `the upload of blob ${blob.digest} ended at byte ${offsetBytes} of ${blob.sizeBytes}: go on from there`,
  )
}

export function wrongDigest(blob: BlobRef, found: Digest): CahError {
  return new CahError(
    "data_loss",
    `the bytes sent as ${blob.digest} have the digest ${found}: they changed on the way or while they were read. ` +
      "They were thrown away; the upload begins at byte 0 again",
    { retry: "later" },
  )
}

export function rotten(digest: Digest, found: Digest): CahError {
  return new CahError(
    "data_loss",
    `blob ${digest} has gone bad on the hub's disk (its bytes now have the digest ${found}) and was moved aside. ` +
      "Uploading it again makes it whole",
  )
}

export function closed(blob: BlobRef): CahError {
  return new CahError(
    "failed_precondition",
    `the upload of blob ${blob.digest} was finished or suspended: open it anew`,
  )
}

export function malformed(blob: BlobRef): CahError {
  return new CahError(
    "invalid_argument",
    `a blob of ${blob.sizeBytes} bytes cannot be: sizes are whole and not negative`,
  )
}

/** After a failed fsync: the bytes may be gone from memory and disk alike, whatever a second try says. */
export function notDurable(blob: BlobRef, thrown: unknown): CahError {
  const full = ["ENOSPC", "EDQUOT"].includes((thrown as NodeJS.ErrnoException).code ?? "")
  return new CahError(
    full ? "resource_exhausted" : "unavailable",
    `the hub's disk ${full ? "is full" : "failed"} and could not keep blob ${blob.digest}: what came was thrown away, ` +
      "and the upload begins at byte 0 again",
    { cause: thrown },
  )
}

/** What the operating system refused, while `doing` something to a blob. */
export function fromSystem(thrown: unknown, doing: string): CahError {
  if (thrown instanceof CahError) return thrown
  switch ((thrown as NodeJS.ErrnoException).code) {
    case "ENOSPC":
    case "EDQUOT":
      return new CahError(
        "resource_exhausted",
        `the hub's disk is full: ${doing} failed. What came so far is kept; go on when there is room`,
        { cause: thrown },
      )
    case "EMFILE":
    case "ENFILE":
      return new CahError("resource_exhausted", `the hub has no file handle left: ${doing} failed`, { cause: thrown })
    case "EIO":
    case "EROFS":
      return new CahError("unavailable", `the hub's disk failed: ${doing} failed`, { cause: thrown })
    default:
      return new CahError("internal", `${doing} failed on the hub; the operator's log says why`, { cause: thrown })
  }
}
