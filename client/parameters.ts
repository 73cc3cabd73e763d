// The file of --array-param-file, in OAR's grammar: a line is a job; blank lines and lines that begin with # are skipped; words may
// be quoted as in a shell. Lines stay as they were written: what they mean to a command is decided with the command.
// The whole file is read and checked before anything is sent, so that an error on its last line submits nothing.
import { usage } from "./errors.ts"
import { ARRAY_MAX, PARAMETER_BYTES_MAX } from "./limits.ts"
import { textOf } from "./submit/input.ts"
import { quoteWords, splitWords, WordError } from "./submit/shellwords.ts"

/** `name` is for messages. */
export function parseParameters(name: string, bytes: Buffer): string[] {
  const lines: string[] = []
  let number = 0
  for (const line of textOf(name, bytes).split("\n")) {
    number++
    const trimmed = line.trim()
    if (trimmed === "" || trimmed.startsWith("#")) continue
    checkLine(`${name}, line ${number}`, line)
    lines.push(line.replace(/\r$/, ""))
    if (lines.length > ARRAY_MAX) throw usage(`${name}: more than ${ARRAY_MAX} jobs, from line ${number} on.`)
  }
  if (lines.length > 0) return lines
  throw usage(`${name} holds no parameters: all its lines are blank or comments.`, "A line of it is a job.")
}

function checkLine(place: string, line: string): void {
  if (Buffer.byteLength(line) > PARAMETER_BYTES_MAX) {
    throw usage(`${place}: longer than ${PARAMETER_BYTES_MAX} bytes.`)
  }
  if (line.includes("\0")) throw usage(`${place}: holds a NUL character, which no argument can.`)
  try {
    splitWords(line.replace(/\r$/, ""))
  } catch (thrown) {
    if (!(thrown instanceof WordError)) throw thrown
    throw usage(`${place}, column ${thrown.column}: ${thrown.message}.`, "A quote itself is written \\' or \\\".")
  }
}

/**
 * The command and the lines as the hub takes them. It splits a line at spaces for a list of arguments, and knows no quotes: where
 * there are some, the command becomes a line for the shell, and each word is quoted so that the shell changes nothing in it.
 */
export function joinParameters(
  command: readonly string[],
  lines: readonly string[],
): { command: string[]; lines: readonly string[] } {
  const quoted = command.length > 1 && lines.some(line => /["'\\]/.test(line))
  if (!quoted) return { command: [...command], lines }
  return { command: [quoteWords(command)], lines: lines.map(line => quoteWords(splitWords(line))) }
}
