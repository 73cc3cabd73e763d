// What a job needs, held to by the kernel: a control group (cgroup v2) for each attempt with its share of memory, processors and processes, below
// one for all jobs together, so that no job can starve the agent. Only where the kernel has them and they are ours to divide: in
// the appliance, and in a service whose unit says Delegate=yes. Elsewhere nothing is enforced, and that is said aloud.
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { KILL_ROUNDS_MAX, PIDS_PER_SLOT } from "../limits.ts"

export interface Allowance {
  /** 0: no more than all jobs together may have. */
  readonly memoryBytes: number
  readonly slots: number
}

export interface ControlGroup {
  /** Whoever writes 0 to this file is in the group, with all that it starts. */
  readonly entrance: string
  /** Whether the kernel ended something in it for want of memory. */
  ranOutOfMemory(): boolean
  /** Processor time of all that ran in it. */
  cpuMs(): number
  /** Ends what is left in it and removes it. */
  close(): Promise<void>
}

export interface ControlGroups {
  /** `name` is good for a directory. */
  open(name: string, allowance: Allowance): ControlGroup
}

const needed = ["memory", "pids"]
const wanted = ["cpu", ...needed]

/** Control groups for jobs, which may have `memoryBytes` together; or why there are none. Moves this process into a group of its own. */
export async function openControlGroups(memoryBytes: number, root = "/sys/fs/cgroup"): Promise<ControlGroups | string> {
  const own = join(root, ownPath())
  try {
    const there = readFileSync(join(own, "cgroup.controllers"), "utf8").trim().split(" ")
    const lacking = needed.filter(one => !there.includes(one))
    if (lacking.length > 0) return `the kernel does not offer ${lacking.join(" and ")} to this process`
    // A group that shares out must hold no process itself.
    mkdirSync(join(own, "agent"), { recursive: true })
    writeFileSync(join(own, "agent", "cgroup.procs"), `${process.pid}`)
    const jobs = join(own, "jobs")
    mkdirSync(jobs, { recursive: true })
    for (const left of readdirSync(jobs, { withFileTypes: true })) {
      if (left.isDirectory()) await remove(join(jobs, left.name))
    }
    const shared = wanted.filter(one => there.includes(one)).map(one => `+${one}`)
    for (const group of [own, jobs]) writeFileSync(join(group, "cgroup.subtree_control"), shared.join(" "))
    writeFileSync(join(jobs, "memory.max"), `${memoryBytes}`)
    return { open: (name, allowance) => open(join(jobs, name), allowance, there.includes("cpu")) }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    goBack(own)
    if (code === "ENOENT") return "there are no control groups of version 2"
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") return "control groups are not this user's to divide"
    if (code === "EBUSY") return "other processes are in this one's control group"
    return `control groups cannot be used (${code ?? String(error)})`
  }
}

/** As if nothing had been tried. */
function goBack(own: string): void {
  try {
    writeFileSync(join(own, "cgroup.procs"), `${process.pid}`)
    for (const made of ["jobs", "agent"]) rmdirSync(join(own, made))
  } catch {
    // Nothing was made, or nothing may be removed: either way nobody is in there but us.
  }
}

/** Of this process, in the one hierarchy of version 2. */
function ownPath(): string {
  const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "/"
  // From an earlier start in the same service: our place is beside it, not below.
  return path.replace(/\/agent$/, "")
}

function open(directory: string, { memoryBytes, slots }: Allowance, hasCpu: boolean): ControlGroup {
  mkdirSync(directory)
  const set = (file: string, value: string): void => writeFileSync(join(directory, file), value)
  const periodUs = 100_000
  if (memoryBytes > 0) set("memory.max", `${memoryBytes}`)
  // One process too many ends the whole job: half a job helps nobody.
  set("memory.oom.group", "1")
  set("pids.max", `${PIDS_PER_SLOT * slots}`)
  if (hasCpu) set("cpu.max", `${slots * periodUs} ${periodUs}`)
  return {
    entrance: join(directory, "cgroup.procs"),
    ranOutOfMemory: () => number(directory, "memory.events", /^oom_kill (\d+)$/m) > 0,
    cpuMs: () => Math.round(number(directory, "cpu.stat", /^usage_usec (\d+)$/m) / 1_000),
    close: () => remove(directory),
  }
}

function number(directory: string, file: string, form: RegExp): number {
  try {
    return Number(form.exec(readFileSync(join(directory, file), "utf8"))?.[1] ?? 0)
  } catch {
    // A controller that is not there counted nothing.
    return 0
  }
}

async function remove(directory: string): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS_MAX; round++) {
    try {
      writeFileSync(join(directory, "cgroup.kill"), "1")
      rmdirSync(directory)
      return
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === "ENOENT") return
      // Dead, but not yet buried.
      if (code !== "EBUSY" || round === KILL_ROUNDS_MAX - 1) throw error
    }
    await wait(Math.min(2 ** round, 100))
  }
}

/**
 * What a command is put behind to be in a group: a shell that goes in and becomes the next program. It gives back the agent's protection
 * from the kernel's search for memory, which children inherit.
 */
export function enter({ entrance }: ControlGroup): string[] {
  return ["/bin/sh", "-c", 'echo 0 >/proc/self/oom_score_adj; echo 0 >"$0" && exec "$@"', entrance]
}
