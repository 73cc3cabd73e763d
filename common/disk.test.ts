import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { freeBytes, ignoreMissing, syncDirectory, syncDirectoryNow } from "./disk.ts"

const directory = mkdtempSync(join(tmpdir(), "cah-disk-"))
after(() => rmSync(directory, { recursive: true }))

test("a directory is synchronised, and one that is not there is an error", async () => {
  await syncDirectory(directory)
  syncDirectoryNow(directory)
  await assert.rejects(syncDirectory(join(directory, "none")), { code: "ENOENT" })
  assert.throws(() => syncDirectoryNow(join(directory, "none")), { code: "ENOENT" })
})

test("a removal of what is gone is no error, every other failure is", async () => {
  await unlink(join(directory, "none")).catch(ignoreMissing)
  await assert.rejects(unlink(directory).catch(ignoreMissing))
})

test("the room for a directory that is yet to be made is that of the file system it will be on", () => {
  assert.ok(freeBytes(directory) > 0)
  assert.ok(freeBytes(join(directory, "a", "b", "c")) > 0)
})
