// Chooses what a program's file in bin/ runs, from wherever it is called: in a package what was built; in a clone what was built (`npm run
// build`) if it is of these very sources, and otherwise the sources, through tsx. Syntax that Node 12 reads, so that a Node which is too old
// is told in words: release/launch.test.ts checks it. Costs a few milliseconds at each start.
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** As "engines" in package.json says. */
const OLDEST_NODE = [20, 19]

/** The folder of the clone, or of the package, with a slash at its end. */
const place = new URL("../", import.meta.url)

/**
 * Loads a program and calls `start` with its module. `name` is that of dist/NAME.mjs; `source`, relative to the root, what it was built from.
 * Ends the process where Node is too old, or the folder in which it was called has been removed: nothing could be loaded there.
 */
export function launch(name, source, start) {
  const old = tooOld(process.versions.node)
  if (old !== null) {
    process.stderr.write(`${name}: ${old}\n`)
    process.exit(1)
  }
  if (isAdrift()) {
    const indent = " ".repeat(name.length + 2)
    process.stderr.write(`${name}: The folder that you are in is gone.\n${indent}Go to one that is there: cd\n`)
    process.exit(1)
  }
  if (process.env.CAH_DEBUG === "1") process.setSourceMapsEnabled(true)
  // What is thrown ends the process, as from any main module.
  void load(name, source).then(start)
}

/** What to say to a Node that cannot run us; null if it can. */
export function tooOld(version) {
  const [major, minor] = version.split(".").map(Number)
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return null
  return `this is Node ${version}, and it takes ${OLDEST_NODE.join(".")} or newer: https://nodejs.org has it`
}

function isAdrift() {
  try {
    process.cwd()
    return false
  } catch {
    return true
  }
}

function load(name, source) {
  const built = new URL(`dist/${name}.mjs`, place)
  if (statOf(new URL(source, place)) === null) return import(built.href)
  const changed = changedSince(new URL(`dist/${name}.inputs.json`, place))
  if (changed === null) return import(built.href)
  if (changed !== "") {
    const why = `what was built is not of these sources (${changed} differs)`
    process.stderr.write(`${name}: ${why}, so they run themselves, which starts slower: npm run build\n`)
  }
  return import("tsx/esm/api").then(({ register }) => {
    register({ tsconfig: fileURLToPath(new URL("tsconfig.json", place)) })
    return import(new URL(source, place).href)
  })
}

/**
 * The first file that is not as it was when `list` was written; null if all are; "" where nothing was built. A file whose size and
 * times are as they were is taken for the same, any other is read: a checkout of the same commit makes new times.
 */
export function changedSince(list) {
  let inputs
  try {
    inputs = Object.entries(JSON.parse(readFileSync(list, "utf8")))
  } catch (error) {
    if (error.code === "ENOENT") return ""
    throw error
  }
  for (const [path, [size, mtimeMs, ctimeMs, digest]] of inputs) {
    const file = new URL(path, place)
    const stat = statOf(file)
    if (stat === null) return path
    if (stat.size === size && stat.mtimeMs === mtimeMs && stat.ctimeMs === ctimeMs) continue
    if (digestOf(contentsOf(file)) !== digest) return path
  }
  return null
}

/** An entry of such a list, and what it was made from. Times are taken first: what is written in between is found to differ. */
export function readInput(path) {
  const file = new URL(path, place)
  const { size, mtimeMs, ctimeMs } = statSync(file)
  const contents = contentsOf(file)
  return { contents, entry: [size, mtimeMs, ctimeMs, digestOf(contents)] }
}

/** Of a folder, whose URL ends with a slash, the names in it. */
function contentsOf(file) {
  return file.pathname.endsWith("/") ? readdirSync(file).sort().join("\n") : readFileSync(file)
}

function digestOf(contents) {
  return createHash("sha256").update(contents).digest("base64")
}

function statOf(file) {
  try {
    return statSync(file)
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null
    throw error
  }
}
