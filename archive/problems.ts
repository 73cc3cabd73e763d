// Many problems with one tree or archive as a short text for people: names that share a fault stand together, and what does not fit is
// counted. Pure.
import { type ArchiveError, printable } from "./rules.ts"

/** One text for each fault, of about so many characters together. */
export function inGroups(problems: readonly ArchiveError[], charactersMax: number): string[] {
  const groups = new Map<string, string[]>()
  for (const problem of problems) {
    const names = groups.get(problem.what) ?? []
    names.push(printable(problem.entry))
    groups.set(problem.what, names)
  }
  let room = charactersMax
  let more = 0
  const texts: string[] = []
  for (const [fault, names] of groups) {
    room -= fault.length
    const fitting = names.filter(name => {
      room -= name.length + 2
      return room >= 0
    })
    more += names.length - fitting.length
    if (fitting.length > 0) texts.push(`${fitting.join(", ")}: ${fault}`)
  }
  if (more > 0) texts.push(`and ${more} more`)
  return texts
}
