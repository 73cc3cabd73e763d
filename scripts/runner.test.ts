// The runner must never be green by mistake: what fails anywhere, by any way, makes it fail.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type TestContext, test } from "node:test"
import { root } from "./files.ts"

/** Runs files with this content, each under its name, by the project's runner in a process of its own. */
function runWith(t: TestContext, files: Readonly<Record<string, string>>): { ok: boolean; said: string } {
  const place = mkdtempSync(join(tmpdir(), "cah-runner-"))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(place, name), text)
  const tests = Object.keys(files).filter(name => name.endsWith(".test.mjs"))
  // A file and not --eval: the runner passes its own flags on to every test file.
  writeFileSync(
    join(place, "run.mjs"),
    `import { runFiles } from ${JSON.stringify(join(root, "scripts/runner.ts"))}
    process.exitCode = (await runFiles(${JSON.stringify(tests.map(name => join(place, name)))})) ? 0 : 1`,
  )
  const { NODE_TEST_CONTEXT: _, ...env } = process.env // else Node takes it for a run within a run, and runs nothing
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", join(place, "run.mjs")], {
    cwd: root,
    env,
    encoding: "utf8",
  })
  return { ok: status === 0, said: stdout + stderr }
}

const head = 'import { test } from "node:test"\n'
const good = `${head}test("good", () => {})`

test("it is green when all passed, and counts them", t => {
  const { ok, said } = runWith(t, { "a.test.mjs": good, "b.test.mjs": good })
  assert.ok(ok, said)
  assert.match(said, /2 passed, 0 failed, 0 skipped/)
})

for (const [what, files] of [
  ["a failing test", { "a.test.mjs": `${head}test("bad", () => { throw new Error("told") })` }],
  [
    "a failing test of a suite in another file",
    {
      "suite.mjs": `${head}export const all = () => test("bad", () => { throw new Error("told") })`,
      "a.test.mjs": 'import { all } from "./suite.mjs"\nall()',
    },
  ],
  ["a file that throws before its tests", { "a.test.mjs": 'throw new Error("told")' }],
  ["a file that cannot be read as a program", { "a.test.mjs": "told told" }],
  [
    "a file that ends its process",
    { "a.test.mjs": `${head}test("told", () => { console.log("told"); process.exit(3) })` },
  ],
  ["an error after the tests", { "a.test.mjs": `${good}\nsetTimeout(() => { throw new Error("told") }, 50)` }],
] as const) {
  test(`${what} makes it red, beside others that pass`, t => {
    const { ok, said } = runWith(t, { ...files, "z.test.mjs": good })
    assert.equal(ok, false, said)
    assert.match(said, /told/)
  })
}

test("what was skipped is named with its reason, at the end", t => {
  const { ok, said } = runWith(t, { "a.test.mjs": `${good}\ntest("later", { skip: "needs root" }, () => {})` })
  assert.ok(ok, said)
  assert.match(said, /skipped, with the reason:\n.*a\.test\.mjs › later: needs root/)
})

test("nothing at all is not green", t => {
  assert.equal(runWith(t, { "a.test.mjs": `${head}test("later", { skip: "needs root" }, () => {})` }).ok, false)
})
