import assert from "node:assert/strict"
import { createPublicKey, verify } from "node:crypto"
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, it } from "node:test"
import { nodeIdOf } from "../../proto/wire/hello.ts"
import { Failure } from "../core/ports.ts"
import { openIdentity } from "./identity.ts"

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cah-identity-"))
})
afterEach(() => rm(directory, { recursive: true }))

const boot = (id: string) => () => Promise.resolve(id)

describe("an identity", () => {
  it("is made at the first start and the same ever after", async () => {
    const first = await openIdentity(join(directory, "state"), boot("b"))
    const second = await openIdentity(join(directory, "state"), boot("b"))
    assert.deepEqual(first.publicKey, second.publicKey)
    assert.equal(first.bootId, second.bootId)
    assert.equal(first.nodeId, nodeIdOf(first.publicKey))
    assert.equal(first.publicKey.length, 32)
    assert.equal((await stat(join(directory, "state", "node.key"))).mode & 0o777, 0o600)
  })

  it("signs so that its public key verifies", async () => {
    const identity = await openIdentity(directory)
    const prefix = Buffer.from("302a300506032b6570032100", "hex")
    const key = createPublicKey({ key: Buffer.concat([prefix, identity.publicKey]), format: "der", type: "spki" })
    assert.ok(verify(null, Buffer.from("hello"), key, identity.sign(Buffer.from("hello"))))
  })

  it("has another boot id after a boot of the machine, and with a new state directory", async () => {
    const here = await openIdentity(join(directory, "a"), boot("one"))
    const rebooted = await openIdentity(join(directory, "a"), boot("two"))
    const elsewhere = await openIdentity(join(directory, "b"), boot("one"))
    assert.equal(new Set([here.bootId, rebooted.bootId, elsewhere.bootId]).size, 3)
  })

  it("is refused when others can read its key, with the command that mends it", async () => {
    await openIdentity(directory)
    await chmod(join(directory, "node.key"), 0o640)
    await assert.rejects(openIdentity(directory), (error: unknown) => {
      assert.ok(error instanceof Failure && error.final)
      assert.match(error.message, /mode 0640.*chmod 600/)
      return true
    })
  })

  it("is refused when the file holds no key, and is never replaced", async () => {
    await writeFile(join(directory, "node.key"), "rubbish", { mode: 0o600 })
    await assert.rejects(openIdentity(directory), /does not hold a key; remove it/)
    assert.deepEqual(await readdir(directory), ["node.key"])
  })

  it("does not use what a crash left half-written", async () => {
    await writeFile(join(directory, "node.key.new"), "half", { mode: 0o600 })
    const { nodeId } = await openIdentity(directory)
    assert.match(nodeId, /^n[0-9a-f]{16}$/)
  })
})
