// A line cut into words as a shell would, with quotes and backslashes but without expanding anything: OAR's parameter files
// and the directives of a script. Also the way back, from words to a line that a shell reads as the same words.

export class WordError extends Error {
  override readonly name = "WordError"
  /** From 1. */
  readonly column: number

  constructor(message: string, column: number) {
    super(message)
    this.column = column
  }
}

/** `a "b c" d\ e 'f'` → a, b c, d e, f. Throws WordError where a quote is opened and never closed. */
export function splitWords(line: string): string[] {
  const words: string[] = []
  let word: string | null = null
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i)
    if (char === " " || char === "\t") {
      if (word !== null) words.push(word)
      word = null
    } else if (char === "'") {
      const end = line.indexOf("'", i + 1)
      if (end === -1) throw new WordError("this ' is never closed", i + 1)
      word = (word ?? "") + line.slice(i + 1, end)
      i = end
    } else if (char === '"') {
      const quoted = doubleQuoted(line, i)
      word = (word ?? "") + quoted.text
      i = quoted.end
    } else if (char === "\\") {
      if (i + 1 === line.length) throw new WordError("a backslash at the end of the line stands for nothing", i + 1)
      word = (word ?? "") + line.charAt(++i)
    } else word = (word ?? "") + char
  }
  if (word !== null) words.push(word)
  return words
}

/** Within double quotes a backslash protects only what would mean something there, as in a shell. */
function doubleQuoted(line: string, start: number): { text: string; end: number } {
  let text = ""
  for (let i = start + 1; i < line.length; i++) {
    const char = line.charAt(i)
    if (char === '"') return { text, end: i }
    if (char === "\\" && /["\\$`]/.test(line.charAt(i + 1))) text += line.charAt(++i)
    else text += char
  }
  throw new WordError('this " is never closed', start + 1)
}

/** One word as a shell takes it back, whatever is in it. */
export function quoteWord(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(" ")
}
