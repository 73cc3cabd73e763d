import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { listTree, measure, pack, packToFile } from "./pack.ts"
import { ArchiveError } from "./rules.ts"
import { roomFor, UNPACKED_MTIME_MS, unpack } from "./unpack.ts"

const home = await mkdtemp(join(tmpdir(), "cah-pack-"))
after(() => rm(home, { recursive: true }))
let count = 0
async function tree(files: Record<string, string>): Promise<string> {
  const root = join(home, `tree${count++}`)
  await mkdir(root)
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, ".."), { recursive: true })
    await writeFile(join(root, path), content)
  }
  return root
}
const broken = (rule: string, entry: string) => (error: unknown) =>
  error instanceof ArchiveError && error.rule === rule && error.entry === entry

test("the same files give the same bytes, whatever their times, owners and order of making", async () => {
  const one = await tree({ "a.txt": "A", "sub/b.txt": "B" })
  const two = await tree({ "sub/b.txt": "B", "a.txt": "A" })
  await utimes(join(two, "a.txt"), 1, 1)
  await chmod(join(two, "a.txt"), 0o600)
  const first = await measure(await listTree(one))
  assert.deepEqual(await measure((await listTree(two)).reverse()), first)
  await chmod(join(two, "a.txt"), 0o755)
  assert.notDeepEqual(await measure(await listTree(two)), first, "whether it can be executed is part of it")
})

test("what is packed unpacks to the same, empty directories and long names included, and GNU tar reads it too", async () => {
  const long = `${"d".repeat(120)}/${"é".repeat(80)}.txt`
  const root = await tree({ "empty.txt": "", "run.sh": "#!/bin/sh\n", big: "x".repeat(300_000), [long]: "long" })
  await chmod(join(root, "run.sh"), 0o775)
  await mkdir(join(root, "nothing"))
  const file = join(home, "archive.tar")
  const packed = await packToFile(await listTree(root), file)
  assert.equal((await stat(file)).size, packed.sizeBytes)
  assert.equal(packed.sizeBytes % 512, 0)

  const out = join(home, "out")
  const { files } = await unpack(pack(await listTree(root)), out, { room: roomFor(1e6) })
  assert.deepEqual(
    files.map(f => f.path),
    ["big", long, "empty.txt", "run.sh"],
  )
  assert.deepEqual(await measure(await listTree(out)), { digest: packed.digest, sizeBytes: packed.sizeBytes })
  assert.equal((await stat(join(out, "run.sh"))).mode & 0o7777, 0o755)
  assert.equal((await stat(join(out, "big"))).mtimeMs, UNPACKED_MTIME_MS)
  assert.match(execFileSync("tar", ["tf", file], { env: { LC_ALL: "C.UTF-8" } }).toString(), /nothing\/\n/)
})

test("a file that grows, shrinks or is replaced between listing and packing fails, and is named", async () => {
  const root = await tree({ "a.txt": "aaa" })
  for (const change of [
    () => appendFile(join(root, "a.txt"), "more"),
    () => writeFile(join(root, "a.txt"), "b"),
    async () => {
      const content = await readFile(join(root, "a.txt"))
      await rm(join(root, "a.txt"))
      await writeFile(join(root, "a.txt"), content)
    },
  ]) {
    const entries = await listTree(root)
    await change()
    await assert.rejects(measure(entries), broken("changed", "a.txt"))
  }
})

test("a file that changes while it is being read fails, and no half archive is left", async () => {
  const root = await tree({ "a.txt": "a".repeat(1_000_000) })
  const entries = await listTree(root)
  const chunks = pack(entries)
  await chunks.next()
  await utimes(join(root, "a.txt"), 5, 5)
  await assert.rejects(
    async () => {
      for await (const _ of chunks);
    },
    broken("changed", "a.txt"),
  )
  const file = join(home, "half.tar")
  await assert.rejects(packToFile(entries, file), broken("changed", "a.txt"))
  await assert.rejects(stat(file), { code: "ENOENT" })
})

test("a link to a file in the tree is packed as that file", async () => {
  const root = await tree({ "real.txt": "real", "sub/x": "" })
  await symlink("../real.txt", join(root, "sub", "link.txt"))
  const out = join(home, "linked")
  await unpack(pack(await listTree(root)), out, { room: roomFor(1e4) })
  assert.equal(await readFile(join(out, "sub/link.txt"), "utf8"), "real")
})

test("links out of the tree, to nowhere and in a circle are refused by name", async () => {
  for (const target of ["/etc/passwd", "../../../../etc/passwd", "nowhere", "link", ".", "dir/x/y"]) {
    const root = await tree({ "dir/x": "" })
    await symlink(target, join(root, "link"))
    await assert.rejects(listTree(root), broken("link", "link"), target)
  }
})

test("sockets and named pipes are refused by name, without opening them", async () => {
  const root = await tree({})
  execFileSync("mkfifo", [join(root, "pipe")])
  await assert.rejects(listTree(root), broken("type", "pipe"))
  await rm(join(root, "pipe"))
  const server = createServer().listen(join(root, "socket"))
  await new Promise(resolve => server.once("listening", resolve))
  await assert.rejects(listTree(root), broken("type", "socket"))
  server.close()
})

test("what cannot be packed is told and left out when the caller can do without it", async () => {
  const root = await tree({ "a.txt": "", "bad\nname": "", "B.txt": "", "b.txt": "" })
  await symlink("/etc/shadow", join(root, "shadow"))
  const problems: string[] = []
  const entries = await listTree(root, { skip: problem => problems.push(`${problem.entry} ${problem.rule}`) })
  assert.deepEqual(
    entries.map(e => e.path),
    ["B.txt", "a.txt"],
  )
  assert.deepEqual(problems, ["b.txt case folding", "bad\nname control", "shadow link"])
})

test("a filter leaves out files and whole directories, unreadable ones too", async () => {
  const root = await tree({ "keep/a": "", ".git/b": "", "c.tmp": "" })
  await symlink("/etc/passwd", join(root, "d.tmp"))
  const filter = (path: string): boolean => path !== ".git" && !path.endsWith(".tmp")
  await rm(join(root, "d.tmp"))
  assert.deepEqual(
    (await listTree(root, { filter })).map(e => e.path),
    ["keep", "keep/a"],
  )
})

test("an unreadable file is named", { skip: process.getuid?.() === 0 && "root can read everything" }, async () => {
  const root = await tree({ "secret.txt": "" })
  await chmod(join(root, "secret.txt"), 0)
  await assert.rejects(listTree(root), broken("unreadable", "secret.txt"))
})

test("a missing root is named", async () => {
  await assert.rejects(listTree(join(home, "missing")), /missing.*is not there/)
})

test("an archive above its bound fails and leaves no file", async () => {
  const root = await tree({ big: "x".repeat(100_000) })
  await assert.rejects(packToFile(await listTree(root), join(home, "big.tar"), { sizeMaxBytes: 50_000 }), /50000 bytes/)
  assert.ok(!(await readdir(home)).includes("big.tar"))
})

test("giving up in the middle closes every file", async () => {
  const root = await tree({ big: "x".repeat(1_000_000) })
  const handles = async (): Promise<number> => (await readdir("/proc/self/fd")).length
  const before = await handles()
  for (let i = 0; i < 5; i++) for await (const _ of pack(await listTree(root))) break
  const controller = new AbortController()
  controller.abort()
  await assert.rejects(measure(await listTree(root), { signal: controller.signal }), { name: "AbortError" })
  assert.equal(await handles(), before)
})

test("F8: links in the tree come as what they lead to, as those saw them who made them", async () => {
  const root = await tree({ "run1/a.txt": "a", "deep/er/x": "x" })
  const inside = { "/work/run1/a.txt": "a", "../work/run1/a.txt": "a", [`${root}/run1/a.txt`]: "a", "d/a.txt": "a" }
  let index = 0
  for (const target of Object.keys(inside)) await symlink(target, join(root, `l${index++}`))
  await symlink("/work/run1", join(root, "d"))
  await symlink("../../run1/../l0", join(root, "deep", "er", "back"))
  const entries = await listTree(root, { knownAs: ["/work"] })
  const paths = entries.filter(({ kind }) => kind === "file").map(({ path }) => path)
  assert.deepEqual(paths, ["d/a.txt", "deep/er/back", "deep/er/x", "l0", "l1", "l2", "l3", "run1/a.txt"])
  const out = join(home, "followed")
  await unpack(pack(entries), out, { room: roomFor(1e6) })
  for (const path of paths) assert.equal(await readFile(join(out, path), "utf8"), path === "deep/er/x" ? "x" : "a")
  assert.deepEqual(
    (await listTree(root, { links: "none", skip: () => {} })).map(({ path }) => path),
    ["deep", "deep/er", "deep/er/x", "run1", "run1/a.txt"],
  )
})

test("F8: a link to a folder that it lies in, through others or not, is told and the rest packed", async () => {
  const root = await tree({ "a/x": "", "b/y": "" })
  await symlink("../b", join(root, "a", "b"))
  await symlink("../a", join(root, "b", "a"))
  await symlink("/work", join(root, "all"))
  const problems: string[] = []
  const skip = (problem: ArchiveError): void => void problems.push(`${problem.entry}: ${problem.what}`)
  const entries = await listTree(root, { knownAs: ["/work"], skip })
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["a", "a/b", "a/b/y", "a/x", "b", "b/a", "b/a/x", "b/y"],
  )
  assert.deepEqual(
    problems,
    ["a/b/a", "all", "b/a/b"].map(path => `${path}: a symbolic link to a folder that it lies in`),
  )
})

test("F9: a name that is not UTF-8 is called that, and not a file that is missing", async () => {
  const root = await tree({ "fine.txt": "" })
  await writeFile(Buffer.concat([Buffer.from(`${root}/caf`), Buffer.from([0xe9]), Buffer.from(".txt")]), "x")
  await assert.rejects(listTree(root), { rule: "encoding", message: /its name is not UTF-8/ })
  const rest = await listTree(root, { filter: path => !path.startsWith("caf") })
  assert.equal(rest.length, 1, "and can be left out")
})

test("F10: a decomposed name is packed as it is, and one that clashes with its twin names it", async () => {
  const root = await tree({ "e\u0301.txt": "d" })
  assert.deepEqual(
    (await listTree(root)).map(({ path }) => path),
    ["e\u0301.txt"],
  )
  await writeFile(join(root, "\u00e9.txt"), "c")
  await assert.rejects(listTree(root), {
    message: /^"\u00e9.txt": differs only in case, or in how an accent .* "e\u0301.txt"$/,
  })
})

test("F8: names that differ only in case are named both", async () => {
  const root = await tree({ "chrM.txt": "", "chrm.txt": "" })
  await assert.rejects(listTree(root), { message: /^"chrm.txt": differs only in case, .* from "chrM.txt"$/ })
})

test("M7: inputs that are links elsewhere come along when links are followed anywhere", async () => {
  const elsewhere = await tree({ "genome.fa": "ACGT", "index/0": "0" })
  const root = await tree({ "run.sh": "" })
  await symlink(join(elsewhere, "genome.fa"), join(root, "genome.fa"))
  await symlink(join(elsewhere, "index"), join(root, "index"))
  await symlink("../genome.fa", join(elsewhere, "index", "genome.fa"))
  const out = join(home, "dereferenced")
  const { files } = await unpack(pack(await listTree(root, { links: "anywhere" })), out, { room: roomFor(1e6) })
  assert.deepEqual(
    files.map(({ path, sizeBytes }) => [path, sizeBytes]),
    [
      ["genome.fa", 4],
      ["index/0", 1],
      ["index/genome.fa", 4],
      ["run.sh", 0],
    ],
  )
})
