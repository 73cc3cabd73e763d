import assert from "node:assert/strict"
import { execFileSync, spawnSync } from "node:child_process"
import { readFileSync, readlinkSync, statSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "node:test"
import { type CpioEntry, writeCpio } from "./cpio.ts"
import { scratch } from "./fixtures.ts"

const entries: CpioEntry[] = [
  { kind: "directory", path: "bin" },
  { kind: "file", path: "bin/tool", mode: 0o755, bytes: Buffer.from("#!/bin/sh\n") },
  { kind: "link", path: "bin/other", target: "tool" },
  { kind: "file", path: "empty", mode: 0o644, bytes: new Uint8Array(0) },
]

describe("an initial root file system", () => {
  it("is a header of hexadecimal fields, the name, and the content, each padded to four bytes", () => {
    const bytes = Buffer.from(writeCpio([{ kind: "file", path: "a", mode: 0o644, bytes: Buffer.from("xyz") }]))
    const fields = ["00000001", "000081A4", "00000000", "00000000", "00000001", "00000000", "00000003"]
    const devices = "00000000".repeat(4)
    const head = `070701${fields.join("")}${devices}${"00000002"}${"00000000"}`
    assert.equal(bytes.toString("latin1", 0, 110), head)
    assert.equal(bytes.toString("latin1", 110, 116), "a\0xyz\0")
    assert.equal(bytes.toString("latin1", 116, 122), "070701")
    assert.ok(bytes.toString("latin1").includes("TRAILER!!!\0"))
    assert.equal(bytes.length % 4, 0)
  })

  it("is the same for the same entries", () => {
    assert.deepEqual(writeCpio(entries), writeCpio(entries))
  })

  it("is unpacked by cpio to what went in", t => {
    if (spawnSync("cpio", ["--version"]).error) return t.skip("needs cpio, which is not installed")
    const place = scratch()
    execFileSync("cpio", ["-idm", "--quiet"], { cwd: place, input: writeCpio(entries) })
    assert.equal(readFileSync(join(place, "bin/tool"), "utf8"), "#!/bin/sh\n")
    assert.equal(statSync(join(place, "bin/tool")).mode & 0o777, 0o755)
    assert.equal(readlinkSync(join(place, "bin/other")), "tool")
    assert.equal(statSync(join(place, "empty")).size, 0)
  })
})
