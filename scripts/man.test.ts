import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { root } from "./files.ts"
import { agentManual, manual } from "./man.ts"

test("the manual page is as fresh as the command tree", () => {
  const path = join(root, "docs/man/cah.1")
  assert.equal(readFileSync(path, "utf8"), manual(), "docs/man/cah.1 is stale: run `npm run -s man`")
})

test("names every verb and flag, and nothing that only exists to be refused", () => {
  const page = manual()
  for (const word of [
    "cah sub",
    "cah resub",
    "cah top",
    "cah hold",
    "\\-\\-sweep",
    "\\-\\-memory",
    "\\-\\-ca\\-file",
  ]) {
    assert.ok(page.includes(word), word)
  }
  assert.ok(!page.includes("\\-\\-interactive"))
})

test("is understood by the system's formatter, where there is one, and so is the agent's", t => {
  for (const [page, words] of [
    [manual(), /a job for each line, appended/],
    [agentManual(), /the hub's address, like https:/],
  ] as const) {
    const { error, stderr, stdout } = spawnSync("groff", ["-man", "-Tutf8", "-ww"], { input: page, encoding: "utf8" })
    if (error !== undefined) return t.skip("groff is not installed here")
    assert.equal(stderr, "")
    assert.match(stdout.replace(/\s+/g, " "), words)
  }
})
