// `npm run bench -- --report`: the page, its plots and a copy of the results beside them, from one file of --json. Everything is made before
// anything is written, so that bad results leave an older page as it was.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { RowName } from "../figures.ts"
import { readResults } from "../results.ts"
import { FOLDER, missingOf, pageOf } from "./page.ts"
import { plots } from "./plots.ts"
import { svgOf } from "./svg.ts"

export interface Report {
  /** What was written. */
  readonly files: readonly string[]
  /** Rows that the results do not have, as the page says too. */
  readonly missing: readonly RowName[]
}

/** Throws BadResults where the file is not one of results of this version. */
export async function writeReport(file: string, into: string): Promise<Report> {
  const results = await readResults(file)
  const made = new Map<string, string>()
  const gone: string[] = []
  for (const plot of plots) {
    const row = results.rows.find(({ name }) => name === plot.row)
    const path = join(into, FOLDER, plot.file)
    // An older plot beside a page that says "not measured" would be taken for new.
    if (row === undefined) gone.push(path)
    else made.set(path, svgOf(plot.title, plot.option(row)))
  }
  made.set(join(into, "benchmarks.md"), pageOf(results))
  made.set(join(into, FOLDER, "results.json"), await readFile(file, "utf8"))
  await mkdir(join(into, FOLDER), { recursive: true })
  for (const path of gone) await rm(path, { force: true })
  for (const [path, text] of made) await writeFile(path, text)
  return { files: [...made.keys()].sort(), missing: missingOf(results) }
}
