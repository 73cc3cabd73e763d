// Style that a machine can check, and the proof that biome.json's rules bite: bad files are written into a directory with
// our configuration and Biome must complain about each, with our reason. Looks at files only; runs nothing of ours.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, normalize } from "node:path"
import { test } from "node:test"
import { projectFiles, root, sourceFolders } from "./files.ts"
import { allImports, circles } from "./imports.ts"
import { breaches } from "./walls.ts"

/** CONTRIBUTING: past this, look for the second noun inside. */
const LINES_MAX = 600

const all = projectFiles()
const ours = all.filter(
  path =>
    path.endsWith(".ts") &&
    !path.startsWith("proto/gen/") &&
    sourceFolders.some(folder => path.startsWith(`${folder}/`)),
)
const textOf = (path: string): string => readFileSync(join(root, path), "utf8")
const isTest = (path: string): boolean => /\.(test|suite)\.ts$/.test(path)

// ---- the linter's rules bite ----------------------------------------------------------------------------------

interface Diagnostic {
  readonly message: string
  readonly category: string
  readonly location: { readonly path: string }
}

/** Each: the path of a file, what is in it, the rule that must complain, and words of the reason it must give. */
const offences: readonly (readonly [path: string, source: string, rule: string, reason: string])[] = [
  ...["hub/core", "agent/core", "vmlauncher/core"].flatMap(core =>
    [
      ["Date.now()", "has no clock"],
      ["performance.now()", "has no clock"],
      ["setTimeout(() => {}, 1)", "has no timers"],
      ["setInterval(() => {}, 1)", "has no timers"],
      ["process.pid", "knows no process"],
      ["console", "does not log"],
      ["crypto.randomUUID()", "has no chance"],
    ].map(
      ([source, reason], n) =>
        [`${core}/global${n}.ts`, `export const x = ${source}`, "noRestrictedGlobals", `${reason}`] as const,
    ),
  ),
  ["hub/core/ring.ts", 'export { b } from "./ring2.ts"\nexport const a = 1', "noImportCycles", "part of a cycle"],
  ["hub/core/ring2.ts", 'export { a } from "./ring.ts"\nexport const b = 1', "noImportCycles", "part of a cycle"],
  ["hub/store/b.ts", "const go = async () => {}\nexport const bad = () => { go() }", "noFloatingPromises", "Promise"],
  ["hub/store/c.ts", 'export const x = process.env["HOME"]', "noProcessEnv", "process.env"],
  ["agent/cache/c.ts", 'console.log("hello")', "noConsole", "console"],
]

/** What must pass, so that the rules do not forbid the architecture itself. */
const lawful: readonly (readonly [path: string, source: string])[] = [
  ["hub/core/ok.ts", 'export * from "../../proto/wire/digest.ts"'],
  ["hub/core/ok.test.ts", 'export { test } from "node:test"\nexport const now = Date.now()'],
  ["hub/link/ok.ts", "export const now = Date.now()"],
  ["hub/main.ts", 'export const x = process.env["HOME"]'],
]

test("the linter refuses what the architecture forbids, with the reason, and nothing else", t => {
  const place = mkdtempSync(join(tmpdir(), "cah-tidy-"))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  copyFileSync(join(root, "biome.json"), join(place, "biome.json"))
  for (const [path, source] of [...offences, ...lawful]) {
    mkdirSync(dirname(join(place, path)), { recursive: true })
    writeFileSync(join(place, path), `${source}\n`)
  }
  const biome = join(root, "node_modules/.bin/biome")
  const { stdout, stderr } = spawnSync(biome, ["lint", "--colors=off", "--reporter=json", "--max-diagnostics=none"], {
    cwd: place,
    encoding: "utf8",
  })
  assert.notEqual(stdout, "", `Biome said nothing: ${stderr}`)
  const said = (JSON.parse(stdout) as { diagnostics: Diagnostic[] }).diagnostics
  for (const [path, source, rule] of offences) {
    const complaints = said.filter(one => one.location.path === path && one.category.endsWith(`/${rule}`))
    assert.ok(complaints.length > 0, `${path} with \`${source}\` passed ${rule}`)
  }
  const rules = new Set(offences.map(([, , rule]) => rule))
  for (const [path] of lawful) {
    assert.deepEqual(
      said.filter(one => one.location.path === path && rules.has(one.category.split("/").at(-1)!)),
      [],
      `${path} is lawful`,
    )
  }
})

test("every reason for a forbidden global is written in the configuration", () => {
  const config = textOf("biome.json")
  for (const [, , rule, reason] of offences) {
    if (rule === "noRestrictedGlobals") assert.ok(config.includes(reason), `biome.json should say "${reason}"`)
  }
})

// ---- what no linter knows -------------------------------------------------------------------------------------

/** "path:line: text" of every line that matches. */
function hits(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap(path =>
    textOf(path)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
}

test("the cores leave nothing to chance", () => {
  const cores = ours.filter(path => /^(hub|agent|vmlauncher)\/core\//.test(path) && !isTest(path))
  assert.deepEqual(hits(cores, /\bMath\.random\b|\bglobalThis\b/), [])
})

test("no note to self was left behind", () => {
  // Split, so that this file does not find itself.
  const notes = new RegExp(`\\b(${["FIX" + "ME", "TO" + "DO", "XX" + "X", "HA" + "CK"].join("|")})\\b`)
  const texts = all.filter(
    path => /\.(ts|mjs|proto|sql|md|json|yaml|pov|inc|sh)$|^\.ci\//.test(path) && path !== "package-lock.json",
  )
  assert.deepEqual(hits(texts, notes), [])
})

test("no test is focused and none is silenced without a reason", () => {
  assert.deepEqual(hits(ours.filter(isTest), /\b(test|it|describe)\.(only|skip)\(|\b(only|skip): true\b/), [])
})

test("every file opens with what it is and why", () => {
  assert.deepEqual(
    ours.filter(path => !isTest(path) && !/^(#!.*\n)?\/\//.test(textOf(path))),
    [],
  )
})

test("no file is so long that it must be two", () => {
  const long = ours
    .map(path => ({ path, lines: textOf(path).split("\n").length }))
    .filter(({ lines }) => lines > LINES_MAX)
  assert.deepEqual(long, [])
})

test("every file is used by something other than its own test", () => {
  const entrances = `${textOf("package.json")}${textOf(".ci/run")}${textOf("release/build.ts")}`
  const used = new Set<string>()
  for (const path of all.filter(one => /\.(ts|mjs)$/.test(one))) {
    // Imports, re-exports, dynamic imports, and workers or assets found by new URL.
    for (const [, name] of textOf(path).matchAll(/["'](\.{1,2}\/[^"'\n]+\.(?:ts|mjs))["']/g)) {
      const target = normalize(join(dirname(path), name ?? ""))
      if (path !== target.replace(/\.ts$/, ".test.ts")) used.add(target)
    }
  }
  const orphans = ours.filter(path => !/\.(test|e2e)\.ts$/.test(path) && !used.has(path) && !entrances.includes(path))
  assert.deepEqual(orphans, [])
})

const imports = allImports()

test("no file imports what its room may not", () => {
  assert.deepEqual(breaches(imports), [])
})

test("no files import each other in a circle, types included", () => {
  const found = circles(imports).map(circle => {
    const inside = new Set(circle)
    const ties = imports.filter(({ from, to }) => inside.has(from) && inside.has(to))
    return ties.map(({ from, to }) => `${from} imports ${to}`).join("\n")
  })
  assert.deepEqual(found, [], "move what both need to a file below both")
})

test("the tests of one file have names of their own", () => {
  for (const path of ours.filter(isTest)) {
    const names = [
      ...textOf(path).matchAll(/^\s*(?:await )?(?:test|it|t\.test)\(\s*(["'`])((?:\\.|(?!\1).)*)\1/gm),
    ].map(match => match[2])
    assert.equal(
      new Set(names).size,
      names.length,
      `${path} has two tests called "${names.find((n, i) => names.indexOf(n) !== i)}"`,
    )
  }
})

test("generated code is there for each protocol file, by the pinned generator, and for nothing else", () => {
  const pinned = (JSON.parse(textOf("package.json")) as { devDependencies: Record<string, string> }).devDependencies
  const version = pinned["@bufbuild/protoc-gen-es"]
  const wanted = all.filter(path => path.endsWith(".proto")).map(path => path.slice("proto/".length))
  for (const proto of wanted) {
    const generated = `proto/gen/${proto.replace(/\.proto$/, "_pb.ts")}`
    assert.ok(existsSync(join(root, generated)), `${generated} is missing: run \`npm run gen\``)
    const head = textOf(generated).slice(0, 2000)
    assert.match(
      head,
      new RegExp(`@generated by protoc-gen-es v${version?.replaceAll(".", "\\.")} `),
      `${generated}: other version`,
    )
    assert.match(head, new RegExp(`from file ${proto} `))
  }
  assert.equal(
    all.filter(path => path.startsWith("proto/gen/")).length,
    wanted.length,
    "proto/gen holds a file without a .proto",
  )
})

test("nothing names a place that exists on one machine only", () => {
  const texts = all.filter(
    path => /\.(ts|mjs|proto|sql|md|json|yaml|toml|pov|inc|sh)$|^\.ci\//.test(path) && !path.startsWith("proto/gen/"),
  )
  const homes = /(?<![\w.$}/])\/(home\/\w+\/|Users\/\w)/
  assert.deepEqual(hits(texts, homes), [])
  // This very checkout, wherever it lies.
  assert.deepEqual(
    texts.filter(path => textOf(path).includes(root)),
    [],
  )
})

test("the lockfile works with any registry, and every version is exact", () => {
  assert.deepEqual(hits(["package-lock.json"], /"resolved":/), [])
  const { dependencies, devDependencies } = JSON.parse(textOf("package.json")) as Record<string, Record<string, string>>
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+(-[a-z]+\.\d+)?$/, `${name}@${version} is not exact`)
  }
})

test("each dependency has its sentence of why", () => {
  const { dependencies, devDependencies } = JSON.parse(textOf("package.json")) as Record<string, Record<string, string>>
  const reasons = textOf("docs/dependencies.md")
  const names = Object.keys({ ...dependencies, ...devDependencies })
  assert.deepEqual(
    names.filter(name => !reasons.includes(`\`${name}\``)),
    [],
  )
})
