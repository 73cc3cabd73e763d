import assert from "node:assert/strict"
import { createPrivateKey, sign } from "node:crypto"
import { readFileSync } from "node:fs"
import { describe, it } from "node:test"
import { helloBytes, nodeIdOf } from "./hello.ts"

describe("what an agent signs", () => {
  it("is the label and every part, each behind its length", () => {
    const bytes = helloBytes({ hubId: "hub", nonce: Uint8Array.of(1, 2), nodeId: "n0", bootId: "b" })
    const label = Buffer.from("cah-agent-v1").toString("hex")
    const expected = `0000000c${label}${"00000003687562"}${"000000020102"}${"000000026e30"}${"0000000162"}`
    assert.equal(Buffer.from(bytes).toString("hex"), expected)
  })

  it("S24: is what the document's test vector says, and so is the signature", () => {
    const document = readFileSync(new URL("../README.md", import.meta.url), "utf8")
    const said = (what: string): string =>
      new RegExp(`^\\| ${what} \\| \`([^\`]+)\` \\|$`, "m").exec(document)?.[1] ?? ""
    const bytes = (what: string): Buffer => Buffer.from(said(what), "hex")
    const proof = { hubId: said("hub_id"), nonce: bytes("nonce"), nodeId: said("node's id"), bootId: said("boot_id") }
    assert.equal(nodeIdOf(bytes("public key")), proof.nodeId)
    assert.equal(Buffer.from(helloBytes(proof)).toString("hex"), said("signed bytes"))
    // PKCS #8 of an ed25519 key (RFC 8410 §7): all but the 32 bytes.
    const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), bytes("private key")])
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    assert.equal(sign(null, helloBytes(proof), key).toString("hex"), said("signature"))
  })

  it("differs when the same letters are shared out differently", () => {
    const nonce = new Uint8Array(32)
    const one = helloBytes({ hubId: "ab", nonce, nodeId: "n", bootId: "bc" })
    const other = helloBytes({ hubId: "ab", nonce, nodeId: "nb", bootId: "c" })
    assert.notDeepEqual(one, other)
  })
})

describe("a node's id", () => {
  it("is n and 16 hexadecimal digits of its key's SHA-256", () => {
    assert.equal(nodeIdOf(new Uint8Array(32)), "n66687aadf862bd77")
  })
})
