import assert from "node:assert/strict"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import type { FileHandle } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it, type TestContext } from "node:test"
import { BLOB_SYNC_BYTES } from "../limits.ts"
import { refOf, someBytes } from "./blobs.suite.ts"
import { DiskWriter } from "./upload.ts"

/** An upload of a little more than what is synchronised ahead, with a disk whose synchronisations end when the test says so. */
async function upload(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "cah-upload-"))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, "partial")
  const bytes = someBytes(BLOB_SYNC_BYTES + 1_000)
  const ends: { readonly resolve: () => void; readonly reject: (cause: Error) => void }[] = []
  const seen = { kept: 0, released: 0 }
  const others = { areSynchronised: false, written: Promise.resolve() }
  const syncAhead = (_file: FileHandle) =>
    others.areSynchronised ? null : new Promise<void>((resolve, reject) => ends.push({ resolve, reject }))
  const writer = await DiskWriter.open({
    blob: refOf(bytes),
    path,
    keep: async () => void seen.kept++,
    release: () => void seen.released++,
    syncAhead,
    writeInTurn: write => others.written.then(write),
  })
  return { writer, bytes, path, ends, seen, others }
}

const lost = new Error("EIO: i/o error, fsync")

describe("an upload that is synchronised ahead", () => {
  it("goes on meanwhile, one synchronisation at a time, and ends only after it", async t => {
    const { writer, bytes, path, ends, seen } = await upload(t)
    await writer.write(bytes.subarray(0, BLOB_SYNC_BYTES))
    assert.equal(ends.length, 1)
    await writer.write(bytes.subarray(BLOB_SYNC_BYTES, BLOB_SYNC_BYTES + 500), bytes.subarray(BLOB_SYNC_BYTES + 500))
    assert.equal(ends.length, 1)
    const finishing = writer.finish()
    // Behind whatever the finish could do without waiting.
    for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
    assert.equal(seen.kept, 0)
    ends[0]!.resolve()
    await finishing
    assert.deepEqual(seen, { kept: 1, released: 1 })
    assert.deepEqual(new Uint8Array(readFileSync(path)), bytes)
  })

  it("asks again with the next bytes while others are being synchronised", async t => {
    const { writer, bytes, ends, others } = await upload(t)
    others.areSynchronised = true
    await writer.write(bytes.subarray(0, BLOB_SYNC_BYTES))
    assert.equal(ends.length, 0)
    others.areSynchronised = false
    await writer.write(bytes.subarray(BLOB_SYNC_BYTES))
    assert.equal(ends.length, 1)
    ends[0]!.resolve()
    await writer.finish()
  })

  it("is thrown away at the next write after a synchronisation that failed", async t => {
    const { writer, bytes, path, ends, seen } = await upload(t)
    await writer.write(bytes.subarray(0, BLOB_SYNC_BYTES))
    ends[0]!.reject(lost)
    await assert.rejects(async () => {
      // The failure may be heard of after one more.
      await writer.write(bytes.subarray(BLOB_SYNC_BYTES, BLOB_SYNC_BYTES + 1))
      await writer.write(bytes.subarray(BLOB_SYNC_BYTES + 1))
    }, /thrown away/)
    assert.equal(existsSync(path), false)
    assert.deepEqual(seen, { kept: 0, released: 1 })
    await assert.rejects(writer.write(bytes.subarray(0, 1)), { code: "failed_precondition" })
  })

  it("never ends well after a synchronisation that failed, though the next would not say so any more", async t => {
    const { writer, bytes, path, ends, seen } = await upload(t)
    await writer.write(bytes)
    const finishing = writer.finish()
    ends[0]!.reject(lost)
    await assert.rejects(finishing, /thrown away/)
    assert.equal(existsSync(path), false)
    assert.deepEqual(seen, { kept: 0, released: 1 })
  })

  it("is not kept for a resume when the synchronisation under way fails", async t => {
    const { writer, bytes, path, ends, seen } = await upload(t)
    await writer.write(bytes)
    const suspending = writer.suspend()
    ends[0]!.reject(lost)
    await suspending
    assert.equal(existsSync(path), false)
    assert.equal(seen.released, 1)
  })

  it("is kept for a resume when it succeeds, and the file is open until then", async t => {
    const { writer, bytes, path, ends, seen } = await upload(t)
    await writer.write(bytes)
    const suspending = writer.suspend()
    for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
    assert.equal(seen.released, 0)
    ends[0]!.resolve()
    await suspending
    assert.equal(readFileSync(path).length, bytes.length)
    assert.equal(seen.released, 1)
  })
})

describe("an upload beside others", () => {
  it("is written to when it is its turn, and is hashed meanwhile", async t => {
    const { writer, bytes, path, others } = await upload(t)
    let itsTurn = () => {}
    others.written = new Promise(resolve => {
      itsTurn = resolve
    })
    const writing = writer.write(bytes.subarray(0, 1_000))
    for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual([statSync(path).size, writer.offsetBytes], [0, 0])
    itsTurn()
    await writing
    assert.deepEqual([statSync(path).size, writer.offsetBytes], [1_000, 1_000])
    await writer.suspend()
  })
})
