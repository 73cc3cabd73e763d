// What a file in bin/ runs, and what it says. In a small clone of its own, whose program says where it came from.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { type TestContext, test } from "node:test"
import { pathToFileURL } from "node:url"
import { transform } from "esbuild"
import { projectFiles, root } from "../scripts/files.ts"
import { tooOld } from "./launch.mjs"

/** A clone with a program, built if that is wanted. */
async function clone(t: TestContext, { built = true } = {}): Promise<{ place: string; run: Run }> {
  const place = mkdtempSync(join(tmpdir(), "cah-launch-"))
  t.after(() => rmSync(place, { recursive: true }))
  for (const folder of ["release", "bin", "tool/sql", "dist"]) mkdirSync(join(place, folder), { recursive: true })
  cpSync(join(root, "release/launch.mjs"), join(place, "release/launch.mjs"))
  cpSync(join(root, "tsconfig.json"), join(place, "tsconfig.json"))
  writeFileSync(join(place, "package.json"), '{ "type": "module" }')
  symlinkSync(join(root, "node_modules"), join(place, "node_modules"))
  const start = 'import { launch } from "../release/launch.mjs"\nlaunch("tool", "tool/main.ts", ({ main }) => main())\n'
  writeFileSync(join(place, "bin/tool.mjs"), start)
  writeFileSync(join(place, "tool/main.ts"), 'export const main = (): void => console.log("the sources")\n')
  writeFileSync(join(place, "tool/sql/1.sql"), "")
  if (built) {
    writeFileSync(join(place, "dist/tool.mjs"), 'export const main = () => console.log("the build")\n')
    const { readInput } = (await import(pathToFileURL(join(place, "release/launch.mjs")).href)) as {
      readInput: (path: string) => { entry: unknown }
    }
    const inputs = ["tool/main.ts", "tool/sql/"].map(path => [path, readInput(path).entry])
    writeFileSync(join(place, "dist/tool.inputs.json"), JSON.stringify(Object.fromEntries(inputs)))
  }
  return {
    place,
    run(...flags) {
      const args = [...flags, join(place, "bin/tool.mjs")]
      const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: "/", encoding: "utf8" })
      return { stdout: stdout.trim(), stderr: stderr.trim(), status }
    },
  }
}

type Run = (...flags: string[]) => { stdout: string; stderr: string; status: number | null }

const fromBuild = { stdout: "the build", stderr: "", status: 0 }

test("what was built runs while it is of these sources, also after a checkout that wrote them again", async t => {
  const { place, run } = await clone(t)
  assert.deepEqual(run(), fromBuild)
  utimesSync(join(place, "tool/main.ts"), 1, 1)
  assert.deepEqual(run(), fromBuild)
})

for (const [what, change, path] of [
  ["a changed file", (place: string) => appendFileSync(join(place, "tool/main.ts"), "// more\n"), "tool/main.ts"],
  [
    "a changed file of the same size and age",
    (place: string) => {
      const file = join(place, "tool/main.ts")
      const { atime, mtime } = statSync(file)
      writeFileSync(file, readFileSync(file, "utf8").replace("main = ()", "main= () "))
      utimesSync(file, atime, mtime)
    },
    "tool/main.ts",
  ],
  ["a new file in a folder", (place: string) => writeFileSync(join(place, "tool/sql/2.sql"), ""), "tool/sql/"],
] as const) {
  test(`${what} makes the build stale: said in one line, and the sources run`, async t => {
    const { place, run } = await clone(t)
    change(place)
    const { stdout, stderr, status } = run()
    assert.deepEqual([stdout, status], ["the sources", 0])
    assert.match(stderr, /^tool: what was built is not of these sources \(.*\), .*: npm run build$/)
    assert.ok(stderr.includes(`(${path} differs)`), stderr)
  })
}

test("a file that is gone makes the build stale", async t => {
  const { place, run } = await clone(t)
  rmSync(join(place, "tool/sql"), { recursive: true })
  assert.match(run().stderr, /\(tool\/sql\/ differs\)/)
})

test("where nothing was built the sources run, and nothing is said", async t => {
  const { run } = await clone(t, { built: false })
  assert.deepEqual(run(), { stdout: "the sources", stderr: "", status: 0 })
})

test("a package, which has no sources, runs what was built", async t => {
  const { place, run } = await clone(t)
  rmSync(join(place, "tool"), { recursive: true })
  rmSync(join(place, "dist/tool.inputs.json"))
  assert.deepEqual(run(), fromBuild)
})

test("a Node that is too old is told so in words, and ends with 1", async t => {
  const { place, run } = await clone(t)
  const pretend = join(place, "pretend.cjs")
  writeFileSync(
    pretend,
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "18.20.4" } })',
  )
  const { stdout, stderr, status } = run("--require", pretend)
  assert.deepEqual([stdout, status], ["", 1])
  assert.equal(stderr, "tool: this is Node 18.20.4, and it takes 20.19 or newer: https://nodejs.org has it")
})

test("the oldest Node is that of package.json", async () => {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { engines: { node: string } }
  const oldest = /^>=(\d+)\.(\d+)$/.exec(engines.node)?.slice(1).map(Number) as [number, number]
  assert.equal(tooOld(`${oldest[0]}.${oldest[1]}.0`), null)
  assert.equal(tooOld(`${oldest[0] + 1}.0.0`), null)
  for (const old of [`${oldest[0]}.${oldest[1] - 1}.9`, `${oldest[0] - 1}.99.0`]) {
    assert.match(tooOld(old) ?? "", new RegExp(`Node ${old.replaceAll(".", "\\.")}.* ${oldest.join("\\.")} or newer`))
  }
})

test("what runs before Node's version is looked at is written for Node 12", async () => {
  const early = projectFiles().filter(path => path === "release/launch.mjs" || /^\w+\/bin\/.*\.mjs$/.test(path))
  assert.ok(early.length >= 5, early.join())
  for (const path of early) {
    const text = readFileSync(join(root, path), "utf8")
    const [here, there] = await Promise.all(["esnext", "node12.20"].map(target => transform(text, { target })))
    assert.equal(there!.code, here!.code, `${path} is not what Node 12 reads`)
    assert.doesNotMatch(text, /^(?:const .* = )?await /m, `${path}: Node 12 knows no await outside functions`)
  }
})

test("F21: a folder that is gone is told in words by every program", () => {
  const bins = ["client/bin/cah", "hub/bin/cah-hub", "agent/bin/cah-agent", "vmlauncher/bin/vmlauncher"]
  for (const bin of bins) {
    const gone = mkdtempSync(join(tmpdir(), "cah-gone-"))
    const line = `cd '${gone}' && rmdir '${gone}' && "$1" "$2" --version`
    const program = join(root, `${bin}.mjs`)
    const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", line, "sh", process.execPath, program], {
      encoding: "utf8",
    })
    const name = basename(bin)
    const told = `${name}: The folder that you are in is gone.\n${" ".repeat(name.length + 2)}Go to one that is there: cd\n`
    assert.deepEqual([status, stdout, stderr], [1, "", told])
  }
})
