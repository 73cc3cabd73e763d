import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { bootFiles, downloadedPackages, neededBy } from "./initrd.ts"

describe("a kernel module", () => {
  it("says which others it needs, by the names that they have", () => {
    const module = (info: string): Buffer => Buffer.from(`\x7fELF…\0license=GPL\0${info}\0retpoline=Y\0`)
    assert.deepEqual(neededBy(module("depends=failover,net-failover")), ["failover", "net_failover"])
    assert.deepEqual(neededBy(module("depends=")), [])
    assert.deepEqual(neededBy(module("alias=depends")), [])
  })
})

describe("what was downloaded", () => {
  it("is named with its version, epochs and all", () => {
    const files = [
      "busybox-static_1%3a1.37.0-6+b9_amd64.deb",
      "linux-image-6.12.118+deb13-cloud-amd64_6.12.118-1_amd64.deb",
    ]
    assert.deepEqual(downloadedPackages([...files, "lock"]), [
      { name: "busybox-static", version: "1:1.37.0-6+b9" },
      { name: "linux-image-6.12.118+deb13-cloud-amd64", version: "6.12.118-1" },
    ])
  })

  it("must be the kernel and busybox", async () => {
    const none = new Map([["linux-image-cloud-amd64_6.12_amd64.deb", Buffer.alloc(1)]])
    await assert.rejects(bootFiles(none, ""), /the kernel's package was not downloaded: linux-image-cloud-amd64_6\.12/)
  })
})
