// One running QEMU: its verbs over QMP, its ears, and how it ends. It dies with this process, whatever kills that: the kernel sends it SIGKILL
// (PR_SET_PDEATHSIG, set by setpriv between fork and exec), and should we die before that is set, nobody answers QEMU's call.

import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, existsSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { syncDirectoryNow } from "../../../common/disk.ts"
import { Failure, type Machine, type MachineEars, type MachinePlan } from "../../core/ports.ts"
import { COMPLAINT_MAX_BYTES, LATER_SECONDS } from "../../limits.ts"
import { socketPath } from "../../place.ts"
import { cpuMsOf, waitedMsOf } from "../../process.ts"
import { type Caller, expectCall } from "../caller.ts"
import { Lines } from "../lines.ts"
import { Throttle } from "../throttle.ts"
import { type Acceleration, files, INCOMING_FD, machineArguments, runArguments, wrapper } from "./arguments.ts"
import { Qmp, type QmpEvent } from "./qmp.ts"
import { removeSave, savedForMs, writeSave } from "./save.ts"

/** A migration that comes in tells when it is done only to those who ask. */
const LOOK_EVERY_MS = 20
const QUIT_MS = 2_000
/** An absence that the guest's agent notices for sure (agent/limits.ts, LAPSE_MIN_MS, and a second for the rounding). */
const NOTICED_MS = 3_200
const PIPE_CLOSE_MS = 500

export interface QemuStart {
  readonly program: string
  readonly acceleration: Acceleration
  readonly plan: MachinePlan
  readonly fromSave: boolean
  readonly ears: MachineEars
  readonly signal: AbortSignal
  /** What a save is marked with. */
  readonly fingerprint: string
}

export async function startQemu(start: QemuStart): Promise<Machine> {
  const { plan, fromSave, signal: aborted } = start
  makeScratch(plan)
  const path = socketPath(plan.directory, files.qmp)
  rmSync(path, { force: true })
  const caller = await expectCall(path)
  const machine = new QemuMachine(start)
  try {
    await machine.connect(caller, aborted)
    if (fromSave) await machine.restore(aborted)
    machine.limitProcessor(plan.processorPercent)
    machine.begin()
    return machine
  } catch (error) {
    await machine.end()
    throw new Failure(machine.reasonOf(error), { laterSeconds: LATER_SECONDS, cause: error })
  } finally {
    caller.close()
    rmSync(path, { force: true })
  }
}

/** Sparse: it takes the disk space of what the guest has written. Larger than before is fine, smaller would cut the guest's files. */
function makeScratch({ scratch }: MachinePlan): void {
  if (existsSync(scratch.path)) return
  writeFileSync(scratch.path, "", { mode: 0o600, flag: "wx" })
  truncateSync(scratch.path, scratch.sizeBytes)
}

class QemuMachine implements Machine {
  readonly otherPid = null
  readonly #start: QemuStart
  readonly #child: ChildProcess
  readonly #throttle: Throttle
  readonly #gone: Promise<void>
  #qmp: Qmp | null = null
  #complaint = ""
  #shutdown: string | null = null
  #isAsked = false
  /** An end that somebody waits for is no news: during the start, and after a save. */
  #isQuiet = true
  #isPaused = false
  #isUp = false

  constructor(start: QemuStart) {
    this.#start = start
    const { plan, acceleration, program, fromSave, ears } = start
    const args = [...machineArguments(plan, acceleration), ...runArguments(fromSave)]
    const saved = fromSave ? openSync(join(plan.directory, files.save), "r") : "ignore"
    this.#child = spawn(wrapper[0], [...wrapper.slice(1), program, ...args], {
      cwd: plan.directory,
      stdio: ["ignore", "pipe", "pipe", saved],
      // A Ctrl-C at the terminal is for us: we save the machine.
      detached: true,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    })
    if (typeof saved === "number") closeSync(saved)
    // The descriptor in the child, as its arguments say it.
    INCOMING_FD satisfies 3
    const lines = new Lines(ears.onLine)
    this.#child.stdout!.on("data", (chunk: Buffer) => lines.write(chunk))
    this.#child.stderr!.on("data", (chunk: Buffer) => {
      this.#complaint = (this.#complaint + chunk.toString("latin1")).slice(-COMPLAINT_MAX_BYTES)
    })
    this.#throttle = new Throttle(this.#child.pid ?? 0, plan.processors)
    this.#gone = new Promise<void>(resolve => {
      this.#child.once("error", error => {
        this.#complaint += `\n${error.message}`
        resolve()
      })
      // After "exit" the last lines are still on their way. A relay may hold the pipe for longer than anybody wants to wait.
      this.#child.once("close", () => resolve())
      this.#child.once("exit", () => void wait(PIPE_CLOSE_MS, undefined, { ref: false }).then(resolve))
    }).then(() => {
      lines.end()
      this.#onGone()
    })
  }

  async connect(caller: Caller, aborted: AbortSignal): Promise<void> {
    const socket = await this.#unlessGone(caller.socket, aborted)
    this.#qmp = new Qmp(socket, event => this.#onEvent(event))
    await this.#unlessGone(this.#qmp.greet(), aborted)
    this.#isUp = true
  }

  /** Reads the saved memory, uses the save up, and lets the guest go on. From then on its disk moves away from what was saved. */
  async restore(aborted: AbortSignal): Promise<void> {
    for (;;) {
      const { status } = (await this.#unlessGone(this.#qmp!.execute("query-status"), aborted)) as { status: string }
      if (status !== "inmigrate") break
      await this.#unlessGone(wait(LOOK_EVERY_MS), aborted)
    }
    // Its connections are gone, and it learns that from its clock alone, which counts whole seconds: let it see that time has passed.
    const { directory } = this.#start.plan
    await this.#unlessGone(wait(NOTICED_MS - savedForMs(directory, NOTICED_MS)), aborted)
    removeSave(directory)
    syncDirectoryNow(directory)
    await this.#qmp!.execute("cont")
  }

  begin(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error("QEMU ended at once")
    this.#isQuiet = false
  }

  reasonOf(error: unknown): string {
    const last = lastLine(this.#complaint)
    return last !== "" ? `QEMU says: ${last}` : error instanceof Error ? error.message : String(error)
  }

  // ---- verbs ----------------------------------------------------------------------------------------------------

  async pause(): Promise<void> {
    this.#throttle.release()
    this.#isPaused = true
    await this.#command("stop")
  }

  async resume(): Promise<void> {
    this.#isPaused = false
    await this.#command("cont")
    this.#throttle.hold()
  }

  async save(): Promise<void> {
    const { plan, fingerprint } = this.#start
    await this.pause()
    await writeSave({
      directory: plan.directory,
      memoryBytes: plan.memoryBytes,
      scratch: plan.scratch.path,
      fingerprint,
      qmp: this.#qmp!,
      end: () => this.end(),
    })
  }

  async powerDown(): Promise<void> {
    this.#throttle.release()
    await this.#command("system_powerdown")
  }

  async destroy(): Promise<void> {
    this.#isAsked = true
    this.#throttle.release()
    if (this.#isUp && this.#qmp !== null) {
      // Asked, QEMU closes its files in order. One that hangs is killed.
      await Promise.race([this.#qmp.execute("quit").catch(() => {}), wait(QUIT_MS, undefined, { ref: false })])
      await Promise.race([this.#gone, wait(QUIT_MS, undefined, { ref: false })])
    }
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL")
    await this.#gone
  }

  /** Without a word to anybody. */
  async end(): Promise<void> {
    this.#isQuiet = true
    await this.destroy()
  }

  limitProcessor(percent: number): void {
    this.#throttle.limit(percent)
    if (this.#isPaused) this.#throttle.release()
  }

  async plugCable(isIn: boolean): Promise<void> {
    await this.#command("set_link", { name: "nic", up: isIn })
  }

  cpuMs(): number {
    // The time of one that has ended is in our own: it was our child.
    return this.#child.pid === undefined || this.#child.exitCode !== null ? 0 : cpuMsOf(this.#child.pid)
  }

  heldMs(): number {
    const isGone = this.#child.pid === undefined || this.#child.exitCode !== null
    return this.#throttle.heldMs + (isGone ? 0 : waitedMsOf(this.#child.pid!))
  }

  async #command(name: string, args?: Readonly<Record<string, unknown>>): Promise<void> {
    try {
      await this.#qmp!.execute(name, args)
    } catch (error) {
      throw new Failure((error as Error).message, { laterSeconds: LATER_SECONDS, cause: error })
    }
  }

  // ---- ears -----------------------------------------------------------------------------------------------------

  #onEvent({ event, data }: QmpEvent): void {
    if (event === "BLOCK_IO_ERROR" && data?.nospace === true && data.action === "stop") this.#start.ears.onDiskFull()
    if (event === "SHUTDOWN") this.#shutdown = String(data?.reason)
    // Not on our word: either a disk, which has said so above, or the processor came to something that the host cannot do.
    if (event === "STOP" && !this.#isPaused) void this.#lookWhyStopped()
  }

  async #lookWhyStopped(): Promise<void> {
    const answer = await this.#qmp!.execute("query-status").catch(() => null)
    if ((answer as { status?: string } | null)?.status !== "internal-error") return
    this.#complaint = "the virtual machine came to something that this computer's virtualisation cannot do"
    this.#child.kill("SIGKILL")
  }

  #onGone(): void {
    this.#throttle.release()
    this.#qmp?.close()
    for (const name of [files.pid, files.qmp]) rmSync(join(this.#start.plan.directory, name), { force: true })
    if (!this.#isQuiet) this.#start.ears.onStopped(this.#reason())
  }

  #reason(): string {
    const { signalCode, exitCode } = this.#child
    if (this.#isAsked) return "it was ended"
    const last = lastLine(this.#complaint)
    if (this.#shutdown === "guest-shutdown") return "the virtual machine switched itself off"
    if (this.#shutdown === "guest-reset") return "the virtual machine restarted itself"
    if (this.#shutdown === "guest-panic") return "the virtual machine's kernel panicked"
    if (last !== "") return `QEMU ended: ${last}`
    return signalCode === null ? `QEMU ended with code ${exitCode}` : `QEMU was killed (${signalCode})`
  }

  /** Rejects if QEMU ends, or the start is aborted, before the promise settles. */
  async #unlessGone<T>(promise: Promise<T>, aborted: AbortSignal): Promise<T> {
    let stop = (): void => {}
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(new Error("the start was called off"))
      void this.#gone.then(() => reject(new Error("QEMU ended at once, without a word")))
    })
    stopped.catch(() => {})
    aborted.addEventListener("abort", stop)
    if (aborted.aborted) stop()
    try {
      return await Promise.race([promise, stopped])
    } finally {
      aborted.removeEventListener("abort", stop)
    }
  }
}

/** Warnings about features of processors are not why it ended. */
function lastLine(text: string): string {
  const lines = text.split("\n").map(line => line.replace(/^qemu-\S+: /, "").trim())
  return lines.filter(line => line !== "" && !line.startsWith("warning:")).at(-1) ?? ""
}
