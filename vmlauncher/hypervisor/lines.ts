// Bytes of a guest's console or of a program's complaints, cut into lines of bounded length. What a guest writes is a stranger's: control characters
// are taken out before anybody's terminal sees them.
import { CONSOLE_LINE_MAX_BYTES } from "../limits.ts"

export class Lines {
  #rest = ""
  readonly #onLine: (line: string) => void

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  write(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString("latin1")).split(/[\r\n]+/)
    this.#rest = lines.pop()!
    for (const line of lines) this.#say(line)
    // A guest that never ends its line is not let fill our memory.
    if (this.#rest.length <= CONSOLE_LINE_MAX_BYTES) return
    this.#say(this.#rest)
    this.#rest = ""
  }

  /** What came without an end of line. */
  end(): void {
    if (this.#rest !== "") this.#say(this.#rest)
    this.#rest = ""
  }

  #say(line: string): void {
    // Escape sequences first, then what is left of control characters.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
    const clean = line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/[\x00-\x1f\x7f-\x9f]/g, "")
    if (clean.trim() !== "") this.#onLine(clean.slice(0, CONSOLE_LINE_MAX_BYTES))
  }
}
