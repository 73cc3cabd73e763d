// The form of a verb: how it looks on the command line, and what it does; and of a group, whose verbs are typed after its name (`cah nodes
// drain`). tree.ts puts them together, and help, completion and manual page are made from that. A verb returns its exit code, or throws a
// ClientError, which has one.
import type { Command } from "commander"
import type { Context } from "./context.ts"

export interface Verb {
  /** Describes arguments, options and examples on a fresh command of the verb's name. */
  readonly define: (command: Command) => void
  readonly run: (context: Context, command: Command) => Promise<number>
}

export interface Group {
  readonly define: (command: Command) => void
  readonly verbs: Readonly<Record<string, Member>>
  /** The verb that is meant where none is typed. */
  readonly usual?: string
}

export interface Member {
  /** One line of its group's help. */
  readonly summary: string
  readonly verb: Verb | Group
}

export function isGroup(verb: Verb | Group): verb is Group {
  return "verbs" in verb
}

/** For options that may be given several times. */
export function gather(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value]
}

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  ${line}`).join("\n")}`
}
