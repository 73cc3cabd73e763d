// The manifest of fetched results: a row a job, with what it was given, how it ended, where, and which files of it are here. CSV for spreadsheets
// and pandas, JSON for programs, by the name of the file.
import { readdir, writeFile } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { durationMs } from "@bufbuild/protobuf/wkt"
import { folderOf } from "../proto/wire/folder.ts"
import type { Context } from "./context.ts"
import { columnsOfValues, csvLine, csvRow } from "./csv.ts"
import { usage } from "./errors.ts"
import { makeFolder } from "./folders.ts"
import type { Hub } from "./library.ts"
import { namedParameters } from "./parametersof.ts"
import type { Target } from "./targets.ts"
import { jobState, tally } from "./text.ts"

export function checkManifest(file: string): string {
  if (/\.(csv|json)$/i.test(file)) return file
  throw usage(
    `--manifest: ${file} is neither .csv nor .json.`,
    "Its name says how it is written: --manifest results.csv",
  )
}

/** Of the jobs of these campaigns, each with the directory that its results went to. Paths of files are relative to the manifest. */
export async function writeManifest(
  context: Context,
  hub: Hub,
  file: string,
  fetched: readonly { readonly target: Target; readonly directory: string; readonly flat: boolean }[],
): Promise<number> {
  const rows: Record<string, unknown>[] = []
  for (const { target, directory, flat } of fetched) {
    const { campaign } = await hub.show(target.campaign)
    const { total } = tally(campaign)
    const names = campaign?.spec?.parameterNames ?? []
    for await (const job of hub.jobs(target.campaign, { ranges: target.ranges, parameters: true })) {
      context.signal.throwIfAborted()
      const index = job.id?.index ?? 0
      const line = job.parameters?.line ?? ""
      const named = namedParameters(names, line)
      const { result } = job
      const folder = total > 1 ? join(directory, folderOf(index, total)) : directory
      rows.push({
        job: `${target.campaign}.${index}`,
        index,
        state: jobState(job, campaign?.held === true),
        exit_code: result === undefined ? null : result.exitCode,
        attempt: job.attempt,
        node: job.nodeName || job.node,
        node_id: job.node,
        run_seconds: result?.runTime === undefined ? null : durationMs(result.runTime) / 1000,
        message: result?.message ?? "",
        // In one directory for all, whose file is whose is known no more.
        files: flat && total > 1 ? null : await filesBelow(folder, dirname(file)),
        parameters: named === null ? line : Object.fromEntries(named),
      })
    }
  }
  const columns = columnsOfValues(rows)
  const text = /\.csv$/i.test(file)
    ? [csvLine(columns), ...rows.map(row => csvRow(columns, row))].join("")
    : `${JSON.stringify(rows, null, 2)}\n`
  await makeFolder(dirname(file))
  await writeFile(file, text)
  return rows.length
}

async function filesBelow(folder: string, from: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(path => !relative(folder, path).startsWith(".cah/"))
    .map(path => relative(from, path))
    .sort()
}
