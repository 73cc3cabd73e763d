import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { describe, it } from "node:test"
import { chooseSources, debootstrap, guestSources, releaseDate, shellWord, sourceLines } from "./debian.ts"
import type { Recipe } from "./recipe.ts"

const recipe: Recipe = {
  name: "base",
  suite: "trixie",
  mirror: "http://deb.debian.org/debian",
  snapshot: null,
  kernel: "linux-image-cloud-amd64",
  packages: ["nodejs", "bubblewrap"],
  exclude: [],
  files: [],
  run: ["echo it's done >/etc/done"],
  memoryMb: 384,
}

describe("where packages come from", () => {
  it("is the mirror that was named, with the security updates beside it", async () => {
    const sources = await chooseSources(recipe, "http://mirror.example.org/debian/")
    assert.deepEqual(sourceLines(sources), [
      "deb http://mirror.example.org/debian trixie main",
      "deb http://mirror.example.org/debian trixie-updates main",
      "deb http://mirror.example.org/debian-security trixie-security main",
    ])
    assert.equal(sources.isOld, false)
  })

  it("is the archive of snapshots for a recipe that names one, and its age is no error", async () => {
    const sources = await chooseSources({ ...recipe, snapshot: "20261120T000000Z" }, null)
    assert.equal(sources.main, "http://snapshot.debian.org/archive/debian/20261120T000000Z")
    assert.equal(sources.security, "http://snapshot.debian.org/archive/debian-security/20261120T000000Z")
    const call = debootstrap({ recipe, sources, epoch: 1, isRoot: true, overlay: "/o.tar" })
    assert.ok(call.arguments.includes('--aptopt=Acquire::Check-Valid-Until "false"'))
  })

  it("is not what the guest's own apt is told: that is the recipe's, whichever mirror was near", () => {
    assert.match(guestSources(recipe), /^URIs: http:\/\/deb\.debian\.org\/debian\nSuites: trixie trixie-updates$/m)
    assert.match(guestSources(recipe), /^URIs: http:\/\/deb\.debian\.org\/debian-security\nSuites: trixie-security$/m)
  })
})

describe("the call of mmdebstrap", () => {
  const sources = { main: "http://m/debian", security: "http://m/debian-security", suite: "trixie", isOld: false }
  const call = debootstrap({ recipe, sources, epoch: 1_700_000_000, isRoot: false, overlay: "/tmp/o'k.tar" })

  it("is one of an ordinary user, for a fixed moment, with the recipe's packages", () => {
    assert.deepEqual(call.arguments.slice(0, 5), [
      "--mode=unshare",
      "--variant=apt",
      "--format=tar",
      "--architectures=amd64",
      "--include=nodejs,bubblewrap",
    ])
    assert.deepEqual(call.environment, { SOURCE_DATE_EPOCH: "1700000000" })
    assert.deepEqual(call.arguments.slice(-5, -3), ["trixie", "-"])
    const root = debootstrap({ recipe, sources, epoch: 1, isRoot: true, overlay: "/o.tar" })
    assert.equal(root.arguments[0], "--mode=root")
  })

  it("lays our files over the tree before it runs the recipe's lines, quotes and all", () => {
    const hooks = call.arguments.filter(word => word.startsWith("--customize-hook="))
    assert.equal(hooks[0], "--customize-hook=tar-in '/tmp/o'\\''k.tar' /")
    assert.equal(hooks[1], `--customize-hook=chroot "$1" /bin/sh -e -c 'echo it'\\''s done >/etc/done'`)
    assert.match(hooks[2] ?? "", /download busybox-static linux-image-cloud-amd64 /)
  })

  it("gives a shell words that stay what they are", () => {
    for (const word of ["plain", "it's", '$HOME `id` "x" \\', "a\nb", ""]) {
      const { stdout } = spawnSync("/bin/sh", ["-c", `printf %s ${shellWord(word)}`], { encoding: "utf8" })
      assert.equal(stdout, word)
    }
  })
})

describe("a Release file", () => {
  it("tells the archive's moment", () => {
    const release =
      "-----BEGIN PGP SIGNED MESSAGE-----\n\nOrigin: Debian\nDate: Sat, 15 Nov 2026 10:21:05 UTC\nSHA256:\n"
    assert.equal(releaseDate(release, "here"), Date.UTC(2026, 10, 15, 10, 21, 5) / 1_000)
  })

  it("that is none is refused, with where it came from", () => {
    assert.throws(
      () => releaseDate("<html>", "http://m/InRelease"),
      /^ApplianceError: http:\/\/m\/InRelease is no Release/,
    )
    assert.throws(() => releaseDate("Date: soon\n", "here"), /has no Date/)
  })
})
