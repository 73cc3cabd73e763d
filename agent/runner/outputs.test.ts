import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { createReadStream } from "node:fs"
import { appendFile, mkdir, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { listTree, pack } from "../../archive/pack.ts"
import { DEPTH_MAX } from "../../archive/rules.ts"
import { roomFor, type Unpacked, unpack } from "../../archive/unpack.ts"
import { hexOf } from "../../proto/wire/digest.ts"
import { scratch } from "../fixtures.ts"
import { type OutputsRequest, packOutputs } from "./outputs.ts"

const signal = new AbortController().signal

interface Job {
  readonly home: string
  readonly work: string
  readonly spool: string
  readonly staged: Unpacked
}

/** A working directory as it is just before its command: the stagein unpacked, nothing else. */
async function job(contents: Record<string, string>): Promise<Job> {
  const home = scratch()
  const origin = join(home, "origin")
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(join(origin, path, ".."), { recursive: true })
    await writeFile(join(origin, path), content)
  }
  await mkdir(origin, { recursive: true })
  const work = join(home, "work")
  const spool = join(home, "spool")
  await mkdir(spool)
  const staged = await unpack(pack(await listTree(origin)), work, { room: roomFor(1e6) })
  return { home, work, spool, staged }
}

interface Returned {
  readonly files: readonly string[]
  readonly folders: readonly string[]
  readonly trouble: string
  readonly warnings: readonly string[]
}

const nothing: Returned = { files: [], folders: [], trouble: "", warnings: [] }

async function returned(from: Job, patterns: string[] = [], options: Partial<OutputsRequest> = {}): Promise<Returned> {
  const about = { patterns, required: false, knownAs: "/work", signal, ...options }
  const { stageout, trouble, warnings: lines } = await packOutputs({ ...from, ...about })
  const warnings = lines === "" ? [] : lines.split("\n")
  if (stageout === null) return { ...nothing, trouble, warnings }
  const spooled = createReadStream(join(from.spool, hexOf(stageout.digest)))
  const { files, folders } = await unpack(spooled, join(from.home, `back${Math.random()}`), { room: roomFor(1e6) })
  return { files: files.map(file => file.path), folders, trouble, warnings }
}

async function make(from: Job, ...files: string[]): Promise<void> {
  for (const file of files) {
    await mkdir(join(from.work, file, ".."), { recursive: true })
    await writeFile(join(from.work, file), "")
  }
}

test("new files and changed ones come back, untouched ones do not", async () => {
  const it = await job({ same: "same", longer: "a", rewritten: "abc", "sub/same": "x" })
  await appendFile(join(it.work, "longer"), "b")
  await writeFile(join(it.work, "rewritten"), "xyz")
  await make(it, "out/frame.png")
  assert.deepEqual(await returned(it), { ...nothing, files: ["longer", "out/frame.png", "rewritten"] })
})

test("nothing changed is nothing to return", async () => {
  const it = await job({ same: "same", "sub/same": "x" })
  assert.deepEqual(await returned(it), nothing)
  assert.deepEqual(await readdir(it.spool), [])
  await rm(join(it.work, "sub", "same"))
  assert.deepEqual(await returned(it), nothing, "a folder that was not made by the job")
})

test("F22: a new folder with nothing in it comes back, as does one that a pattern matches", async () => {
  const it = await job({ same: "same" })
  await mkdir(join(it.work, "empty", "er"), { recursive: true })
  await make(it, "full/x")
  assert.deepEqual(await returned(it), { ...nothing, files: ["full/x"], folders: ["empty/er"] })
  assert.deepEqual(await returned(it, ["emp*"]), { ...nothing, folders: ["empty/er"] })
  assert.deepEqual(await returned(it, ["full/"]), { ...nothing, files: ["full/x"] })
})

test("with patterns, what they name comes back, changed or not, and nothing else", async () => {
  const it = await job({ "in.dat": "" })
  await make(it, "a.png", "b.txt")
  assert.deepEqual((await returned(it, ["*.png", "in.*"])).files, ["a.png", "in.dat"])
})

test("F6: a pattern that matches nothing is a warning, and trouble where it was required", async () => {
  const it = await job({})
  await make(it, "result.txt")
  assert.deepEqual(await returned(it, ["result.csv"]), { ...nothing, warnings: ["result.csv matched nothing"] })
  const some = await returned(it, ["*.txt", "*.csv"])
  assert.deepEqual(some, { ...nothing, files: ["result.txt"], warnings: ["*.csv matched nothing"] })
  const strict = await returned(it, ["*.txt", "*.csv"], { required: true })
  assert.deepEqual(strict, { ...nothing, files: ["result.txt"], trouble: "*.csv matched nothing" })
  await rm(join(it.work, "result.txt"))
  assert.deepEqual(await returned(it, [], { required: true }), { ...nothing, trouble: "nothing came back" })
  const many = Array.from({ length: 30 }, (_, i) => `f${i}`)
  assert.equal((await returned(it, many)).warnings.at(-1), "20 more patterns matched nothing")
})

test("F19: a pattern that matches a folder means all in it, with wildcards or without", async () => {
  const it = await job({})
  await make(it, "out/a", "out/.hidden", "out/deep/b", "other/c")
  const all = { ...nothing, files: ["out/.hidden", "out/a", "out/deep/b"] }
  for (const pattern of ["out", "out/", "ou*", "ou?/", "{out,none}"])
    assert.deepEqual(await returned(it, [pattern]), all)
})

test("F19: a pattern with ! takes out, of what came before it or of what changed", async () => {
  const it = await job({ "in.dat": "" })
  await make(it, "big/1", "big/keep", "small")
  assert.deepEqual(await returned(it, ["!big"]), { ...nothing, files: ["small"] })
  assert.deepEqual(await returned(it, ["*", "!big", "big/keep"]), {
    ...nothing,
    files: ["big/keep", "in.dat", "small"],
  })
  await make(it, "!odd")
  assert.deepEqual(await returned(it, ["\\!odd"]), { ...nothing, files: ["!odd"] })
})

test("F19: a pattern that is the name of a file but means others is remarked on, with what to write", async () => {
  const it = await job({})
  await make(it, "a[1].txt", "a1.txt")
  const remark = "a[1].txt is a pattern and not the file of that name: write a\\[1\\].txt"
  assert.deepEqual(await returned(it, ["a[1].txt"]), { ...nothing, files: ["a1.txt"], warnings: [remark] })
  assert.deepEqual(await returned(it, ["a\\[1\\].txt"]), { ...nothing, files: ["a[1].txt"] })
})

test("F8: a link out of the working directory is not followed, and is a warning; the rest comes back", async () => {
  const it = await job({})
  await symlink("/etc/shadow", join(it.work, "shadow"))
  await symlink("/etc", join(it.work, "etc"))
  await symlink("../spool", join(it.work, "spool"))
  await symlink("gone", join(it.work, "dangling"))
  execFileSync("mkfifo", [join(it.work, "pipe")])
  const server = createServer().listen(join(it.work, "socket"))
  await new Promise(resolve => server.once("listening", resolve))
  await make(it, "result")
  await symlink("result", join(it.work, "latest"))
  const all = await returned(it)
  server.close()
  assert.deepEqual(all, {
    ...nothing,
    files: ["latest", "result"],
    warnings: [
      'left out: "dangling": a symbolic link that leads nowhere (is not there); ' +
        '"etc", "shadow", "spool": a symbolic link out of the tree; ' +
        '"pipe": a named pipe; only files and folders can be packed; ' +
        '"socket": a socket; only files and folders can be packed',
    ],
  })
  assert.deepEqual(
    await returned(it, ["res*"]),
    { ...nothing, files: ["result"] },
    "what no pattern names is not missed",
  )
})

test("F8: links come back as what they led to for the job: absolute ones below /work, and those to folders", async () => {
  const it = await job({ "in/a": "a" })
  await make(it, "run42/frame.png")
  await symlink("/work/run42/frame.png", join(it.work, "frame.png"))
  await symlink("/work/run42", join(it.work, "latest"))
  await symlink("../work/in/a", join(it.work, "a"))
  const files = ["a", "frame.png", "latest/frame.png", "run42/frame.png"]
  assert.deepEqual(await returned(it), { ...nothing, files })
})

test("F8: where copies of what links lead to are too much, the rest comes back without them", async () => {
  const it = await job({})
  await writeFile(join(it.work, "big"), "x".repeat(60_000))
  await symlink("big", join(it.work, "again"))
  assert.deepEqual(await returned(it, [], { sizeMaxBytes: 100_000 }), {
    ...nothing,
    files: ["big"],
    warnings: [
      "links were not followed: with what they lead to, the outputs are more than 100000 bytes",
      'left out: "again": a symbolic link, not followed',
    ],
  })
})

test("F8: files that no archive can hold are all named at once, and fail the job", async () => {
  const it = await job({})
  const deep = Array(DEPTH_MAX).fill("d").join("/")
  await make(it, "chrM.txt", "chrm.txt", "tab\there", "back\\slash", `${deep}/f`, "fine")
  const { files, trouble, warnings } = await returned(it)
  assert.deepEqual([files, warnings], [["chrM.txt", "fine"], []])
  assert.match(trouble, /^not returned: "back\\\\slash": a backslash in its name/)
  assert.match(trouble, /"chrm.txt": differs only in case, .* from "chrM.txt"; /)
  assert.match(trouble, /"d\/d\/.*\/f": lies more than 32 levels deep; /)
  assert.match(trouble, /"tab\\there": control characters in its name/)
})

test("F8: names that share a fault stand together, and those beyond the message are counted", async () => {
  const it = await job({})
  await make(it, ...Array.from({ length: 500 }, (_, i) => `\t${i}`))
  const { trouble } = await returned(it)
  assert.ok(trouble.length < 1_600, `${trouble.length}`)
  assert.match(trouble, /^not returned: "\\t0", "\\t1", .*: control characters in its name; and 3\d\d more$/)
})

test("F9: a name that is not UTF-8 is called that", async () => {
  const it = await job({})
  await writeFile(Buffer.concat([Buffer.from(`${it.work}/caf`), Buffer.from([0xe9])]), "")
  assert.match((await returned(it)).trouble, /^not returned: "caf\ufffd": its name is not UTF-8$/)
})

test("F10: a decomposed name comes back as it is, and is found by a pattern that is not decomposed", async () => {
  const it = await job({})
  await make(it, "e\u0301.txt")
  assert.deepEqual((await returned(it)).files, ["e\u0301.txt"])
  assert.deepEqual((await returned(it, ["\u00e9.*"])).files, ["e\u0301.txt"])
})

test("a working directory replaced by a link is not followed either", async () => {
  const it = await job({})
  await rm(it.work, { recursive: true })
  await mkdir(join(it.home, "elsewhere"))
  await symlink(join(it.home, "elsewhere"), it.work)
  assert.match((await returned(it)).trouble, /working directory/)
})

test("outputs above the bound are told, and nothing half stays in the spool", async () => {
  const it = await job({})
  await writeFile(join(it.work, "big"), "x".repeat(100_000))
  assert.deepEqual(await returned(it, [], { sizeMaxBytes: 50_000 }), {
    ...nothing,
    trouble: "the outputs could not be packed: they are more than 50000 bytes",
  })
  assert.deepEqual(await readdir(it.spool), [])
})

test("a pattern that cannot be meant is told", async () => {
  assert.match((await returned(await job({}), ["/etc/*"])).trouble, /relative to the working directory/)
})

test("a file with the stagein's time but another size is changed, and one moved into place is new", async () => {
  const it = await job({ a: "a" })
  await writeFile(join(it.work, "a"), "aa")
  await utimes(join(it.work, "a"), new Date(Date.UTC(1980, 0, 2)), new Date(Date.UTC(1980, 0, 2)))
  await writeFile(join(it.work, "b"), "b")
  await utimes(join(it.work, "b"), new Date(Date.UTC(1980, 0, 2)), new Date(Date.UTC(1980, 0, 2)))
  assert.deepEqual((await returned(it)).files, ["a", "b"])
})
