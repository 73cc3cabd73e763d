// What the values of settings may be. Each parser takes a text and gives the value, or throws a UsageError that begins with "must" and ends with
// what was given; who calls it puts before that where it was given.
import { readFileSync } from "node:fs"

/** Wrong use: the message is for people, the exit code is 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

const SHOWN_CHARACTERS = 80

export function wrong(wanted: string, got: string): never {
  const shown = got.length > SHOWN_CHARACTERS ? `${got.slice(0, SHOWN_CHARACTERS)}…` : got
  throw new UsageError(`must ${wanted}, not ${JSON.stringify(shown)}`)
}

/** A setting's `otherwise` that it has to be said. */
export function needed(message: string): () => never {
  return () => {
    throw new UsageError(message)
  }
}

export function truth(text: string): boolean {
  if (text === "true" || text === "1") return true
  return text === "false" || text === "0" ? false : wrong("be true or false", text)
}

export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return text => words.find(word => word === text) ?? wrong(`be one of ${words.join(", ")}`, text)
}

export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = max === Number.MAX_SAFE_INTEGER ? `, ${min} or more` : ` from ${min} to ${max}`
  return text => {
    const number = text.trim() === "" ? Number.NaN : Number(text)
    return Number.isInteger(number) && number >= min && number <= max
      ? number
      : wrong(`be a whole number${range}`, text)
  }
}

/** "4GiB", "1.5 GiB", "500M", "1000": powers of 1024 with or without the i, as people mean them of memory. */
export function size(min = 0, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const parts = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim())
    if (parts === null) return wrong('be a size like 512MiB or "4 GiB", or a number of bytes', text)
    const bytes = Math.floor(Number(parts[1]) * 1024 ** ["", "k", "m", "g", "t"].indexOf(parts[2]!.toLowerCase()))
    if (bytes < min) return wrong(`be at least ${min} bytes`, text)
    return bytes > max ? wrong(`be at most ${max} bytes, which is all there is`, text) : bytes
  }
}

/** A text of so many characters at most; with `least` 1 it must not be empty. */
export function words(least: number, most: number): (text: string) => string {
  return text => {
    if (text.trim().length < least) throw new UsageError("must not be empty")
    return text.length <= most ? text : wrong(`have at most ${most} characters`, text)
  }
}

/** `what`: "a file", "a directory". Whether it is there is seen when it is used. */
export function path(what: string): (text: string) => string {
  return text => (text === "" ? wrong(`name ${what}`, text) : text)
}

/** http or https, without a name, password, query or fragment. Every message shows how one looks, and none repeats a password. */
export function url(text: string): URL {
  const parsed = URL.canParse(text) ? new URL(text) : wrong("be a URL like https://hub.example.org", text)
  if (!/^https?:$/.test(parsed.protocol)) wrong("be a URL that begins with https:// or http://", text)
  if (parsed.username !== "" || parsed.password !== "") throw new UsageError("must not hold a name or a password")
  return parsed
}

/** A URL that names a hub alone. */
export function hubUrl(text: string): URL {
  const parsed = url(text)
  if (parsed.search + parsed.hash !== "" || parsed.pathname !== "/") {
    wrong("be a URL like https://hub.example.org, without a path", text)
  }
  return parsed
}

export function nodeName(text: string): string {
  return /^[\w.-]{1,64}$/.test(text) ? text : wrong("be 1 to 64 letters, digits, dots or dashes", text)
}

/** The text itself, or with @ before it the file that holds it: what stands on a command line is in the process list. */
export function secret(text: string): string {
  const found = text.startsWith("@") ? readText(text.slice(1)).trim() : text
  return /^[\x21-\x7e]{1,512}$/.test(found) ? found : wrong("be a token without spaces", "what it is")
}

/** The text of a PEM file that holds something of this kind, as "CERTIFICATE". */
export function pemFile(kind: string): (path: string) => string {
  return path => {
    const pem = readText(path)
    return pem.includes(`-----BEGIN ${kind}-----`) ? pem : wrong(`be a PEM file with -----BEGIN ${kind}-----`, path)
  }
}

/** UsageError says why it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === "ENOENT" ? "is not there" : code === "EACCES" ? "may not be read" : `cannot be read (${code})`
    throw new UsageError(`${path} ${why}`)
  }
}
