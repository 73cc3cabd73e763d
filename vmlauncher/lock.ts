// One launcher for one directory: two would drive the same machine and write the same disk. BOINC's own library takes a lock of the kernel's,
// which Node cannot; this is a file that names its holder.
import { type Lock, LockTaken, takeLock } from "../common/lock.ts"
import { Failure } from "./core/ports.ts"
import { LOCK_LATER_SECONDS } from "./limits.ts"

/** Waits so long for another launcher to go. Failure if it does not. */
export async function lockDirectory(path: string, waitMs: number): Promise<Lock> {
  try {
    return await takeLock(path, waitMs)
  } catch (error) {
    if (!(error instanceof LockTaken)) throw error
    const reason = `another launcher (process ${error.holder.pid}) is at work here`
    throw new Failure(reason, { laterSeconds: LOCK_LATER_SECONDS })
  }
}
