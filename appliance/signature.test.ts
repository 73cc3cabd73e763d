import assert from "node:assert/strict"
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "node:test"
import { printManifest } from "../proto/guest/manifest.ts"
import { measured } from "./build.ts"
import { scratch } from "./fixtures.ts"
import { makeKey, readImage, signImage, verifyImage } from "./signature.ts"

/** An image that nobody could boot, and a key. */
async function image(): Promise<{ directory: string; key: string }> {
  const place = scratch()
  const directory = join(place, "base")
  mkdirSync(directory)
  for (const name of ["kernel", "initrd", "root"]) writeFileSync(join(directory, name), `the ${name}`)
  const file = (name: string) => measured(join(directory, name))
  const manifest = printManifest({
    name: "base",
    version: "1",
    arch: "x86_64",
    kernelCommand: "quiet",
    minMemoryMb: 384,
    files: { kernel: await file("kernel"), initrd: await file("initrd"), root: await file("root") },
    packages: [],
  })
  writeFileSync(join(directory, "manifest.json"), manifest)
  const key = join(place, "release.key")
  await makeKey(key)
  return { directory, key }
}

describe("a release key", () => {
  it("is its owner's alone to read, and is never replaced", async () => {
    const { key } = await image()
    assert.equal(statSync(key).mode & 0o777, 0o600)
    assert.match(readFileSync(`${key}.pub`, "utf8"), /^-----BEGIN PUBLIC KEY-----/)
    await assert.rejects(makeKey(key), /release\.key is there already; a key that signed releases/)
  })
})

describe("an image", () => {
  it("that was signed is what was signed", async () => {
    const { directory, key } = await image()
    assert.equal((await readImage(directory)).isSigned, false)
    await signImage(directory, key)
    assert.equal((await readImage(directory)).isSigned, true)
    assert.equal((await verifyImage(directory, `${key}.pub`)).name, "base")
  })

  it("that was not signed, was signed by another, or was changed is told apart", async () => {
    const { directory, key } = await image()
    await assert.rejects(verifyImage(directory, `${key}.pub`), /is not signed/)
    await signImage(directory, key)
    await makeKey(join(directory, "other"))
    await assert.rejects(verifyImage(directory, join(directory, "other.pub")), /was not signed by the holder of/)
    writeFileSync(join(directory, "root"), "the roof")
    await assert.rejects(verifyImage(directory, `${key}.pub`), /root is not the file that the manifest names/)
    writeFileSync(
      join(directory, "manifest.json"),
      readFileSync(join(directory, "manifest.json"), "utf8").replace("384", "385"),
    )
    await assert.rejects(verifyImage(directory, `${key}.pub`), /or was changed since/)
  })

  it("is not signed when it is none, or with what is no key", async () => {
    const { directory, key } = await image()
    await assert.rejects(signImage(directory, `${key}.pub`), /holds no private ed25519 key/)
    await assert.rejects(
      signImage(directory, join(directory, "missing")),
      /cannot be read \(ENOENT\); "npm run appliance/,
    )
    await assert.rejects(signImage(scratch(), key), /manifest\.json cannot be read \(ENOENT\); is .* an image\?/)
    writeFileSync(join(directory, "manifest.json"), "{}")
    await assert.rejects(signImage(directory, key), /manifest\.json: the image's manifest has no format/)
  })
})
