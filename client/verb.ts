// The form of a verb: how it looks on the command line, and what it does. main.ts puts them into one tree, from which help
// and completion are made. A verb returns its exit code, or throws a ClientError, which has one.
import type { Command } from "commander"
import type { Context } from "./context.ts"

export interface Verb {
  /** Describes arguments, options and examples on a fresh command of the verb's name. */
  readonly define: (command: Command) => void
  readonly run: (context: Context, command: Command) => Promise<number>
}

/** For options that may be given several times. */
export function gather(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value]
}

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  ${line}`).join("\n")}`
}
