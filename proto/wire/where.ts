// Reads what a scientist asks of nodes: OAR's -p, which is the inside of an SQL WHERE, or the part of it that can be judged
// node by node. Every value stands against one property, so that `has_ffmpeg = yes` is an error that says how to write it
// and not a comparison with a property called yes. Whatever the text, it ends in a requirement or in a RequirementError with a column.
import { slips } from "../../common/spelling.ts"
import { readNumber, SIZE_PROPERTIES } from "./literal.ts"
import type { Literal, Operator, Requirement } from "./property.ts"

/** What was written is no requirement. The message is for people: the column, from 1, and what was expected there. */
export class RequirementError extends Error {
  override readonly name = "RequirementError"
}

/** Characters. A sentence that names a hundred models still fits. */
export const PROPERTY_MAX_CHARACTERS = 4_096
/** Words, signs and literals: what parsing may cost, and one judgement of one node. */
export const PROPERTY_MAX_TOKENS = 1_024
/** Parentheses and NOTs within each other: the recursion of everything here. */
export const PROPERTY_MAX_DEPTH = 32
/** Characters of one LIKE pattern: with values of at most a few hundred it bounds the work of one match. */
export const PATTERN_MAX_CHARACTERS = 256

// ---- words -------------------------------------------------------------------------------------------------------

type Token =
  | { readonly kind: "word" | "sign"; readonly text: string; readonly at: number }
  | { readonly kind: "literal"; readonly text: string; readonly literal: Literal; readonly at: number }
  | { readonly kind: "end"; readonly text: ""; readonly at: number }

const keywords = ["AND", "OR", "NOT", "IN", "LIKE", "IS", "NULL", "BETWEEN"]

/** What people write in other languages, and what it is here. */
const foreign: Readonly<Record<string, string>> = {
  "==": 'equality is one "="',
  "&&": 'write "AND"',
  "||": 'write "OR"',
  "!": 'write "NOT", or "<>" for unequal',
  "~": "write LIKE, with % for any text",
  "=~": "write LIKE, with % for any text",
  '"': "texts stand in single quotes: 'like this'",
  "`": "names need no quotes",
  ";": "one condition is all there is",
  "*": "in a LIKE pattern % stands for any text",
}

const lexemes =
  /(?<space>\s+)|(?<word>[A-Za-z_][A-Za-z0-9_.-]*)|(?<number>[+-]?(?:\d+\.?\d*|\.\d+)[A-Za-z0-9_.]*)|(?<text>'(?:[^']|'')*'(?!'))|(?<sign><=|>=|<>|!=|==|=~|&&|\|\||[^\s\w'])/uy

function tokens(text: string): Token[] {
  if (text.length > PROPERTY_MAX_CHARACTERS) {
    throw new RequirementError(`the property has ${text.length} characters, and may have ${PROPERTY_MAX_CHARACTERS}`)
  }
  const all: Token[] = []
  for (let at = 0; at < text.length; ) {
    lexemes.lastIndex = at
    const found = lexemes.exec(text)?.groups
    if (found === undefined) throw wrong(text, at, "the text that begins here has no end: a single quote is missing")
    const { space, word, number, text: quoted, sign } = found
    if (word !== undefined) all.push({ kind: "word", text: word, at })
    else if (number !== undefined) all.push({ kind: "literal", text: number, literal: numberOf(text, number, at), at })
    else if (quoted !== undefined) all.push({ kind: "literal", text: quoted, literal: textOf(text, quoted, at), at })
    else if (sign !== undefined) all.push({ kind: "sign", text: sign, at })
    if (all.length > PROPERTY_MAX_TOKENS) throw wrong(text, at, `more than ${PROPERTY_MAX_TOKENS} words and signs`)
    at += (space ?? word ?? number ?? quoted ?? sign)!.length
  }
  all.push({ kind: "end", text: "", at: text.length })
  return all
}

function textOf(source: string, quoted: string, at: number): Literal {
  const text = quoted.slice(1, -1).replaceAll("''", "'")
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text))
    throw wrong(source, at, "a text must not hold control characters or new lines")
  return { kind: "text", text }
}

function numberOf(source: string, written: string, at: number): Literal {
  const value = readNumber(written)
  if (value === null) throw wrong(source, at, `expected a number like 8, 1.5 or 64G, found ${shown(written)}`)
  return { kind: "number", value, text: written.toUpperCase().replace(/IB?$/, "") }
}

// ---- sentences ---------------------------------------------------------------------------------------------------

/** Throws RequirementError, which names the column, from 1, and what was expected there. */
export function parseRequirement(text: string): Requirement {
  const all = tokens(text)
  let next = 0
  let depth = 0

  const peek = (): Token => all[Math.min(next, all.length - 1)]!
  const isKeyword = (token: Token, word: string): boolean => token.kind === "word" && token.text.toUpperCase() === word
  const take = (word: string): boolean => {
    const token = peek()
    if (!isKeyword(token, word) && !(token.kind === "sign" && token.text === word)) return false
    next++
    return true
  }
  const expected = (what: string, candidates: readonly string[] = []): RequirementError => {
    const token = peek()
    return wrong(text, token.at, `expected ${what}, found ${foundText(token)}${hint(token, candidates)}`)
  }
  const need = (word: string): void => {
    if (!take(word)) throw expected(word, [word])
  }
  const deeper = <T>(parse: () => T): T => {
    if (++depth > PROPERTY_MAX_DEPTH) {
      throw wrong(text, peek().at, `more than ${PROPERTY_MAX_DEPTH} parentheses and NOTs within each other`)
    }
    const result = parse()
    depth--
    return result
  }

  const chain = (kind: "and" | "or", part: () => Requirement): Requirement => {
    const of: Requirement[] = []
    do {
      const one = part()
      // "(a AND b) AND c" says what "a AND b AND c" says.
      if (one.kind === kind) of.push(...one.of)
      else of.push(one)
    } while (take(kind.toUpperCase()))
    return of.length === 1 ? of[0]! : { kind, of }
  }
  const disjunction = (): Requirement => chain("or", conjunction)
  const conjunction = (): Requirement => chain("and", negation)
  const negation = (): Requirement => (take("NOT") ? { kind: "not", of: deeper(negation) } : primary())

  const primary = (): Requirement => {
    if (!take("(")) return predicate()
    const inner = deeper(disjunction)
    if (!take(")")) throw expected('AND, OR or ")"', ["AND", "OR"])
    return inner
  }

  const predicate = (): Requirement => {
    const first = peek()
    if (first.kind === "literal") return mirrored()
    const name = propertyName()
    const operator = comparison()
    if (operator !== null) return { kind: "compare", name, operator, literal: literal(name) }
    if (take("IS")) {
      const isNegated = take("NOT")
      need("NULL")
      return negatedIf(isNegated, { kind: "null", name })
    }
    const isNegated = take("NOT")
    if (take("LIKE")) return negatedIf(isNegated, { kind: "like", name, pattern: likePattern() })
    if (take("IN")) return negatedIf(isNegated, { kind: "in", name, list: list(name) })
    if (take("BETWEEN")) {
      const low = literal(name)
      need("AND")
      return negatedIf(isNegated, { kind: "between", name, low, high: literal(name) })
    }
    if (isNegated) throw expected("LIKE, IN or BETWEEN", ["LIKE", "IN", "BETWEEN"])
    if (isNear(name, "NOT")) {
      throw wrong(text, first.at, `expected a property or NOT, found ${shown(first.text)}; did you mean NOT?`)
    }
    throw expected(`=, <>, <, <=, >, >=, LIKE, IN, BETWEEN or IS after ${shown(first.text)}`, keywords.slice(2))
  }

  /** "64 < mem" is "mem > 64". */
  const mirrored = (): Requirement => {
    const left = literal("")
    const operator = comparison()
    if (operator === null) throw expected("=, <>, <, <=, > or >= after a value")
    if (peek().kind === "literal") throw expected("a property to compare the value with")
    const name = propertyName()
    return { kind: "compare", name, operator: mirror[operator], literal: measured(name, left) }
  }

  const propertyName = (): string => {
    const token = peek()
    if (token.kind !== "word") throw expected("a property")
    if (keywords.includes(token.text.toUpperCase())) throw expected("a property")
    next++
    return token.text.toLowerCase()
  }

  const comparison = (): Operator | null => {
    const token = peek()
    const operator = token.kind === "sign" ? operators[token.text] : undefined
    if (operator === undefined) return null
    next++
    return operator
  }

  const literal = (name: string): Literal => {
    const token = peek()
    if (token.kind === "literal") {
      next++
      return measured(name, token.literal)
    }
    if (isKeyword(token, "NULL")) throw expected(`a value: nothing equals NULL; write "${name} IS NULL"`)
    if (token.kind === "word")
      throw expected(`a number or a text; a text stands in single quotes, '${clipped(token.text)}'`)
    throw expected("a number, or a text in single quotes")
  }

  const likePattern = (): string => {
    const token = peek()
    if (token.kind !== "literal" || token.literal.kind !== "text") throw expected("a pattern in single quotes")
    const pattern = token.literal.text
    if (pattern.length > PATTERN_MAX_CHARACTERS) {
      throw wrong(
        text,
        token.at,
        `the pattern has ${pattern.length} characters, and may have ${PATTERN_MAX_CHARACTERS}`,
      )
    }
    if (/(?<!\\)(?:\\\\)*\\$/.test(pattern))
      throw wrong(text, token.at, "the pattern ends in a \\ that escapes nothing")
    next++
    return pattern
  }

  const list = (name: string): Literal[] => {
    need("(")
    const all: Literal[] = []
    do all.push(literal(name))
    while (take(","))
    if (!take(")")) throw expected('"," or ")"')
    return all
  }

  const whole = disjunction()
  if (peek().kind !== "end") throw expected("AND, OR or the end", ["AND", "OR"])
  return whole
}

const operators: Readonly<Record<string, Operator>> = {
  "=": "=",
  "<>": "<>",
  "!=": "<>",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
}
const mirror: Readonly<Record<Operator, Operator>> = {
  "=": "=",
  "<>": "<>",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
}

function measured(name: string, literal: Literal): Literal {
  if (literal.kind !== "number" || !SIZE_PROPERTIES.includes(name) || /[KMGT]$/.test(literal.text)) return literal
  return { kind: "number", text: `${literal.text}G`, value: literal.value * 1024 ** 3 }
}

function negatedIf(isNegated: boolean, of: Requirement): Requirement {
  return isNegated ? { kind: "not", of } : of
}

// ---- what is wrong -----------------------------------------------------------------------------------------------

function wrong(text: string, at: number, what: string): RequirementError {
  const column = [...text.slice(0, at)].length + 1
  return new RequirementError(`property, column ${column}: ${what}`)
}

function clipped(text: string): string {
  return text.length > 40 ? `${[...text].slice(0, 40).join("")}…` : text
}

function shown(text: string): string {
  return JSON.stringify(clipped(text))
}

function foundText(token: Token): string {
  if (token.kind === "end") return "the end"
  // A text is already in quotes.
  return token.text.startsWith("'") ? clipped(token.text) : shown(token.text)
}

function hint(token: Token, candidates: readonly string[]): string {
  if (token.kind === "sign" && Object.hasOwn(foreign, token.text)) return `; ${foreign[token.text]}`
  const near = token.kind === "word" ? candidates.find(word => isNear(token.text, word)) : undefined
  return near === undefined ? "" : `; did you mean ${near}?`
}

/** One slip of the hand away, two in long words: a letter too many, too few, wrong, or swapped with its neighbour. */
export function isNear(typed: string, word: string): boolean {
  const [a, b] = [typed.toUpperCase(), word.toUpperCase()]
  const most = b.length > 4 ? 2 : 1
  if (Math.abs(a.length - b.length) > most || slips(a, b) > most) return false
  // Of two letters a wrong one is half the word: "os" is no slip for "OR", "ro" is.
  return b.length > 2 || [...b].every(letter => a.includes(letter))
}
