import assert from "node:assert/strict"
import { mkdir, readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "node:test"
import fc from "fast-check"
import { hexOf } from "../../proto/wire/digest.ts"
import { blobOf, collect, scratch } from "../fixtures.ts"
import { OutputLog } from "./log.ts"

const bounds = { inlineMaxBytes: 16, maxBytes: 100 }
async function place(): Promise<{ file: string; spool: string; directory: string }> {
  const directory = scratch()
  await mkdir(join(directory, "spool"))
  return { directory, file: join(directory, "stdout"), spool: join(directory, "spool") }
}
const text = (size: number): Buffer =>
  Buffer.from(Array.from({ length: size }, (_, i) => "0123456789"[i % 10]).join(""))

test("nothing written is nothing kept", async () => {
  const { file, spool } = await place()
  assert.deepEqual(await new OutputLog(file, bounds).finish(spool), {
    log: { inline: null, blob: null, droppedBytes: 0 },
    trouble: "",
  })
})

test("a short output travels inline and never touches the disk", async () => {
  const { file, spool, directory } = await place()
  const log = new OutputLog(file, bounds)
  await log.write(Buffer.from("hello "))
  await log.write(Buffer.from("world, yes"))
  assert.equal(Buffer.from((await log.finish(spool)).log.inline!, "base64").toString(), "hello world, yes")
  assert.deepEqual(await readdir(directory), ["spool"])
})

test("a longer one is spooled whole under its digest", async () => {
  const { file, spool, directory } = await place()
  const log = new OutputLog(file, bounds)
  for (const piece of [3, 14, 40, 43]) await log.write(text(piece))
  const whole = Buffer.concat([3, 14, 40, 43].map(text))
  const { log: kept } = await log.finish(spool)
  assert.deepEqual(kept, { inline: null, blob: blobOf(whole), droppedBytes: 0 })
  assert.deepEqual(await readFile(join(spool, hexOf(kept.blob!.digest))), whole)
  assert.deepEqual(await readdir(directory), ["spool"], "its working file is gone")
})

test("beyond the bound the first and last halves stay, the rest is counted and its place marked", async () => {
  for (const size of [101, 149, 150, 151, 1_000, 1_234]) {
    for (const piece of [1, 7, 50, 64, 333]) {
      const { file, spool } = await place()
      const log = new OutputLog(file, bounds)
      const all = text(size)
      for (let at = 0; at < size; at += piece) await log.write(all.subarray(at, at + piece))
      const { log: kept } = await log.finish(spool)
      assert.equal(kept.droppedBytes, size - 100)
      const content = (await readFile(join(spool, hexOf(kept.blob!.digest)))).toString()
      const mark = `\n[clouds-at-home: ${size - 100} bytes were dropped here]\n`
      assert.equal(content, all.subarray(0, 50) + mark + all.subarray(size - 50), `${size} by ${piece}`)
    }
  }
})

test("a follower gets what came before it and what comes after, until the end", async () => {
  const { file, spool } = await place()
  const log = new OutputLog(file, bounds)
  await log.write(text(10))
  const early = collect(log.follow())
  await log.write(text(20))
  const late = collect(log.follow())
  await log.write(text(30))
  await log.finish(spool)
  const whole = Buffer.concat([text(10), text(20), text(30)])
  assert.deepEqual(await early, whole)
  assert.deepEqual(await late, whole)
  assert.deepEqual(await collect(log.follow()), Buffer.alloc(0), "after the end the result has it")
})

test("a follower that lags loses the middle, never the order, and costs no memory", async () => {
  const { file, spool } = await place()
  const log = new OutputLog(file, bounds)
  const follower = log.follow()
  await log.write(text(40))
  assert.equal((await follower.next()).value?.length, 40)
  await log.write(text(1_000))
  const rest = collect(follower)
  await log.finish(spool)
  const all = Buffer.concat([text(40), text(1_000)])
  assert.deepEqual(await rest, Buffer.concat([all.subarray(40, 50), all.subarray(-50)]))
})

test("F11: a follower goes on after what it has seen, and is told what was dropped meanwhile", async () => {
  const { file, spool } = await place()
  const log = new OutputLog(file, { inlineMaxBytes: 4, maxBytes: 40 })
  await log.write(Buffer.from("0123456789"))
  const seen = log.follow(4)
  assert.equal(String((await seen.next()).value), "456789")
  await log.write(Buffer.from("a".repeat(30)))
  await log.write(Buffer.from("b".repeat(20)))
  const late = log.follow(25)
  assert.match(String((await late.next()).value), /15 bytes were dropped here/)
  const rest = collect(late)
  await log.finish(spool)
  assert.equal(String(await rest), "b".repeat(20))
  await seen.return(undefined)
})

test("a follower that leaves lets the log close its file", async () => {
  const { file, spool, directory } = await place()
  const log = new OutputLog(file, bounds)
  await log.write(text(90))
  for await (const _ of log.follow()) break
  await log.finish(spool)
  assert.deepEqual(await readdir(directory), ["spool"])
})

test("a disk that fails costs the rest of the output, not the job, and it is said", async () => {
  const { spool, directory } = await place()
  const log = new OutputLog(join(directory, "missing", "stdout"), bounds)
  await log.write(text(10))
  await log.write(text(20))
  await log.write(text(5))
  const { log: kept, trouble } = await log.finish(spool)
  assert.equal(Buffer.from(kept.inline!, "base64").toString(), text(10).toString())
  assert.equal(kept.droppedBytes, 25)
  assert.match(trouble, /could not be kept/)
})

/** What happens to a log, and who watches it meanwhile, in any order. */
type Move =
  | { readonly kind: "write"; readonly size: number; readonly waits: boolean }
  | { readonly kind: "come" }
  | { readonly kind: "read"; readonly who: number }
  | { readonly kind: "leave"; readonly who: number }

const moves: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ kind: fc.constant("write"), size: fc.integer({ min: 0, max: 130 }), waits: fc.boolean() }),
  fc.record({ kind: fc.constant("come") }),
  fc.record({ kind: fc.constant("read"), who: fc.nat(3) }),
  fc.record({ kind: fc.constant("leave"), who: fc.nat(3) }),
)

test("F1: watching a log never changes what is kept of it: followers that come, go, lag and stay through the end", async () => {
  const property = fc.asyncProperty(fc.array(moves, { maxLength: 25 }), fc.boolean(), async (script, leaveEarly) => {
    const { file, spool, directory } = await place()
    const log = new OutputLog(file, bounds)
    const followers: AsyncGenerator<Uint8Array>[] = []
    const watched: Promise<unknown>[] = []
    let writing = Promise.resolve()
    const all: Buffer[] = []
    for (const move of script) {
      if (move.kind === "write") {
        const bytes = text(move.size)
        all.push(bytes)
        writing = writing.then(() => log.write(bytes))
        if (move.waits) await writing
      } else if (move.kind === "come") {
        const follower = log.follow()
        followers.push(follower)
        watched.push(follower.next())
      } else {
        const follower = followers[move.who]
        if (follower !== undefined) watched.push(move.kind === "read" ? follower.next() : follower.return(undefined))
      }
    }
    await writing
    // Some are half-way through when the end comes; the others read to it.
    const ends = followers.map(follower => (leaveEarly ? follower.return(undefined) : collect(follower)))
    const { log: kept, trouble } = await log.finish(spool)
    await Promise.all([...ends, ...watched])
    const whole = Buffer.concat(all)
    assert.equal(trouble, "")
    assert.equal(kept.droppedBytes, Math.max(0, whole.length - bounds.maxBytes))
    const mark = `\n[clouds-at-home: ${kept.droppedBytes} bytes were dropped here]\n`
    const wanted = kept.droppedBytes === 0 ? whole : `${whole.subarray(0, 50)}${mark}${whole.subarray(-50)}`
    const got =
      kept.blob === null
        ? Buffer.from(kept.inline ?? "", "base64")
        : await readFile(join(spool, hexOf(kept.blob.digest)))
    assert.equal(got.toString(), wanted.toString())
    assert.deepEqual(await readdir(directory), ["spool"], "its working file is gone")
  })
  await fc.assert(property, { numRuns: 300 })
})
