// `npm test -- cases`: the tests that a report of a user's trouble left behind, listed by that report's id. Such a test's name
// begins with the id (`F1: watching a job never changes its result`), wherever it is written. A failure prints as in any run.
import { readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { projectFiles, root } from "./files.ts"
import { runFiles, testFiles } from "./runner.ts"

/** F, M: scientists' faults and wishes; O: operators'; S: security; V: volunteers'. A test may stand for several. */
const CASE = /^([FMOSV]\d+)(?:[, ]+(?:and )?[FMOSV]\d+)*: /
const WRITTEN = new RegExp(`\\b(?:test|it)\\(\\s*["'\`]${CASE.source.slice(1)}`)
const SUITE_IMPORT = /^(?:import|}) .*from "(\.[^"]*\.suite\.ts)"$/gm

/** Test files that hold such a test, themselves or in a suite that they run. */
export function caseFiles(textOf: (path: string) => string, paths: readonly string[]): string[] {
  const holding = (path: string): boolean =>
    WRITTEN.test(textOf(path)) ||
    [...textOf(path).matchAll(SUITE_IMPORT)].some(([, suite]) => holding(normalize(join(dirname(path), suite ?? ""))))
  return paths.filter(holding)
}

/** All ids at the front of a test's name; none: it is no case's test. */
export function caseIds(name: string): string[] {
  return CASE.exec(name)?.[0].match(/[FMOSV]\d+/g) ?? []
}

export async function runCases(): Promise<boolean> {
  const files = caseFiles(path => readFileSync(join(root, path), "utf8"), testFiles([]))
  const byId = new Map<string, string[]>()
  const passed = await runFiles(
    files.map(file => join(root, file)),
    {
      only: CASE,
      heard: ({ path, name, mark }) => list(byId, caseIds(name), `${mark} ${name.replace(CASE, "")}  (${path})`),
    },
  )
  const ids = [...byId.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
  for (const id of ids) console.log(`\n${id}\n${[...new Set(byId.get(id))].map(line => `  ${line}`).join("\n")}`)
  const pieces = projectFiles().filter(
    path => path.endsWith(".e2e.ts") && WRITTEN.test(readFileSync(join(root, path), "utf8")),
  )
  if (pieces.length > 0) console.log(`\nend to end, by .ci/run: ${pieces.join(", ")}`)
  console.log(`\n${ids.length} cases have tests`)
  return passed
}

function list(byId: Map<string, string[]>, ids: readonly string[], line: string): void {
  for (const id of ids) byId.set(id, [...(byId.get(id) ?? []), line])
}
