// Where the launcher keeps things: the directory of its machine, and what it remembers of this computer. Knows names and paths, not what is in
// the files.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"

/** In the machine's directory: the slot, or --state. */
export const names = {
  lock: "boinc_lockfile",
  relay: "relay.sock",
  relayLock: "relay.lock.",
  relayRefused: "relay.refused",
  settings: "settings.iso",
  scratch: "scratch.raw",
  ledger: "network.json",
} as const

/** A socket's path has some hundred characters at most; relative to where we are it is short. */
export function socketPath(directory: string, name: string): string {
  const path = join(directory, name)
  const short = relative(process.cwd(), path)
  return short.length < path.length ? short : path
}

/** Answers found out at a cost, kept in one small JSON file. */
export class Memory {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  get(key: string): unknown {
    return this.#read()[key]
  }

  /** Where it can't be kept it is found out again next time. */
  set(key: string, value: unknown): void {
    const text = `${JSON.stringify({ ...this.#read(), [key]: value }, null, 2)}\n`
    try {
      mkdirSync(dirname(this.#path), { recursive: true })
      writeFileSync(`${this.#path}.part`, text)
      renameSync(`${this.#path}.part`, this.#path)
    } catch {
      // A full disk, or a directory that is not ours to write to.
    }
  }

  #read(): Record<string, unknown> {
    try {
      const value: unknown = JSON.parse(readFileSync(this.#path, "utf8"))
      return typeof value === "object" && value !== null && !Array.isArray(value)
        ? (value as Record<string, unknown>)
        : {}
    } catch {
      // None yet, or damaged: nothing is known.
      return {}
    }
  }
}
