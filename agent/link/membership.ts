// Which hub this node has joined, remembered beside its key: so that a refusal by another one (another data directory at the
// same address, a name that leads elsewhere) is known for what it is, and never taken for the end.
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export interface Membership {
  /** Of the hub that welcomed this node last; null: none ever did. */
  readonly hubId: string | null
  welcomed(hubId: string): void
}

export function openMembership(stateDirectory: string): Membership {
  const path = join(stateDirectory, "hub.id")
  let hubId = read(path)
  return {
    get hubId() {
      return hubId
    },
    welcomed(by) {
      if (by === hubId) return
      hubId = by
      try {
        writeFileSync(`${path}.new`, `${by}\n`, { mode: 0o600 })
        renameSync(`${path}.new`, path)
      } catch {
        // A full disk: known in this life, and written at the next one's welcome.
      }
    },
  }
}

/** Of an agent that keeps nothing: one that measures, or a test. */
export function passingMembership(hubId: string | null = null): Membership {
  let now = hubId
  return {
    get hubId() {
      return now
    },
    welcomed(by) {
      now = by
    },
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim() || null
  } catch {
    // None ever welcomed it, or an agent did not write it down yet.
    return null
  }
}
