// One launcher for one directory: two would drive the same machine and write the same disk. BOINC's own library takes a lock of the kernel's, which
// Node cannot; this is a file that names its holder, put in place by link(2), which fails if one is there. A holder that has died, by
// kill -9 or power cut, is recognised and its lock taken over; so is a file that came here in a copy of a directory, whose holder is at work in
// the original.
import { linkSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { Failure } from "./core/ports.ts"
import { LOCK_LATER_SECONDS } from "./limits.ts"
import { isAlive, type Leader, leaderOf } from "./process.ts"

const LOOK_EVERY_MS = 500

export interface Lock {
  release(): void
}

interface Holder extends Leader {
  /** The directory, as its file system knows it: a copy has another, wherever it lies. */
  readonly place?: string
}

/** Waits so long for another launcher to go. Failure if it does not. */
export async function takeLock(path: string, waitMs: number): Promise<Lock> {
  const mine = `${path}.${process.pid}`
  const me: Holder = { ...leaderOf(process.pid), place: placeOf(path) }
  writeFileSync(mine, JSON.stringify(me))
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
    if (holder !== null && holds(holder, path)) return holder
    // Renaming decides between two that found it dead; who moved a live one's away puts it back.
    const aside = `${mine}.old`
    try {
      renameSync(path, aside)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue
      throw error
    }
    const moved = readHolder(aside)
    if (moved !== null && holds(moved, path)) {
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

function holds(holder: Holder, path: string): boolean {
  return isAlive(holder) && (holder.place === undefined || holder.place === placeOf(path))
}

function placeOf(path: string): string {
  const { dev, ino } = statSync(dirname(path))
  return `${dev}:${ino}`
}

function readHolder(path: string): Holder | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Holder
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
