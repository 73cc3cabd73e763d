import assert from "node:assert/strict"
import { mkdtemp, rm, truncate, unlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it, type TestContext } from "node:test"
import { writeRelease } from "./project.suite.ts"
import { openRelease, type ReleaseJson } from "./release.ts"
import { codeKeyText, makeCodeKey } from "./signature.ts"

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "cah-release-"))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}

describe("a release", () => {
  it("is opened when every byte of it is as it was signed", async t => {
    const directory = await place(t)
    await writeRelease(directory)
    const release = await openRelease(directory)
    assert.deepEqual([...release.files.keys()], ["vmlauncher_1", "root_1"])
    assert.deepEqual(
      release.appVersions[0]?.files.map(({ file, openName }) => [file.name, openName]),
      [
        ["vmlauncher_1", null],
        ["root_1", "root"],
      ],
    )
  })

  const damages: readonly (readonly [
    what: string,
    damage: (at: string, json: ReleaseJson) => Promise<unknown>,
    says: RegExp,
  ])[] = [
    [
      "is not there",
      at => unlink(join(at, "release.json")),
      /release\.json cannot be read: ENOENT.*made by `npm run boinc -- sign`/,
    ],
    ["is no JSON", at => writeFile(join(at, "release.json"), "{"), /is not JSON/],
    ["misses a file", at => unlink(join(at, "files/root_1")), /names root_1, but .* is not there/],
    ["was cut", at => truncate(join(at, "files/root_1"), 9), /says that root_1 has 50000 bytes; it has 9/],
    [
      "was changed",
      at => writeFile(join(at, "files/root_1"), "x".repeat(50_000)),
      /signed for another root_1 than lies there/,
    ],
    [
      "is signed by another key",
      (at, json) => rewrite(at, { ...json, codeSignKey: codeKeyText(makeCodeKey().publicKey) }),
      /no valid signature of its own key for vmlauncher_1/,
    ],
    [
      "names a file twice",
      (at, json) => rewrite(at, { ...json, files: [...json.files, json.files[0]!] }),
      /names a file twice/,
    ],
    [
      "names a file that it does not list",
      (at, json) => rewrite(at, named(json, "other_1", "other")),
      /names other_1 .* not among its files/,
    ],
    ["has two programs", (at, json) => rewrite(at, named(json, "root_1", null)), /must name one executable program/],
    ["names a path", (at, json) => rewrite(at, named(json, "../../etc/passwd", "x")), /must be a plain file name/],
    [
      "has a field of a later hub",
      (at, json) => rewrite(at, { ...json, more: 1 } as unknown as ReleaseJson),
      /is not as expected/,
    ],
  ]
  for (const [what, damage, says] of damages) {
    it(`that ${what} is refused at the start, in a sentence that says what to do`, async t => {
      const directory = await place(t)
      await damage(directory, await writeRelease(directory))
      await assert.rejects(openRelease(directory), { name: "CahError", code: "failed_precondition", message: says })
    })
  }
})

function rewrite(directory: string, json: ReleaseJson): Promise<void> {
  return writeFile(join(directory, "release.json"), JSON.stringify(json))
}

function named(json: ReleaseJson, name: string, openName: string | null): ReleaseJson {
  const [version] = json.appVersions
  return { ...json, appVersions: [{ ...version!, files: [...version!.files, { name, openName }] }] }
}
