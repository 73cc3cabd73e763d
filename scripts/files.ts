// The project's own files, for chores that look at all of them: what git tracks or would track. Without git (an unpacked
// release) the folders are walked instead. Only looks; never changes anything.
import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")

/** Folders that hold our TypeScript, in the order in which imports run. */
export const sourceFolders = [
  "common",
  "proto",
  "archive",
  "hub",
  "agent",
  "client",
  "vmlauncher",
  "appliance",
  "release",
  "harness",
  "bench",
  "e2e",
  "demo",
  "scripts",
] as const

/** Paths relative to the root, sorted. Generated code is included; what .gitignore names is not. */
export function projectFiles(): string[] {
  try {
    const listed = execFileSync(
      "git",
      ["ls-files", "--cached", "--others", "--exclude-standard", "-z", "--deduplicate"],
      {
        cwd: root,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      },
    )
    const tree = new Set(walk(root))
    return listed.split("\0").filter(path => tree.has(path)) // a file deleted but not yet committed is still listed
  } catch {
    return walk(root).sort()
  }
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : walk(path)
    return [relative(root, path)]
  })
}

const skipped = new Set(["node_modules", ".git", "data", "demo-out", "dist"])
