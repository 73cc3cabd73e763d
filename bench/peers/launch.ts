// Starts a peer's server as a process of ours on the hub's core, and waits until it answers.
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { connect } from "node:net"
import { type Program, ready } from "../../harness/processes.ts"
import { cores, pinned } from "../machine.ts"

const running = new Set<() => void>()
process.once("exit", () => {
  for (const kill of running) kill()
})

export interface Launch {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly log: string
  readonly environment?: Readonly<Record<string, string>>
  readonly core?: number
}

export function launch({ name, command, log, environment = {}, core = cores.hub }: Launch): Program {
  const file = openSync(log, "a")
  const [program, ...args] = [...pinned(core), ...command]
  const env = { ...process.env, ...environment }
  const child = spawn(program!, args, { env, stdio: ["ignore", file, file] })
  closeSync(file)
  if (child.pid === undefined) throw new Error(`${name} could not be started: ${command.join(" ")}`)
  const kill = () => void child.kill("SIGKILL")
  running.add(kill)
  const started: Program & { over: boolean } = {
    name,
    pid: child.pid,
    log,
    over: false,
    ended: new Promise(resolve => {
      child.once("exit", (code, signal) => {
        running.delete(kill)
        started.over = true
        resolve(signal ?? `exit code ${code}`)
      })
    }),
  }
  return started
}

/** Resolves when something listens there. */
export async function listens(program: Program, port: number): Promise<void> {
  await ready(program, () => reached(port))
}

function reached(port: number): Promise<true | null> {
  return new Promise(resolve => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(null))
  })
}

const TERM_MAX_MS = 15_000

/** TERM, then KILL. */
export async function endServer(programs: readonly Program[]): Promise<void> {
  for (const program of programs) {
    if (program.over) continue
    process.kill(program.pid, "SIGTERM")
    let late: NodeJS.Timeout | undefined
    const patience = new Promise<void>(resolve => {
      late = setTimeout(resolve, TERM_MAX_MS)
    })
    await Promise.race([program.ended, patience])
    clearTimeout(late)
    if (!program.over) process.kill(program.pid, "SIGKILL")
    await program.ended
  }
}
