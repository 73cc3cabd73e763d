// The benchmark's end of a process of simulated agents: starts it on the load's core, gives it orders and waits for their answers.
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { root } from "../files.ts"
import type { CampaignRan, Latencies, LoadAnswer, LoadLook, LoadOrder } from "./load/protocol.ts"
import { cores, pinned } from "./machine.ts"
import type { Subject } from "./subject.ts"

const program = fileURLToPath(new URL("./agents.ts", import.meta.url))

export interface Crowd {
  readonly agents: number
  readonly slots: number
  readonly runMs?: number
  readonly fourReports?: boolean
}

const running = new Set<ChildProcess>()
// The last resort, when the benchmark itself dies of an error.
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

export class Load {
  readonly #child: ChildProcess
  readonly #over: Promise<never>
  #agents = 0

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#over = new Promise((_resolve, reject) => {
      child.once("exit", (code, signal) => {
        running.delete(child)
        reject(new Error(`the load's process ended with ${signal ?? code}`))
      })
    })
    // Whoever waits hears it; when nobody does, it is the end that was asked for.
    this.#over.catch(() => {})
  }

  static start(): Load {
    const [command, ...args] = [...pinned(cores.load), process.execPath, "--import", "tsx", program]
    const child = spawn(command!, args, { cwd: root, stdio: ["ignore", "inherit", "inherit", "ipc"] })
    running.add(child)
    return new Load(child)
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** All are welcomed when it resolves. */
  async connect(subject: Subject, { agents, slots, runMs = 0, fourReports = false }: Crowd): Promise<number> {
    const enrolTokens = await subject.enrol(agents)
    const firstNumber = this.#agents
    this.#agents += agents
    const crowd = { agents, slots, runMs, fourReports, firstNumber }
    const order = { kind: "connect", url: subject.url, enrolTokens, ...crowd } as const
    return (await this.#ask(order, "connected")).seconds
  }

  /** Runs a campaign to its end. Throws unless every job was offered once and ended once. */
  async campaign(subject: Subject, jobs: number, how: "different" | "array"): Promise<CampaignRan> {
    const { url, bearer } = subject
    const { ran } = await this.#ask({ kind: "campaign", url, bearer, jobs, different: how === "different" }, "ran")
    const { offered, offeredAgain, ended, endedAgain } = ran
    if (offered !== jobs || ended !== jobs || offeredAgain + endedAgain > 0) {
      throw new Error(`counts are wrong: of ${jobs} jobs ${JSON.stringify(ran)}`)
    }
    await this.demandNothingOdd()
    return ran
  }

  async latency(subject: Subject, jobs: number, pauseMs: number): Promise<Latencies> {
    const { url, bearer } = subject
    const { latencies } = await this.#ask({ kind: "latency", url, bearer, jobs, pauseMs }, "latencies")
    await this.demandNothingOdd()
    return latencies
  }

  async look(): Promise<LoadLook> {
    return (await this.#ask({ kind: "look" }, "looked")).look
  }

  async demandNothingOdd(): Promise<void> {
    const { oddities } = await this.look()
    if (oddities.length > 0) throw new Error(`the agents saw what they should not:\n${oddities.join("\n")}`)
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.disconnect()
    await this.#over.catch(() => {})
  }

  async #ask<K extends LoadAnswer["kind"]>(order: LoadOrder, kind: K): Promise<Extract<LoadAnswer, { kind: K }>> {
    const answered = new Promise<LoadAnswer>(resolve => {
      this.#child.once("message", answer => resolve(answer as LoadAnswer))
    })
    this.#child.send(order)
    const answer = await Promise.race([answered, this.#over])
    if (answer.kind === "failed") throw new Error(`the load failed: ${answer.message}`)
    if (answer.kind !== kind) throw new Error(`the load answered ${answer.kind} where ${kind} was asked`)
    return answer as Extract<LoadAnswer, { kind: K }>
  }
}
