// How much of a command and its variables a job may have: what clients and hub take, no node refuses. Linux takes about 2 MiB of
// both together, a pointer of 8 bytes each included, and 128 KiB for a single string; the sandbox takes 9,000 words, three for
// each variable, and needs some of its own.

/** At its walltime a job may take so long, after it was asked to end, to save what it has: long enough for gigabytes on a slow disk, and no second walltime. */
export const GRACE_MAX_MS = 30 * 60_000

/** Words of the command, with those of a job's parameters that are appended to it. */
export const WORDS_MAX = 4_096
/** Variables that a scientist sets, named parameters included. */
export const VARIABLES_MAX = 1_024
/** Of one string, as "NAME=value" where it is a variable; the end of it counts. */
export const STRING_BYTES_MAX = 128 * 1024
/** Of all together: half of what Linux takes, so that what a node adds always fits. */
export const COMMAND_BYTES_MAX = 1024 * 1024

interface Said {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly parameterNames: readonly string[]
}

const bytesOf = (text: string) => new TextEncoder().encode(text).byteLength + 1

/** Of one campaign's jobs: what they have in common is counted once. */
export class CommandSize {
  private readonly words: number
  private readonly bytes: number
  private readonly longest: number
  private readonly variables: number
  private readonly isShell: boolean
  private readonly isNamed: boolean

  constructor({ command, env, parameterNames }: Said) {
    const strings = [...command, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)].map(bytesOf)
    this.words = command.length
    this.variables = Object.keys(env).length + parameterNames.length
    this.isShell = command.length === 1
    this.isNamed = parameterNames.length > 0
    this.bytes = strings.reduce((sum, bytes) => sum + bytes, 8 * strings.length)
    this.longest = Math.max(0, ...strings)
  }

  /** What is too much for a job with this line of parameters, as a sentence; null: nothing is. */
  trouble(line: string | null): string | null {
    const text = line ?? ""
    const appended = this.isShell || this.isNamed ? 0 : (text.match(/\S+/g)?.length ?? 0)
    const words = this.words + appended
    if (words > WORDS_MAX) return `the command has ${words} words: ${WORDS_MAX} at most; put a long list into a file`
    if (this.variables > VARIABLES_MAX)
      return `${this.variables} environment variables are too many: ${VARIABLES_MAX} at most; put them into a file`
    const lineBytes = text === "" ? 0 : bytesOf(text)
    const longest = Math.max(this.longest + (this.isShell ? lineBytes : 0), lineBytes)
    if (longest > STRING_BYTES_MAX)
      return `one argument or variable has ${longest} bytes: ${STRING_BYTES_MAX} at most; put it into a file`
    // Once in the command or a variable of its own, and once as CAH_PARAMETERS.
    const bytes = this.bytes + 2 * lineBytes + 8 * appended
    if (bytes > COMMAND_BYTES_MAX)
      return `command and environment have ${bytes} bytes: ${COMMAND_BYTES_MAX} at most; put long texts into a file`
    return null
  }
}
