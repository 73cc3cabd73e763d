import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { helloBytes, nodeIdOf } from "./hello.ts"

describe("what an agent signs", () => {
  it("is the label and every part, each behind its length", () => {
    const bytes = helloBytes({ hubId: "hub", nonce: Uint8Array.of(1, 2), nodeId: "n0", bootId: "b" })
    const label = Buffer.from("cah-agent-v1").toString("hex")
    const expected = `0000000c${label}${"00000003687562"}${"000000020102"}${"000000026e30"}${"0000000162"}`
    assert.equal(Buffer.from(bytes).toString("hex"), expected)
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
