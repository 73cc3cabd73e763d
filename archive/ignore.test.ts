import assert from "node:assert/strict"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { ignoreRules } from "./ignore.ts"
import { listTree } from "./pack.ts"

test("the last pattern that matches decides, as in a .gitignore", () => {
  const packs = ignoreRules(
    ["# comment", "", "*.o", "!keep.o", "/build", "tmp/", "docs/*.pdf", "**/cache/*.bin", "\\#odd", "{a}"].join("\r\n"),
  )
  const table: readonly (readonly [path: string, kind: "file" | "directory", packed: boolean])[] = [
    ["main.c", "file", true],
    ["main.o", "file", false],
    [".hidden.o", "file", false],
    ["deep/in/main.o", "file", false],
    ["keep.o", "file", true],
    ["build", "directory", false],
    ["src/build", "directory", true],
    ["tmp", "directory", false],
    ["a/tmp", "directory", false],
    ["tmp", "file", true],
    ["docs/a.pdf", "file", false],
    ["docs/old/a.pdf", "file", true],
    ["x/y/cache/z.bin", "file", false],
    ["cache/z.bin", "file", false],
    ["#odd", "file", false],
    ["{a}", "file", false],
    [".cahignore", "file", false],
  ]
  for (const [path, kind, packed] of table) assert.equal(packs(path, kind), packed, `${kind} ${path}`)
})

test("a pattern that cannot be meant is named with its line", () => {
  assert.throws(() => ignoreRules("a\n[b\n"), /line 2: .*"\[" without "\]"/)
  assert.throws(() => ignoreRules("a\n\n../x\n"), /line 3: .*cannot leave/)
  assert.throws(() => ignoreRules("/\n"), /line 1: "\/" matches nothing/)
  assert.throws(() => ignoreRules("a\n".repeat(1_001)), /line 1001: more than 1000/)
})

test("what is ignored is not looked at: a broken link in it, a directory without end", async () => {
  const root = mkdtempSync(join(tmpdir(), "cah-ignore-"))
  try {
    mkdirSync(join(root, "big"))
    writeFileSync(join(root, "big", "x"), "x")
    writeFileSync(join(root, "a"), "a")
    symlinkSync("nowhere", join(root, "broken"))
    await assert.rejects(listTree(root), /leads nowhere/)
    const entries = await listTree(root, { filter: ignoreRules("broken\nbig/\n") })
    assert.deepEqual(
      entries.map(entry => entry.path),
      ["a"],
    )
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})
