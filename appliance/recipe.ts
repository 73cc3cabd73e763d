// A recipe: what an appliance is made of, in YAML. One may extend another: its lists are added to that one's, its other values take their
// place. Every refusal names file, line and column. Only reads recipes; what they name (packages, files) is looked up when it is built.
import { readFileSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar, type YAMLMap } from "yaml"
import { ApplianceError } from "./errors.ts"
import { EXTENDS_MAX, RECIPE_MAX_BYTES } from "./limits.ts"

export interface Recipe {
  /** Of the file, without .yaml. */
  readonly name: string
  /** Debian's, like "trixie". */
  readonly suite: string
  /** Where packages come from unless the builder is told otherwise, and where the guest's apt looks. */
  readonly mirror: string
  /** Of snapshot.debian.org, "20261120T000000Z": packages as they were then. Null: as they are now. */
  readonly snapshot: string | null
  /** The package whose kernel boots. */
  readonly kernel: string
  readonly packages: readonly string[]
  /** Patterns of paths that are left out; * is any text, slashes too. With "!" before it: that stays all the same. */
  readonly exclude: readonly string[]
  readonly files: readonly RecipeFile[]
  /** Lines for the shell, as root inside, after packages and files. */
  readonly run: readonly string[]
  /** Less than this, and it does not boot. */
  readonly memoryMb: number
}

export interface RecipeFile {
  /** In the image, absolute. */
  readonly path: string
  readonly mode: number
  /** Either its text, or the file on this side that it is taken from. */
  readonly source: { readonly text: string } | { readonly from: string }
  /** For errors: "base.yaml, line 20, column 5". */
  readonly place: string
}

/** What a recipe says of itself, before it is joined with what it extends. */
type Values = { -readonly [K in keyof Recipe]?: Recipe[K] }
type Said = Values & { parent?: { readonly path: string; readonly place: string } }

/** Reads a recipe and all that it extends. */
export function readRecipe(path: string): Recipe {
  const chain: Said[] = []
  const seen = new Set<string>()
  for (let next: string | null = resolve(path), from = ""; next !== null; ) {
    if (seen.has(next)) throw new ApplianceError(`${from}: a recipe cannot extend itself`)
    if (seen.size >= EXTENDS_MAX) throw new ApplianceError(`${from}: more than ${EXTENDS_MAX} recipes one upon another`)
    seen.add(next)
    const said = parseRecipe(next, readText(next, from))
    chain.unshift(said)
    from = said.parent?.place ?? ""
    next = said.parent?.path ?? null
  }
  return joined(path, chain)
}

function joined(path: string, chain: readonly Said[]): Recipe {
  const last = <K extends keyof Recipe>(key: K): Values[K] | undefined =>
    chain.findLast(said => said[key] !== undefined)?.[key]
  const all = <T>(pick: (said: Said) => readonly T[] | undefined): T[] => chain.flatMap(said => pick(said) ?? [])
  const files = new Map(all(said => said.files).map(file => [file.path, file]))
  const suite = last("suite")
  if (suite === undefined) throw new ApplianceError(`${basename(path)} does not say which suite, like: suite: trixie`)
  return {
    name: basename(path).replace(/\.ya?ml$/, ""),
    suite,
    mirror: last("mirror") ?? "http://deb.debian.org/debian",
    snapshot: last("snapshot") ?? null,
    kernel: last("kernel") ?? "linux-image-cloud-amd64",
    packages: [...new Set(all(said => said.packages))],
    exclude: [...new Set(all(said => said.exclude))],
    files: [...files.values()],
    run: all(said => said.run),
    memoryMb: last("memoryMb") ?? 512,
  }
}

function readText(path: string, from: string): string {
  try {
    const text = readFileSync(path, "utf8")
    if (text.length <= RECIPE_MAX_BYTES) return text
    throw new ApplianceError(`${path} has more than ${RECIPE_MAX_BYTES} bytes`)
  } catch (error) {
    if (error instanceof ApplianceError) throw error
    const { code } = error as NodeJS.ErrnoException
    const why = code === "ENOENT" ? "there is no" : `(${code}) cannot read`
    throw new ApplianceError(`${from === "" ? "" : `${from}: `}${why} ${path}`)
  }
}

// ---- one file ---------------------------------------------------------------------------------------------------

export function parseRecipe(path: string, text: string): Said {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2", schema: "core" })
  const reader = new Reader(path, lines)
  const [error] = [...document.errors, ...document.warnings]
  if (error !== undefined) throw new ApplianceError(`${reader.at(error.pos[0])}: ${error.message}`)
  if (document.contents === null) throw new ApplianceError(`${basename(path)} is empty; it begins like: suite: trixie`)
  return reader.recipe(document.contents)
}

class Reader {
  readonly #path: string
  readonly #lines: LineCounter

  constructor(path: string, lines: LineCounter) {
    this.#path = path
    this.#lines = lines
  }

  recipe(root: Node): Said {
    const said: Said = {}
    for (const { key, keyNode, value } of this.#entries(root, "a recipe")) {
      const read = this.#keys[key]
      if (read === undefined) {
        const known = Object.keys(this.#keys).join(", ")
        throw this.#wrong(keyNode, `"${key}" is not known here; there are ${known}`)
      }
      read(value, said)
    }
    return said
  }

  readonly #keys: Record<string, (value: Node, said: Said) => void> = {
    extends: (value, said) => {
      const name = this.#text(value, "extends", /^[\w./-]+$/, 'another recipe, like "base"')
      const file = /\.ya?ml$/.test(name) ? name : `${name}.yaml`
      said.parent = { path: join(dirname(resolve(this.#path)), file), place: this.#place(value) }
    },
    suite: (value, said) => {
      said.suite = this.#text(value, "suite", /^[a-z][a-z0-9-]*$/, 'one of Debian\'s, like "trixie"')
    },
    mirror: (value, said) => {
      said.mirror = this.#text(value, "mirror", /^https?:\/\/[\w.:/-]+$/, 'a URL, like "http://deb.debian.org/debian"')
    },
    snapshot: (value, said) => {
      said.snapshot = this.#text(value, "snapshot", /^\d{8}T\d{6}Z$/, 'a moment, like "20261120T000000Z"')
    },
    kernel: (value, said) => {
      said.kernel = this.#text(value, "kernel", packageName, 'a package, like "linux-image-cloud-amd64"')
    },
    packages: (value, said) => {
      said.packages = this.#list(value, "packages").map(one =>
        this.#text(one, "packages", packageName, "a package's name"),
      )
    },
    exclude: (value, said) => {
      const wanted = 'a path with or without *, like "/usr/share/doc/*", or "!/usr/share/doc/keep" for what stays'
      said.exclude = this.#list(value, "exclude").map(one => this.#text(one, "exclude", absolute, wanted))
    },
    files: (value, said) => {
      said.files = this.#list(value, "files").map(one => this.#file(one))
    },
    run: (value, said) => {
      said.run = this.#list(value, "run").map(one => this.#text(one, "run", /\S/, "a line for the shell"))
    },
    resources: (value, said) => {
      for (const { key, keyNode, value: size } of this.#entries(value, "resources")) {
        if (key !== "memory") throw this.#wrong(keyNode, `"${key}" is not known here; there is memory`)
        const text = this.#text(size, "memory", /^\d+(MiB|GiB)$/, 'a size, like "512MiB"')
        said.memoryMb = Number.parseInt(text, 10) * (text.endsWith("GiB") ? 1_024 : 1)
      }
    },
  }

  #file(node: Node): RecipeFile {
    const found: { path?: string; mode?: number; text?: string; from?: string } = {}
    for (const { key, keyNode, value } of this.#entries(node, "a file")) {
      if (key === "path")
        found.path = this.#text(value, "path", filePath, 'an absolute path without "..", like "/etc/motd"')
      else if (key === "content") found.text = this.#text(value, "content", /^/, "a text")
      else if (key === "from") found.from = resolve(dirname(this.#path), this.#text(value, "from", /./, "a file"))
      else if (key === "mode") {
        const mode = this.#text(value, "mode", /^0?[0-7]{3}$/, "three octal digits, like 755: no setuid in an image")
        found.mode = Number.parseInt(mode, 8)
      } else throw this.#wrong(keyNode, `"${key}" is not known here; there are path, content, from, mode`)
    }
    const { path, mode = 0o644, text, from } = found
    if (path === undefined) throw this.#wrong(node, "a file must have a path")
    if ((text === undefined) === (from === undefined)) {
      throw this.#wrong(node, `${path} must have either content or from`)
    }
    return { path, mode, source: from === undefined ? { text: text! } : { from }, place: this.#place(node) }
  }

  #text(node: Node, key: string, form: RegExp, wanted: string): string {
    if (!isScalar(node) || node.value === null) throw this.#wrong(node, `${key} must be ${wanted}`)
    // As it was written: 0755 stays what it looks like.
    const text = typeof node.value === "string" ? node.value : ((node as Scalar).source ?? String(node.value))
    if (!form.test(text)) throw this.#wrong(node, `${key} must be ${wanted}, not "${text.slice(0, 80)}"`)
    return text
  }

  #list(node: Node, key: string): Node[] {
    if (!isSeq(node))
      throw this.#wrong(node, `${key} must be a list, each on a line of its own that begins with a dash`)
    return node.items.map(item => this.#plain(item as Node, node))
  }

  #entries(node: Node, what: string): { key: string; keyNode: Node; value: Node }[] {
    if (!isMap(node)) throw this.#wrong(node, `${what} must be keys with values`)
    return (node as YAMLMap).items.map(({ key, value }) => {
      if (!isScalar(key)) throw this.#wrong(node, "a key is a word")
      if (value === null || (isScalar(value) && value.value === null))
        throw this.#wrong(key, `${key.value} has no value`)
      return { key: String(key.value), keyNode: key, value: this.#plain(value as Node, key) }
    })
  }

  /** No anchors, which could stand for a billion nodes, and no tags, which could stand for anything. */
  #plain(node: Node, beside: Node): Node {
    if (isAlias(node)) throw this.#wrong(node, "aliases are not taken here; write it out")
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) throw this.#wrong(beside, "there is no value")
    if (node.tag !== undefined) throw this.#wrong(node, "tags are not taken here")
    return node
  }

  #wrong(node: Node, message: string): ApplianceError {
    return new ApplianceError(`${this.#place(node)}: ${message}`)
  }

  #place(node: Node): string {
    return this.at(node.range?.[0] ?? 0)
  }

  at(position: number): string {
    const { line, col } = this.#lines.linePos(position)
    return `${basename(this.#path)}, line ${line}, column ${col}`
  }
}

const packageName = /^[a-z0-9][a-z0-9.+-]+$/
const absolute = /^!?\/[^\s]+$/
const filePath = /^(?!.*\/\.\.?(\/|$))(\/[\w.+@:-]+)+$/
