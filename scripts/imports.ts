// Who imports whom, in the whole repository: every import, re-export and dynamic import of every source file, types
// included, resolved to the file or package that it names. For chores that judge the order of things (walls, circles);
// reads texts only and executes nothing.
import { readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import ts from "typescript"
import { projectFiles, root, sourceFolders } from "./files.ts"

export interface Import {
  readonly from: string
  /** A path of the repository ("hub/core/model.ts"), or what is written there: "node:fs", "@grpc/grpc-js". */
  readonly to: string
}

/** Sources of the project: paths relative to the root. */
export function sources(): string[] {
  return projectFiles().filter(
    path => /\.(ts|mjs)$/.test(path) && sourceFolders.some(folder => path.startsWith(`${folder}/`)),
  )
}

/** What is left of an import when all that may stand before its name is gone. Found in comments too, which does no harm. */
const named = /\b(?:from|import|require)\s*\(?\s*["']/g

/** The imports of one text, each target once. */
export function importsOf(path: string, text: string): Import[] {
  // Reading on after the last one would be most of the work.
  const last = [...text.matchAll(named)].at(-1)
  if (last === undefined) return []
  const end = text.indexOf("\n", last.index + last[0].length)
  const { importedFiles } = ts.preProcessFile(end < 0 ? text : text.slice(0, end), true, true)
  return [...new Set(importedFiles.map(({ fileName }) => fileName))].map(name => ({
    from: path,
    to: resolve(path, name),
  }))
}

export function allImports(paths: readonly string[] = sources()): Import[] {
  return paths.flatMap(path => importsOf(path, readFileSync(join(root, path), "utf8")))
}

function resolve(from: string, name: string): string {
  return name.startsWith(".") ? normalize(join(dirname(from), name)) : name
}

/** Groups of two files or more of which each reaches each other one (Tarjan's strongly connected components). */
export function circles(imports: readonly Import[]): string[][] {
  const next = new Map<string, string[]>()
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to])
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const open: string[] = []
  const found: string[][] = []
  const visit = (file: string): number => {
    order.set(file, order.size)
    let low = order.size - 1
    open.push(file)
    for (const to of next.get(file) ?? []) {
      if (!order.has(to)) low = Math.min(low, visit(to))
      else if (open.includes(to)) low = Math.min(low, order.get(to)!)
    }
    lowest.set(file, low)
    if (low === order.get(file)) {
      const circle = open.splice(open.indexOf(file))
      if (circle.length > 1) found.push(circle.sort())
    }
    return low
  }
  for (const file of next.keys()) if (!order.has(file)) visit(file)
  return found
}
