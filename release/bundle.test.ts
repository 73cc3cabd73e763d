// What goes into a bundle, and what does not: the same program must be the same bytes, for volunteers fetch every other image anew.
import assert from "node:assert/strict"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import manifest from "../package.json" with { type: "json" }
import { agentBundle, writeBundle } from "./bundle.ts"

test("a bundle knows its version, and nothing else of package.json, where chores come and go", async t => {
  const place = await mkdtemp(join(tmpdir(), "cah-bundle-"))
  t.after(() => rm(place, { recursive: true }))
  const file = join(place, "agent.mjs")
  const packages = await writeBundle(agentBundle, file)
  const text = await readFile(file, "utf8")
  assert.ok(packages.includes("ws"))
  assert.ok(text.includes(`version:"${manifest.version}"`))
  assert.ok(!text.includes(manifest.scripts.demo))
  await writeBundle(agentBundle, file)
  assert.equal(await readFile(file, "utf8"), text, "the same sources, the same bytes")
})
