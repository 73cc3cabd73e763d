// One hostile archive for each threat of docs/security.md, Archives. Each must fail as a whole, with the entry and the rule named, and leave nothing.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, afterEach, test } from "node:test"
import { ArchiveError, DEPTH_MAX, ENTRIES_MAX, FOLDER_BYTES, type Rule } from "./rules.ts"
import { roomFor, unpack } from "./unpack.ts"

interface Raw {
  name: string | Buffer
  type?: string
  mode?: number
  size?: number | Buffer
  link?: string
  body?: string
}

/** One header with its body, made by hand: libraries refuse to write most of what is needed here. */
function raw({ name, type = "0", mode = 0o644, size, link = "", body = "" }: Raw): Buffer {
  const header = Buffer.alloc(512)
  Buffer.from(name).copy(header, 0, 0, 100)
  header.write(`${mode.toString(8).padStart(6, "0")} \0`, 100)
  header.write("000000 \0", 108)
  header.write("000000 \0", 116)
  if (typeof size === "object") size.copy(header, 124)
  else header.write(`${(size ?? Buffer.byteLength(body)).toString(8).padStart(11, "0")} `, 124)
  header.write("00000000000 ", 136)
  header.write(type, 156)
  header.write(link, 157)
  header.write("ustar\x0000", 257)
  header.fill(" ", 148, 156)
  const sum = header.reduce<number>((a, b) => a + b, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  const padded = Buffer.alloc(Math.ceil(Buffer.byteLength(body) / 512) * 512)
  padded.write(body)
  return Buffer.concat([header, padded])
}
function pax(records: Record<string, string>): Buffer {
  const body = Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`
      let length = Buffer.byteLength(rest)
      while (`${length}`.length + Buffer.byteLength(rest) !== length)
        length = `${length}`.length + Buffer.byteLength(rest)
      return `${length}${rest}`
    })
    .join("")
  return raw({ name: "PaxHeader", type: "x", body })
}
const end = Buffer.alloc(1024)
const good = raw({ name: "good.txt", body: "good" })

const home = await mkdtemp(join(tmpdir(), "cah-unpack-"))
after(() => rm(home, { recursive: true }))
afterEach(async () => {
  for (const name of await readdir(home)) await rm(join(home, name), { recursive: true })
})

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function refused(parts: Buffer[], rule: Rule, entry: string | RegExp, bytesMax = 100_000): Promise<void> {
  for (const size of [512, 100_000]) {
    await assert.rejects(
      unpack(pieces(Buffer.concat(parts), size), join(home, "out"), { room: roomFor(bytesMax) }),
      (error: unknown) => {
        assert.ok(error instanceof ArchiveError, String(error))
        assert.equal(error.rule, rule, error.message)
        if (typeof entry === "string") assert.equal(error.entry, entry)
        else assert.match(error.entry, entry)
        return true
      },
    )
    assert.deepEqual(await readdir(home), [], "nothing may be left")
  }
}

const corpus: [threat: string, rule: Rule, hostile: Raw][] = [
  ["a path that climbs out", "traversal", { name: "../evil" }],
  ["a path that climbs out from below", "traversal", { name: "a/../../evil" }],
  ["a path that ends in ..", "traversal", { name: "a/.." }],
  ["a dot in the middle", "traversal", { name: "a/./b" }],
  ["an empty part", "traversal", { name: "a//b" }],
  ["an absolute path", "absolute", { name: "/etc/cron.d/evil" }],
  ["a drive letter", "drive", { name: "C:evil" }],
  ["a backslash path", "backslash", { name: "..\\evil" }],
  ["a newline in the name", "control", { name: "a\nb" }],
  ["an escape sequence in the name", "control", { name: "a\u001b[2Jb" }],
  ["a name that is not UTF-8", "encoding", { name: Buffer.from([0x61, 0xff, 0x62]) }],
  ["a symbolic link out", "type", { name: "link", type: "2", link: "/etc" }],
  ["a symbolic link within", "type", { name: "link", type: "2", link: "good.txt" }],
  ["a hard link", "type", { name: "link", type: "1", link: "/etc/passwd" }],
  ["a character device", "type", { name: "null", type: "3" }],
  ["a block device", "type", { name: "disk", type: "4" }],
  ["a named pipe", "type", { name: "pipe", type: "6" }],
  ["a contiguous file", "type", { name: "old", type: "7" }],
  ["an old GNU sparse file", "type", { name: "sparse", type: "S" }],
  ["an unknown type", "type", { name: "what", type: "Z" }],
  ["a directory with a body, at which the parser would hang", "malformed", { name: "dir", type: "5", body: "x" }],
  ["the same file twice", "duplicate", { name: "good.txt", body: "evil" }],
  ["a file below a file", "duplicate", { name: "good.txt/evil" }],
  ["a directory in place of a file", "duplicate", { name: "good.txt", type: "5" }],
  ["names that differ only in case", "case folding", { name: "GOOD.TXT" }],
  ["a size of minus nothing", "malformed", { name: "neg", size: Buffer.alloc(12, 0xff) }],
  ["a size beyond all numbers", "malformed", { name: "huge", size: Buffer.from([0x80, ...Buffer.alloc(11, 0xff)]) }],
  ["a file larger than what is allowed", "bytes", { name: "big", size: 0o7777777 }],
]
for (const [threat, rule, hostile] of corpus) {
  test(`an archive with ${threat} is refused whole`, async () => {
    await refused([good, raw(hostile), end], rule, /^./)
  })
}

test("a negative size is refused", () =>
  refused([good, raw({ name: "neg", size: Buffer.alloc(12, 0xff).fill(0xfe, 11) }), end], "malformed", ""))

test("an empty name is refused", () => refused([good, raw({ name: "" }), end], "empty", ""))

test("hostile names in extended headers are judged like those in plain ones", async () => {
  await refused([pax({ path: "../evil" }), raw({ name: "innocent" }), end], "traversal", "../evil")
  await refused([raw({ name: "x", type: "L", body: "/abs\0" }), raw({ name: "innocent" }), end], "absolute", "/abs")
  await refused([pax({ path: "a\0b" }), raw({ name: "innocent" }), end], "control", "a\0b")
  await refused([pax({ size: "99999999" }), raw({ name: "bomb", body: "x" }), end], "bytes", "bomb")
  await refused([pax({ "GNU.sparse.major": "1" }), raw({ name: "sparse" }), end], "type", "sparse")
})

test("paths too long, names too long and trees too deep are refused, exactly at the bound", async () => {
  const named = (path: string): Buffer[] => [pax({ path }), raw({ name: "x" }), end]
  await refused(named("n".repeat(256)), "name length", /^n+$/)
  await refused(named(Array(5).fill("n".repeat(205)).join("/")), "path length", /^n/)
  await refused(
    named(
      Array(DEPTH_MAX + 1)
        .fill("d")
        .join("/"),
    ),
    "depth",
    /^d/,
  )
  const out = join(home, "out")
  await unpack(pieces(Buffer.concat(named(Array(DEPTH_MAX).fill("d").join("/"))), 512), out, {
    room: roomFor(DEPTH_MAX * FOLDER_BYTES),
  })
  await rm(out, { recursive: true })
})

test("two spellings of one directory are refused", () =>
  refused([raw({ name: "Dir/a" }), raw({ name: "dir/b" }), end], "case folding", "dir/b"))

test("many small files over the sum are refused although each is within", () =>
  refused(
    ["a", "b", "c"].map(name => raw({ name, body: "x".repeat(400) })),
    "bytes",
    "c",
    1_000,
  ))

test("an archive of too many entries is refused", async () => {
  let count = 0
  async function* flood(): AsyncGenerator<Buffer> {
    while (count < ENTRIES_MAX * 2)
      yield Buffer.concat(Array.from({ length: 1_000 }, () => raw({ name: `d${count++}/`, type: "5" })))
  }
  const shortened = new AbortController()
  // A hundred thousand directories take seconds to make; the count itself is tested in rules.test.ts.
  setImmediate(() => shortened.abort())
  await assert.rejects(unpack(flood(), join(home, "out"), { room: roomFor(1e9), signal: shortened.signal }), {
    name: "AbortError",
  })
  assert.deepEqual(await readdir(home), [])
})

test("truncated and foreign bytes are refused as damaged", async () => {
  await refused([good, raw({ name: "cut", body: "x".repeat(600) }).subarray(0, 700)], "malformed", "")
  await refused([Buffer.alloc(2_048, "this is no archive at all ")], "malformed", "")
  const flipped = Buffer.from(good)
  flipped[0]! ^= 1
  await refused([flipped, end], "malformed", "")
})

test("a source that fails passes its own error on and leaves nothing", async () => {
  async function* failing(): AsyncGenerator<Buffer> {
    yield good
    throw new Error("the disk went away")
  }
  await assert.rejects(unpack(failing(), join(home, "out"), { room: roomFor(100) }), /the disk went away/)
  assert.deepEqual(await readdir(home), [])
})

test("a full disk is reported as one, and leaves nothing", {
  skip: process.getuid?.() !== 0 && "needs root to mount",
}, async () => {
  const small = await mkdtemp(join(tmpdir(), "cah-small-"))
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small])
  try {
    const archive = Buffer.concat([raw({ name: "big", body: "x".repeat(200_000) }), end])
    await assert.rejects(unpack(pieces(archive, 4_096), join(small, "out"), { room: roomFor(1e6) }), { code: "ENOSPC" })
    assert.deepEqual(await readdir(small), [])
  } finally {
    execFileSync("umount", [small])
    await rm(small, { recursive: true })
  }
})

test("setuid and world-writable bits are dropped, execution is kept", async () => {
  const out = join(home, "out")
  const archive = Buffer.concat([raw({ name: "suid", mode: 0o6777 }), raw({ name: "plain", mode: 0o666 }), end])
  await unpack(pieces(archive, 777), out, { room: roomFor(0) })
  assert.equal((await lstat(join(out, "suid"))).mode & 0o7777, 0o755)
  assert.equal((await lstat(join(out, "plain"))).mode & 0o7777, 0o644)
  await rm(out, { recursive: true })
})

test("what tar programs commonly write is taken: ./ in front, directories before or after their files", async () => {
  const out = join(home, "out")
  const archive = Buffer.concat([
    raw({ name: "./", type: "5" }),
    raw({ name: "./a/b.txt", body: "b" }),
    raw({ name: "./a/", type: "5" }),
    raw({ name: "./c/", type: "5" }),
    end,
  ])
  const unpacked = await unpack(pieces(archive, 1), out, { room: roomFor(1 + 2 * FOLDER_BYTES) })
  assert.deepEqual(unpacked, { files: [{ path: "a/b.txt", sizeBytes: 1 }], folders: ["a", "c"] })
  assert.equal(await readFile(join(out, "a/b.txt"), "utf8"), "b")
  assert.ok((await stat(join(out, "c"))).isDirectory())
  await rm(out, { recursive: true })
})

test("what stands at the destination is never replaced", async () => {
  await writeFile(join(home, "there"), "mine")
  await assert.rejects(
    unpack(pieces(Buffer.concat([good, end]), 512), join(home, "there"), { room: roomFor(10) }),
    /there already/,
  )
  assert.equal(await readFile(join(home, "there"), "utf8"), "mine")
  await rm(join(home, "there"))
})

test("S5: folders that only paths imply count as entries, and each takes its block of the disk", async () => {
  const deep = (top: number): Buffer =>
    raw({
      name: `${top}/${Array(DEPTH_MAX - 2)
        .fill("d")
        .join("/")}/f`,
    })
  async function* archive(count: number): AsyncGenerator<Buffer> {
    for (let top = 0; top < count; top++) yield deep(top)
    yield end
  }
  const out = join(home, "out")
  const folders = 10 * (DEPTH_MAX - 1)
  const room = { bytes: folders * FOLDER_BYTES, entries: ENTRIES_MAX }
  await unpack(archive(10), out, { room })
  assert.deepEqual(room, { bytes: 0, entries: ENTRIES_MAX - folders - 10 })
  await rm(out, { recursive: true })
  const bytes = { bytes: folders * FOLDER_BYTES - 1, entries: ENTRIES_MAX }
  await assert.rejects(unpack(archive(10), out, { room: bytes }), /unpacks to more than 1269759 bytes in all/)
  // Few enough by their own number, as in the report.
  await assert.rejects(
    unpack(archive(4_000), out, { room: { bytes: 1e9, entries: 5_000 } }),
    /more than 5000 files and/,
  )
  assert.deepEqual(await readdir(home), [])
})

test("S5: several archives may share one room", async () => {
  const room = roomFor(3)
  const archive = (): AsyncGenerator<Buffer> => pieces(Buffer.concat([raw({ name: "f", body: "xx" }), end]), 512)
  await unpack(archive(), join(home, "one"), { room })
  await assert.rejects(unpack(archive(), join(home, "two"), { room }), /more than 1 bytes in all/)
})

test("S16: an archive cut at the end of an entry is refused as truncated, whatever its last file ends in", async () => {
  const zeros = raw({ name: "zeros", body: "\0".repeat(4_096) })
  await refused([good], "malformed", "")
  await refused([good, end.subarray(512)], "malformed", "")
  await refused([zeros], "malformed", "")
  await refused([], "malformed", "")
  await assert.rejects(unpack(pieces(zeros, 512), join(home, "out"), { room: roomFor(10_000) }), /truncated/)
  const out = join(home, "out")
  // More zeros than needed: tar programs fill up whole records.
  await unpack(pieces(Buffer.concat([zeros, Buffer.alloc(10_240)]), 777), out, { room: roomFor(10_000) })
  await rm(out, { recursive: true })
})

test("S16: what follows the end of an archive is refused", async () => {
  await refused([good, end, pax({ path: "x" })], "malformed", "")
  await refused([good, pax({ path: "x" }), end], "malformed", "")
})

test("F10: names come out as they went in, decomposed ones too, and a clash of two spellings is refused", async () => {
  const out = join(home, "out")
  const archive = Buffer.concat([raw({ name: "e\u0301.txt", body: "x" }), end])
  await unpack(pieces(archive, 512), out, { room: roomFor(1) })
  assert.deepEqual(await readdir(out), ["e\u0301.txt"])
  await rm(out, { recursive: true })
  const both = [raw({ name: "e\u0301.txt" }), raw({ name: "\u00e9.txt" }), end]
  await refused(both, "case folding", "\u00e9.txt")
})
