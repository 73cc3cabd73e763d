// How a job's processes are ended: asked first, all of them, and given time; then stopped and killed until none is left. What each function does
// holds for a command with walls and without; the difference is who sees to it, the kernel or processes.ts.
import { setTimeout as wait } from "node:timers/promises"
import { type Leader, readProcess } from "../../common/processes.ts"
import { END_LOOK_FIRST_MS, END_LOOK_GROWTH, END_LOOK_MAX_MS, KILL_ROUNDS_MAX } from "../limits.ts"
import { members, signal } from "./processes.ts"

export interface Tree {
  readonly leader: Leader | null
  /** Descendants when last looked at: some may have left it since. */
  readonly seen: readonly Leader[]
  readonly directory: string
}

/** TERM to all. Resolves when nothing is left of them, or `over`. */
export async function askTree(tree: Tree, over: AbortSignal): Promise<void> {
  for (const pid of members(tree.leader, tree.seen, tree.directory)) signal(pid, "SIGTERM")
  await until(() => members(tree.leader, tree.seen, tree.directory).length === 0, over)
}

/**
 * TERM to all that is inside a sandbox. bwrap, which leads it from outside, ends as soon as the command itself has ended, and takes the rest
 * along: that must not happen while others are still saving what they have. So it stands still until all inside have ended, or
 * `over`; what it then says of the command's end is as true as before.
 */
export async function askSandbox(tree: Tree, first: Promise<Leader | null>, over: AbortSignal): Promise<void> {
  // Before there is a first process, nothing of the job's is there to be asked.
  const inner = await Promise.race([first, aborted(over)])
  if (inner === null || over.aborted || tree.leader === null) return
  signal(tree.leader.pid, "SIGSTOP")
  for (const pid of members(tree.leader, tree.seen, tree.directory)) {
    if (pid !== tree.leader.pid) signal(pid, "SIGTERM")
  }
  await until(() => isGone(inner), over)
  if (!over.aborted) signal(tree.leader.pid, "SIGCONT")
}

/** KILL to all inside a sandbox, and its leader goes on, to say how the command ended. */
export async function killSandbox(leader: Leader | null, first: Leader): Promise<void> {
  await endSandbox(first)
  if (leader !== null) signal(leader.pid, "SIGCONT")
}

/** Stops, then kills, until nothing is left: what is stopped cannot fork while the rest is being killed. */
export async function endTree({ leader, seen, directory }: Tree): Promise<number> {
  const ended = new Set<number>()
  for (let round = 0; round < KILL_ROUNDS_MAX; round++) {
    const alive = members(leader, seen, directory)
    if (alive.length === 0) break
    for (const pid of alive) signal(pid, "SIGSTOP")
    for (const pid of alive) signal(pid, "SIGKILL")
    for (const pid of alive) ended.add(pid)
    // The kernel needs a moment to bury them, more under load.
    await wait(Math.min(2 ** round, 100))
  }
  return ended.size
}

/** The sandbox's first process dies with bwrap, and everything inside with it, but not in the same instant. */
export async function endSandbox(first: Leader): Promise<number> {
  for (let round = 0; round < KILL_ROUNDS_MAX; round++) {
    if (isGone(first)) return round === 0 ? 0 : 1
    signal(first.pid, "SIGKILL")
    await wait(Math.min(2 ** round, 100))
  }
  return 1
}

/** A zombie is as good as gone: the kernel makes a sandbox's first process one only after all inside are dead. */
function isGone(process: Leader): boolean {
  const now = readProcess(process.pid)
  return now === null || now.zombie || now.startTicks !== process.startTicks
}

/** Nobody tells when a process that is not our child has ended: looked at again and again, less often as it takes longer. */
async function until(isSo: () => boolean, over: AbortSignal): Promise<void> {
  for (let ms = END_LOOK_FIRST_MS; !over.aborted && !isSo(); ms = Math.min(ms * END_LOOK_GROWTH, END_LOOK_MAX_MS)) {
    await wait(ms, undefined, { signal: over }).catch(() => {})
  }
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise(resolve => {
    if (signal.aborted) resolve(null)
    else signal.addEventListener("abort", () => resolve(null), { once: true })
  })
}
