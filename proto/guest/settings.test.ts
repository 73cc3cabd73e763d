import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { parseDigest } from "../wire/digest.ts"
import { FieldError } from "./fields.ts"
import { type GuestSettings, parseSettings, printSettings, SETTINGS_MAX_BYTES } from "./settings.ts"

const settings: GuestSettings = {
  hub: "https://hub.example.org:8443",
  via: "10.0.2.100:80",
  enrolToken: "cahe_0123456789abcdef",
  name: "attic-pc",
  slots: 2,
  memoryBytes: 1_073_741_824,
  diskBytes: 10_737_418_240,
  image: { name: "base", version: "2026.11.25", digest: parseDigest(`sha256:${"a".repeat(64)}`)! },
  caPem: null,
}

/** The printed settings, with some values replaced; undefined leaves one out. */
function printedWith(changes: Record<string, unknown>): string {
  return JSON.stringify({ ...(JSON.parse(printSettings(settings)) as object), ...changes })
}

describe("a guest's settings", () => {
  it("come back as they were given", () => {
    assert.deepEqual(parseSettings(printSettings(settings)), settings)
    const bare = { ...settings, via: null, enrolToken: "", caPem: "-----BEGIN CERTIFICATE-----\nMA==\n" }
    assert.deepEqual(parseSettings(printSettings(bare)), bare)
  })

  const wrongs: [string, Record<string, unknown>, RegExp][] = [
    ["another format", { format: 2 }, /have format 2, not 1: launcher and appliance do not fit/],
    ["no format", { format: undefined }, /have no format, not 1/],
    ["a hub that is no URL", { hub: "hub:8080" }, /settings: hub must be a URL like "https:/],
    ["a hub with a password", { hub: "https://me:secret@hub" }, /settings: hub must be a URL/],
    ["a way that is a name", { via: "hub.example.org:80" }, /settings: via must be an address like "10.0.2.100:80"/],
    ["a way without a port", { via: "10.0.2.100" }, /settings: via must be an address/],
    ["a way that no address has", { via: "10.0.2.700:80" }, /settings: via must be an address/],
    ["a name with a space", { name: "my attic" }, /settings: name must be 1 to 64 letters.*, not "my attic"/],
    ["half a slot", { slots: 0.5 }, /settings: slots must be a whole number from 1 to 4096, not 0.5/],
    ["no memory", { memoryBytes: 0 }, /settings: memoryBytes must be a whole number from 1 /],
    ["a missing disk", { diskBytes: undefined }, /settings: "diskBytes" is missing/],
    ["a misspelt name", { enroltoken: "x" }, /settings: "enroltoken" is not known here/],
    ["an image that is a text", { image: "base" }, /settings: image must be a JSON object, not "base"/],
    ["a digest that is none", { image: { ...settings.image, digest: "sha256:0" } }, /image: digest must be "sha256:"/],
    ["a certificate that is none", { caPem: "MIIB" }, /settings: caPem must be certificates in PEM/],
  ]
  for (const [what, changes, message] of wrongs) {
    it(`with ${what} are refused, and it is said which and why`, () => {
      assert.throws(() => parseSettings(printedWith(changes)), { name: "FieldError", message })
    })
  }

  it("never repeat the token in an error", () => {
    const secret = "spaced secret"
    assert.throws(
      () => parseSettings(printedWith({ enrolToken: secret })),
      (error: Error) => error instanceof FieldError && !error.message.includes(secret),
    )
  })

  it("that are no object, no JSON or too large are refused", () => {
    assert.throws(() => parseSettings("[]"), /must be a JSON object, not \[\]/)
    assert.throws(() => parseSettings("{"), /settings: not JSON/)
    const room = SETTINGS_MAX_BYTES - printSettings(settings).length
    parseSettings(`${printSettings(settings)}${" ".repeat(room)}`)
    assert.throws(
      () => parseSettings(`${printSettings(settings)}${" ".repeat(room + 1)}`),
      /bytes are more than 262144/,
    )
  })

  it("that cannot be read again are not printed", () => {
    assert.throws(() => printSettings({ ...settings, slots: 0 }), /slots must be a whole number/)
  })
})
