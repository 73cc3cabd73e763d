// Blobs of the store in memory: how many references keep each, and who has it as what.
import type { Digest } from "../../../proto/wire/digest.ts"
import type { BlobRef } from "../../core/model.ts"
import type { Holding, ResultRow, Write } from "../../core/rows.ts"
import { drop, inOrder, put } from "./rows.ts"

interface BlobRow {
  readonly sizeBytes: number
  /** References of campaigns and results. */
  readonly named: number
  readonly usedAt: number
  readonly holdings: ReadonlyMap<string, ReadonlySet<Holding>>
}

type Undo = (() => void)[]

const noHoldings: BlobRow["holdings"] = new Map()

export class MemoryBlobs {
  readonly #rows = new Map<Digest, BlobRow>()

  write(
    write: Extract<Write, { kind: "blob" | "blobOwner" | "disownBlob" | "forgetBlob" }>,
    wallMs: number,
    undo: Undo,
  ): void {
    const { digest } = write
    const row = this.#rows.get(digest)
    if (write.kind === "blob") {
      const { sizeBytes } = write
      put(this.#rows, digest, { sizeBytes, named: 0, holdings: noHoldings, ...row, usedAt: wallMs }, undo)
    } else if (write.kind === "blobOwner") {
      this.hold(digest, write.owner, write.as, undo)
      put(this.#rows, digest, { ...this.#rows.get(digest)!, usedAt: wallMs }, undo)
    } else if (write.kind === "disownBlob") {
      const holdings = new Set(row?.holdings.get(write.owner))
      if (row === undefined || !holdings.delete("uploaded")) return
      put(this.#rows, digest, { ...row, holdings: new Map(row.holdings).set(write.owner, holdings) }, undo)
    } else if (row?.named === 0 && row.usedAt < write.usedBefore) drop(this.#rows, digest, undo)
  }

  hold(digest: Digest, owner: string, as: Holding, undo: Undo): void {
    const row = this.#rows.get(digest)
    if (row === undefined) throw new Error(`owner of a blob without a row: ${digest}`)
    const holdings = new Set(row.holdings.get(owner)).add(as)
    put(this.#rows, digest, { ...row, holdings: new Map(row.holdings).set(owner, holdings) }, undo)
  }

  name({ digest, sizeBytes }: BlobRef, usedAt: number, undo: Undo): void {
    const row = this.#rows.get(digest) ?? { sizeBytes, named: 0, usedAt, holdings: noHoldings }
    put(this.#rows, digest, { ...row, named: row.named + 1 }, undo)
  }

  unname({ digest }: BlobRef, undo: Undo): void {
    const row = this.#rows.get(digest)
    if (row !== undefined) put(this.#rows, digest, { ...row, named: row.named - 1 }, undo)
  }

  uploads(owner: string, usedBefore: number, limit: number): { blob: BlobRef; usedAt: number }[] {
    return [...this.#rows]
      .filter(([, { holdings, usedAt }]) => holdings.get(owner)?.has("uploaded") && usedAt < usedBefore)
      .map(([digest, { sizeBytes, usedAt }]) => ({ blob: { digest, sizeBytes }, usedAt }))
      .sort((a, b) => b.usedAt - a.usedAt || (a.blob.digest < b.blob.digest ? -1 : 1))
      .slice(0, limit)
  }

  sizeOf(digest: Digest): number | null {
    return this.#rows.get(digest)?.sizeBytes ?? null
  }

  isHeld(digest: Digest, owner: string, as?: Holding): boolean {
    const holdings = this.#rows.get(digest)?.holdings.get(owner)
    return holdings !== undefined && (as === undefined ? holdings.size > 0 : holdings.has(as))
  }

  bytesOf(owner: string): number {
    let bytes = 0
    for (const [digest, { sizeBytes }] of this.#rows) if (this.isHeld(digest, owner)) bytes += sizeBytes
    return bytes
  }

  all(): BlobRef[] {
    return inOrder(this.#rows.keys()).map(digest => ({ digest, sizeBytes: this.#rows.get(digest)!.sizeBytes }))
  }

  unnamed(usedBefore: number): BlobRef[] {
    return this.all().filter(({ digest }) => {
      const { named, usedAt } = this.#rows.get(digest)!
      return named === 0 && usedAt < usedBefore
    })
  }
}

export function blobsOf({ stageout, stdout, stderr }: ResultRow): BlobRef[] {
  return [stageout, stdout.blob, stderr.blob].filter(blob => blob !== null)
}
