// One launcher for one directory: two would drive the same machine and write the same disk. BOINC's own library takes a lock of the kernel's, which
// Node cannot; this is a file that names its holder, put in place by link(2), which fails if one is there. A holder that has died, by
// kill -9 or power cut, is recognised and its lock taken over.
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs"
import { setTimeout as wait } from "node:timers/promises"
import { Failure } from "./core/ports.ts"
import { LOCK_LATER_SECONDS } from "./limits.ts"
import { isAlive, type Leader, leaderOf } from "./process.ts"

const LOOK_EVERY_MS = 500

export interface Lock {
  release(): void
}

/** Waits so long for another launcher to go. Failure if it does not. */
export async function takeLock(path: string, waitMs: number): Promise<Lock> {
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, JSON.stringify(leaderOf(process.pid)))
  try {
    for (let leftMs = waitMs; ; leftMs -= LOOK_EVERY_MS) {
      const holder = tryLock(mine, path)
      if (holder === null) return { release: () => remove(path) }
      if (leftMs <= 0) {
        throw new Failure(`another launcher (process ${holder.pid}) is at work here`, {
          laterSeconds: LOCK_LATER_SECONDS,
        })
      }
      await wait(LOOK_EVERY_MS)
    }
  } finally {
    remove(mine)
  }
}

/** Who has it; null: we have. */
function tryLock(mine: string, path: string): Leader | null {
  for (;;) {
    try {
      linkSync(mine, path)
      return null
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    }
    const holder = readHolder(path)
    if (holder !== null && isAlive(holder)) return holder
    // Renaming decides between two that found it dead; who moved a live one's away puts it back.
    const aside = `${mine}.old`
    try {
      renameSync(path, aside)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue
      throw error
    }
    const moved = readHolder(aside)
    if (moved !== null && isAlive(moved)) {
      try {
        linkSync(aside, path)
      } catch {
        // A third has it by now.
      }
      remove(aside)
      return moved
    }
    remove(aside)
  }
}

function readHolder(path: string): Leader | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Leader
  } catch {
    // Gone, or cut short by a power cut: nobody alive holds it.
    return null
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
}
