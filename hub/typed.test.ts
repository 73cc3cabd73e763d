import assert from "node:assert/strict"
import { mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { quoted, typed } from "./typed.ts"

const file = fileURLToPath(new URL("../agent/bin/cah-agent.mjs", import.meta.url))

test("F13: a program is typed by its name where it is installed, else by its file, and never asked of npm", () => {
  const directory = mkdtempSync(join(tmpdir(), "cah-typed-"))
  try {
    assert.equal(typed("cah-agent", `/nowhere:${directory}`), `node ${quoted(file)}`)
    symlinkSync("/bin/sh", join(directory, "cah-agent"))
    assert.equal(typed("cah-agent", directory), `node ${quoted(file)}`, "of that name, but not ours")
    symlinkSync(fileURLToPath(new URL("../client/bin/cah.mjs", import.meta.url)), join(directory, "cah"))
    assert.equal(typed("cah", `/nowhere:${directory}`), "cah")
    assert.match(typed("cah", join(directory, "node_modules/.bin")), /^node /)
  } finally {
    rmSync(directory, { recursive: true })
  }
  assert.equal(quoted("/a b/it's"), "'/a b/it'\\''s'")
})
