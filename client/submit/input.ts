// A small or large text file of the user's, or stdin, read whole and within a bound before anything is sent, so that an error on its
// last line submits nothing. An encoding that is not UTF-8 is named with its line.
import { open } from "node:fs/promises"
import type { Stdin } from "../context.ts"
import { usage } from "../errors.ts"

/** "-" is stdin. `what` is for messages: "The parameter file". */
export async function readInput(stdin: Stdin, path: string, what: string, bytesMax: number): Promise<Buffer> {
  if (path === "-") return collect("stdin", stdin, bytesMax)
  const handle = await open(path).catch(thrown => {
    if (thrown.code === "ENOENT") throw usage(`${what} ${path} cannot be read: there is no such file.`)
    throw usage(`${what} ${path} cannot be read: ${thrown instanceof Error ? thrown.message : thrown}`)
  })
  try {
    if (!(await handle.stat()).isFile()) throw usage(`${what} ${path} is not a file.`)
    return await collect(path, handle.createReadStream({ autoClose: false }), bytesMax)
  } finally {
    await handle.close()
  }
}

async function collect(name: string, source: AsyncIterable<Buffer | string>, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of source) {
    const buffer = typeof chunk === "string" ? Buffer.from(chunk) : chunk
    bytes += buffer.length
    if (bytes > bytesMax) throw usage(`${name} is larger than ${bytesMax} bytes.`)
    chunks.push(buffer)
  }
  return Buffer.concat(chunks)
}

/** The text, without a byte order mark. */
export function textOf(name: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    throw notUtf8(name, bytes)
  }
}

function notUtf8(name: string, bytes: Buffer): Error {
  const decoder = new TextDecoder("utf-8", { fatal: true })
  for (let start = 0, line = 1; start < bytes.length; line++) {
    const newline = bytes.indexOf(10, start)
    const end = newline === -1 ? bytes.length : newline
    try {
      decoder.decode(bytes.subarray(start, end))
    } catch {
      return usage(`${name}, line ${line}: is not UTF-8.`, `Convert the file: iconv -f latin1 -t utf-8 ${name}`)
    }
    start = end + 1
  }
  return usage(`${name} is not UTF-8.`)
}

/** Line and column, both from 1, of a position in a text. */
export function placeOf(text: string, position: number): { line: number; column: number } {
  const before = text.slice(0, position)
  const newline = before.lastIndexOf("\n")
  return { line: before.split("\n").length, column: position - newline }
}

/** A digest that begins like one but is none is a mistake, not a file of that name. */
export function isDigest(stagein: string): boolean {
  return stagein.startsWith("sha256:")
}
