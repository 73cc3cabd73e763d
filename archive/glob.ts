// Matches paths of a tree against a scientist's patterns: `*`, `?`, `[a-z]`, `[!a-z]`, `**` as a whole part, `{a,b}`. Written here
// because Node 20 has none, and because the pattern comes from a stranger: each name is matched in at most
// (pattern × name) steps, never by a regular expression, which a pattern could make exponential.
//
// As in a shell, a wildcard does not match a leading dot. Beyond a shell: a pattern that matches a folder means all in it, hidden files too;
// one that ends in "/" matches only folders. Accents match however they are written.

/** Patterns that braces may expand to. `{a,b}{a,b}…` doubles each time. */
export const BRACES_MAX = 1_024
export const PATTERN_MAX_LENGTH = 1_024

export class GlobError extends Error {
  override readonly name = "GlobError"
}

/** A folder's path may end in "/", so that patterns for folders match the folder itself. */
export type Matcher = (path: string) => boolean

export interface MatchOptions {
  /** Wildcards match a leading dot too, and a pattern never means what lies below: as in files of names to be ignored. */
  readonly exact?: boolean
}

/** Any of the patterns. Throws GlobError for one that cannot be meant. */
export function matcher(patterns: readonly string[], options: MatchOptions = {}): Matcher {
  const exact = options.exact ?? false
  const compiled = patterns.flatMap(pattern => {
    if (pattern === "") throw new GlobError("an empty pattern matches nothing")
    if (pattern.length > PATTERN_MAX_LENGTH) {
      throw new GlobError(`a pattern longer than ${PATTERN_MAX_LENGTH} characters: ${pattern.slice(0, 40)}…`)
    }
    if (pattern.startsWith("/")) throw new GlobError(`${pattern}: patterns are relative to the working directory`)
    return (exact ? [pattern] : expandBraces(pattern)).map(compile)
  })
  return path => {
    const names = path.normalize("NFC").split("/")
    const isFolder = names.at(-1) === ""
    if (isFolder) names.pop()
    return compiled.some(one => matchParts(one, names, exact, isFolder))
  }
}

interface Compiled {
  readonly parts: readonly Part[]
  /** It ended in "/". */
  readonly onlyFolders: boolean
}

type Part = "**" | readonly Token[]
type Token =
  | { readonly kind: "text"; readonly char: string }
  | { readonly kind: "one" }
  | { readonly kind: "many" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] }

function compile(pattern: string): Compiled {
  const names = pattern
    .normalize("NFC")
    .replace(/^(\.\/)+/, "")
    .split("/")
  const onlyFolders = names.at(-1) === ""
  if (onlyFolders) names.pop()
  if (names.length === 0) throw new GlobError(`${pattern}: matches nothing; everything is "*"`)
  if (names.includes("..")) throw new GlobError(`${pattern}: patterns cannot leave the working directory`)
  return { parts: names.map(name => (name === "**" ? "**" : tokens(name, pattern))), onlyFolders }
}

function tokens(name: string, pattern: string): Token[] {
  const out: Token[] = []
  const chars = [...name]
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i]!
    if (char === "*") {
      if (out.at(-1)?.kind !== "many") out.push({ kind: "many" })
    } else if (char === "?") out.push({ kind: "one" })
    else if (char === "\\") {
      i++
      if (i === chars.length) throw new GlobError(`${pattern}: ends in a backslash`)
      out.push({ kind: "text", char: chars[i]! })
    } else if (char === "[") {
      const end = classEnd(chars, i)
      if (end === -1) throw new GlobError(`${pattern}: "[" without "]"; write "\\[" for the character itself`)
      out.push(characterClass(chars.slice(i + 1, end)))
      i = end
    } else out.push({ kind: "text", char })
  }
  return out
}

/** Where the class that begins at `start` ends: a "]" directly after "[" or "[!" is one of its characters. */
function classEnd(chars: readonly string[], start: number): number {
  const negated = chars[start + 1] === "!" || chars[start + 1] === "^"
  return chars.indexOf("]", start + (negated ? 3 : 2))
}

function characterClass(body: readonly string[]): Token {
  const negated = body[0] === "!" || body[0] === "^"
  const chars = negated ? body.slice(1) : body
  const ranges: [string, string][] = []
  for (let i = 0; i < chars.length; i++) {
    if (chars[i + 1] === "-" && i + 2 < chars.length) {
      ranges.push([chars[i]!, chars[i + 2]!])
      i += 2
    } else ranges.push([chars[i]!, chars[i]!])
  }
  return { kind: "class", negated, ranges }
}

function matchParts(
  { parts, onlyFolders }: Compiled,
  names: readonly string[],
  exact: boolean,
  isFolder: boolean,
): boolean {
  const dots = exact
  // reached[j]: the parts so far can match the first j names.
  let reached: boolean[] = [true, ...names.map(() => false)]
  for (const part of parts) {
    const next: boolean[] = names.map(() => false)
    next.push(false)
    if (part === "**") {
      let open = false
      for (let j = 0; j <= names.length; j++) {
        open = (open && (dots || !names[j - 1]!.startsWith("."))) || reached[j]!
        next[j] = open
      }
    } else {
      for (let j = 0; j < names.length; j++) if (reached[j]!) next[j + 1] = matchName(part, names[j]!, dots)
    }
    reached = next
  }
  const last = names.length
  if (exact) return reached[last]!
  // What all parts match is the path itself, or a folder that it lies in.
  return reached.some((is, length) => is && length > 0 && (length < last || isFolder || !onlyFolders))
}

/** Greedy with one point to go back to, which suffices: the last star can always take more. */
function matchName(part: readonly Token[], name: string, dots: boolean): boolean {
  const chars = [...name]
  if (!dots && chars[0] === "." && !(part[0]?.kind === "text" && part[0].char === ".")) return false
  let token = 0
  let char = 0
  let star = -1
  let starChar = 0
  while (char < chars.length) {
    const now = part[token]
    if (now?.kind === "many") {
      star = token++
      starChar = char
    } else if (now !== undefined && matchOne(now, chars[char]!)) {
      token++
      char++
    } else if (star !== -1) {
      token = star + 1
      char = ++starChar
    } else return false
  }
  while (part[token]?.kind === "many") token++
  return token === part.length
}

function matchOne(token: Token, char: string): boolean {
  switch (token.kind) {
    case "text":
      return token.char === char
    case "class":
      return token.ranges.some(([from, to]) => from <= char && char <= to) !== token.negated
    case "one":
      return true
    case "many":
      return false
  }
}

/** `a{b,c{d,e}}` → ab, acd, ace. Braces without a comma, or without an end, are text, as in a shell. */
function expandBraces(pattern: string): string[] {
  let open = [pattern]
  const done: string[] = []
  while (open.length > 0) {
    const next: string[] = []
    for (const text of open) {
      const found = firstBraces(text)
      if (found === null) done.push(text)
      else next.push(...found)
    }
    open = next
    if (done.length + open.length > BRACES_MAX) {
      throw new GlobError(`${pattern.slice(0, 80)}: its braces stand for more than ${BRACES_MAX} patterns`)
    }
  }
  return done
}

function firstBraces(text: string): string[] | null {
  for (let start = text.indexOf("{"); start !== -1; start = text.indexOf("{", start + 1)) {
    if (text[start - 1] === "\\") continue
    const commas: number[] = []
    let depth = 0
    for (let i = start; i < text.length; i++) {
      if (text[i] === "\\") i++
      else if (text[i] === "{") depth++
      else if (text[i] === "," && depth === 1) commas.push(i)
      else if (text[i] === "}" && --depth === 0) {
        if (commas.length === 0) break
        const edges = [start, ...commas, i]
        return edges
          .slice(1)
          .map((end, at) => text.slice(0, start) + text.slice(edges[at]! + 1, end) + text.slice(i + 1))
      }
    }
  }
  return null
}
