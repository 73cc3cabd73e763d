// The benchmark's end of a process of simulated agents: starts it on the load's core, gives it orders and waits for their answers.
import { type ChildProcess, spawn } from "node:child_process"
import { setTimeout as pause } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { root } from "../scripts/files.ts"
import type {
  Began,
  CampaignRan,
  Latencies,
  LoadAnswer,
  LoadLook,
  LoadOrder,
  RunMs,
  SteadyRan,
  TransferOrder,
  Transferred,
  Via,
} from "./load/protocol.ts"
import { cores, pinned } from "./machine.ts"
import type { Subject } from "./subject.ts"

const program = fileURLToPath(new URL("./agents.ts", import.meta.url))

export interface Crowd {
  readonly agents: number
  readonly slots: number
  readonly runMs?: RunMs
  readonly fourReports?: boolean
}

const LOOK_EVERY_MS = 50
/** As long as the last of all agents takes to come back, with room. */
const LOOK_MAX_MS = 5 * 60_000

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

  /** Node's flags come first. */
  static start(flags: readonly string[] = []): Load {
    const [command, ...args] = [...pinned(cores.load), process.execPath, ...flags, "--import", "tsx", program]
    const child = spawn(command!, args, { cwd: root, stdio: ["ignore", "inherit", "inherit", "ipc"] })
    running.add(child)
    return new Load(child)
  }

  /** All are welcomed when it resolves. */
  async connect(subject: Subject, { agents, slots, runMs = [0, 0], fourReports = false }: Crowd): Promise<number> {
    const enrolTokens = await subject.enrol(agents)
    const firstNumber = this.#agents
    this.#agents += agents
    const crowd = { agents, slots, runMs, fourReports, firstNumber }
    const order = { kind: "connect", url: subject.url, enrolTokens, ...crowd } as const
    return (await this.#ask(order, "connected")).seconds
  }

  /** Submits, and does not wait. */
  async begin({ url, bearer }: Subject, jobs: number, how: "different" | "array"): Promise<Began> {
    return (await this.#ask({ kind: "begin", url, bearer, jobs, different: how === "different" }, "began")).began
  }

  /** Waits for the end of a campaign. Throws unless every job was offered and ended once. `isSmooth`: and was named by no offer twice. */
  async finish({ campaign, jobs }: Began, isSmooth = true): Promise<CampaignRan> {
    const { ran } = await this.#ask({ kind: "finish", campaign }, "ran")
    const { offered, offeredAgain, ended, endedAgain } = ran
    const isOnce = offered === jobs && ended === jobs && endedAgain === 0 && (offeredAgain === 0 || !isSmooth)
    if (!isOnce) throw new Error(`counts are wrong: of ${jobs} jobs ${JSON.stringify(ran)}`)
    await this.demandNothingOdd()
    return ran
  }

  async campaign(subject: Subject, jobs: number, how: "different" | "array"): Promise<CampaignRan> {
    return this.finish(await this.begin(subject, jobs, how))
  }

  async latency({ url, bearer }: Subject, jobs: number, pauseMs: number, besidesPerSecond = 0): Promise<Latencies> {
    const { latencies } = await this.#ask(
      { kind: "latency", url, bearer, jobs, pauseMs, besidesPerSecond },
      "latencies",
    )
    await this.demandNothingOdd()
    return latencies
  }

  async steady({ url, bearer }: Subject, jobsPerSecond: number, seconds: number): Promise<SteadyRan> {
    const { steady } = await this.#ask({ kind: "steady", url, bearer, jobsPerSecond, seconds }, "steady")
    await this.demandNothingOdd()
    return steady
  }

  /** Seconds from the first byte to the answer, and of those the load's own processor time. */
  async submit(
    { url, bearer }: Pick<Subject, "url" | "bearer">,
    jobs: number,
    via: Via,
  ): Promise<{ readonly seconds: number; readonly loadCpuSeconds: number }> {
    return this.#ask({ kind: "submit", url, bearer, jobs, via }, "submitted")
  }

  /** All that is no part of a transfer's time: a stagein is with the hub, the agents have their offers. */
  async prepareTransfer(order: Omit<TransferOrder, "kind">): Promise<void> {
    await this.#ask({ kind: "prepareTransfer", ...order }, "transferPrepared")
  }

  /** What was prepared. */
  async transfer(): Promise<Transferred> {
    return (await this.#ask({ kind: "transfer" }, "transferred")).transferred
  }

  async look(): Promise<LoadLook> {
    return (await this.#ask({ kind: "look" }, "looked")).look
  }

  /** Looks until it is so. Throws when it is not after a long while, or an agent saw what it should not. */
  async lookUntil(isSo: (look: LoadLook) => boolean, words: string): Promise<LoadLook> {
    const deadlineMs = performance.now() + LOOK_MAX_MS
    for (;;) {
      const look = await this.look()
      if (look.oddities.length > 0) throw new Error(`the agents saw what they should not:\n${look.oddities.join("\n")}`)
      if (isSo(look)) return look
      if (performance.now() > deadlineMs) {
        throw new Error(`after ${LOOK_MAX_MS / 1_000} s it is not so that ${words}: ${JSON.stringify(look)}`)
      }
      await pause(LOOK_EVERY_MS)
    }
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
