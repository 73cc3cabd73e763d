import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { hexOf } from "../../proto/wire/digest.ts"
import { Failure } from "../core/ports.ts"
import { blobOf, collect, scratch } from "../fixtures.ts"
import { type Fetch, openCache } from "./cache.ts"

const never = new AbortController().signal
const bytes = Buffer.from("stagein ".repeat(1_000))
const blob = blobOf(bytes)

/** Serves bytes in small pieces, counts calls, and breaks off where told. */
function source(content: Buffer, breakAt = Number.POSITIVE_INFINITY): { fetch: Fetch; offsets: number[] } {
  const offsets: number[] = []
  return {
    offsets,
    async *fetch(offset) {
      offsets.push(offset)
      for (let at = offset; at < content.length; at += 1_000) {
        if (at >= breakAt) throw new Error("the link was lost")
        yield content.subarray(at, Math.min(at + 1_000, content.length))
      }
    },
  }
}

test("a hundred askers share one fetch, and later ones need none, even after a restart", async () => {
  const directory = scratch()
  const cache = await openCache(directory, 1e6)
  const { fetch, offsets } = source(bytes)
  const held = await Promise.all(
    Array.from({ length: 100 }, () => cache.hold(blob, fetch, new AbortController().signal)),
  )
  assert.deepEqual(offsets, [0])
  assert.deepEqual(await collect(held[50]!.read()), bytes)
  assert.equal(cache.usage().fetchedBytes, bytes.length)
  assert.equal(cache.usage().sharedBytes, bytes.length * 99)
  const again = await openCache(directory, 1e6)
  await again.hold(blob, fetch, never)
  assert.deepEqual(offsets, [0])
})

test("a transfer that breaks off goes on where it stopped, also in the agent's next life", async () => {
  const directory = scratch()
  const cache = await openCache(directory, 1e6)
  const broken = source(bytes, 3_000)
  await assert.rejects(
    cache.hold(blob, broken.fetch, never),
    (e: unknown) => e instanceof Failure && !e.final && /link was lost/.test(e.message),
  )
  const again = await openCache(directory, 1e6)
  const whole = source(bytes)
  const held = await again.hold(blob, whole.fetch, never)
  assert.deepEqual(whole.offsets, [3_000])
  assert.deepEqual(await collect(held.read()), bytes)
  assert.equal(again.usage().bytes, bytes.length)
})

test("a transfer that ends early is a failure worth another try", async () => {
  const cache = await openCache(scratch(), 1e6)
  await assert.rejects(cache.hold(blob, source(bytes.subarray(0, 10)).fetch, never), /broke off at 10 of 8000/)
})

test("bytes that are not those promised, or more of them, are thrown away and never shown", async () => {
  const cache = await openCache(scratch(), 1e6)
  for (const wrong of [Buffer.alloc(bytes.length, "x"), Buffer.concat([bytes, bytes])]) {
    await assert.rejects(cache.hold(blob, source(wrong).fetch, never), /others than its digest/)
    assert.equal(cache.usage().bytes, 0)
  }
  const good = source(bytes)
  await cache.hold(blob, good.fetch, never)
  assert.deepEqual(good.offsets, [0])
})

test("when the first asker gives up, another one's fetch takes over from where it was", async () => {
  const cache = await openCache(scratch(), 1e6)
  const first = new AbortController()
  let begun = (): void => {}
  const began = new Promise<void>(resolve => {
    begun = resolve
  })
  const stuck: Fetch = async function* (_, signal) {
    yield bytes.subarray(0, 2_000)
    begun()
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
  }
  const other = source(bytes)
  const one = cache.hold(blob, stuck, first.signal)
  const two = cache.hold(blob, other.fetch, never)
  await began
  first.abort()
  await assert.rejects(one, { name: "AbortError" })
  assert.deepEqual(await collect((await two).read()), bytes)
  assert.deepEqual(other.offsets, [2_000])
})

test("one that waits for another's fetch can give up alone", async () => {
  const cache = await openCache(scratch(), 1e6)
  let open = (): void => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  const slow: Fetch = async function* () {
    await gate
    yield bytes
  }
  const one = cache.hold(blob, slow, never)
  const impatient = new AbortController()
  const two = cache.hold(blob, slow, impatient.signal)
  impatient.abort()
  await assert.rejects(two, { name: "AbortError" })
  open()
  await one
})

test("the longest unused goes when room is needed, what is in use stays, and no room is said clearly", async () => {
  const directory = scratch()
  const cache = await openCache(directory, 3_000)
  const contents = ["a", "b", "c", "d"].map(letter => Buffer.alloc(1_000, letter))
  const hold = (i: number) => cache.hold(blobOf(contents[i]!), source(contents[i]!).fetch, never)
  const a = await hold(0)
  ;(await hold(1)).release()
  const c = await hold(2)
  ;(await hold(3)).release()
  const there = readdirSync(join(directory, "blobs"))
  assert.equal(there.includes(hexOf(blobOf(contents[1]!).digest)), false, "b was the only one not in use")
  assert.equal(there.length, 3)
  const d = await hold(3)
  await assert.rejects(hold(1), /in use/)
  a.release()
  a.release()
  await hold(1)
  c.release()
  d.release()
  const big = Buffer.alloc(4_000)
  await assert.rejects(cache.hold(blobOf(big), source(big).fetch, never), /4000 bytes and this node's cache holds 3000/)
})

test("a bound that was lowered is kept from the start", async () => {
  const directory = scratch()
  const cache = await openCache(directory, 1e6)
  ;(await cache.hold(blob, source(bytes).fetch, never)).release()
  assert.equal((await openCache(directory, 100)).usage().bytes, 0)
})

test("bytes that rotted on the disk are noticed when read, and fetched again", async () => {
  const directory = scratch()
  const cache = await openCache(directory, 1e6)
  const { fetch, offsets } = source(bytes)
  const held = await cache.hold(blob, fetch, never)
  writeFileSync(join(directory, "blobs", hexOf(blob.digest)), Buffer.alloc(bytes.length))
  await assert.rejects(collect(held.read()), /damaged/)
  assert.deepEqual(await collect((await cache.hold(blob, fetch, never)).read()), bytes)
  assert.deepEqual(offsets, [0, 0])
})

test("a full disk is said clearly and keeps no half", {
  skip: process.getuid?.() !== 0 && "needs root to mount",
}, async () => {
  const directory = join(scratch(), "small")
  mkdirSync(directory)
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory])
  try {
    const cache = await openCache(directory, 1e6)
    const big = Buffer.alloc(200_000)
    await assert.rejects(cache.hold(blobOf(big), source(big).fetch, never), /disk of this node is full.*200000 bytes/)
    assert.equal(cache.usage().bytes, 0)
    await cache.hold(blob, source(bytes).fetch, never)
  } finally {
    execFileSync("umount", [directory])
  }
})
