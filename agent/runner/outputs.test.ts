import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { createReadStream } from "node:fs"
import { appendFile, mkdir, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "node:test"
import { listTree, pack } from "../../archive/pack.ts"
import { type UnpackedFile, unpack } from "../../archive/unpack.ts"
import { hexOf } from "../../proto/wire/digest.ts"
import { scratch } from "../fixtures.ts"
import { packOutputs } from "./outputs.ts"

const signal = new AbortController().signal

interface Job {
  readonly home: string
  readonly work: string
  readonly spool: string
  readonly staged: UnpackedFile[]
}

/** A working directory as it is just before its command: the stagein unpacked, nothing else. */
async function job(staged: Record<string, string>): Promise<Job> {
  const home = scratch()
  const origin = join(home, "origin")
  for (const [path, content] of Object.entries(staged)) {
    await mkdir(join(origin, path, ".."), { recursive: true })
    await writeFile(join(origin, path), content)
  }
  await mkdir(origin, { recursive: true })
  const work = join(home, "work")
  const spool = join(home, "spool")
  await mkdir(spool)
  const files = await unpack(pack(await listTree(origin)), work, { bytesMax: 1e6 })
  return { home, work, spool, staged: files }
}

async function returned(
  from: Job,
  patterns: string[] = [],
  sizeMaxBytes?: number,
): Promise<{ files: string[]; trouble: string }> {
  const options = sizeMaxBytes === undefined ? {} : { sizeMaxBytes }
  const { stageout, trouble } = await packOutputs({ ...from, patterns, signal, ...options })
  if (stageout === null) return { files: [], trouble }
  const spooled = join(from.spool, hexOf(stageout.digest))
  const files = await unpack(createReadStream(spooled), join(from.home, `back${Math.random()}`), { bytesMax: 1e6 })
  return { files: files.map(file => file.path), trouble }
}

test("new files and changed ones come back, untouched ones do not", async () => {
  const it = await job({ same: "same", longer: "a", rewritten: "abc", "sub/same": "x" })
  await appendFile(join(it.work, "longer"), "b")
  await writeFile(join(it.work, "rewritten"), "xyz")
  await mkdir(join(it.work, "out"))
  await writeFile(join(it.work, "out", "frame.png"), "png")
  assert.deepEqual(await returned(it), { files: ["longer", "out/frame.png", "rewritten"], trouble: "" })
})

test("nothing changed is nothing to return, and empty directories are nothing", async () => {
  const it = await job({ same: "same" })
  await mkdir(join(it.work, "empty"))
  assert.deepEqual(await returned(it), { files: [], trouble: "" })
  assert.deepEqual(await readdir(it.spool), [])
})

test("with patterns, what they name comes back, changed or not, and nothing else", async () => {
  const it = await job({ "in.dat": "" })
  for (const file of ["a.png", "b.txt"]) await writeFile(join(it.work, file), "")
  assert.deepEqual((await returned(it, ["*.png", "in.*"])).files, ["a.png", "in.dat"])
  assert.deepEqual(await returned(it, ["*.none"]), { files: [], trouble: "" })
})

test("a link to the host's files is not followed, and is named; the rest comes back", async () => {
  const it = await job({})
  await symlink("/etc/shadow", join(it.work, "shadow"))
  await symlink("/etc", join(it.work, "etc"))
  await symlink("../spool", join(it.work, "spool"))
  execFileSync("mkfifo", [join(it.work, "pipe")])
  await writeFile(join(it.work, "result"), "fine")
  await symlink("result", join(it.work, "latest"))
  const { files, trouble } = await returned(it)
  assert.deepEqual(files, ["latest", "result"])
  assert.match(trouble, /^not returned: "etc": a symbolic link out of the tree; "pipe": a named pipe.*; and 1 more$/)
  assert.deepEqual(
    await returned(it, ["res*"]),
    { files: ["result"], trouble: "" },
    "what no pattern names is not missed",
  )
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
  assert.deepEqual(await returned(it, [], 50_000), {
    files: [],
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
