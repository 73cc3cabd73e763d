// A requirement: what a scientist asks of nodes, `mem > 64G AND cpu_flags LIKE '%avx2%'`, as a value: whether a node matches it, by SQL's
// three-valued logic (a property that a node does not report is NULL, and what is not known to hold does not match), what
// a node lacks of it, and how it is printed. The hub judges by it, and an agent in an appliance once more. where.ts reads it from text. Nothing of it ever reaches a database.
import { readNumber, SIZE_PROPERTIES } from "./literal.ts"

export type Operator = "=" | "<>" | "<" | "<=" | ">" | ">="

/** As it was written, but for its spelling: '…' without the quotes, numbers as "1.5G". */
export type Literal =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "number"; readonly text: string; readonly value: number }

/** `name` is in lower case everywhere. Negated predicates are a "not" around them. */
export type Requirement =
  | { readonly kind: "and"; readonly of: readonly Requirement[] }
  | { readonly kind: "or"; readonly of: readonly Requirement[] }
  | { readonly kind: "not"; readonly of: Requirement }
  | { readonly kind: "compare"; readonly name: string; readonly operator: Operator; readonly literal: Literal }
  | { readonly kind: "in"; readonly name: string; readonly list: readonly Literal[] }
  | { readonly kind: "like"; readonly name: string; readonly pattern: string }
  | { readonly kind: "between"; readonly name: string; readonly low: Literal; readonly high: Literal }
  | { readonly kind: "null"; readonly name: string }

/** A node as it is judged: names in lower case, as `lowerCased` makes them once when it says hello. */
export type NodeProperties = Readonly<Record<string, string | number>>

export function lowerCased(properties: NodeProperties): NodeProperties {
  const lowered: Record<string, string | number> = Object.create(null)
  for (const [name, value] of Object.entries(properties)) lowered[name.toLowerCase()] ??= value
  return lowered
}

/** What a node reports of itself, and what else is known of it, which counts where both say something. */
export function factsOf(node: {
  readonly id: string
  readonly name: string
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly properties: NodeProperties
}): NodeProperties {
  const { id, name, slots, memoryBytes, diskBytes, properties } = node
  // OAR's names for a machine and its processors besides ours.
  const names = { node: id, name, host: name, network_address: name }
  const known = { ...names, slots, core: slots, mem: memoryBytes, disk: diskBytes }
  return { ...lowerCased(properties), ...known }
}

// ---- judgement ---------------------------------------------------------------------------------------------------

/** SQL's third value: it is not known. */
type Truth = boolean | null

export function matches(property: Requirement, node: NodeProperties): boolean {
  return truth(property, node) === true
}

function truth(property: Requirement, node: NodeProperties): Truth {
  switch (property.kind) {
    case "and":
      return together(property.of, node, true)
    case "or":
      return together(property.of, node, false)
    case "not":
      return opposite(truth(property.of, node))
    case "null":
      return reported(node, property.name) === null
  }
  const value = reported(node, property.name)
  if (value === null) return null
  switch (property.kind) {
    case "compare":
      return compared(value, property.operator, property.literal)
    case "in":
      return isAnyOf(value, property.list)
    case "between":
      return both(compared(value, ">=", property.low), compared(value, "<=", property.high))
    case "like":
      return like(String(value), property.pattern)
    default:
      return property satisfies never
  }
}

/** AND when `neutral` is true, OR when it is false: the other value decides, NULL spoils. */
function together(parts: readonly Requirement[], node: NodeProperties, neutral: boolean): Truth {
  let result: Truth = neutral
  for (const part of parts) {
    const one = truth(part, node)
    if (one === !neutral) return one
    if (one === null) result = null
  }
  return result
}

function isAnyOf(value: string | number, list: readonly Literal[]): Truth {
  let result: Truth = false
  for (const literal of list) {
    const one = compared(value, "=", literal)
    if (one === true) return true
    if (one === null) result = null
  }
  return result
}

function both(one: Truth, other: Truth): Truth {
  if (one === false || other === false) return false
  return one === null || other === null ? null : true
}

function opposite(one: Truth): Truth {
  return one === null ? null : !one
}

function reported(node: NodeProperties, name: string): string | number | null {
  return Object.hasOwn(node, name) ? (node[name] ?? null) : null
}

/** As numbers when both are numbers, else as texts; a number is not comparable with a text that is none. */
function compared(value: string | number, operator: Operator, literal: Literal): Truth {
  const left = typeof value === "number" ? value : readNumber(value.trim())
  const right = literal.kind === "number" ? literal.value : left === null ? null : readNumber(literal.text.trim())
  if (left !== null && right !== null) return ordered(left, operator, right)
  return literal.kind === "number" ? null : ordered(String(value), operator, literal.text)
}

function ordered<T extends string | number>(left: T, operator: Operator, right: T): boolean {
  switch (operator) {
    case "=":
      return left === right
    case "<>":
      return left !== right
    case "<":
      return left < right
    case "<=":
      return left <= right
    case ">":
      return left > right
    case ">=":
      return left >= right
    default:
      return operator satisfies never
  }
}

/**
 * % stands for any text, _ for one character, \ makes the next one plain. One step back at most for each character of the
 * value (the last % takes one more), so the work is bounded by value times pattern, whatever a stranger reports.
 */
function like(value: string, pattern: string): boolean {
  const marks = patternOf(pattern)
  const characters = [...value]
  let [at, mark, afterAny, resume] = [0, 0, -1, 0]
  while (at < characters.length) {
    const wanted = marks[mark]
    if (wanted === ANY) {
      afterAny = ++mark
      resume = at
    } else if (wanted === ONE || wanted === characters[at]) {
      at++
      mark++
    } else if (afterAny >= 0) {
      at = ++resume
      mark = afterAny
    } else {
      return false
    }
  }
  while (marks[mark] === ANY) mark++
  return mark === marks.length
}

const ANY = Symbol("%")
const ONE = Symbol("_")
type Mark = string | typeof ANY | typeof ONE

/** Read once for each pattern and not for each node; forgotten when there are too many. */
const patterns = new Map<string, readonly Mark[]>()
const PATTERNS_KEPT = 1_024

function patternOf(pattern: string): readonly Mark[] {
  const known = patterns.get(pattern)
  if (known !== undefined) return known
  const marks: Mark[] = []
  for (const [part] of pattern.matchAll(/\\?./gsu)) {
    marks.push(
      part === "%" ? ANY : part === "_" ? ONE : part.length > 1 && part.startsWith("\\") ? part.slice(1) : part,
    )
  }
  if (patterns.size >= PATTERNS_KEPT) patterns.clear()
  patterns.set(pattern, marks)
  return marks
}

// ---- for people --------------------------------------------------------------------------------------------------

/** The properties that it asks for, in lower case, each once, in the order of their mention. */
export function namesOf(property: Requirement): string[] {
  const names = new Set<string>()
  const visit = (one: Requirement): void => {
    if (one.kind === "and" || one.kind === "or") for (const part of one.of) visit(part)
    else if (one.kind === "not") visit(one.of)
    else names.add(one.name)
  }
  visit(property)
  return [...names]
}

/** The one spelling of it: parsing that gives the same property again. May be longer than what was typed. */
export function printRequirement(property: Requirement): string {
  switch (property.kind) {
    case "and":
      return property.of
        .map(one => (one.kind === "or" ? `(${printRequirement(one)})` : printRequirement(one)))
        .join(" AND ")
    case "or":
      return property.of.map(printRequirement).join(" OR ")
    case "not":
      return printNot(property.of)
    default:
      return printPredicate(property, "")
  }
}

type Predicate = Exclude<Requirement, { readonly kind: "and" | "or" | "not" }>

function printNot(property: Requirement): string {
  switch (property.kind) {
    case "and":
    case "or":
      return `NOT (${printRequirement(property)})`
    case "not":
    case "compare":
      return `NOT ${printRequirement(property)}`
    default:
      return printPredicate(property, "NOT ")
  }
}

function printPredicate(one: Predicate, not: string): string {
  switch (one.kind) {
    case "compare":
      return `${one.name} ${one.operator} ${printLiteral(one.literal)}`
    case "in":
      return `${one.name} ${not}IN (${one.list.map(printLiteral).join(", ")})`
    case "like":
      return `${one.name} ${not}LIKE ${quoted(one.pattern)}`
    case "between":
      return `${one.name} ${not}BETWEEN ${printLiteral(one.low)} AND ${printLiteral(one.high)}`
    case "null":
      return `${one.name} IS ${not}NULL`
    default:
      return one satisfies never
  }
}

function printLiteral(literal: Literal): string {
  return literal.kind === "number" ? literal.text : quoted(literal.text)
}

/** What a node has, as the property would say it: "32G", "'x64'", "NULL". For the second half of "mem > 64G: it has 32G". */
export function printValue(name: string, value: string | number | undefined): string {
  if (value === undefined) return "NULL"
  if (typeof value === "string") return readNumber(value) === null ? quoted(value) : value
  if (!SIZE_PROPERTIES.includes(name)) return `${value}`
  const [unit, size] = value < 1024 ** 3 ? ["M", 1024 ** 2] : ["G", 1024 ** 3]
  return `${Math.floor((value / size) * 10) / 10}${unit}`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/**
 * What of the property this node lacks: every part of it that must still come true, without what holds already. None: it
 * matches. Of alternatives the lacking rests together are one part, since any of them would do.
 */
export function unmet(property: Requirement, node: NodeProperties): Requirement[] {
  const rest = lacking(property, true, node)
  return rest === null ? [] : rest.kind === "and" ? [...rest.of] : [rest]
}

/** The same as texts, to be counted over nodes and shown: "mem > 64G". */
export function failing(property: Requirement, node: NodeProperties): string[] {
  return unmet(property, node).map(printRequirement)
}

/** `wanted` is what must come out; NOT turns it, and by De Morgan AND into OR below it. */
function lacking(property: Requirement, wanted: boolean, node: NodeProperties): Requirement | null {
  if (truth(property, node) === wanted) return null
  if (property.kind === "not") return lacking(property.of, !wanted, node)
  if (property.kind !== "and" && property.kind !== "or") {
    return wanted ? property : { kind: "not", of: property }
  }
  const kind = (property.kind === "and") === wanted ? "and" : "or"
  const of = property.of
    .map(one => lacking(one, wanted, node))
    .filter(one => one !== null)
    .flatMap(one => (one.kind === kind ? one.of : [one]))
  return of.length === 1 ? of[0]! : { kind, of }
}
