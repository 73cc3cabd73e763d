import assert from "node:assert/strict"
import { PassThrough, Readable } from "node:stream"
import { describe, it } from "node:test"
import { type Entry, entriesOf, tarOf } from "./fixtures.ts"
import { installedOf, matcher, refineTree, type Tree } from "./tree.ts"

const epoch = 1_700_000_000
const added = { path: "/etc/hostname", mode: 0o644, text: "cah\n" }

async function refined(entries: readonly Entry[], exclude: readonly string[] = []) {
  const sink = new PassThrough()
  const chunks: Buffer[] = []
  sink.on("data", (chunk: Buffer) => chunks.push(chunk))
  const tree: Tree = await refineTree(Readable.from([await tarOf(entries)]), sink, { exclude, add: [added], epoch })
  return { tree, out: await entriesOf(Buffer.concat(chunks)) }
}

const names = (out: readonly { readonly name: string }[]): string[] => out.map(entry => entry.name)

describe("a tree that is refined", () => {
  it("keeps owners, modes and links, and knows no moment after the archive's", async () => {
    const { out } = await refined([
      { name: "./", type: "directory" },
      { name: "./usr/", type: "directory", mode: 0o755 },
      { name: "./usr/old", text: "a", uid: 5, gid: 8, mode: 0o4755, mtime: new Date(1_000) },
      { name: "./usr/new", text: "b", mtime: new Date((epoch + 99) * 1_000), uname: "me", gname: "us" },
      { name: "./bin", type: "symlink", linkname: "usr/bin" },
      { name: "./usr/twin", type: "link", linkname: "./usr/old" },
    ])
    assert.deepEqual(names(out), ["./usr/", "./usr/old", "./usr/new", "./bin", "./usr/twin", "./etc/hostname"])
    const [, old, fresh, bin, twin] = out
    assert.deepEqual([old?.uid, old?.gid, old?.mode, old?.text, +old!.mtime], [5, 8, 0o4755, "a", 1_000])
    assert.deepEqual([+fresh!.mtime, fresh?.uname, fresh?.gname], [epoch * 1_000, "", ""])
    assert.deepEqual(
      [bin?.type, bin?.linkname, twin?.type, twin?.linkname],
      ["symlink", "usr/bin", "link", "./usr/old"],
    )
  })

  it("leaves out what the recipe excludes, and what tells of this machine", async () => {
    const { out } = await refined(
      [
        { name: "./usr/share/doc/", type: "directory" },
        { name: "./usr/share/doc/a/copyright", text: "x" },
        { name: "./usr/share/docs", text: "kept" },
        { name: "./etc/resolv.conf", text: "nameserver 192.0.2.1" },
        { name: "./etc/hostname", text: "builder" },
        { name: "./etc/apt/sources.list", text: "deb http://near.example.org/debian" },
        { name: "./var/log/dpkg.log", text: "today" },
        { name: "./dev/null", type: "character-device" },
      ],
      ["/usr/share/doc/*"],
    )
    assert.deepEqual(names(out), ["./usr/share/doc/", "./usr/share/docs", "./etc/hostname"])
    assert.equal(out[2]?.text, "cah\n")
  })

  it("does not leave out a file that another name stands for", async () => {
    const entries = [
      { name: "./usr/bin/perl", text: "x" },
      { name: "./usr/bin/perl5", type: "link", linkname: "./usr/bin/perl" },
    ] as const
    await assert.rejects(
      refined(entries, ["/usr/bin/perl"]),
      /exclude leaves \.\/usr\/bin\/perl out, which \/usr\/bin\/perl5 is/,
    )
    assert.deepEqual(names((await refined(entries, ["/usr/bin/perl*"])).out), ["./etc/hostname"])
  })

  it("says which package brought each file, though packages know /lib and trees /usr/lib", async () => {
    const { tree } = await refined([
      { name: "./usr/lib/libc.so", text: "12345" },
      { name: "./usr/lib/stray", text: "1" },
      { name: "./var/lib/dpkg/info/libc6:amd64.list", text: "/.\n/lib\n/lib/libc.so\n" },
      { name: "./var/lib/dpkg/status", text: "Package: libc6\nStatus: install ok installed\nVersion: 2.41-12\n" },
    ])
    assert.deepEqual(tree.files.slice(0, 2), [
      { path: "/usr/lib/libc.so", sizeBytes: 5, package: "libc6" },
      { path: "/usr/lib/stray", sizeBytes: 1, package: "" },
    ])
    assert.deepEqual(tree.packages, [{ name: "libc6", version: "2.41-12" }])
  })

  it("has a digest that any byte, mode, owner or moment changes", async () => {
    const digest = async (change: Partial<Entry>): Promise<string> => {
      const { tree } = await refined([
        { name: "./a", text: "a", mode: 0o644, uid: 1, mtime: new Date(5_000), ...change },
      ])
      return tree.sha256
    }
    const digests = [{}, { text: "b" }, { mode: 0o600 }, { uid: 2 }, { mtime: new Date(6_000) }, { name: "./b" }].map(
      digest,
    )
    assert.equal(new Set(await Promise.all(digests)).size, digests.length)
    assert.equal(await digest({}), await digests[0])
  })

  it("sets aside what was only downloaded", async () => {
    const { tree, out } = await refined([
      { name: "./cah-downloads/", type: "directory" },
      { name: "./cah-downloads/kernel_1.deb", text: "deb" },
    ])
    assert.deepEqual([...tree.downloads], [["kernel_1.deb", Buffer.from("deb")]])
    assert.deepEqual(names(out), ["./etc/hostname"])
  })

  it("that is no tar, or breaks off, is an error and no hang", async () => {
    const whole = await tarOf([{ name: "./a", text: "x".repeat(5_000) }])
    for (const bytes of [Buffer.alloc(2_000, "x"), whole.subarray(0, 3_000)]) {
      const sink = new PassThrough().resume()
      await assert.rejects(refineTree(Readable.from([bytes]), sink, { exclude: [], add: [], epoch }))
    }
  })
})

describe("dpkg's status", () => {
  it("gives the packages that are installed, by name", () => {
    const stanza = (name: string, status: string): string => `Package: ${name}\nStatus: ${status}\nVersion: 1:2-3\n`
    const status = [
      stanza("zlib1g", "install ok installed"),
      stanza("gone", "deinstall ok config-files"),
      stanza("apt", "install ok installed"),
    ].join("\n")
    assert.deepEqual(installedOf(status), [
      { name: "apt", version: "1:2-3" },
      { name: "zlib1g", version: "1:2-3" },
    ])
  })
})

describe("a pattern", () => {
  it("is a path in which * is any text, and nothing else is special", () => {
    const isOut = matcher(["/usr/share/doc/*", "/usr/lib/lib?.so+", "/etc/*-"])
    for (const path of ["/usr/share/doc/a", "/usr/share/doc/a/b", "/usr/lib/lib?.so+", "/etc/passwd-"]) {
      assert.equal(isOut(path), true, path)
    }
    for (const path of [
      "/usr/share/doc",
      "/x/usr/share/doc/a",
      "/usr/lib/liba.so+",
      "/usr/lib/lib?.soo",
      "/etc/passwd",
    ]) {
      assert.equal(isOut(path), false, path)
    }
    assert.equal(matcher([])("/"), false)
  })

  it("that begins with an exclamation mark says what stays", () => {
    const isOut = matcher(["!/usr/share/doc/*/copyright", "/usr/share/doc/*"])
    assert.deepEqual([isOut("/usr/share/doc/a/changelog"), isOut("/usr/share/doc/a/copyright")], [true, false])
  })
})
