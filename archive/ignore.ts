// .cahignore: what of a directory is not packed. A subset of .gitignore, on our own globs: one pattern a line, # comments, ! takes back, a
// trailing / means directories only, a / elsewhere ties the pattern to the top, ** spans directories; the last line that matches decides.
// Only the file at the top is read, and braces mean nothing. What lies in an ignored directory cannot be taken back. Pure.
import { GlobError, type Matcher, matcher } from "./glob.ts"

export const IGNORE_FILE = ".cahignore"
/** People write twenty lines; each is tried on each name. */
export const IGNORE_MAX_BYTES = 64 * 1024
export const IGNORE_RULES_MAX = 1_000

interface Rule {
  readonly matches: Matcher
  readonly directories: boolean
  readonly takesBack: boolean
}

/** Whether to pack an entry. The file itself is not packed. Throws GlobError with the line. */
export function ignoreRules(text: string): (path: string, kind: "file" | "directory") => boolean {
  const rules: Rule[] = []
  for (const [index, line] of text.split("\n").entries()) {
    const rule = ruleOf(line.replace(/\r$/, ""), index + 1)
    if (rule !== null) rules.push(rule)
    if (rules.length > IGNORE_RULES_MAX)
      throw new GlobError(`line ${index + 1}: more than ${IGNORE_RULES_MAX} patterns`)
  }
  return (path, kind) => {
    if (path === IGNORE_FILE) return false
    const last = rules.findLast(rule => (!rule.directories || kind === "directory") && rule.matches(path))
    return last === undefined || last.takesBack
  }
}

function ruleOf(line: string, number: number): Rule | null {
  // Blanks at the end mean nothing, unless the last is protected.
  const text = line.replace(/(?<!\\)[ \t]+$/, "")
  if (text === "" || text.startsWith("#")) return null
  const takesBack = text.startsWith("!")
  const pattern = takesBack ? text.slice(1) : text
  const directories = pattern.endsWith("/")
  const bare = pattern.replace(/\/+$/, "")
  if (bare === "") throw new GlobError(`line ${number}: "${text}" matches nothing`)
  const anchored = bare.includes("/")
  const glob = anchored ? bare.replace(/^\//, "") : `**/${bare}`
  try {
    return { matches: matcher([glob], { exact: true }), directories, takesBack }
  } catch (thrown) {
    if (thrown instanceof GlobError) throw new GlobError(`line ${number}: ${thrown.message}`)
    throw thrown
  }
}
