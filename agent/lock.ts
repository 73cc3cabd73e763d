// One agent for one state directory: two would answer for the same attempts and kill each other's jobs.
import { join } from "node:path"
import { type Lock, LockTaken, takeLock } from "../common/lock.ts"
import { Failure } from "./core/ports.ts"

/** Failure if another agent has it. */
export async function lockState(state: string): Promise<Lock> {
  try {
    return await takeLock(join(state, "lock"), 0)
  } catch (error) {
    if (!(error instanceof LockTaken)) throw error
    const where = `another agent (pid ${error.holder.pid}) uses this state directory (${state})`
    throw new Failure(`${where}; stop it, or give this one its own with --state`, { final: true })
  }
}
