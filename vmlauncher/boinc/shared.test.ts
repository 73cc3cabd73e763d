import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "../fixtures.ts"
import { FakeClient } from "./fixtures.ts"
import { SHARED_FILE, SharedFile } from "./shared.ts"

test("a message is taken once, and its channel is free for the next", t => {
  const client = new FakeClient(scratch(t))
  const shared = new SharedFile(join(client.directory, SHARED_FILE))
  assert.equal(shared.receive("control"), null)
  assert.ok(client.send("control", "<suspend/>\n"))
  assert.equal(client.send("control", "<resume/>\n"), false)
  assert.equal(shared.receive("control"), "<suspend/>\n")
  assert.equal(shared.receive("control"), null)
  assert.ok(client.send("control", "<resume/>\n"))
  shared.close()
  client.close()
})

test("a status is not written over one that the client has not read", t => {
  const client = new FakeClient(scratch(t))
  const shared = new SharedFile(join(client.directory, SHARED_FILE))
  assert.ok(shared.send("status", "one"))
  assert.equal(shared.send("status", "two"), false)
  assert.equal(client.take("status"), "one")
  assert.ok(shared.send("status", "two"))
  shared.close()
  client.close()
})

test("each channel has its place in the file, its flag first", t => {
  const client = new FakeClient(scratch(t))
  const path = join(client.directory, SHARED_FILE)
  const shared = new SharedFile(path)
  shared.send("status", "abc")
  assert.deepEqual([...readFileSync(path).subarray(5_120, 5_125)], [1, 97, 98, 99, 0])
  shared.close()
  client.close()
})

test("a text without an end, a text too long and a file too small harm nobody", t => {
  const directory = scratch(t)
  const path = join(directory, SHARED_FILE)
  writeFileSync(path, Buffer.alloc(8_192, 0xff))
  const shared = new SharedFile(path)
  assert.equal(shared.receive("control")?.length, 1_023)
  assert.throws(() => shared.send("status", "x".repeat(1_023)), /too long for a channel/)
  shared.close()
  writeFileSync(path, Buffer.alloc(100))
  assert.throws(() => new SharedFile(path), /has 100 bytes; a BOINC client makes it with 8192/)
})
