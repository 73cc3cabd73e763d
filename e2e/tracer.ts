// strace on single threads of a running hub: counts their system calls, or makes the n-th of one kind end the process or fail.
// strace counts for each thread by itself, so the threads are told apart first: the store's writer, the one that reads and
// writes files for Node (with UV_THREADPOOL_SIZE=1 it is one), and the main thread, which speaks to sockets.
import { type ChildProcess, spawn } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"

export type Role = "main" | "writer" | "files"

/** Everything by which a hub changes its disk, or tells somebody. */
export const SYSCALLS = [
  "fsync",
  "fdatasync",
  "pwrite64",
  "pwritev",
  "write",
  "writev",
  "rename",
  "renameat2",
  "ftruncate",
  "unlink",
  "utimensat",
] as const
export type Syscall = (typeof SYSCALLS)[number]

const ATTACH_MAX_MS = 10_000

/** More than what threads write to wake each other, less than one page of a database. */
const WROTE_MIN_BYTES = 4_000

/** Bytes that each thread has written so far. */
async function writesOf(pid: number): Promise<Map<number, number>> {
  const counts = new Map<number, number>()
  for (const name of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${name}/io`, "utf8").catch(() => "")
    counts.set(Number(name), Number(/^wchar: (\d+)$/m.exec(text)?.[1] ?? 0))
  }
  return counts
}

/** The threads by what they do: `commits` makes the hub commit, and `stores` makes it write a file and commit. */
export async function threadsOf(
  pid: number,
  commits: () => Promise<unknown>,
  stores: () => Promise<unknown>,
): Promise<ReadonlyMap<Role, number>> {
  const wrote = async (act: () => Promise<unknown>): Promise<number[]> => {
    const before = await writesOf(pid)
    await act()
    const after = await writesOf(pid)
    return [...after]
      .filter(([tid, n]) => tid !== pid && n - (before.get(tid) ?? 0) > WROTE_MIN_BYTES)
      .map(([tid]) => tid)
  }
  const [writer, ...others] = await wrote(commits)
  const files = (await wrote(stores)).filter(tid => tid !== writer)
  if (writer === undefined || others.length > 0 || files.length !== 1 || files[0] === undefined) {
    throw new Error(`the hub's threads cannot be told apart: ${others.length + 1} commit, ${files.length} write files`)
  }
  return new Map<Role, number>([
    ["main", pid],
    ["writer", writer],
    ["files", files[0]],
  ])
}

export class Tracer {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = new Promise(resolve => void child.once("exit", () => resolve()))
  }

  /** Resolves when it is attached: from here on every call counts. */
  static async attach(tid: number, args: readonly string[]): Promise<Tracer> {
    const child = spawn("strace", ["-p", String(tid), ...args], { stdio: ["ignore", "ignore", "pipe"] })
    const tracer = new Tracer(child)
    let said = ""
    const attached = new Promise<void>((resolve, reject) => {
      child.once("error", reject)
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        said += text
        if (said.includes("attached")) resolve()
      })
      void tracer.#ended.then(() => reject(new Error(`strace could not attach: ${said.trim()}`)))
      setTimeout(() => reject(new Error("strace did not attach in time")), ATTACH_MAX_MS).unref()
    })
    await attached.catch(error => {
      child.kill("SIGKILL")
      throw error
    })
    return tracer
  }

  /** Writes each of the thread's calls to a file. */
  static count(tid: number, file: string): Promise<Tracer> {
    return Tracer.attach(tid, ["-o", file, "-e", `trace=${SYSCALLS.join(",")}`, "-e", "signal=none"])
  }

  /** `what` as strace says it: signal=SIGKILL:when=3, error=EIO:when=1+. */
  static inject(tid: number, syscall: Syscall, what: string): Promise<Tracer> {
    return Tracer.attach(tid, ["-o", "/dev/null", "-e", `trace=${syscall}`, "-e", `inject=${syscall}:${what}`])
  }

  /** Lets the thread go; nothing happens when it is gone already. */
  async detach(): Promise<void> {
    this.#child.kill("SIGINT")
    await this.#ended
  }
}

/** Calls by name in what count() wrote. */
export async function counted(file: string): Promise<Map<Syscall, number>> {
  const counts = new Map<Syscall, number>()
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    const name = SYSCALLS.find(each => line.startsWith(`${each}(`))
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

/** Calls by name, the largest number that one thread made, in files that `strace -ff -o path` wrote. */
export async function countedEach(directory: string, prefix: string): Promise<Map<Syscall, number>> {
  const most = new Map<Syscall, number>()
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix)) continue
    for (const [syscall, n] of await counted(join(directory, name))) {
      most.set(syscall, Math.max(most.get(syscall) ?? 0, n))
    }
  }
  return most
}
