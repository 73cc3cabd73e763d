// Which files a scientist's patterns choose, by the rule of .gitignore and .cahignore: of several patterns the last that matches decides, and
// "!" takes out again what an earlier one took. Patterns that only take out leave the usual choice. Knows what a pattern failed to match, so
// that it can be said. Pure.
import { GlobError, type Matcher, matcher } from "./glob.ts"

interface Rule {
  readonly pattern: string
  readonly takesOut: boolean
  readonly matches: Matcher
}

export class Selection {
  readonly #rules: readonly Rule[]

  /** Throws GlobError for a pattern that cannot be meant. */
  constructor(patterns: readonly string[]) {
    this.#rules = patterns.map(pattern => {
      const takesOut = pattern.startsWith("!")
      if (pattern === "!") throw new GlobError('"!" alone takes nothing out')
      return { pattern, takesOut, matches: matcher([takesOut ? pattern.slice(1) : pattern]) }
    })
  }

  /** Whether to take a path; a folder's ends in "/". `usual` is what holds where no pattern takes anything in. */
  takes(path: string, usual: () => boolean): boolean {
    const last = this.#rules.findLast(rule => rule.matches(path))
    if (last !== undefined) return !last.takesOut
    return this.#rules.every(rule => rule.takesOut) && usual()
  }

  /** Patterns that match none of these. */
  unmatched(paths: readonly string[]): string[] {
    return this.#rules.filter(rule => !rule.takesOut && !paths.some(rule.matches)).map(rule => rule.pattern)
  }

  /** Patterns that are the name of one of these as it stands, and do not match it: `a[1].txt` is the pattern of a1.txt. */
  mistaken(paths: ReadonlySet<string>): string[] {
    return this.#rules
      .filter(({ pattern, matches }) => paths.has(pattern) && !matches(pattern))
      .map(({ pattern }) => pattern)
  }
}

/** The pattern that matches just this path. */
export function escaped(path: string): string {
  return path.replace(/[\\*?[\]{}]/g, "\\$&").replace(/^!/, "\\!")
}
