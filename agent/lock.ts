// One agent for one state directory: two would answer for the same attempts and kill each other's jobs. Node has no flock, so the lock is a
// file that names its holder by pid and start time, put in place by link(2), which fails if one is there. A
// holder that has died, by kill -9 or power cut, is recognised and its lock taken over.
import { randomBytes } from "node:crypto"
import { link, readFile, rename, unlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Failure } from "./core/ports.ts"
import { readProcess } from "./runner/processes.ts"

export interface Lock {
  release(): Promise<void>
}

interface Holder {
  readonly pid: number
  readonly startTicks: string
}

/** Failure if another agent has it. */
export async function lockState(state: string): Promise<Lock> {
  const lock = join(state, "lock")
  const mine = join(state, `lock.${process.pid}.${randomBytes(4).toString("hex")}`)
  const self: Holder = { pid: process.pid, startTicks: readProcess(process.pid)?.startTicks ?? "" }
  await writeFile(mine, JSON.stringify(self), { mode: 0o600 })
  try {
    // Twice: the first may meet a dead holder's lock, which it moves away.
    for (let tries = 0; tries < 2; tries++) {
      const taken = await link(mine, lock).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === "EEXIST") return false
          throw error
        },
      )
      if (taken) return { release: () => unlink(lock).catch(() => {}) }
      await moveAwayIfDead(lock, `${mine}.old`)
    }
    throw taken(state, null)
  } finally {
    await unlink(mine).catch(() => {})
  }
}

async function moveAwayIfDead(lock: string, aside: string): Promise<void> {
  const holder = await readHolder(lock)
  if (holder !== null && isAlive(holder)) throw taken(lock, holder)
  // Renaming is what decides between two that found it dead. Who moved a live one that came in between puts it back.
  await rename(lock, aside).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error
  })
  const moved = await readHolder(aside)
  if (moved !== null && isAlive(moved)) {
    await link(aside, lock).catch(() => {})
    await unlink(aside)
    throw taken(lock, moved)
  }
  await unlink(aside).catch(() => {})
}

async function readHolder(file: string): Promise<Holder | null> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Holder
  } catch {
    // Gone, or cut short by a power cut: nobody alive holds it.
    return null
  }
}

function isAlive(holder: Holder): boolean {
  const now = readProcess(holder.pid)
  if (now !== null) return now.startTicks === holder.startTicks && !now.zombie
  if (process.platform === "linux") return false
  // Without /proc a pid is all there is to go by.
  try {
    process.kill(holder.pid, 0)
    return true
  } catch {
    return false
  }
}

function taken(where: string, holder: Holder | null): Failure {
  const who = holder === null ? "another agent" : `another agent (pid ${holder.pid})`
  return new Failure(`${who} uses this state directory (${where}); stop it, or give this one its own with --state`, {
    final: true,
  })
}
