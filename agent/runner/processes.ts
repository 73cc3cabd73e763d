// The processes of a job, as /proc tells: who belongs to it, what they use, and how to end them all. Reading and killing happen in one
// turn without waiting in between, so that a number cannot pass to a stranger meanwhile. Elsewhere than on Linux there is no /proc
// and only the process group is known.
//
// In a sandbox the kernel ends everything with the sandbox's first process. Without one, this finds the command's group, its session, its
// descendants, those that were descendants when last looked at, and whoever has the attempt's directory in its environment.
// A process that leaves its parent, its session and its environment at once gets away: that is what the sandbox is for.
import { closeSync, readdirSync, readFileSync } from "node:fs"
import { type Leader, readProcess } from "../../common/processes.ts"

/** Everything below a process, itself included, found by asking each for its children. Cheap enough to sample with. */
export function descendants(pid: number): number[] {
  const found = [pid]
  for (let i = 0; i < found.length; i++) {
    for (const thread of readNames(`/proc/${found[i]}/task`)) {
      const children = readText(`/proc/${found[i]}/task/${thread}/children`)?.trim()
      if (children) found.push(...children.split(" ").map(Number))
    }
  }
  return found
}

/**
 * Every living process that belongs to the tree begun by the leader, that was seen in it, or that carries the mark of `directory`. Never
 * ourselves. A working directory is no mark: it may be a curious operator's shell that stands there.
 */
export function members(begun: Leader | null, seen: readonly Leader[], directory: string): number[] {
  const now = begun === null ? null : readProcess(begun.pid)
  const leader = begun === null || (now !== null && now.startTicks !== begun.startTicks) ? null : begun.pid
  const known = new Set(seen.map(({ pid, startTicks }) => `${pid} ${startTicks}`))
  const all = readNames("/proc")
    .filter(name => /^\d+$/.test(name))
    .map(name => readProcess(Number(name)))
    .filter(stat => stat !== null)
  const found = new Set<number>()
  for (const stat of all) {
    const { pid, group, session, startTicks } = stat
    if (leader !== null && (pid === leader || group === leader || session === leader)) found.add(pid)
    else if (known.has(`${pid} ${startTicks}`) || bearsMark(pid, directory)) found.add(pid)
  }
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const stat of all) if (found.has(stat.parent)) found.add(stat.pid)
  }
  found.delete(process.pid)
  return all.filter(stat => found.has(stat.pid) && !stat.zombie).map(stat => stat.pid)
}

function bearsMark(pid: number, directory: string): boolean {
  const mark = `\0CAH_WORKDIR=${directory}/`
  return `\0${readText(`/proc/${pid}/environ`) ?? ""}`.includes(mark)
}

export interface Usage {
  readonly cpuMs: number
  readonly memoryBytes: number
  /** Of that, what is each process's own: what they share is in the former once for each of them. */
  readonly privateBytes: number
  readonly threads: number
  /** Who was looked at. */
  readonly tree: readonly Leader[]
}

/** What a tree uses at this moment. Time of children that ended and were waited for is in their parents'. */
export function usage(pid: number): Usage {
  let cpuMs = 0
  let memoryBytes = 0
  let privateBytes = 0
  let threads = 0
  const tree: Leader[] = []
  for (const each of descendants(pid)) {
    const stat = readProcess(each)
    if (stat === null) continue
    tree.push(stat)
    cpuMs += stat.cpuMs
    const status = readText(`/proc/${each}/status`) ?? ""
    memoryBytes += kilobytes(status, residentLine)
    privateBytes += kilobytes(status, privateLine)
    threads += Number(/^Threads:\s+(\d+)$/m.exec(status)?.[1] ?? 0)
  }
  return { cpuMs, memoryBytes, privateBytes, threads, tree }
}

const residentLine = /^VmRSS:\s+(\d+) kB/m
const privateLine = /^RssAnon:\s+(\d+) kB/m

function kilobytes(status: string, line: RegExp): number {
  return Number(line.exec(status)?.[1] ?? 0) * 1024
}

/**
 * Closes what we inherited from whoever started us and would pass on to every job. Node marks the lowest descriptors itself, but
 * not those beyond a gap; its own are all marked close-on-exec, which is how they are told apart. Call once, at start.
 */
export function closeInherited(): void {
  const closeOnExec = 0o2000000
  for (const fd of readNames("/proc/self/fd").map(Number)) {
    const flags = /^flags:\s+([0-7]+)/m.exec(readText(`/proc/self/fdinfo/${fd}`) ?? "")
    if (fd > 2 && flags !== null && (Number.parseInt(flags[1]!, 8) & closeOnExec) === 0) closeSync(fd)
  }
}

/** A signal to one process or, negative, to a group. That it is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // EPERM: it changed its user, as only root's children can; the sandbox prevents it, and without one nothing more can be done.
    if (code !== "ESRCH" && code !== "EPERM") throw error
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // Gone, or not ours to see: either way it tells nothing.
    return null
  }
}

function readNames(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
