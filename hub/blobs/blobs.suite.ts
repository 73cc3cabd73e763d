// What every blob store must do, run against each.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { afterEach, beforeEach, describe, it } from "node:test"
import { type Digest, digestOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobStore, BlobWriter } from "../core/ports.ts"
import { BLOB_PIECE_BYTES } from "../limits.ts"

export interface BlobsFixture {
  readonly blobs: BlobStore
  /** Another store on the same disk, as after a crash. Writers of the first are not closed. */
  restart(): Promise<BlobStore>
  /** Flips one bit of the blob where it lies. */
  flip(digest: Digest, atByte: number): Promise<void>
  /** Everything here becomes so much older. */
  age(ms: number): void
  dispose(): Promise<void>
}

/** Bytes that are alike for the same arguments and differ everywhere. */
export function someBytes(sizeBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  let state = seed
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[at] = state >>> 16
  }
  return bytes
}

export function refOf(bytes: Uint8Array): BlobRef {
  return { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.length }
}

export async function store(blobs: BlobStore, bytes: Uint8Array, upload = "u"): Promise<BlobRef> {
  const writer = await blobs.openWriter(upload, refOf(bytes))
  await send(writer, bytes)
  await writer.finish()
  return writer.blob
}

async function send(writer: BlobWriter, bytes: Uint8Array, until = bytes.length): Promise<void> {
  while (writer.offsetBytes < until) {
    await writer.write(bytes.subarray(writer.offsetBytes, Math.min(writer.offsetBytes + 50_000, until)))
  }
}

export async function readAll(blobs: BlobStore, digest: Digest, offsetBytes = 0): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of blobs.read(digest, offsetBytes)) {
    assert.ok(piece.length <= BLOB_PIECE_BYTES)
    pieces.push(piece)
  }
  return new Uint8Array(Buffer.concat(pieces))
}

async function listed(blobs: BlobStore): Promise<BlobRef[]> {
  const all: BlobRef[] = []
  for await (const blob of blobs.list()) all.push(blob)
  return all
}

export function blobsSuite(name: string, make: () => Promise<BlobsFixture>): void {
  describe(`${name} as a blob store`, () => {
    let fixture: BlobsFixture
    let blobs: BlobStore
    beforeEach(async () => {
      fixture = await make()
      blobs = fixture.blobs
    })
    afterEach(() => fixture.dispose())

    it("gives back the bytes that it was given, of any length and from any offset", async () => {
      for (const size of [0, 1, BLOB_PIECE_BYTES - 1, BLOB_PIECE_BYTES, BLOB_PIECE_BYTES + 1, 3 * BLOB_PIECE_BYTES]) {
        const bytes = someBytes(size, size + 1)
        const { digest } = await store(blobs, bytes)
        assert.equal(await blobs.has(digest), true)
        for (const offset of [0, 1, BLOB_PIECE_BYTES, size].filter(offset => offset <= size)) {
          assert.deepEqual(await readAll(blobs, digest, offset), bytes.slice(offset))
        }
        await assert.rejects(readAll(blobs, digest, size + 1), { name: "CahError", code: "invalid_argument" })
      }
    })

    it("does not know what nobody stored", async () => {
      const { digest } = refOf(someBytes(10))
      assert.equal(await blobs.has(digest), false)
      assert.equal(await blobs.partialBytes("u", digest), 0)
      assert.equal(await blobs.remove(digest, 0), false)
      await assert.rejects(readAll(blobs, digest), { name: "CahError", code: "not_found" })
      assert.deepEqual(await listed(blobs), [])
    })

    it("never shows an upload that was cut off", async () => {
      const bytes = someBytes(200_000)
      const { digest } = refOf(bytes)
      const writer = await blobs.openWriter("u", refOf(bytes))
      await send(writer, bytes, 199_999)
      await assert.rejects(writer.finish(), { code: "invalid_argument", message: /byte 199999 of 200000/ })
      for (const view of [blobs, await fixture.restart()]) {
        assert.equal(await view.has(digest), false)
        await assert.rejects(readAll(view, digest), { code: "not_found" })
        assert.deepEqual(await listed(view), [])
      }
      await writer.write(bytes.subarray(199_999))
      await writer.finish()
      assert.deepEqual(await readAll(blobs, digest), bytes)
    })

    it("goes on after a suspension and after a crash where it stopped, and ends with the same bytes", async () => {
      const bytes = someBytes(1_000_000)
      const blob = refOf(bytes)
      const first = await blobs.openWriter("u", blob)
      await send(first, bytes, 300_000)
      await first.suspend()
      assert.equal(await blobs.partialBytes("u", blob.digest), 300_000)
      const second = await blobs.openWriter("u", blob)
      assert.equal(second.offsetBytes, 300_000)
      await send(second, bytes, 700_000)

      const after = await fixture.restart()
      assert.equal(await after.partialBytes("u", blob.digest), 700_000)
      const third = await after.openWriter("u", blob)
      assert.equal(third.offsetBytes, 700_000)
      await send(third, bytes)
      await third.finish()
      assert.deepEqual(await readAll(after, blob.digest), bytes)
      assert.equal(await after.partialBytes("u", blob.digest), 0)
      await second.suspend()
    })

    it("throws away what has the wrong digest, and begins at 0 again", async () => {
      const bytes = someBytes(100_000)
      const wrong = bytes.slice()
      wrong[70_000]! ^= 1
      const blob = refOf(bytes)
      const writer = await blobs.openWriter("u", blob)
      await send(writer, wrong)
      await assert.rejects(writer.finish(), { name: "CahError", code: "data_loss", retry: "later" })
      await assert.rejects(writer.write(bytes), { code: "failed_precondition" })
      assert.equal(await blobs.has(blob.digest), false)
      assert.equal(await blobs.partialBytes("u", blob.digest), 0)
      await store(blobs, bytes)
      assert.deepEqual(await readAll(blobs, blob.digest), bytes)
    })

    it("takes no byte beyond the size that was announced", async () => {
      const bytes = someBytes(100)
      const writer = await blobs.openWriter("u", { ...refOf(bytes), sizeBytes: 99 })
      await writer.write(bytes.subarray(0, 60))
      await assert.rejects(writer.write(bytes.subarray(60)), { code: "invalid_argument", message: /99 bytes.*100/ })
      assert.equal(writer.offsetBytes, 60)
      await writer.suspend()
      // Announced anew and smaller than what is here: those bytes are not meant.
      const smaller = await blobs.openWriter("u", { ...refOf(bytes), sizeBytes: 10 })
      assert.equal(smaller.offsetBytes, 0)
      await smaller.suspend()
      for (const sizeBytes of [-1, 1.5, Number.NaN, 2 ** 60]) {
        await assert.rejects(blobs.openWriter("u", { ...refOf(bytes), sizeBytes }), { code: "invalid_argument" })
      }
    })

    it("lets one writer at a time into an upload", async () => {
      const bytes = someBytes(1_000)
      const first = await blobs.openWriter("u", refOf(bytes))
      await assert.rejects(blobs.openWriter("u", refOf(bytes)), { name: "CahError", code: "aborted" })
      await first.suspend()
      await first.suspend()
      await assert.rejects(first.write(bytes), { code: "failed_precondition" })
      await assert.rejects(first.finish(), { code: "failed_precondition" })
      await store(blobs, bytes)
    })

    it("keeps uploads of the same blob by different senders apart, whatever one of them sends", async () => {
      const bytes = someBytes(100_000)
      const blob = refOf(bytes)
      const [honest, liar, late] = await Promise.all(["a", "b", "c"].map(upload => blobs.openWriter(upload, blob)))
      await liar!.write(new Uint8Array(100_000))
      await send(honest!, bytes)
      await send(late!, bytes)
      await assert.rejects(liar!.finish(), { code: "data_loss" })
      await Promise.all([honest!.finish(), late!.finish()])
      assert.deepEqual(await readAll(blobs, blob.digest), bytes)
      assert.deepEqual(await listed(blobs), [blob])
    })

    it("never serves a blob that went bad: the last piece is withheld and the blob moved aside", async () => {
      const bytes = someBytes(3 * BLOB_PIECE_BYTES)
      for (const at of [0, BLOB_PIECE_BYTES + 5, bytes.length - 1]) {
        const { digest } = await store(blobs, bytes)
        await fixture.flip(digest, at)
        let served = 0
        const read = async () => {
          for await (const piece of blobs.read(digest, 0)) served += piece.length
        }
        await assert.rejects(read(), { name: "CahError", code: "data_loss", message: /gone bad/ })
        assert.ok(served < bytes.length)
        assert.equal(await blobs.has(digest), false)
        await assert.rejects(read(), { code: "not_found" })
      }
      const { digest } = await store(blobs, bytes)
      assert.deepEqual(await readAll(blobs, digest), bytes)
    })

    it("lists all blobs by digest", async () => {
      const refs: BlobRef[] = []
      for (let seed = 1; seed <= 20; seed++) refs.push(await store(blobs, someBytes(seed * 10, seed)))
      refs.sort((a, b) => (a.digest < b.digest ? -1 : 1))
      assert.deepEqual(await listed(blobs), refs)
      assert.deepEqual(await listed(await fixture.restart()), refs)
    })

    it("removes a blob only if nobody touched it for so long, and asking for it is a touch", async () => {
      const { digest } = await store(blobs, someBytes(10))
      const day = 24 * 3_600_000
      assert.equal(await blobs.remove(digest, day), false)
      fixture.age(2 * day)
      assert.equal(await blobs.has(digest), true)
      assert.equal(await blobs.remove(digest, day), false)
      fixture.age(2 * day)
      assert.equal(await blobs.remove(digest, day), true)
      assert.equal(await blobs.has(digest), false)
    })

    it("sweeps unfinished uploads that nobody goes on with, and says how much that freed", async () => {
      const bytes = someBytes(1_000)
      const left = await blobs.openWriter("left", refOf(bytes))
      await left.write(bytes.subarray(0, 600))
      await left.suspend()
      const current = await blobs.openWriter("current", refOf(bytes))
      await current.write(bytes.subarray(0, 500))
      assert.equal(await blobs.sweep(60_000), 0)
      fixture.age(120_000)
      assert.equal(await blobs.sweep(60_000), 600)
      assert.equal(await blobs.partialBytes("left", refOf(bytes).digest), 0)
      await current.write(bytes.subarray(500))
      await current.finish()
      assert.deepEqual(await readAll(blobs, refOf(bytes).digest), bytes)
    })

    it("knows how much room is left", async () => {
      assert.ok((await blobs.freeBytes()) > 0)
    })
  })
}
