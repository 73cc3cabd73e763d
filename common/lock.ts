// One program for one directory: two would answer for the same work, or write the same disk. Node has no flock, so the lock is a file that
// names its holder by pid and start time, put in place by link(2), which fails if one is there. A holder that has died, by kill -9 or power
// cut, is recognised and its lock taken over; so is a file that came here in a copy of a directory, whose holder is at work in the original.
import { randomBytes } from "node:crypto"
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { isAlive, type Leader, leaderOf } from "./processes.ts"

const LOOK_EVERY_MS = 500

export interface Lock {
  release(): void
}

/** Another process has it, for as long as was to be waited. */
export class LockTaken extends Error {
  override readonly name = "LockTaken"
  readonly holder: Leader

  constructor(path: string, holder: Leader) {
    super(`process ${holder.pid} holds ${path}`)
    this.holder = holder
  }
}

interface Holder extends Leader {
  /** The directory, as its file system knows it: a copy has another, wherever it lies. Earlier versions did not write it. */
  readonly place?: string
}

/** Waits so long for another holder to go. LockTaken if it does not. */
export async function takeLock(path: string, waitMs: number): Promise<Lock> {
  const mine = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`
  const me: Holder = { ...leaderOf(process.pid), place: placeOf(path) }
  writeFileSync(mine, JSON.stringify(me), { mode: 0o600 })
  try {
    for (let leftMs = waitMs; ; leftMs -= LOOK_EVERY_MS) {
      const holder = tryLock(mine, path)
      if (holder === null) return { release: () => rmSync(path, { force: true }) }
      if (leftMs <= 0) throw new LockTaken(path, holder)
      await wait(LOOK_EVERY_MS)
    }
  } finally {
    rmSync(mine, { force: true })
  }
}

/** Who has it; null: we have. */
function tryLock(mine: string, path: string): Leader | null {
  for (;;) {
    if (linked(mine, path)) return null
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
    const isAliveAfterAll = moved !== null && holds(moved, path)
    // Where a third has taken it by now, that one has it.
    if (isAliveAfterAll) linked(aside, path)
    rmSync(aside, { force: true })
    if (isAliveAfterAll) return moved
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    return false
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
    // Gone, or cut short by a power cut: no living process holds it.
    return null
  }
}
