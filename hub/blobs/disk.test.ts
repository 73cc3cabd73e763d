import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it, type TestContext } from "node:test"
import { type Digest, hexOf } from "../../proto/wire/digest.ts"
import { BLOB_PIECE_BYTES, BLOB_QUARANTINE_MS, BLOB_SYNC_BYTES } from "../limits.ts"
import { blobsSuite, readAll, refOf, someBytes, store } from "./blobs.suite.ts"
import { openDiskBlobs } from "./disk.ts"

function pathOf(directory: string, digest: Digest): string {
  const hex = hexOf(digest)
  return join(directory, "sha256", hex.slice(0, 2), hex)
}

function flip(directory: string, digest: Digest, atByte: number): void {
  const bytes = readFileSync(pathOf(directory, digest))
  bytes[atByte]! ^= 1
  writeFileSync(pathOf(directory, digest), bytes)
}

blobsSuite("DiskBlobStore", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cah-blobs-"))
  let older = 0
  const open = () => openDiskBlobs({ directory, wallMs: () => Date.now() + older })
  return {
    blobs: await open(),
    restart: open,
    flip: async (digest, atByte) => flip(directory, digest, atByte),
    age(ms) {
      older += ms
    },
    dispose: async () => rmSync(directory, { recursive: true }),
  }
})

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "cah-blobs-"))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

it("leaves nothing but the blob behind, in its place", async t => {
  const directory = place(t)
  const blobs = await openDiskBlobs({ directory, wallMs: Date.now })
  const bytes = someBytes(BLOB_SYNC_BYTES + 1)
  const { digest } = await store(blobs, bytes, "../../etc/passwd")
  assert.deepEqual(new Uint8Array(readFileSync(pathOf(directory, digest))), bytes)
  assert.deepEqual(readdirSync(join(directory, "partial")), [])
  assert.deepEqual(readdirSync(directory).sort(), ["partial", "quarantine", "sha256"])
})

it("tells of a blob that went bad, and of its being stored anew", async t => {
  const directory = place(t)
  const told: string[] = []
  const damage = {
    found: (digest: Digest) => void told.push(`found ${digest}`),
    healed: (digest: Digest) => void told.push(`healed ${digest}`),
  }
  const blobs = await openDiskBlobs({ directory, wallMs: Date.now, damage })
  const { digest } = await store(blobs, someBytes(1_000))
  told.length = 0
  flip(directory, digest, 500)
  await assert.rejects(readAll(blobs, digest), { code: "data_loss" })
  await store(blobs, someBytes(1_000))
  assert.deepEqual(told, [`found ${digest}`, `healed ${digest}`])
})

it("keeps a bad blob in quarantine for a person, then makes room", async t => {
  const directory = place(t)
  let older = 0
  const blobs = await openDiskBlobs({ directory, wallMs: () => Date.now() + older })
  const { digest } = await store(blobs, someBytes(1_000))
  flip(directory, digest, 500)
  await assert.rejects(readAll(blobs, digest), { code: "data_loss" })
  assert.deepEqual(readdirSync(join(directory, "quarantine")), [hexOf(digest)])
  older = BLOB_QUARANTINE_MS - 60_000
  assert.equal(await blobs.sweep(0), 0)
  older = BLOB_QUARANTINE_MS + 60_000
  assert.equal(await blobs.sweep(0), 1_000)
})

it("does not move a good copy aside for a bad one that was read while the good one came", async t => {
  const directory = place(t)
  const blobs = await openDiskBlobs({ directory, wallMs: Date.now })
  const bytes = someBytes(3 * BLOB_PIECE_BYTES)
  const { digest } = await store(blobs, bytes)
  flip(directory, digest, bytes.length - 1)
  const reading = blobs.read(digest, 0)[Symbol.asyncIterator]()
  await reading.next()
  await store(blobs, bytes)
  await assert.rejects(async () => {
    while ((await reading.next()).done !== true);
  }, /gone bad/)
  assert.deepEqual(await readAll(blobs, digest), bytes)
})

it("ignores files in its directories that it did not make", async t => {
  const directory = place(t)
  const blobs = await openDiskBlobs({ directory, wallMs: Date.now })
  writeFileSync(join(directory, "sha256", "ab", "notes.txt"), "mine")
  for await (const blob of blobs.list()) assert.fail(blob.digest)
})

it("says that the disk is full, keeps what came, and takes the same bytes once there is room", async t => {
  const mount = mkdtempSync(join(tmpdir(), "cah-blobs-"))
  t.after(() => {
    spawnSync("umount", ["--lazy", mount])
    rmSync(mount, { recursive: true })
  })
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", mount]).status !== 0) {
    t.skip("needs the right to mount a small tmpfs")
    return
  }
  const ballast = join(mount, "ballast")
  writeFileSync(ballast, Buffer.alloc(1_000_000))
  const blobs = await openDiskBlobs({ directory: join(mount, "blobs"), wallMs: Date.now })
  const bytes = someBytes(1_500_000)
  const writer = await blobs.openWriter("u", refOf(bytes))
  const piece = 64 * 1024
  const write = () => writer.write(bytes.subarray(writer.offsetBytes, writer.offsetBytes + piece))
  await assert.rejects(
    async () => {
      while (writer.offsetBytes < bytes.length) await write()
    },
    { name: "CahError", code: "resource_exhausted", retry: "later", message: /the hub's disk is full/ },
  )
  const kept = writer.offsetBytes
  assert.ok(kept > 0 && kept < bytes.length)
  assert.equal(kept % piece, 0)
  assert.equal(await blobs.partialBytes("u", writer.blob.digest), kept)
  await assert.rejects(write(), { code: "resource_exhausted" })
  rmSync(ballast)
  while (writer.offsetBytes < bytes.length) await write()
  await writer.finish()
  assert.deepEqual(await readAll(blobs, writer.blob.digest), bytes)
})
