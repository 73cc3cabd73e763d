// Runs a command for real: in a process group of its own, behind bubblewrap or not, with nothing on stdin, its output given on as
// it comes. When it ends, all that it started ends with it, whatever it did to get away; then and only then is the run over.
import type { ChildProcess } from "node:child_process"
import { constants } from "node:os"
import { basename } from "node:path"
import type { Readable } from "node:stream"
import { setTimeout as wait } from "node:timers/promises"
import { type Leader, leaderOf } from "../../common/processes.ts"
import type { Exit } from "../core/model.ts"
import { PIPE_CLOSE_MS } from "../limits.ts"
import type { ControlGroup, ControlGroups } from "./cgroup.ts"
import { availableCores, CoreShares } from "./cores.ts"
import { askSandbox, askTree, endSandbox, endTree, killSandbox, type Tree } from "./ending.ts"
import { commandOf, unrunnable } from "./environment.ts"
import { asRoot, boundsOf, type Launch, launch, type Shares } from "./launch.ts"
import { killLeftovers, note } from "./leftovers.ts"
import { PipeStock } from "./pipes.ts"
import type { Run, Runner, RunRequest } from "./runner.ts"
import { ENV_PROGRAM, nobody, type Sandbox, STATUS_FD } from "./sandbox.ts"
import { type Excess, Watch } from "./watch.ts"

export interface ProcessRunnerOptions {
  /** Name of this node, for the job. */
  readonly node: string
  /** A directory of the runner's own, for pipes that wait to be used. Nothing else may lie in it. */
  readonly pipes: string
  /** What openSandbox() made, or null to run without walls. */
  readonly sandbox: Sandbox | null
  /** None: the kernel enforces nothing here. */
  readonly controlGroups?: ControlGroups | null
  /** What the node gives to jobs: bounds one that did not say what it needs. */
  readonly shares?: Shares
}

export function processRunner(options: ProcessRunnerOptions): Runner {
  const tools: Tools = {
    ...options,
    stock: new PipeStock(options.pipes),
    coreShares: new CoreShares(availableCores),
  }
  return {
    owner: options.sandbox !== null && asRoot ? nobody : null,
    start: request => start(tools, request),
    killLeftovers,
  }
}

interface Tools extends ProcessRunnerOptions {
  readonly stock: PipeStock
  readonly coreShares: CoreShares
}

/** Exit codes a shell gives when a command could not be run, and when it was not found. */
const CANNOT_RUN = 126
const NOT_FOUND = 127
/** SIGSYS. */
const FORBIDDEN_CALL = 128 + 31
const forbidden = "ended by the sandbox, which runs no programs for another processor: is it one of 32 bits?"

function start(tools: Tools, request: RunRequest): Run {
  const why = unrunnable(request.spec)
  const told = new AbortController()
  const over = new AbortController()
  let begin = (): void => {}
  const begun = new Promise<void>(resolve => {
    begin = resolve
  })
  const stopping: Stopping = { told: told.signal, over: over.signal }
  const ended =
    why !== null
      ? Promise.resolve(failedExit(CANNOT_RUN, why))
      : run(tools, request, stopping, begin).catch((error: unknown) =>
          failedExit(
            CANNOT_RUN,
            `the command could not be run here: ${error instanceof Error ? error.message : String(error)}`,
          ),
        )
  return {
    begun: Promise.race([begun, ended.then(() => {})]),
    ended,
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

async function run(tools: Tools, request: RunRequest, stopping: Stopping, begun: () => void): Promise<Exit> {
  const { directory, spec } = request
  const group = tools.controlGroups?.open(basename(directory), spec.needs) ?? null
  const cores = tools.coreShares.take(spec.needs.slots)
  try {
    return await runIn(group, cores.list, tools, request, stopping, begun)
  } finally {
    cores.release()
    await group?.close()
  }
}

async function runIn(
  group: ControlGroup | null,
  cores: readonly number[] | null,
  tools: Tools,
  request: RunRequest,
  stopping: Stopping,
  begun: () => void,
): Promise<Exit> {
  const { directory } = request
  const what: Launch = { request, group, cores, node: tools.node, sandbox: tools.sandbox, shares: tools.shares ?? null }
  const { child, stdout, stderr } = await launch(what, tools.stock)
  const begunMs = performance.now()
  begun()
  const firstWords = new FirstWords()
  const exited = exitOf(child)
  const pumps = [
    pump(stdout, bytes => request.onOutput("stdout", bytes)),
    pump(stderr, bytes => {
      firstWords.add(bytes)
      return request.onOutput("stderr", bytes)
    }),
  ]
  const leader = child.pid === undefined ? null : leaderOf(child.pid)
  if (leader !== null) note(directory, { leader, first: null })
  const status = tools.sandbox === null ? null : readStatus(child)
  void status?.first.then(first => first !== null && note(directory, { leader: leader ?? first, first }))
  const watch = leader === null ? null : new Watch(leader.pid, request.work, boundsOf(what), () => void kill())
  const tree = (): Tree => ({ leader, seen: watch?.seen ?? [], directory })
  let asking: Promise<void> | null = null
  const ask = (): void => {
    asking = status === null ? askTree(tree(), stopping.over) : askSandbox(tree(), status.first, stopping.over)
  }
  const kill = async (): Promise<void> => {
    const first = status?.now() ?? null
    if (first !== null) await killSandbox(leader, first)
    else await endTree(tree())
  }
  const onOver = (): void => void kill()
  stopping.told.addEventListener("abort", ask, { once: true })
  stopping.over.addEventListener("abort", onOver, { once: true })
  // Told to stop before it began.
  if (stopping.told.aborted) ask()
  if (stopping.over.aborted) onOver()

  const end = await exited
  const runMs = Math.round(performance.now() - begunMs)
  stopping.told.removeEventListener("abort", ask)
  // The command itself has ended; others that were asked may have something to save yet.
  await asking
  stopping.over.removeEventListener("abort", onOver)
  watch?.stop()
  const inner = (await status?.end) ?? null
  await endTree(tree())
  if (inner?.firstPid) await endSandbox(inner.firstPid)
  await closePipes([stdout, stderr], pumps)
  const { cpuMs, peakMemoryBytes, excess } = watch ?? { cpuMs: 0, peakMemoryBytes: 0, excess: null }
  const judged = judge(request, end, inner, firstWords.text)
  let { message } = judged
  if (group?.ranOutOfMemory() && judged.exitCode !== 0) message = outOfMemory(request)
  if (excess !== null) message = tooMuch[excess](what)
  // What a group counted is all; samples miss the end.
  return { ...judged, message, runMs, cpuMs: Math.max(cpuMs, group?.cpuMs() ?? 0), peakMemoryBytes }
}

// ---- beginning --------------------------------------------------------------------------------------------------

type End = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly error: Error | null }

function exitOf(child: ChildProcess): Promise<End> {
  return new Promise(resolve => {
    child.once("error", error => resolve({ code: null, signal: null, error }))
    child.once("exit", (code, by) => resolve({ code, signal: by, error: null }))
  })
}

async function pump(stream: Readable, give: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) await give(chunk)
  } catch (error) {
    // Closed under us, by closePipes(): whoever held the other end is not one of the job any more.
    if (!stream.destroyed) throw error
  }
}

// ---- ending -----------------------------------------------------------------------------------------------------

async function closePipes(pipes: readonly Readable[], pumps: readonly Promise<void>[]): Promise<void> {
  const over = new AbortController()
  const late = wait(PIPE_CLOSE_MS, undefined, { signal: over.signal }).then(
    () => {
      for (const pipe of pipes) pipe.destroy()
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
  const isComplaint = end.code === CANNOT_RUN || end.code === NOT_FOUND
  if (inner === null && isComplaint && words.startsWith("prlimit: ")) {
    const message =
      end.code === NOT_FOUND ? `${program}: command not found on this node` : `${program}: may not be executed`
    return { exitCode: end.code!, message }
  }
  if (inner !== null) {
    const complaint = ["bwrap: execvp ", `${ENV_PROGRAM}: `].find(start => words.startsWith(start))
    if (complaint !== undefined) {
      const missing = words.includes("No such file")
      const message = missing ? `${program}: command not found on this node` : words.slice(complaint.length)
      return { exitCode: missing ? NOT_FOUND : CANNOT_RUN, message }
    }
    if (inner.exitCode === FORBIDDEN_CALL) return { exitCode: inner.exitCode, message: forbidden }
    if (inner.exitCode !== null) return { exitCode: inner.exitCode, message: "" }
    if (end.signal === null) return { exitCode: CANNOT_RUN, message: `the sandbox could not be set up: ${words}` }
  }
  if (end.signal !== null) return { exitCode: 128 + constants.signals[end.signal], message: `ended by ${end.signal}` }
  return { exitCode: end.code ?? CANNOT_RUN, message: "" }
}

/** In words, with what to ask for. */
const tooMuch: Record<Excess, (what: Launch) => string> = {
  memory: ({ request }) => {
    const { memoryBytes } = request.spec.needs
    if (memoryBytes === 0)
      return "ended by the agent: it used all the memory that this node gives to jobs; say with -l mem how much it needs"
    return `ended by the agent: it used more than the ${memoryBytes} bytes of memory that it asked for; ask for more with -l mem`
  },
  processes: what =>
    `ended by the agent: it had more than ${boundsOf(what).processes} processes and threads, what its slots allow`,
  disk: what => {
    const { workBytes } = boundsOf(what)
    const why =
      what.request.spec.needs.diskBytes === 0 ? "that a job may, unless it asks for more" : "that it asked for"
    return `ended by the agent: its working directory took more than the ${workBytes} bytes of disk ${why}; ask for more with -l disk`
  },
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

interface StatusReader {
  /** The sandbox's first process, as soon as it is known; null if there never was one. */
  readonly first: Promise<Leader | null>
  /** The same, as far as it is known now. */
  now(): Leader | null
  /** All that bwrap had to say. */
  readonly end: Promise<Status>
}

/** One JSON object a line on its own descriptor, which the job never gets: "child-pid" at the start, "exit-code" at the end. */
function readStatus(child: ChildProcess): StatusReader {
  const status: { firstPid: Leader | null; exitCode: number | null } = { firstPid: null, exitCode: null }
  let resolveFirst = (_: Leader | null): void => {}
  const first = new Promise<Leader | null>(resolve => {
    resolveFirst = resolve
  })
  const read = async (): Promise<void> => {
    let rest = ""
    const pipe = child.stdio[STATUS_FD] as Readable | null | undefined
    for await (const chunk of (pipe ?? []) as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString()).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines.filter(line => line.trim() !== "")) {
        const said = JSON.parse(line) as { "child-pid"?: number; "exit-code"?: number }
        const pid = said["child-pid"]
        if (pid !== undefined) {
          status.firstPid = leaderOf(pid)
          resolveFirst(status.firstPid)
        }
        if (said["exit-code"] !== undefined) status.exitCode = said["exit-code"]
      }
    }
  }
  const end = read()
    // Not JSON, or cut off by a kill: then it has not told how the job ended, and its own end has to do.
    .catch(() => {})
    .then(() => {
      resolveFirst(null)
      return status
    })
  return { first, now: () => status.firstPid, end }
}

/** The beginning of stderr, where bwrap complains when the command never ran. */
class FirstWords {
  text = ""
  add(bytes: Uint8Array): void {
    if (this.text.length < 300) this.text = (this.text + Buffer.from(bytes).toString()).slice(0, 300).split("\n")[0]!
  }
}
