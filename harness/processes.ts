// Starts and ends the demo's programs, each in a process of its own as in real life: `node hub/bin/…`, `node agent/bin/…`.
// Their output goes to files. Whatever happens to the demo, none of them stays behind.
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { root } from "../scripts/files.ts"

/** From start to readiness. A loaded CI machine needs seconds; more means that it hangs. */
const READY_MAX_MS = 60_000
/** From SIGTERM to SIGKILL: an agent gives its jobs 5 s of grace, and the hub a while to drain. */
const END_MAX_MS = 20_000
const LOOK_EVERY_MS = 50

export interface Program {
  readonly name: string
  readonly pid: number
  readonly log: string
  /** Never rejects. */
  readonly ended: Promise<string>
  over: boolean
}

/** Ours without what the user has set for hub, agent and client of their own: the demo's are the demo's. */
function surroundings(more: Record<string, string>): NodeJS.ProcessEnv {
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CAH_"))), ...more }
}

const running = new Map<Program, ChildProcess>()
// The last resort, when the demo itself dies of an error: synchronous, so no grace.
process.once("exit", () => {
  for (const child of running.values()) child.kill("SIGKILL")
})

/** `within`: a command that runs the program in its own surroundings and becomes it, such as `ip netns exec NAME`. */
export function start(
  name: string,
  args: readonly string[],
  env: Record<string, string>,
  log: string,
  within: readonly string[] = [],
): Program {
  const file = openSync(log, "a")
  const [program = process.execPath, ...rest] = [...within, process.execPath, ...args]
  const child = spawn(program, rest, { cwd: root, env: surroundings(env), stdio: ["ignore", file, file] })
  closeSync(file)
  if (child.pid === undefined) throw new Error(`${name} could not be started: ${program} ${rest.join(" ")}`)
  const ended = new Promise<string>(resolve => {
    child.once("exit", (code, signal) => {
      running.delete(started)
      started.over = true
      resolve(signal === null ? `exit code ${code}` : signal)
    })
  })
  const started: Program = { name, pid: child.pid, log, ended, over: false }
  running.set(started, child)
  return started
}

/** The way a power cut of one process looks: no handler runs, nothing is flushed. */
export async function kill(program: Program): Promise<void> {
  running.get(program)?.kill("SIGKILL")
  await program.ended
}

/** TERM to all, in the order given, and KILL to those that do not listen. Returns what had to be killed. */
export async function end(programs: readonly Program[]): Promise<string[]> {
  const stubborn: string[] = []
  for (const program of programs) running.get(program)?.kill("SIGTERM")
  await Promise.all(
    programs.map(async program => {
      const patience = new AbortController()
      const late = pause(END_MAX_MS, "late" as const, { signal: patience.signal }).catch(() => "ended" as const)
      if ((await Promise.race([program.ended, late])) === "late") {
        stubborn.push(program.name)
        await kill(program)
      }
      patience.abort()
    }),
  )
  return stubborn
}

/** Asks until there is an answer; fails when the program has ended or the time is over, with the end of its log. */
export async function ready<Answer>(program: Program, ask: () => Promise<Answer | null>): Promise<Answer> {
  const deadlineMs = performance.now() + READY_MAX_MS
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (program.over)
      throw new Error(`${program.name} ended (${await program.ended}) before it was ready:\n${await tail(program)}`)
    if (performance.now() > deadlineMs) {
      throw new Error(`${program.name} was not ready after ${READY_MAX_MS / 1000} s:\n${await tail(program)}`)
    }
    await pause(LOOK_EVERY_MS)
  }
}

export async function tail(program: Program): Promise<string> {
  const text = await readFile(program.log, "utf8")
  return text
    .trimEnd()
    .split("\n")
    .slice(-25)
    .map(line => `    ${program.name}: ${line}`)
    .join("\n")
}

/** Runs a program to its end and returns its stdout; what it says on stderr is passed on when it fails. */
export function runToEnd(args: readonly string[], env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: surroundings(env),
    stdio: ["ignore", "pipe", "pipe"],
  })
  let [stdout, stderr] = ["", ""]
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => {
      if (code === 0) resolve(stdout)
      else
        reject(
          new Error(
            `\`${[join("…", args[0] ?? ""), ...args.slice(1)].join(" ")}\` ended with ${signal ?? code}:\n${stderr}`,
          ),
        )
    })
  })
}
