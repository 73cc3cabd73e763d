import assert from "node:assert/strict"
import { it } from "node:test"
import type { Digest } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import type { BlobStore } from "../core/ports.ts"
import type { Write } from "../core/rows.ts"
import { BLOB_UNUSED_MS } from "../limits.ts"
import { refOf, someBytes, store } from "./blobs.suite.ts"
import { type Collector, checkBlobs, collectGarbage, demandNone, differences } from "./collect.ts"
import { MemoryBlobStore, MemoryDisk } from "./memory.ts"

const ref = (name: string, sizeBytes = 1): BlobRef => ({ digest: `sha256:${name}` as Digest, sizeBytes })

async function* stream(blobs: BlobRef[]): AsyncGenerator<BlobRef> {
  yield* blobs
}

async function differ(rows: BlobRef[], files: BlobRef[]): Promise<string[]> {
  const found: string[] = []
  for await (const { kind, blob } of differences(rows, stream(files))) found.push(`${kind} ${blob.digest.slice(7)}`)
  return found
}

it("finds files without rows, rows without files, and files of another length, wherever they lie", async () => {
  const [a, b, c, d] = [ref("a"), ref("b"), ref("c"), ref("d")]
  assert.deepEqual(await differ([a, b, c], [a, b, c]), [])
  assert.deepEqual(await differ([], [a, b]), ["orphan a", "orphan b"])
  assert.deepEqual(await differ([a, b], []), ["missing a", "missing b"])
  assert.deepEqual(await differ([a, c], [b, d]), ["missing a", "orphan b", "missing c", "orphan d"])
  assert.deepEqual(await differ([b, d], [a, b, c, d]), ["orphan a", "orphan c"])
  assert.deepEqual(await differ([a, b, ref("c", 2), d], [b, c]), ["missing a", "size c", "missing d"])
})

it("puts violations in words at start, and passes over what is only garbage", async () => {
  const rows = [ref("a", 10), ref("b", 20), ref("d", 30)]
  const found = await checkBlobs({ blobs: () => rows }, { list: () => stream([ref("b", 19), ref("c"), ref("d", 30)]) })
  assert.equal(found.count, 2)
  assert.match(found.lines[0]!, /sha256:a \(10 bytes\) is in the database and not on disk/)
  assert.match(found.lines[1]!, /sha256:b has 19 bytes on disk and 20 in the database/)
})

it("refuses blobs beside a database that knows nobody, naming one and what to do", async () => {
  await demandNone({ list: () => stream([]) }, "data")
  await assert.rejects(demandNone({ list: () => stream([ref("a"), ref("b")]) }, "data"), {
    code: "failed_precondition",
    message: /in data is empty, but blobs are stored there \(sha256:a is one\).*Restore both from a backup/,
  })
})

/** As much of a store as the collector asks for: rows with their last use, and which of them something names. */
function world() {
  let wall = 1_700_000_000_000
  const wallMs = () => wall
  const rows = new Map<Digest, { blob: BlobRef; usedAt: number; named: boolean }>()
  const blobs = new MemoryBlobStore({ disk: new MemoryDisk(), wallMs })
  const sorted = () => [...rows.values()].sort((a, b) => (a.blob.digest < b.blob.digest ? -1 : 1))
  const forget = async (writes: Write[]) => {
    for (const write of writes) {
      assert.equal(write.kind, "forgetBlob")
      if (write.kind !== "forgetBlob") continue
      const row = rows.get(write.digest)
      if (row !== undefined && !row.named && row.usedAt < write.usedBefore) rows.delete(write.digest)
    }
  }
  const collector: Collector = {
    store: {
      *blobs() {
        for (const { blob } of sorted()) yield blob
      },
      hasBlob: digest => rows.get(digest)?.blob.sizeBytes ?? null,
      unreferencedBlobs: before =>
        sorted()
          .filter(({ named, usedAt }) => !named && usedAt < before)
          .map(({ blob }) => blob),
    },
    blobs,
    commit: forget,
    wallMs,
  }
  return {
    blobs,
    collector,
    rows,
    later(ms: number) {
      wall += ms
    },
    async keep(seed: number, named: boolean): Promise<BlobRef> {
      const blob = await store(blobs, someBytes(100, seed))
      rows.set(blob.digest, { blob, usedAt: wall, named })
      return blob
    },
  }
}

async function onDisk(blobs: BlobStore): Promise<Digest[]> {
  const digests: Digest[] = []
  for await (const { digest } of blobs.list()) digests.push(digest)
  return digests
}

it("collects orphans, unnamed rows a round before their files, and stale uploads, all after a day", async () => {
  const { blobs, collector, rows, later, keep } = world()
  const named = await keep(1, true)
  const unnamed = await keep(2, false)
  const orphan = await store(blobs, someBytes(100, 3))
  const upload = await blobs.openWriter("u", refOf(someBytes(50)))
  await upload.write(someBytes(40))
  await upload.suspend()
  assert.deepEqual(await collectGarbage(collector), { blobs: 0, freedBytes: 0 })
  later(BLOB_UNUSED_MS + 1)
  assert.deepEqual(await collectGarbage(collector), { blobs: 1, freedBytes: 140 })
  assert.deepEqual([...rows.keys()], [named.digest])
  assert.deepEqual(await onDisk(blobs), [named.digest, unnamed.digest].sort())
  assert.deepEqual(await collectGarbage(collector), { blobs: 1, freedBytes: 100 })
  assert.deepEqual(await onDisk(blobs), [named.digest])
  assert.equal(await blobs.has(orphan.digest), false)
  assert.deepEqual(await checkBlobs(collector.store, blobs), { count: 0, lines: [] })
})

it("lets live what is wanted again while it is being collected", async () => {
  const { blobs, collector, rows, later, keep } = world()
  const renamed = await keep(1, false)
  const asked = await store(blobs, someBytes(100, 2))
  later(BLOB_UNUSED_MS + 1)
  // Somebody saw the row, the collector forgot it, and only then comes the result that names it.
  await collectGarbage(collector)
  assert.equal(rows.size, 0)
  rows.set(renamed.digest, { blob: renamed, usedAt: 0, named: true })
  const again = await store(blobs, someBytes(100, 2))
  assert.equal(again.digest, asked.digest)
  later(BLOB_UNUSED_MS + 1)
  // Somebody was just told that this file is here, and will name it.
  assert.equal(await blobs.has(asked.digest), true)
  assert.deepEqual(await collectGarbage(collector), { blobs: 0, freedBytes: 0 })
  assert.equal((await onDisk(blobs)).length, 2)
})
