// Runs a command for real: in a process group of its own, behind bubblewrap or not, with nothing on stdin, its output given on as
// it comes. When it ends, all that it started ends with it, whatever it did to get away; then and only then is the run over.
// It keeps a note of the process on disk, so that the agent's next life can end what a kill -9 left behind.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { constants } from "node:os"
import { basename, join } from "node:path"
import type { Readable } from "node:stream"
import { setTimeout as wait } from "node:timers/promises"
import type { Exit } from "../core/model.ts"
import { KILL_ROUNDS_MAX, PIPE_CLOSE_MS, SAMPLE_FIRST_MS, SAMPLE_GROWTH, SAMPLE_MAX_MS } from "../limits.ts"
import { type ControlGroup, type ControlGroups, enter } from "./cgroup.ts"
import { commandOf, environmentOf, PATH, unrunnable } from "./environment.ts"
import { type Leader, members, readProcess, signal, stillAlive, usage } from "./processes.ts"
import type { Run, Runner, RunRequest } from "./runner.ts"
import { bubblewrapArguments, ENV_PROGRAM, giveToNobody, inside, resourceLimits, STATUS_FD } from "./sandbox.ts"

export interface ProcessRunnerOptions {
  /** Name of this node, for the job. */
  readonly node: string
  /** What prepareSandbox() returned, or null to run without walls. */
  readonly sandboxEtc: string | null
  /** None: the kernel enforces nothing here. */
  readonly controlGroups?: ControlGroups | null
}

export function processRunner(options: ProcessRunnerOptions): Runner {
  return {
    start: request => start(options, request),
    killLeftovers,
  }
}

const asRoot = process.getuid?.() === 0

/** Exit codes a shell gives when a command could not be run, and when it was not found. */
const CANNOT_RUN = 126
const NOT_FOUND = 127

function start(options: ProcessRunnerOptions, request: RunRequest): Run {
  const why = unrunnable(request.spec)
  if (why !== null) return { ended: Promise.resolve(failedExit(CANNOT_RUN, why)), stop: () => {} }
  const told = new AbortController()
  const over = new AbortController()
  return {
    ended: run(options, request, { told: told.signal, over: over.signal }).catch((error: unknown) =>
      failedExit(
        CANNOT_RUN,
        `the command could not be run here: ${error instanceof Error ? error.message : String(error)}`,
      ),
    ),
    stop: graceMs => {
      told.abort()
      // The command itself keeps the agent alive; once it is gone nobody waits for the grace.
      setTimeout(() => over.abort(), graceMs).unref()
    },
  }
}

interface Stopping {
  /** TERM now. */
  readonly told: AbortSignal
  /** KILL now. */
  readonly over: AbortSignal
}

async function run(options: ProcessRunnerOptions, request: RunRequest, stopping: Stopping): Promise<Exit> {
  const { directory, spec } = request
  if (options.sandboxEtc !== null && asRoot) await giveToNobody(request.work)
  const group = options.controlGroups?.open(basename(directory), spec.needs) ?? null
  try {
    return await runIn(group, options, request, stopping)
  } finally {
    await group?.close()
  }
}

async function runIn(
  group: ControlGroup | null,
  options: ProcessRunnerOptions,
  request: RunRequest,
  stopping: Stopping,
): Promise<Exit> {
  const { directory } = request
  const begunMs = performance.now()
  const child = launch(options, request, group)
  const firstWords = new FirstWords()
  const exited = exitOf(child)
  const pumps = [
    pump(child.stdout, bytes => request.onOutput("stdout", bytes)),
    pump(child.stderr, bytes => {
      firstWords.add(bytes)
      return request.onOutput("stderr", bytes)
    }),
  ]
  const leader = leaderOf(child)
  if (leader !== null) note(directory, { leader, first: null })
  const status =
    options.sandboxEtc === null ? null : readStatus(child, first => note(directory, { leader: leader ?? first, first }))
  const meter = leader === null ? null : new Meter(leader.pid)
  const tree = (): Tree => ({ leader, seen: meter?.seen ?? [], directory })
  const onTold = (): void => askToEnd(options, tree())
  const onOver = (): void => void endTree(tree())
  stopping.told.addEventListener("abort", onTold, { once: true })
  stopping.over.addEventListener("abort", onOver, { once: true })
  // Told to stop before it began.
  if (stopping.told.aborted) onTold()
  if (stopping.over.aborted) onOver()

  const end = await exited
  const runMs = Math.round(performance.now() - begunMs)
  stopping.told.removeEventListener("abort", onTold)
  stopping.over.removeEventListener("abort", onOver)
  meter?.stop()
  const inner = await status
  await endTree(tree())
  if (inner?.firstPid) await endSandbox(inner.firstPid)
  await closePipes(child, pumps)
  const { cpuMs, peakMemoryBytes } = meter ?? { cpuMs: 0, peakMemoryBytes: 0 }
  const judged = judge(request, end, inner, firstWords.text)
  const message = group?.ranOutOfMemory() && judged.exitCode !== 0 ? outOfMemory(request) : judged.message
  // What a group counted is all; samples miss the end.
  return { ...judged, message, runMs, cpuMs: Math.max(cpuMs, group?.cpuMs() ?? 0), peakMemoryBytes }
}

// ---- beginning --------------------------------------------------------------------------------------------------

function launch(options: ProcessRunnerOptions, request: RunRequest, group: ControlGroup | null): ChildProcess {
  const { name, spec, directory, work } = request
  const behind = group === null ? [] : enter(group)
  const nodeFile = join(directory, "nodefile")
  writeFileSync(nodeFile, `${options.node}\n`.repeat(spec.needs.slots))
  const command = commandOf(spec)
  // A group and a session of its own; nothing to read.
  const common = { cwd: work, detached: true } as const
  if (options.sandboxEtc !== null) {
    const environment = environmentOf(name, spec, { node: options.node, ...inside })
    const walls = bubblewrapArguments({ command, environment, work, nodeFile, etc: options.sandboxEtc, asRoot })
    const limited = [...behind, ...resourceLimits(spec.needs.diskBytes), "bwrap", ...walls]
    return spawn(limited[0]!, limited.slice(1), { ...common, env: { PATH }, stdio: ["ignore", "pipe", "pipe", "pipe"] })
  }
  const scratch = join(directory, "scratch")
  mkdirSync(scratch, { recursive: true, mode: 0o700 })
  const environment = environmentOf(name, spec, { node: options.node, work, nodeFile, scratch })
  const [program, ...words] = [...behind, ...command]
  return spawn(program!, words, { ...common, env: environment, stdio: ["ignore", "pipe", "pipe"] })
}

const noteFile = "process.json"

interface Note {
  readonly leader: Leader
  /** The sandbox's first process, once bwrap has told it. */
  readonly first: Leader | null
}

/** Written in the turn the process began in. Not synced: it has to survive our death, not the machine's. */
function note(directory: string, content: Note): void {
  try {
    writeFileSync(join(directory, noteFile), JSON.stringify({ ...content, boot: bootId() }))
  } catch {
    // A full disk: the command runs all the same. Should we die, bwrap dies with us, and without walls the mark is still found.
  }
}

function leaderOf(child: ChildProcess): Leader | null {
  if (child.pid === undefined) return null
  return { pid: child.pid, startTicks: readProcess(child.pid)?.startTicks ?? "" }
}

type End = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly error: Error | null }

function exitOf(child: ChildProcess): Promise<End> {
  return new Promise(resolve => {
    child.once("error", error => resolve({ code: null, signal: null, error }))
    child.once("exit", (code, by) => resolve({ code, signal: by, error: null }))
  })
}

/** There are no pipes where the process could not be begun for want of descriptors; its error tells. */
async function pump(stream: Readable | null | undefined, give: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  if (!stream) return
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) await give(chunk)
  } catch (error) {
    // Closed under us, by closePipes(): whoever held the other end is not one of the job any more.
    if (!stream.destroyed) throw error
  }
}

// ---- ending -----------------------------------------------------------------------------------------------------

interface Tree {
  readonly leader: Leader | null
  /** Descendants when last looked at: some may have left it since. */
  readonly seen: readonly Leader[]
  readonly directory: string
}

/** TERM to all. */
function askToEnd(options: ProcessRunnerOptions, tree: Tree): void {
  for (const pid of members(tree.leader, tree.seen, tree.directory)) {
    // bwrap would die of it and take the job along without grace. It ends by itself when the job does.
    if (options.sandboxEtc === null || pid !== tree.leader?.pid) signal(pid, "SIGTERM")
  }
}

/** Stops, then kills, until nothing is left: what is stopped cannot fork while the rest is being killed. */
async function endTree({ leader, seen, directory }: Tree): Promise<number> {
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
async function endSandbox(first: Leader): Promise<number> {
  for (let round = 0; round < KILL_ROUNDS_MAX; round++) {
    const now = readProcess(first.pid)
    // A zombie is as good as gone: the kernel makes it one only after all inside are dead.
    if (now === null || now.zombie || now.startTicks !== first.startTicks) return round === 0 ? 0 : 1
    signal(first.pid, "SIGKILL")
    await wait(Math.min(2 ** round, 100))
  }
  return 1
}

async function closePipes(child: ChildProcess, pumps: readonly Promise<void>[]): Promise<void> {
  const over = new AbortController()
  const late = wait(PIPE_CLOSE_MS, undefined, { signal: over.signal }).then(
    () => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    },
    () => {},
  )
  await Promise.all(pumps)
  over.abort()
  await late
}

function judge(request: RunRequest, end: End, inner: Status | null, words: string): Pick<Exit, "exitCode" | "message"> {
  const program = commandOf(request.spec)[0]!
  if (end.error !== null) {
    const { code } = end.error as NodeJS.ErrnoException
    if (inner !== null) return { exitCode: CANNOT_RUN, message: `the sandbox did not start: ${end.error.message}` }
    if (code === "ENOENT") return { exitCode: NOT_FOUND, message: `${program}: command not found on this node` }
    return {
      exitCode: CANNOT_RUN,
      message: `${program}: ${code === "EACCES" ? "may not be executed" : end.error.message}`,
    }
  }
  if (inner !== null) {
    const complaint = ["bwrap: execvp ", `${ENV_PROGRAM}: `].find(start => words.startsWith(start))
    if (complaint !== undefined) {
      const missing = words.includes("No such file")
      const message = missing ? `${program}: command not found on this node` : words.slice(complaint.length)
      return { exitCode: missing ? NOT_FOUND : CANNOT_RUN, message }
    }
    if (inner.exitCode !== null) return { exitCode: inner.exitCode, message: "" }
    if (end.signal === null) return { exitCode: CANNOT_RUN, message: `the sandbox could not be set up: ${words}` }
  }
  if (end.signal !== null) return { exitCode: 128 + constants.signals[end.signal], message: `ended by ${end.signal}` }
  return { exitCode: end.code ?? CANNOT_RUN, message: "" }
}

function outOfMemory({ spec }: RunRequest): string {
  const { memoryBytes } = spec.needs
  if (memoryBytes === 0)
    return "ended by the kernel: there was no more memory for jobs; say with -l mem how much it needs"
  return `ended by the kernel: it used more than the ${memoryBytes} bytes of memory that it asked for; ask for more with -l mem`
}

function failedExit(exitCode: number, message: string): Exit {
  return { exitCode, message, runMs: 0, cpuMs: 0, peakMemoryBytes: 0 }
}

// ---- what bwrap says --------------------------------------------------------------------------------------------

interface Status {
  readonly firstPid: Leader | null
  readonly exitCode: number | null
}

/** One JSON object a line on its own descriptor, which the job never gets: "child-pid" at the start, "exit-code" at the end. */
async function readStatus(child: ChildProcess, onFirst: (first: Leader) => void): Promise<Status> {
  const status: { firstPid: Leader | null; exitCode: number | null } = { firstPid: null, exitCode: null }
  let rest = ""
  const pipe = child.stdio[STATUS_FD] as Readable | null | undefined
  try {
    for await (const chunk of (pipe ?? []) as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString()).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines.filter(line => line.trim() !== "")) {
        const said = JSON.parse(line) as { "child-pid"?: number; "exit-code"?: number }
        const pid = said["child-pid"]
        if (pid !== undefined) {
          status.firstPid = { pid, startTicks: readProcess(pid)?.startTicks ?? "" }
          onFirst(status.firstPid)
        }
        if (said["exit-code"] !== undefined) status.exitCode = said["exit-code"]
      }
    }
  } catch {
    // Not JSON, or cut off by a kill: then it has not told how the job ended, and its own end has to do.
  }
  return status
}

/** The beginning of stderr, where bwrap complains when the command never ran. */
class FirstWords {
  text = ""
  add(bytes: Uint8Array): void {
    if (this.text.length < 300) this.text = (this.text + Buffer.from(bytes).toString()).slice(0, 300).split("\n")[0]!
  }
}

// ---- measuring --------------------------------------------------------------------------------------------------

/**
 * Processor time and peak memory by sampling, since Node does not tell what a child used. Samples come at growing intervals: quick
 * for short runs, one a second for long ones; what happens after the last one is missed, at most about a sixth of the time.
 */
class Meter {
  readonly #pid: number
  #timer: NodeJS.Timeout | null = null
  #intervalMs = SAMPLE_FIRST_MS
  cpuMs = 0
  peakMemoryBytes = 0
  /** All that were in the tree at some sample and still lived at the last. */
  seen: readonly Leader[] = []

  constructor(pid: number) {
    this.#pid = pid
    this.#schedule()
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      const now = usage(this.#pid)
      this.cpuMs = Math.max(this.cpuMs, now.cpuMs)
      this.peakMemoryBytes = Math.max(this.peakMemoryBytes, now.memoryBytes)
      const inTree = new Set(now.tree.map(({ pid }) => pid))
      this.seen = [...now.tree, ...stillAlive(this.seen.filter(({ pid }) => !inTree.has(pid)))]
      this.#intervalMs = Math.min(this.#intervalMs * SAMPLE_GROWTH, SAMPLE_MAX_MS)
      this.#schedule()
    }, this.#intervalMs)
  }
}

// ---- what an earlier life left ----------------------------------------------------------------------------------

async function killLeftovers(attempts: string): Promise<number> {
  let ended = 0
  for (const entry of readdirSync(attempts)) {
    const left = readNote(join(attempts, entry))
    if (left === null) continue
    ended += await endTree({ leader: left.leader, seen: [], directory: join(attempts, entry) })
    if (left.first !== null) ended += await endSandbox(left.first)
  }
  // And whoever bears the mark of any of them, should a note be missing.
  return ended + (await endTree({ leader: null, seen: [], directory: attempts }))
}

/** Null if there is none, or it was written before the machine was booted, when all numbers meant others. */
function readNote(directory: string): Note | null {
  try {
    const { leader, first, boot } = JSON.parse(readFileSync(join(directory, noteFile), "utf8")) as Note & {
      boot: string
    }
    return boot === bootId() && typeof leader.pid === "number" ? { leader, first } : null
  } catch {
    // No note, or one cut short: the mark has to do.
    return null
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  } catch {
    return ""
  }
}
