import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { needTools, output } from "./tools.ts"

describe("a program of this machine", () => {
  it("that is missing is named with the package that brings it", () => {
    needTools(["sh"])
    assert.throws(
      () => needTools(["sh", "no-such-program"]),
      /^ApplianceError: no-such-program not found; install: apt-get/,
    )
  })

  it("gives its output for its input, and is told of its surroundings only the way to the network", async () => {
    process.env.CAH_SECRET = "x"
    const words = { program: "sh", arguments: ["-c", 'cat; echo "$A$CAH_SECRET"'], environment: { A: "a" } }
    assert.equal((await output(words, Buffer.from("in "))).toString(), "in a\n")
    delete process.env.CAH_SECRET
  })

  it("that fails is an error with its last words", async () => {
    const failing = output({ program: "sh", arguments: ["-c", "echo first >&2; echo why >&2; exit 3"] })
    await assert.rejects(failing, { name: "ApplianceError", message: "sh failed (code 3):\nfirst\nwhy" })
  })

  it("that is not there is an error, too", async () => {
    await assert.rejects(output({ program: "no-such-program", arguments: [] }), /no-such-program/)
  })
})
