// Garbage, and the promise behind it: every row has its blob. A file without a row is what a crash between the two leaves
// behind, or an upload that nobody submitted; a row that nothing names is the same one step later. Both go after a day
// without use. Rows go first and files a round later: the other way round, a crash between would break the promise. A blob
// that is wanted again meanwhile is safe: the store forgets no row in use, the blob store removes no file just asked for.
import type { Digest } from "../../proto/wire/digest.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobStore, StoreReader } from "../core/ports.ts"
import type { RowWrite } from "../core/rows.ts"
import { BLOB_ROWS_PAGE, BLOB_UNUSED_MS, BLOB_VIOLATIONS_LISTED } from "../limits.ts"
import { Damage } from "./damage.ts"

export type Difference =
  /** A file that no row knows. */
  | { readonly kind: "orphan"; readonly blob: BlobRef }
  /** A row whose file is not there. */
  | { readonly kind: "missing"; readonly blob: BlobRef }
  /** A row whose file has another length. */
  | { readonly kind: "size"; readonly blob: BlobRef; readonly onDiskBytes: number }

/** Both sides by digest, each walked once and neither held in memory. */
export async function* differences(rows: Iterable<BlobRef>, files: AsyncIterable<BlobRef>): AsyncGenerator<Difference> {
  const left = rows[Symbol.iterator]()
  let row = next(left)
  for await (const file of files) {
    while (row !== null && row.digest < file.digest) {
      yield { kind: "missing", blob: row }
      row = next(left)
    }
    if (row === null || row.digest > file.digest) {
      yield { kind: "orphan", blob: file }
      continue
    }
    if (row.sizeBytes !== file.sizeBytes) yield { kind: "size", blob: row, onDiskBytes: file.sizeBytes }
    row = next(left)
  }
  for (; row !== null; row = next(left)) yield { kind: "missing", blob: row }
}

function next(rows: Iterator<BlobRef>): BlobRef | null {
  const { value, done } = rows.next()
  return done === true ? null : value
}

export interface Violations {
  readonly count: number
  /** The first BLOB_VIOLATIONS_LISTED, in words for the operator. */
  readonly lines: readonly string[]
}

/** At start, before anything is served. Any violation is lost data, or our own bug. */
export async function checkBlobs(
  store: Pick<StoreReader, "blobs">,
  blobs: Pick<BlobStore, "list">,
  damage: Pick<Damage, "found"> = new Damage(),
): Promise<Violations> {
  let count = 0
  const lines: string[] = []
  for await (const difference of differences(store.blobs(), blobs.list())) {
    if (difference.kind === "orphan") continue
    count++
    damage.found(difference.blob.digest)
    if (lines.length < BLOB_VIOLATIONS_LISTED) lines.push(words(difference))
  }
  return { count, lines }
}

/**
 * For a start whose database knows nobody: only people whom it knows could have sent blobs, so where there are any, it is not the
 * database that they came with. To go on would be to forget all that was acknowledged, and to collect every blob a day later.
 */
export async function demandNone(blobs: Pick<BlobStore, "list">, directory: string): Promise<void> {
  for await (const { digest } of blobs.list()) {
    throw new CahError(
      "failed_precondition",
      `the database in ${directory} is empty, but blobs are stored there (${digest} is one): hub.db or its log hub.db-wal was ` +
        "deleted or cut short. Restore both from a backup; or, to begin anew, give the hub another data directory",
    )
  }
}

function words(difference: Exclude<Difference, { kind: "orphan" }>): string {
  const { digest, sizeBytes } = difference.blob
  return difference.kind === "missing"
    ? `${digest} (${sizeBytes} bytes) is in the database and not on disk: restore it from a backup, or upload it again`
    : `${digest} has ${difference.onDiskBytes} bytes on disk and ${sizeBytes} in the database: its file was changed`
}

export interface Collected {
  readonly blobs: number
  /** Of blobs and of unfinished uploads together. */
  readonly freedBytes: number
}

export interface Collector {
  readonly store: Pick<StoreReader, "blobs" | "unreferencedBlobs" | "hasBlob">
  readonly blobs: Pick<BlobStore, "list" | "remove" | "sweep">
  /** Resolves once the writes are on disk: the engine's, so that they go with everybody else's. */
  readonly commit: (writes: RowWrite[]) => Promise<void>
  readonly wallMs: () => number
}

/** One round. Alone: the caller does not begin a second before the first has ended. */
export async function collectGarbage(collector: Collector): Promise<Collected> {
  const { store, blobs, commit, wallMs } = collector
  let freedBytes = await blobs.sweep(BLOB_UNUSED_MS)
  let removed = 0
  const forgotten = await forgetRows(store, commit, wallMs() - BLOB_UNUSED_MS)
  for await (const difference of differences(store.blobs(), blobs.list())) {
    const { digest, sizeBytes } = difference.blob
    // Files of rows that went just now wait for the next round: somebody may have seen such a row a moment ago and be
    // about to name it, which makes the row anew.
    if (difference.kind !== "orphan" || forgotten.has(digest)) continue
    // The walk takes a while: ask again whether there is a row by now.
    if (store.hasBlob(digest) !== null || !(await blobs.remove(digest, BLOB_UNUSED_MS))) continue
    removed++
    freedBytes += sizeBytes
  }
  return { blobs: removed, freedBytes }
}

async function forgetRows(
  store: Collector["store"],
  commit: Collector["commit"],
  usedBefore: number,
): Promise<ReadonlySet<Digest>> {
  const unused = store.unreferencedBlobs(usedBefore).map(({ digest }) => digest)
  for (let at = 0; at < unused.length; at += BLOB_ROWS_PAGE) {
    await commit(unused.slice(at, at + BLOB_ROWS_PAGE).map(digest => ({ kind: "forgetBlob", digest, usedBefore })))
  }
  return new Set(unused)
}
