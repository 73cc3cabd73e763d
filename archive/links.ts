// Where a symbolic link of a tree leads, as its maker saw it: a job's working directory was called /work in its sandbox and lies elsewhere
// now, so that the kernel would take its absolute links for the host's. Each name is looked at on its own and nothing outside the tree
// is ever touched, whatever the links say.
import { lstat, readlink } from "node:fs/promises"
import { dirname, join, relative, sep } from "node:path"
import { ArchiveError } from "./rules.ts"

/** Links on the way to one file: what Linux follows before it says ELOOP. */
const HOPS_MAX = 40

/**
 * The path below `base` that a link leads to, without links. Null: it leads out of the tree, or nowhere. `names` are what the tree's root
 * is, or was, called; `base` is its path now, without links.
 */
export async function resolveWithin(
  base: string,
  names: readonly string[],
  link: string,
  path: string,
): Promise<string | null> {
  if (!isWithin(base, link)) return null
  const at = partsOf(relative(base, dirname(link)))
  const rest = partsOf(relative(dirname(link), link))
  for (let hops = 0; ; ) {
    const name = rest.shift()
    if (name === undefined) return at.length === 0 ? base : join(base, ...at)
    if (name === ".") continue
    if (name === "..") {
      if (at.pop() !== undefined) continue
      const back = backIn(names, rest)
      if (back === null) return null
      rest.splice(0, rest.length, ...back)
      continue
    }
    at.push(name)
    const stats = await lstat(join(base, ...at)).catch(() => null)
    if (stats === null || (rest.length > 0 && stats.isFile())) return null
    if (!stats.isSymbolicLink()) continue
    if (++hops > HOPS_MAX) throw new ArchiveError("link", path, "a symbolic link that leads in a circle")
    const target = await readlink(join(base, ...at))
    at.pop()
    if (!target.startsWith("/")) {
      rest.unshift(...partsOf(target))
      continue
    }
    const inside = below(names, target)
    if (inside === null) return null
    at.length = 0
    rest.unshift(...inside)
  }
}

/** From the folder above the root: what follows once the root's own name leads back in, as in ../work/file. Null: it does not. */
function backIn(names: readonly string[], rest: readonly string[]): string[] | null {
  for (const root of names) {
    const at = root.split("/").slice(1, -1)
    for (const [i, name] of rest.entries()) {
      if (name === "..") at.pop()
      else if (name !== ".") at.push(name)
      const path = `/${at.join("/")}`
      if (names.includes(path)) return rest.slice(i + 1)
      // Whether there is anything beside the way down to the root is not known here.
      if (at.length > 0 && !names.some(one => one.startsWith(`${path}/`))) break
    }
  }
  return null
}

export function isWithin(base: string, path: string): boolean {
  return path.startsWith(base + sep)
}

/** The names that follow the root's in an absolute path; null if it is not there. */
function below(names: readonly string[], path: string): string[] | null {
  const root = names.find(name => path === name || path.startsWith(`${name}/`))
  return root === undefined ? null : partsOf(path.slice(root.length))
}

/** A slash at the end is a "." there: only a folder has one. */
function partsOf(path: string): string[] {
  return path
    .replace(/\/$/, "/.")
    .split("/")
    .filter(part => part !== "")
}
