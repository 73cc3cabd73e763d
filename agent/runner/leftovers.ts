// The note of a job's processes on disk, so that the agent's next life can end what a kill -9 left behind.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Leader } from "../../common/processes.ts"
import { endSandbox, endTree } from "./ending.ts"

const noteFile = "process.json"

export interface Note {
  readonly leader: Leader
  /** The sandbox's first process, once bwrap has told it. */
  readonly first: Leader | null
}

/** Written in the turn the process began in. Not synced: it has to survive our death, not the machine's. */
export function note(directory: string, content: Note): void {
  try {
    writeFileSync(join(directory, noteFile), JSON.stringify({ ...content, boot: bootId() }))
  } catch {
    // A full disk: the command runs all the same. Should we die, bwrap dies with us, and without walls the mark is still found.
  }
}

/** Ends whatever an earlier life left running below this directory of attempts. Returns how many processes that were. */
export async function killLeftovers(attempts: string): Promise<number> {
  let ended = 0
  for (const entry of readdirSync(attempts)) {
    const left = readNote(join(attempts, entry))
    if (left === null) continue
    ended += await endTree({ leader: left.leader, seen: [], directory: join(attempts, entry) })
    if (left.first !== null) ended += await endSandbox(left.first)
  }
  // And whoever bears the mark of any of them, should a note be missing.
  return ended + (await endTree({ leader: null, seen: [], directory: attempts }))
}

/** Null if there is none, or it was written before the machine was booted, when all numbers meant others. */
function readNote(directory: string): Note | null {
  try {
    const { leader, first, boot } = JSON.parse(readFileSync(join(directory, noteFile), "utf8")) as Note & {
      boot: string
    }
    return boot === bootId() && typeof leader.pid === "number" ? { leader, first } : null
  } catch {
    // No note, or one cut short: the mark has to do.
    return null
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  } catch {
    return ""
  }
}
