// Slurm: one job array of `true`, which it forks for real. All have ended when its completion log has a line for each.
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { Counter } from "../counter.ts"
import type { Client } from "../peer.ts"

const LOOK_MS = 100

/** `address` is the path of slurm.conf; the completion log lies beside it. */
export const slurm: Client = async ({ address, tasks }, counter) => {
  const env = { ...process.env, SLURM_CONF: address }
  const log = join(dirname(address), "completed.log")
  const before = linesOf(log).length
  return async () => {
    const flags = ["--parsable", `--array=0-${tasks - 1}`, "--output=/dev/null", "--wrap=true"]
    const { status, stdout, stderr } = spawnSync("sbatch", flags, { env, encoding: "utf8" })
    if (status !== 0) throw new Error(`sbatch: ${stderr}`)
    const array = stdout.trim()
    while (linesOf(log).length - before < tasks) await pause(LOOK_MS)
    const lines = linesOf(log).slice(before)
    const failed = lines.find(line => !line.includes("JobState=COMPLETED"))
    if (failed !== undefined) throw new Error(`a job of array ${array} did not complete: ${failed}`)
    // Each line is another job's.
    const ids = new Set(lines.map(line => /^JobId=(\d+)/.exec(line)?.[1]))
    ;[...ids].forEach((_, number) => void counter.took(Counter.payload(number)))
    await counter.all
  }
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .filter(line => line !== "")
  } catch {
    // Nothing has completed yet.
    return []
  }
}
