// Runs the tests: every *.test.ts of ours, two files at a time, one line per file, failures in full, and at the end what was
// skipped and why. Node 20's own runner neither expands globs nor finds .ts files, and its reporters bury skips.
// Programs that tests start are what people start: a build, where there is one, made anew if it is stale.
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join, relative } from "node:path"
import { run } from "node:test"
import { pathToFileURL } from "node:url"
import { inspect } from "node:util"
import { changedSince } from "../release/launch.mjs"
import { projectFiles, root, sourceFolders } from "./files.ts"

/** Two cores are the smallest machine we promise to be green on, and tests that start processes suffer from more. */
const CONCURRENCY = 2
/** One test file. The longest of ours takes seconds; a file that hangs must not hold up the rest for ever. */
const FILE_MAX_MS = 5 * 60_000

interface FileReport {
  passed: number
  failed: number
  tookMs: number
  /** What the file wrote; shown only if something in it failed. */
  output: string
  shown: boolean
}

export function testFiles(filters: readonly string[]): string[] {
  return projectFiles()
    .filter(path => path.endsWith(".test.ts") && sourceFolders.some(folder => path.startsWith(`${folder}/`)))
    .filter(path => filters.length === 0 || filters.some(filter => path.includes(filter)))
}

/** True if everything that ran passed, and something ran. */
export async function runTests(filters: readonly string[]): Promise<boolean> {
  const files = testFiles(filters)
  if (files.length === 0) {
    console.error(`no test file's path contains ${filters.map(filter => `"${filter}"`).join(" or ")}`)
    return false
  }
  return rebuildStale() && runFiles(files.map(file => join(root, file)))
}

/** Else each program that a test starts would say that its build is stale, and run something else than what users run. */
export function rebuildStale(): boolean {
  const dist = join(root, "dist")
  const built = existsSync(dist) ? readdirSync(dist).filter(name => name.endsWith(".inputs.json")) : []
  const stale = built.filter(list => changedSince(pathToFileURL(join(dist, list))) !== null)
  if (stale.length === 0) return true
  const names = stale.map(list => list.replace(/\.inputs\.json$/, ""))
  const args = ["--import", "tsx", "release/build.ts", ...names]
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status === 0
}

export interface Heard {
  /** Where the test is written, relative to the root. */
  readonly path: string
  readonly name: string
  readonly mark: "✓" | "✗" | "-"
}

export interface Choice {
  /** Only tests whose own name matches. */
  readonly only?: RegExp
  readonly heard?: (test: Heard) => void
}

/** Absolute paths. A test counts for the file in which it is written, which may be a suite that several files run. */
export async function runFiles(files: readonly string[], { only, heard }: Choice = {}): Promise<boolean> {
  const reports = new Map<string, FileReport>()
  const reportOf = (path: string): FileReport => {
    const report = reports.get(path) ?? { passed: 0, failed: 0, tookMs: 0, output: "", shown: false }
    reports.set(path, report)
    return report
  }
  const failures: string[] = []
  const skips: string[] = []
  const startedMs = performance.now()

  // Node reports file after file, so the first word about one is nearly always the last about the one before.
  let current: string | null = null
  for await (const { type, data } of run({
    files: [...files],
    concurrency: CONCURRENCY,
    timeout: FILE_MAX_MS,
    ...(only === undefined ? {} : { testNamePatterns: only }),
  })) {
    // An error after the tests fails their file, and says what it was only here.
    if (type === "test:diagnostic" && /asynchronous activity after/.test(data.message)) failures.push(data.message)
    // Whatever has no file is still counted: nothing that failed may get lost here.
    const path = "file" in data && data.file !== undefined ? relative(root, data.file) : "(no file)"
    if (type !== "test:stdout" && type !== "test:stderr" && type !== "test:pass" && type !== "test:fail") continue
    // Node reports what a pattern left out as skipped, and each describe() and file as a test.
    const left = only !== undefined && "name" in data && !only.test(data.name)
    if (left && type === "test:pass") continue
    const report = reportOf(path)
    if (type === "test:stdout" || type === "test:stderr") {
      report.output += data.message
    } else if (type === "test:pass" || type === "test:fail") {
      if (current !== null && current !== path) show(current, reportOf(current))
      current = path
      const name = `${path} › ${data.name}`
      report.shown = false
      if (data.nesting === 0) report.tookMs += data.details.duration_ms
      const skipped = data.skip !== undefined && data.skip !== false
      if (!left) heard?.({ path, name: data.name, mark: type === "test:fail" ? "✗" : skipped ? "-" : "✓" })
      if (type === "test:fail") {
        report.failed += 1
        const { error } = data.details
        // A parent fails because its subtests did, and they have told.
        if (!/subtests? failed/.test(error.message))
          failures.push(`✗ ${name}\n${indent(explain(error.cause ?? error))}`)
      } else if (skipped) {
        skips.push(`${name}: ${typeof data.skip === "string" ? data.skip : "no reason given"}`)
      } else {
        report.passed += 1
      }
    }
  }

  for (const [path, report] of reports) show(path, report)
  for (const failure of failures) console.log(`\n${failure}`)
  if (skips.length > 0) console.log(`\nskipped, with the reason:\n${skips.map(skip => `  - ${skip}`).join("\n")}`)
  let [passed, failed] = [0, 0]
  for (const report of reports.values()) {
    passed += report.passed
    failed += report.failed
  }
  const took = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.log(`\n${passed} passed, ${failed} failed, ${skips.length} skipped in ${files.length} files, ${took} s`)
  return failed === 0 && passed > 0
}

/** Shown again if more came afterwards: a suite is run by several files. */
function show(path: string, report: FileReport): void {
  if (report.shown) return
  report.shown = true
  const mark = report.failed > 0 ? "✗" : report.passed > 0 ? "✓" : "-"
  const failed = report.failed > 0 ? `, ${report.failed} failed` : ""
  console.log(`${mark} ${path}  ${report.passed} passed${failed}, ${(report.tookMs / 1000).toFixed(1)} s`)
  if (report.failed > 0 && report.output.trim() !== "") console.log(indent(report.output.trimEnd()))
}

/** The error with our own lines of its stack. */
function explain(error: unknown): string {
  return inspect(error, { colors: process.stdout.isTTY, depth: 6 })
    .split("\n")
    .filter(line => !/^\s+at .*node:(internal|async_hooks)/.test(line))
    .join("\n")
}

function indent(text: string): string {
  return text.replace(/^/gm, "    ")
}
