// A job file (-f job.yaml): the flags of sub as keys, and the command; or, with `jobs:`, several of them by name with what each waits
// for: a graph. YAML without anchors and tags, read into the very values that the command line gives. Every refusal names line and
// column. Nothing is looked up here.
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from "yaml"
import { at, ClientError, usage } from "../errors.ts"
import { GRAPH_JOBS_MAX } from "../limits.ts"
import { campaignFlags, override, type Wishes, wishesOf } from "./flags.ts"
import { isRefused } from "./refused.ts"
import { quoteWord } from "./shellwords.ts"

export interface FileJob {
  readonly wishes: Wishes
  readonly command: readonly string[]
}

export interface GraphJob extends FileJob {
  readonly name: string
  readonly place: string
}

export type JobFile =
  | { readonly kind: "job"; readonly job: FileJob }
  | { readonly kind: "graph"; readonly jobs: readonly GraphJob[] }

/** How deep values may lie in one another. Ours need four levels; the parser would take thousands. */
const DEPTH_MAX = 8

export function parseJobFile(path: string, text: string): JobFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2", schema: "core" })
  return new Reader(path, lines).read(document)
}

class Reader {
  readonly #path: string
  readonly #lines: LineCounter

  constructor(path: string, lines: LineCounter) {
    this.#path = path
    this.#lines = lines
  }

  read(document: Document.Parsed): JobFile {
    const [error] = [...document.errors, ...document.warnings]
    if (error !== undefined) throw usage(`${this.#at(error.pos[0])}: it is not YAML: ${error.message}`, example)
    const root = document.contents
    if (root === null) throw usage(`${this.#path} is empty.`, example)
    this.#checkPlain(root, 0)
    const map = this.#map(root, "the file")
    const keys = this.#entries(map)
    if (!keys.some(({ key }) => key === "jobs")) return { kind: "job", job: this.#job(map, {}) }
    let defaults: Wishes = {}
    let jobs: readonly GraphJob[] = []
    for (const { key, keyNode, value } of keys) {
      if (key === "defaults") defaults = this.#wishes(this.#map(value, "defaults"))
      else if (key !== "jobs") {
        throw usage(
          `${this.#place(keyNode)}: "${key}" cannot stand beside jobs.`,
          "What all jobs have in common goes under defaults.",
        )
      }
    }
    for (const { key, value } of keys) if (key === "jobs") jobs = this.#graph(this.#map(value, "jobs"), defaults)
    return { kind: "graph", jobs }
  }

  #graph(map: YAMLMap, defaults: Wishes): GraphJob[] {
    const entries = this.#entries(map)
    if (entries.length === 0) throw usage(`${this.#place(map)}: there are no jobs.`, example)
    if (entries.length > GRAPH_JOBS_MAX) throw usage(`${this.#path}: more than ${GRAPH_JOBS_MAX} jobs.`)
    return entries.map(({ key, keyNode, value }) => {
      const place = this.#place(keyNode)
      if (!/^[A-Za-z_][\w.-]{0,63}$/.test(key) || key === "last" || key === "all") {
        throw usage(
          `${place}: "${key}" is not a name for a job.`,
          "Letters, digits, _ . and -, a letter first; not last or all.",
        )
      }
      const { wishes, command } = this.#job(this.#map(value, key), defaults)
      return { name: key, place, command, wishes: { name: key, ...wishes } }
    })
  }

  #job(map: YAMLMap, defaults: Wishes): FileJob {
    const entry = this.#entries(map).find(({ key }) => key === "command")
    if (entry === undefined) throw usage(`${this.#place(map)}: there is no command.`, example)
    return { command: this.#command(entry.value), wishes: override(defaults, this.#wishes(map, "command")) }
  }

  /** A text is a line for the shell, a list is a program with its arguments. */
  #command(node: Node): string[] {
    if (!isSeq(node)) return [this.#text(node, "command")]
    const words = node.items.map(item => this.#text(item as Node, "command"))
    if (words.length === 0) throw usage(`${this.#place(node)}: the command is empty.`, example)
    // A list of one would mean a line for the shell to the hub; a list is never one here.
    const [only] = words
    return words.length === 1 && only !== undefined ? [`exec ${quoteWord(only)}`] : words
  }

  #wishes(map: YAMLMap, except = ""): Wishes {
    const flags = new Map(
      campaignFlags("file")
        .filter(option => !isRefused(option))
        .map(option => [option.long?.slice(2) ?? "", option]),
    )
    const values: Record<string, unknown> = {}
    for (const { key, keyNode, value } of this.#entries(map)) {
      if (key === except) continue
      const option = flags.get(key.replaceAll("_", "-"))
      if (option === undefined) {
        const hint = "Keys are command and the flags of cah sub by their long names: stagein, walltime, array, …"
        throw usage(`${this.#place(keyNode)}: "${key}" is not a key that is known here.`, hint)
      }
      const name = option.attributeName()
      if (!option.required) values[name] = this.#yes(value, key)
      else {
        for (const { text, node } of this.#texts(value, key)) {
          values[name] = this.#parsed(node, () => option.parseArg?.(text, values[name]) ?? text)
        }
      }
      if (values[name] === false) delete values[name]
    }
    return wishesOf(values)
  }

  #parsed(node: Node, parse: () => unknown): unknown {
    try {
      return parse()
    } catch (thrown) {
      throw thrown instanceof ClientError ? at(this.#place(node), thrown) : thrown
    }
  }

  /** The texts that the flag would be given: one, one for each element, or for each key of a map as key=value. */
  #texts(value: Node, key: string): { text: string; node: Node }[] {
    if (isSeq(value)) return value.items.map(item => ({ text: this.#text(item as Node, key), node: item as Node }))
    if (!isMap(value)) return [{ text: this.#text(value, key), node: value }]
    if (key !== "env" && key !== "sweep") throw usage(`${this.#place(value)}: ${key} takes no keys of its own.`)
    return this.#entries(value).map(one => {
      const texts = isSeq(one.value)
        ? one.value.items.map(item => this.#text(item as Node, one.key))
        : [this.#text(one.value, one.key)]
      return { text: `${one.key}=${texts.join(",")}`, node: one.value }
    })
  }

  #text(node: Node | null, key: string): string {
    if (!isScalar(node) || node.value === null) {
      throw usage(`${node === null ? this.#path : this.#place(node)}: ${key} wants a text or a number here.`)
    }
    // As it was written: 007 stays 007, and 1e3 is not made 1000.
    return typeof node.value === "string" ? node.value : ((node as Scalar).source ?? String(node.value))
  }

  #yes(node: Node, key: string): boolean {
    if (isScalar(node) && typeof node.value === "boolean") return node.value
    throw usage(`${this.#place(node)}: ${key} is either true or false.`)
  }

  #map(node: Node, what: string): YAMLMap {
    if (isMap(node)) return node
    throw usage(`${this.#place(node)}: ${what} must be keys with values.`, example)
  }

  #entries(map: YAMLMap): { key: string; keyNode: Node; value: Node }[] {
    return map.items.map(({ key, value }) => {
      if (!isScalar(key)) throw usage(`${this.#place(map)}: a key is a word.`)
      if (value === null || value === undefined) throw usage(`${this.#place(key)}: "${key.value}" has no value.`)
      return { key: String(key.source ?? key.value), keyNode: key, value: value as Node }
    })
  }

  /** No anchors, which could stand for a billion nodes, and no tags, which could stand for anything. */
  #checkPlain(node: unknown, depth: number): void {
    if (isAlias(node)) throw usage(`${this.#place(node)}: aliases are not taken here.`, "Write it out.")
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) return
    if (node.tag !== undefined) throw usage(`${this.#place(node)}: tags are not taken here.`)
    if (depth > DEPTH_MAX) throw usage(`${this.#place(node)}: nested too deeply.`)
    if (isMap(node)) {
      for (const pair of node.items) {
        this.#checkPlain(pair.key, depth + 1)
        this.#checkPlain(pair.value, depth + 1)
      }
    } else if (isSeq(node)) for (const item of node.items) this.#checkPlain(item, depth + 1)
  }

  #place(node: Node): string {
    return this.#at(node.range?.[0] ?? 0)
  }

  #at(position: number): string {
    const { line, col } = this.#lines.linePos(position)
    return `${this.#path}, line ${line}, column ${col}`
  }
}

const example = "It begins like:\ncommand: ./render.sh\narray: 36\nstagein: scene"
