import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "node:test"
import { scratch } from "./fixtures.ts"
import { parseRecipe, readRecipe } from "./recipe.ts"

const directory = scratch()
function recipe(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}
const refused = (text: string, message: RegExp): void => {
  assert.throws(() => parseRecipe("/recipes/mine.yaml", text), { name: "ApplianceError", message })
}

describe("a recipe", () => {
  it("needs to say no more than its suite", () => {
    assert.deepEqual(readRecipe(recipe("small.yaml", "suite: trixie\n")), {
      name: "small",
      suite: "trixie",
      mirror: "http://deb.debian.org/debian",
      snapshot: null,
      kernel: "linux-image-cloud-amd64",
      packages: [],
      exclude: [],
      files: [],
      run: [],
      memoryMb: 512,
    })
  })

  it("may say everything", () => {
    const path = recipe(
      "whole.yaml",
      `suite: trixie
mirror: https://mirror.example.org/debian
snapshot: 20261120T000000Z
kernel: linux-image-amd64
packages: [nodejs, libstdc++6]
exclude: ["/usr/share/doc/*"]
files:
  - { path: /etc/motd, content: "hello\\n" }
  - { path: /usr/local/bin/tool, from: tool.sh, mode: 0755 }
run: [ldconfig]
resources: { memory: 1GiB }
`,
    )
    const read = readRecipe(path)
    assert.deepEqual([read.mirror, read.snapshot], ["https://mirror.example.org/debian", "20261120T000000Z"])
    assert.deepEqual([read.kernel, read.packages], ["linux-image-amd64", ["nodejs", "libstdc++6"]])
    assert.deepEqual([read.exclude, read.run, read.memoryMb], [["/usr/share/doc/*"], ["ldconfig"], 1_024])
    assert.deepEqual(
      read.files.map(({ path: where, mode, source }) => [where, mode, source]),
      [
        ["/etc/motd", 0o644, { text: "hello\n" }],
        ["/usr/local/bin/tool", 0o755, { from: join(directory, "tool.sh") }],
      ],
    )
  })

  it("that extends another adds to its lists and takes the place of its values", () => {
    recipe("a.yaml", "suite: trixie\npackages: [one, two]\nrun: [first]\nresources: { memory: 400MiB }\n")
    recipe("b.yaml", "extends: a\nsuite: forky\npackages: [two, three]\nfiles: [{ path: /etc/x, content: b }]\n")
    const path = recipe("c.yaml", "extends: b.yaml\nrun: [second]\nfiles: [{ path: /etc/x, content: c }]\n")
    const { name, suite, packages, run, memoryMb, files } = readRecipe(path)
    assert.deepEqual([name, suite, memoryMb], ["c", "forky", 400])
    assert.deepEqual(
      [packages, run],
      [
        ["one", "two", "three"],
        ["first", "second"],
      ],
    )
    assert.deepEqual(
      files.map(file => file.source),
      [{ text: "c" }],
    )
  })

  it("that extends itself, or one that is not there, is refused with the place that says so", () => {
    recipe("x.yaml", "extends: y\n")
    recipe("y.yaml", "suite: trixie\nextends: x\n")
    assert.throws(
      () => readRecipe(join(directory, "x.yaml")),
      /^ApplianceError: y\.yaml, line 2, column 10: .* itself$/,
    )
    const path = recipe("orphan.yaml", "extends: nobody\n")
    assert.throws(() => readRecipe(path), /orphan\.yaml, line 1, column 10: there is no .*nobody\.yaml/)
    assert.throws(() => readRecipe(join(directory, "none.yaml")), /^ApplianceError: there is no .*none\.yaml/)
  })

  it("that never says its suite is refused", () => {
    assert.throws(() => readRecipe(recipe("none.yaml", "packages: [a1]\n")), /none\.yaml does not say which suite/)
  })
})

describe("what is wrong in a recipe", () => {
  it("is told with line and column, what it is and what it must be", () => {
    refused("", /^mine\.yaml is empty/)
    refused(
      "suite: trixie\npakages: [a]\n",
      /^mine\.yaml, line 2, column 1: "pakages" is not known here; there are ext/,
    )
    refused("suite: [trixie]\n", /line 1, column 8: suite must be one of Debian's/)
    refused("suite: Trixie\n", /suite must be one of Debian's, like "trixie", not "Trixie"/)
    refused("suite:\n", /line 1, column 1: suite has no value/)
    refused("snapshot: yesterday\n", /snapshot must be a moment, like "20261120T000000Z", not "yesterday"/)
    refused("packages: nodejs\n", /line 1, column 11: packages must be a list/)
    refused(
      "packages:\n  - nodejs\n  - 'rm -rf'\n",
      /line 3, column 5: packages must be a package's name, not "rm -rf"/,
    )
    refused("exclude: [usr/share]\n", /exclude must be a path with or without \*/)
    refused("resources: { cpus: 4 }\n", /column 14: "cpus" is not known here; there is memory/)
    refused("resources: { memory: lots }\n", /memory must be a size, like "512MiB", not "lots"/)
    refused("suite: trixie\nsuite: forky\n", /line 2, column 1: .*unique/)
    refused("suite: &a trixie\nkernel: *a\n", /line 2, column 9: aliases are not taken here/)
    refused("suite: !!str trixie\n", /tags are not taken here/)
    refused("suite: 'trixie\n", /^mine\.yaml, line \d, column \d+: /)
    refused("- suite\n", /line 1, column 1: a recipe must be keys with values/)
  })

  it("is told for files too", () => {
    refused("files: [{ content: x }]\n", /line 1, column 9: a file must have a path/)
    refused("files: [{ path: /a }]\n", /\/a must have either content or from/)
    refused("files: [{ path: /a, content: x, from: y }]\n", /\/a must have either content or from/)
    refused("files: [{ path: /a/../b, content: x }]\n", /path must be an absolute path without "\.\."/)
    refused("files: [{ path: a, content: x }]\n", /path must be an absolute path/)
    refused("files: [{ path: /a, content: x, mode: 4755 }]\n", /mode must be three octal digits, like 755: no setuid/)
    refused("files: [{ path: /a, content: x, owner: me }]\n", /"owner" is not known here; there are path, content,/)
  })
})

describe("the recipes that we keep", () => {
  const recipes = join(import.meta.dirname, "recipes")

  it("are read, and povray adds to base", () => {
    const base = readRecipe(join(recipes, "base.yaml"))
    const povray = readRecipe(join(recipes, "povray.yaml"))
    assert.equal(povray.suite, base.suite)
    for (const name of ["nodejs", "bubblewrap", "e2fsprogs"]) assert.ok(povray.packages.includes(name), name)
    assert.ok(povray.packages.includes("povray") && !base.packages.includes("povray"))
  })
})
