// How a command becomes a process: what it is put behind (control group, processors, limits, walls), its environment, and the pipes of its
// output. What it is put behind changes itself and becomes the next program, so that all of it is one process.
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from "node:fs"
import type { Socket } from "node:net"
import { release } from "node:os"
import { join } from "node:path"
import type { RunSpec } from "../core/model.ts"
import { DATA_LIMIT_FACTOR, PIDS_PER_SLOT, SANDBOX_TMP_BYTES, UNPACKED_MAX_BYTES } from "../limits.ts"
import { type ControlGroup, enter } from "./cgroup.ts"
import { commandOf, environmentOf, PATH } from "./environment.ts"
import type { OutputPipe, PipeStock } from "./pipes.ts"
import { PRLIMIT, type ProcessLimits, resourceLimits, TASKSET } from "./rlimits.ts"
import type { RunRequest } from "./runner.ts"
import { bubblewrapArguments, inside, type Sandbox } from "./sandbox.ts"
import type { Bounds } from "./watch.ts"

/** What all jobs of the node may have together. */
export interface Shares {
  readonly slots: number
  readonly memoryBytes: number
}

export interface Launch {
  readonly request: RunRequest
  /** Name of this node, for the job. */
  readonly node: string
  readonly sandbox: Sandbox | null
  readonly group: ControlGroup | null
  /** Processors that it may use; null: any. */
  readonly cores: readonly number[] | null
  readonly shares: Shares | null
}

export interface Launched {
  readonly child: ChildProcess
  readonly stdout: Socket
  readonly stderr: Socket
}

export const asRoot = process.getuid?.() === 0

/** What the agent itself watches over. Where there is a control group, the kernel has counted the rest. */
export function boundsOf({ request, group, shares }: Pick<Launch, "request" | "group" | "shares">): Bounds {
  const { slots, memoryBytes, diskBytes } = request.spec.needs
  const workBytes = diskBytes === 0 ? UNPACKED_MAX_BYTES : diskBytes
  if (group !== null) return { memoryBytes: null, processes: null, workBytes }
  return {
    memoryBytes: memoryBytes === 0 ? (shares?.memoryBytes ?? null) : memoryBytes,
    processes: PIDS_PER_SLOT * slots,
    workBytes,
  }
}

/** Begins the process. Throws, or rejects, where it could not even be tried. */
export async function launch(what: Launch, stock: PipeStock): Promise<Launched> {
  const [stdout, stderr] = [await stock.take(), await stock.take()]
  try {
    const child = begin(what, stdout, stderr)
    return { child, stdout: stdout.reader, stderr: stderr.reader }
  } catch (error) {
    for (const { reader } of [stdout, stderr]) reader.destroy()
    throw error
  } finally {
    // The command has its own now, or never will.
    for (const { writer } of [stdout, stderr]) closeSync(writer)
  }
}

function begin(what: Launch, stdout: OutputPipe, stderr: OutputPipe): ChildProcess {
  const { node, sandbox, group, cores } = what
  const { name, spec, directory, work } = what.request
  const behind = [...(group === null ? [] : enter(group)), ...bindTo(cores)]
  const nodeFile = join(directory, "nodefile")
  writeFileSync(nodeFile, `${node}\n`.repeat(spec.needs.slots))
  const command = commandOf(spec)
  // A group and a session of its own; nothing to read.
  const common = { cwd: work, detached: true } as const
  const limits = processLimits(what)
  if (sandbox === null) {
    const scratch = join(directory, "scratch")
    mkdirSync(scratch, { recursive: true, mode: 0o700 })
    const environment = environmentOf(name, spec, { node, work, nodeFile, scratch })
    // Without walls a user's processes are all counted together, the volunteer's own with the job's: the agent counts instead.
    const limited = hasPrlimit ? resourceLimits({ ...limits, processes: null }) : []
    const [program, ...words] = [...behind, ...limited, ...command]
    return spawn(program!, words, {
      ...common,
      env: environment,
      stdio: ["ignore", stdout.writer, stderr.writer],
    })
  }
  const environment = environmentOf(name, spec, { node, ...inside })
  const walls = bubblewrapArguments({
    ...{ command, environment, work, nodeFile, sandbox, asRoot },
    tmpBytes: tmpBytes(what),
    processes: asRoot ? null : (limits.processes ?? null),
  })
  const outer = resourceLimits(asRoot ? limits : { ...limits, processes: null })
  const [program, ...words] = [...behind, ...outer, "bwrap", ...walls]
  const filter = sandbox.filter === null ? null : openSync(sandbox.filter, "r")
  try {
    return spawn(program!, words, {
      ...common,
      env: { PATH },
      stdio: ["ignore", stdout.writer, stderr.writer, "pipe", ...(filter === null ? [] : [filter])],
    })
  } finally {
    if (filter !== null) closeSync(filter)
  }
}

/** A job's own PATH must not decide what it is put behind. */
const hasTaskset = existsSync(TASKSET)
const hasPrlimit = existsSync(PRLIMIT)

function bindTo(cores: readonly number[] | null): string[] {
  return cores === null || !hasTaskset ? [] : [TASKSET, "-c", cores.join(",")]
}

function processLimits(what: Launch): ProcessLimits {
  const { workBytes, memoryBytes, processes } = boundsOf(what)
  return {
    fileBytes: workBytes,
    dataBytes: memoryBytes === null ? null : memoryBytes * DATA_LIMIT_FACTOR,
    processes: processes === null ? null : processesTogether(what.request.spec, what.shares),
  }
}

/** Root's jobs are all the one user nobody, and counted as one. Others are counted in namespaces of their own, since Linux 5.14. */
function processesTogether({ needs }: RunSpec, shares: Shares | null): number | null {
  if (asRoot) return PIDS_PER_SLOT * Math.max(needs.slots, shares?.slots ?? 0)
  const [major = 0, minor = 0] = release().split(".").map(Number)
  return major > 5 || (major === 5 && minor >= 14) ? PIDS_PER_SLOT * needs.slots : null
}

/** What lies in /tmp and /dev/shm is in memory, and only a control group counts it as the job's. */
function tmpBytes(what: Launch): number {
  const { memoryBytes } = boundsOf(what)
  return memoryBytes === null ? SANDBOX_TMP_BYTES : Math.min(SANDBOX_TMP_BYTES, memoryBytes)
}
