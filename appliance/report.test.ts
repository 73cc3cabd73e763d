import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { describeFiles, describeImage } from "./report.ts"

describe("the report of an image", () => {
  it("names the largest files with their packages, and the largest packages", () => {
    const report = describeFiles([
      { path: "/usr/lib/libnode.so", sizeBytes: 55_166_824, package: "libnode115" },
      { path: "/etc/motd", sizeBytes: 5, package: "" },
      { path: "/usr/bin/node", sizeBytes: 76_000, package: "nodejs" },
      { path: "/usr/lib/libnode.old", sizeBytes: 1_000, package: "libnode115" },
    ])
    assert.equal(
      report,
      [
        "The largest of 4 files, 55,243,829 bytes before compression:",
        "   55,166,824  /usr/lib/libnode.so  (libnode115)",
        "       76,000  /usr/bin/node  (nodejs)",
        "        1,000  /usr/lib/libnode.old  (libnode115)",
        "            5  /etc/motd",
        "",
        "The largest packages:",
        "   55,167,824  libnode115",
        "       76,000  nodejs",
        "            5  (no package)",
      ].join("\n"),
    )
  })

  it("sums up what is downloaded, which the ISO is not part of", () => {
    const file = (sizeBytes: number) => ({ sizeBytes, sha256: "0".repeat(64) })
    const files = { kernel: file(11), initrd: file(1), root: file(48), "appliance.iso": file(61) }
    const manifest = { name: "base", version: "1", arch: "x86_64", kernelCommand: "", minMemoryMb: 1 } as const
    const report = describeImage({ ...manifest, files, packages: [] })
    assert.match(report, /^ +60 {2}to download: kernel \+ initrd \+ root$/m)
  })
})
