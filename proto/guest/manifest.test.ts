import assert from "node:assert/strict"
import { generateKeyPairSync, sign } from "node:crypto"
import { describe, it } from "node:test"
import { type ImageManifest, imageDigest, isSigned, parseManifest, printManifest } from "./manifest.ts"

const file = { sizeBytes: 11, sha256: "b".repeat(64) }
const manifest: ImageManifest = {
  name: "base",
  version: "2026.11.25",
  arch: "x86_64",
  kernelCommand: "console=ttyS0 panic=1",
  minMemoryMb: 384,
  files: { kernel: file, initrd: file, root: file },
  packages: [{ name: "libc6", version: "2.41-12+deb13u1" }],
}

function printedWith(changes: Record<string, unknown>): string {
  return JSON.stringify({ ...(JSON.parse(textOf(printManifest(manifest))) as object), ...changes })
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

describe("an image's manifest", () => {
  it("comes back as it was given, with and without an ISO", () => {
    assert.deepEqual(parseManifest(textOf(printManifest(manifest))), manifest)
    const withIso = { ...manifest, files: { ...manifest.files, "appliance.iso": file } }
    assert.deepEqual(parseManifest(textOf(printManifest(withIso))), withIso)
  })

  it("is named by the digest of its exact bytes", () => {
    assert.equal(
      imageDigest(Buffer.from("abc")),
      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    )
  })

  const wrongs: [string, Record<string, unknown>, RegExp][] = [
    ["another format", { format: 9 }, /manifest has format 9, not 1/],
    ["another machine", { arch: "arm64" }, /manifest: arch must be "x86_64", not "arm64"/],
    ["a kernel command of two lines", { kernelCommand: "a\nb" }, /kernelCommand must be one line/],
    ["no root", { files: { kernel: file, initrd: file } }, /manifest: files: "root" is missing/],
    ["a file nobody knows", { files: { ...manifest.files, extra: file } }, /files: "extra" is not known here/],
    ["an empty file", { files: { ...manifest.files, root: { ...file, sizeBytes: 0 } } }, /files: root: sizeBytes must/],
    ["a package without a version", { packages: [{ name: "a" }] }, /packages\[0\]: "version" is missing/],
    ["packages that are no list", { packages: {} }, /packages must be a list of at most 10000/],
  ]
  for (const [what, changes, message] of wrongs) {
    it(`with ${what} is refused, and it is said which and why`, () => {
      assert.throws(() => parseManifest(printedWith(changes)), { name: "FieldError", message })
    })
  }
})

describe("a manifest's signature", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const pem = publicKey.export({ type: "spki", format: "pem" }).toString()
  const bytes = printManifest(manifest)
  const signature = sign(null, bytes, privateKey).toString("base64")

  it("fits the bytes that were signed, by that key, and a line's end does not matter", () => {
    assert.equal(isSigned(bytes, `${signature}\n`, pem), true)
  })

  it("fits nothing else: not one byte changed, not another key, not half of itself", () => {
    const changed = Uint8Array.from(bytes)
    changed[20]! ^= 1
    assert.equal(isSigned(changed, signature, pem), false)
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString()
    assert.equal(isSigned(bytes, signature, other), false)
    assert.equal(isSigned(bytes, signature.slice(0, 40), pem), false)
  })

  it("by no key, by another kind of key, or that is no base64, is a wrong one and no crash", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 })
    const rsaPem = rsa.publicKey.export({ type: "spki", format: "pem" }).toString()
    assert.equal(isSigned(bytes, sign("sha256", bytes, rsa.privateKey).toString("base64"), rsaPem), false)
    assert.equal(isSigned(bytes, signature, "no key"), false)
    assert.equal(isSigned(bytes, "?", pem), false)
  })
})
