import assert from "node:assert/strict"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it } from "node:test"
import { ISO_FILE_MAX_BYTES, ISO_MAX_BYTES, readIso, writeIso } from "./iso.ts"

const name = "CAH.JSON"
const sector = 2_048

describe("a disk with one file", () => {
  for (const length of [0, 1, sector - 1, sector, sector + 1, ISO_FILE_MAX_BYTES]) {
    it(`gives a file of ${length} bytes back as it was`, () => {
      const bytes = Buffer.alloc(length, "settings")
      const read = readIso(writeIso({ name, bytes }))
      assert.equal(read.name, name)
      assert.deepEqual(Buffer.from(read.bytes), bytes)
    })
  }

  it("is whole sectors, at most ISO_MAX_BYTES, and the same for the same file", () => {
    const bytes = Buffer.alloc(ISO_FILE_MAX_BYTES, 1)
    const image = writeIso({ name, bytes })
    assert.equal(image.length, ISO_MAX_BYTES)
    assert.deepEqual(writeIso({ name, bytes }), image)
    assert.equal(writeIso({ name, bytes: Buffer.from("{}") }).length, 22 * sector)
  })

  it("may be followed by what a larger device holds", () => {
    const image = writeIso({ name, bytes: Buffer.from("{}") })
    assert.equal(Buffer.from(readIso(Buffer.concat([image, Buffer.alloc(5_000, 7)])).bytes).toString(), "{}")
  })

  it("is read by a program that is not ours", t => {
    if (spawnSync("xorriso", ["-version"]).error) return t.skip("needs xorriso, which is not installed")
    const place = mkdtempSync(join(tmpdir(), "cah-iso-"))
    t.after(() => rmSync(place, { recursive: true, force: true }))
    writeFileSync(join(place, "settings.iso"), writeIso({ name, bytes: Buffer.from("what the guest is told\n") }))
    const from = ["-indev", join(place, "settings.iso")]
    const out = execFileSync("xorriso", [...from, "-osirrox", "on", "-extract", "/CAH.JSON", join(place, "out")], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    assert.equal(out.toString(), "")
    assert.equal(readFileSync(join(place, "out"), "utf8"), "what the guest is told\n")
    const listed = spawnSync("xorriso", [...from, "-pvd_info"], { encoding: "utf8" })
    assert.match(listed.stdout + listed.stderr, /Volume Id\s*: CAH\b/)
  })

  it("with a name that not every system can read, or a file too large, is not written", () => {
    for (const bad of ["cah.json", "CAH", `${"A".repeat(30)}.B`, "A.B.C", "A/B.C", ""]) {
      assert.throws(() => writeIso({ name: bad, bytes: Buffer.alloc(1) }), /must be like "CAH.JSON"/)
    }
    const bytes = Buffer.alloc(ISO_FILE_MAX_BYTES + 1)
    assert.throws(() => writeIso({ name, bytes }), /has 1048577 bytes, more than 1048576/)
  })
})

describe("a disk that is not what it should be", () => {
  const good = writeIso({ name, bytes: Buffer.alloc(3 * sector, "x") })

  it("is refused in words when it is empty, another kind of disk, or cut short anywhere", () => {
    assert.throws(
      () => readIso(new Uint8Array(0)),
      /the image is cut short: its descriptor would end at byte 34816 of 0/,
    )
    assert.throws(() => readIso(new Uint8Array(64 * sector)), /no ISO 9660 image/)
    for (let length = 0; length < good.length; length += 512) {
      assert.throws(() => readIso(good.subarray(0, length)), { name: "IsoError" }, `cut to ${length}`)
    }
  })

  it("never leads a reader outside it, whichever byte is another", () => {
    for (const [from, to] of [
      [16 * sector, 16 * sector + 200],
      [20 * sector, 20 * sector + 130],
    ] as const) {
      for (let at = from; at < to; at++) {
        for (const value of [0, 1, 0x7f, 0xff]) {
          const image = Uint8Array.from(good)
          image[at] = value
          try {
            assert.ok(readIso(image).bytes.length <= ISO_FILE_MAX_BYTES)
          } catch (error) {
            assert.equal((error as Error).name, "IsoError", `byte ${at} as ${value}: ${error}`)
          }
        }
      }
    }
  })

  it("with no file, or with two, is not guessed at", () => {
    const none = Uint8Array.from(good)
    none.fill(0, 20 * sector + 68, 21 * sector)
    assert.throws(() => readIso(none), /holds 0 files; it should hold one/)
    const two = Uint8Array.from(good)
    const length = good[20 * sector + 68]!
    two.set(good.subarray(20 * sector + 68, 20 * sector + 68 + length), 20 * sector + 68 + length)
    assert.throws(() => readIso(two), /holds 2 files; it should hold one/)
  })
})
