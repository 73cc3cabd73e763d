// The XML of BOINC clients, in and out. It is a dialect: tags and text, no attributes, entities in few places. Read with everything off
// that XML could do to us: no document types, no entities but five, no deep nesting, and no more bytes than the caller
// took. Written one element a line, because some parts of the client read lines.
import { XMLParser } from "fast-xml-parser"
import { CahError } from "../../core/errors.ts"
import { BOINC_XML_DEPTH_MAX, BOINC_XML_TAGS_MAX } from "../../limits.ts"

type Parsed = Readonly<Record<string, unknown>>

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  parseTagValue: false,
  processEntities: false,
  trimValues: true,
  maxNestedTags: BOINC_XML_DEPTH_MAX,
})

/** What lies between a pair of tags. */
export class Element {
  readonly #parsed: readonly Parsed[]
  /** By name, made at the first look: a reader asks for dozens of names, and a stranger may have sent thousands of tags. */
  #byName: ReadonlyMap<string, Element[]> | null = null

  constructor(parsed: readonly Parsed[]) {
    this.#parsed = parsed
  }

  all(name: string): Element[] {
    this.#byName ??= byName(this.#parsed)
    return this.#byName.get(name) ?? []
  }

  /** The first of that name, or an empty one. */
  one(name: string): Element {
    return this.all(name)[0] ?? new Element([])
  }

  has(name: string): boolean {
    return this.all(name).length > 0
  }

  /** Of the first of that name; "" if there is none. */
  text(name: string): string {
    return this.one(name).ownText()
  }

  /** Finite, else the other. */
  number(name: string, other = 0): number {
    const text = this.text(name)
    const value = Number(text)
    return text === "" || !Number.isFinite(value) ? other : value
  }

  /** Whole and no larger than a number can be exact, else 0. */
  whole(name: string): number {
    const value = Math.trunc(this.number(name))
    return Number.isSafeInteger(value) ? value : 0
  }

  /** Whole and not below 0, else 0. */
  count(name: string): number {
    const value = Math.trunc(this.number(name))
    return value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0
  }

  /** `<x/>` and `<x>1</x>` are yes. */
  flag(name: string): boolean {
    return this.has(name) && this.text(name) !== "0"
  }

  private ownText(): string {
    const texts = this.#parsed.flatMap(each => (typeof each["#text"] === "string" ? [each["#text"]] : []))
    return unescaped(texts.join("")).trim()
  }
}

function byName(parsed: readonly Parsed[]): ReadonlyMap<string, Element[]> {
  const found = new Map<string, Element[]>()
  for (const each of parsed) {
    for (const [name, inside] of Object.entries(each)) {
      if (!Array.isArray(inside)) continue
      const alike = found.get(name)
      if (alike === undefined) found.set(name, [new Element(inside as Parsed[])])
      else alike.push(new Element(inside as Parsed[]))
    }
  }
  return found
}

/**
 * The content of the root element of that name. CahError invalid_argument for anything else; so for what stands beside the root, which is
 * where tags end up that close what was never opened.
 */
export function readXml(text: string, root: string): Element {
  if (hasMoreTags(text, BOINC_XML_TAGS_MAX)) {
    throw new CahError("invalid_argument", `this is no <${root}>: more than ${BOINC_XML_TAGS_MAX} tags`)
  }
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) {
    throw new CahError("invalid_argument", "document types and entities are not read here")
  }
  let parsed: unknown
  try {
    parsed = parser.parse(text)
  } catch (cause) {
    throw new CahError("invalid_argument", `this is no <${root}>: ${(cause as Error).message.split("\n")[0]}`, {
      cause,
    })
  }
  const all = Array.isArray(parsed) ? (parsed as Parsed[]) : []
  const found = new Element(all).all(root)[0]
  if (found === undefined) throw new CahError("invalid_argument", `this is no <${root}>`)
  if (all.filter(each => !Object.hasOwn(each, "#text")).length > 1) {
    throw new CahError("invalid_argument", `this is no <${root}>: its tags do not match, or something stands beside it`)
  }
  return found
}

function hasMoreTags(text: string, most: number): boolean {
  let count = 0
  for (let at = text.indexOf("<"); at >= 0; at = text.indexOf("<", at + 1)) {
    if (++count > most) return true
  }
  return false
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }

function unescaped(text: string): string {
  return text.replace(/&(lt|gt|amp|quot|apos);/g, (_all, name: string) => entities[name]!)
}

/** A value that XML can hold: without control characters, which no client understands. */
export function escapeXml(value: string | number): string {
  const plain = String(value).replace(/[\p{Cc}\uFFFE\uFFFF]/gu, " ")
  return plain.replace(/[&<>"']/g, character => {
    return { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" }[character] ?? ""
  })
}

/** `<name>value</name>` on a line of its own; true is `<name/>`, false and null are nothing. */
export function element(name: string, value: string | number | boolean | null): string {
  if (value === null || value === false) return ""
  return value === true ? `<${name}/>\n` : `<${name}>${escapeXml(value)}</${name}>\n`
}

/** Keys and signatures are taken as they stand between their tags, line by line. */
export function rawElement(name: string, text: string): string {
  return `<${name}>\n${text.trimEnd()}\n</${name}>\n`
}

export function nested(name: string, ...inside: string[]): string {
  return `<${name}>\n${inside.join("")}</${name}>\n`
}
