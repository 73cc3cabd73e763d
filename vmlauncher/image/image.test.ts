import assert from "node:assert/strict"
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { imageDigest } from "../../proto/guest/manifest.ts"
import { scratch, testKeyPem, writeAppliance } from "../fixtures.ts"
import { openImage } from "./image.ts"

test("an image that is whole and signed is opened, and named by its manifest's bytes", async t => {
  const directory = writeAppliance(scratch(t))
  const image = await openImage(name => join(directory, name), testKeyPem)
  assert.equal(image.digest, imageDigest(readFileSync(join(directory, "manifest.json"))))
  assert.deepEqual([image.paths.kernel, image.paths.iso], [join(directory, "kernel"), null])
})

test("whatever was changed, cut, lost or signed by somebody else, nothing is started, and it is said what", async t => {
  const damages: readonly (readonly [(at: (name: string) => string) => void, RegExp])[] = [
    [at => appendFileSync(at("root"), "x"), /its root has 4097 bytes .* not 4096 .*cut short or changed/],
    [
      at => writeFileSync(at("root"), Buffer.alloc(4_096, "toor")),
      /its root is damaged: its SHA-256 is not the signed one/,
    ],
    [at => rmSync(at("kernel")), /its kernel is not there/],
    [at => [at("kernel"), at("root")].map(path => rmSync(path)), /its kernel and its root are not there/],
    [at => rmSync(at("manifest.json")), /its manifest\.json is not there/],
    [at => rmSync(at("manifest.json.sig")), /its manifest\.json\.sig is not there/],
    [
      at => writeFileSync(at("manifest.json"), readFileSync(at("manifest.json"), "utf8").replace("tiny", "tinz")),
      /signature is wrong/,
    ],
    [at => writeFileSync(at("manifest.json.sig"), Buffer.alloc(64).toString("base64")), /signature is wrong/],
    [at => writeFileSync(at("manifest.json.sig"), ""), /signature is wrong/],
    [at => writeFileSync(at("manifest.json.sig"), Buffer.alloc(5_000)), /has 5000 bytes, more than 1024/],
  ]
  for (const [damage, message] of damages) {
    const directory = writeAppliance(scratch(t))
    damage(name => join(directory, name))
    await assert.rejects(
      openImage(name => join(directory, name), testKeyPem),
      { name: "Failure", laterSeconds: null, message },
    )
  }
  const directory = writeAppliance(scratch(t))
  await assert.rejects(
    openImage(name => join(directory, name), "no key at all"),
    /signature is wrong/,
  )
})
