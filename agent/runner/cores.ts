// Which processors a job may run on: as many as it has slots, so that a program that counts them (nproc, OpenMP, Java) begins as many
// threads as it was given, and no more. Of the agent's own processors those that the fewest jobs have. A job may bind its threads
// otherwise: what enforces the share is the control group, where there is one.
import { readFileSync } from "node:fs"

export interface Cores {
  /** In ascending order; null where a job may run on all that there are. */
  readonly list: readonly number[] | null
  release(): void
}

export class CoreShares {
  readonly #available: () => readonly number[]
  /** Jobs on each. */
  readonly #jobs = new Map<number, number>()

  /** Asked anew for each job: an operator may bind a running service to others. */
  constructor(available: () => readonly number[]) {
    this.#available = available
  }

  take(slots: number): Cores {
    const all = this.#available()
    const jobsOn = (core: number): number => this.#jobs.get(core) ?? 0
    const chosen = [...all].sort((a, b) => jobsOn(a) - jobsOn(b) || a - b).slice(0, slots)
    const change = (by: number): void => {
      for (const core of chosen) this.#jobs.set(core, jobsOn(core) + by)
    }
    change(1)
    return { list: slots >= all.length ? null : [...chosen].sort((a, b) => a - b), release: () => change(-1) }
  }
}

/** What this process may run on, which is less than the machine has when it was itself bound. Empty where the system does not tell. */
export function availableCores(status = "/proc/self/status"): number[] {
  try {
    return parseCoreList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(status, "utf8"))?.[1] ?? "")
  } catch {
    // Not Linux: nobody is bound to anything.
    return []
  }
}

/** "0-3,8". */
export function parseCoreList(text: string): number[] {
  return text.split(",").flatMap(part => {
    const [from, to] = part.split("-").map(Number)
    if (part === "" || from === undefined || !Number.isInteger(from)) return []
    return Array.from({ length: (to ?? from) - from + 1 }, (_, i) => from + i)
  })
}
