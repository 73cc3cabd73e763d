// The BOINC client, as the engine sees it: what it says through the shared file becomes events; what the machine uses and how it ended is told in
// its words. Looks ten times a second, as BOINC's own library does. Decides one thing by itself: a client that is gone has said quit.
import { join } from "node:path"
import { isAlive, type Leader, leaderOf } from "../../common/processes.ts"
import type { Event } from "../core/events.ts"
import type { Ending } from "../core/model.ts"
import type { Client, ClientEars, Clock, Ground, Usage } from "../core/ports.ts"
import { CLIENT_LOOK_MS, FROZE_MS, HEARTBEAT_MAX_MS, POLL_MS, REASON_MAX_CHARS, TRICKLE_MS } from "../limits.ts"
import { allowanceOf } from "./allowance.ts"
import { INIT_FILE, type InitData, readInit } from "./init.ts"
import { SHARED_FILE, SharedFile } from "./shared.ts"
import { takeTrickles, writeFinish, writeTemporaryExit, writeTrickle } from "./slot.ts"

/** What the client makes of them, read in the client's source (client/app_control.cpp). */
export const exitCodes = { fine: 0, broken: 1, aborted: 194 } as const

export interface BoincWorld {
  /** The slot. */
  readonly directory: string
  readonly init: InitData
  readonly clock: Clock
  /** stderr.txt, which the client opened for us. */
  readonly write: (text: string) => void
}

export class BoincClient implements Client {
  readonly #world: BoincWorld
  readonly #shared: SharedFile
  readonly #client: Leader | null
  #ears: ClientEars | null = null
  #timer: NodeJS.Timeout | null = null
  #lookAtMs: number
  #heartbeatAtMs: number
  /** When this was last done. */
  #lookedMs: number
  #trickleAtMs: number | null = null
  #isNetworkOpen = true
  #isGone = false
  #checkpointSeconds: number
  #checkpointAtMs: number
  #lastUsage: Usage | null = null
  #ground: Ground | null = null
  readonly #startedMs: number

  constructor(world: BoincWorld) {
    this.#world = world
    this.#shared = new SharedFile(join(world.directory, SHARED_FILE))
    const nowMs = world.clock.nowMs()
    const { clientPid, cpuSeconds } = world.init
    this.#client = clientPid > 0 ? leaderOf(clientPid) : null
    this.#startedMs = nowMs
    this.#lookAtMs = nowMs + CLIENT_LOOK_MS
    this.#heartbeatAtMs = nowMs
    this.#lookedMs = nowMs
    this.#checkpointSeconds = cpuSeconds
    this.#checkpointAtMs = nowMs
  }

  start(ears: ClientEars): void {
    this.#ears = ears
    this.#timer = setInterval(() => this.#look(), POLL_MS)
  }

  say(message: string): void {
    const time = new Date(this.#world.clock.wallMs()).toISOString().slice(0, 19).replace("T", " ")
    this.#world.write(`${time} (${process.pid}): ${message}\n`)
  }

  describe(ground: Ground): void {
    this.#ground = ground
  }

  report(usage: Usage): void {
    this.#lastUsage = usage
    const nowMs = this.#world.clock.nowMs()
    const seconds = this.#world.init.cpuSeconds + usage.cpuMs / 1_000
    if (usage.isKept && nowMs >= this.#checkpointAtMs + this.#world.init.checkpointSeconds * 1_000) {
      this.#checkpointSeconds = seconds
      this.#checkpointAtMs = nowMs
    }
    this.#sendStatus(seconds, usage)
    if (usage.isKept && (this.#trickleAtMs === null || nowMs >= this.#trickleAtMs)) {
      this.#trickleAtMs = nowMs + TRICKLE_MS
      this.#trickle("running", usage)
    }
  }

  async end(ending: Ending): Promise<number> {
    if (this.#timer !== null) clearInterval(this.#timer)
    const { directory, init } = this.#world
    if (this.#lastUsage !== null) {
      // What was saved is as safe as a checkpoint.
      const seconds = init.cpuSeconds + this.#lastUsage.cpuMs / 1_000
      if (ending.kind === "quit") this.#checkpointSeconds = seconds
      this.#sendStatus(seconds, this.#lastUsage)
    }
    this.#shared.close()
    switch (ending.kind) {
      case "quit":
        this.say(`stopped: ${ending.reason}`)
        return exitCodes.fine
      case "later":
        this.say(`stopped for ${ending.seconds} s: ${ending.reason}`)
        writeTemporaryExit(directory, ending.seconds, ending.reason)
        return exitCodes.fine
      case "done":
        this.say(`finished: ${ending.reason}`)
        writeFinish(directory, 0)
        return exitCodes.fine
      case "broken":
        this.say(`this task cannot go on: ${ending.reason}`)
        return exitCodes.broken
      case "aborted":
        this.say("aborted")
        return exitCodes.aborted
      default:
        return ending.kind satisfies never
    }
  }

  // ---- what the client says -------------------------------------------------------------------------------------

  #look(): void {
    const nowMs = this.#world.clock.nowMs()
    // If nothing ran here, nothing could be heard: a client that was held as long is given its time anew.
    if (nowMs - this.#lookedMs > FROZE_MS) this.#heartbeatAtMs = nowMs
    this.#lookedMs = nowMs
    const control = this.#shared.receive("control")
    if (control !== null) this.#onControl(control)
    const heartbeat = this.#shared.receive("heartbeat")
    if (heartbeat !== null) this.#onHeartbeat(heartbeat, nowMs)
    if (this.#shared.receive("trickleDown")?.includes("<have_trickle_down/>")) this.#onTrickles()
    this.#lookForClient(nowMs)
  }

  #onControl(text: string): void {
    const words: readonly (readonly [string, Event])[] = [
      ["<abort/>", { kind: "AbortAsked" }],
      ["<quit/>", { kind: "QuitAsked", reason: "the BOINC client said so" }],
      ["<suspend/>", { kind: "SuspendAsked" }],
      ["<resume/>", { kind: "ResumeAsked" }],
    ]
    for (const [word, event] of words) if (text.includes(word)) this.#ears!.post(event)
    if (text.includes("<reread_app_info/>")) this.#reread()
  }

  #reread(): void {
    try {
      const init = readInit(join(this.#world.directory, INIT_FILE))
      this.#ears!.allow(allowanceOf(init))
      this.#ears!.reach(init.proxy)
    } catch (error) {
      this.say(`${error instanceof Error ? error.message : String(error)}; the limits stay as they were`)
    }
  }

  #onHeartbeat(text: string, nowMs: number): void {
    this.#heartbeatAtMs = nowMs
    const isOpen = !text.includes("<network_suspended/>")
    if (isOpen === this.#isNetworkOpen) return
    this.#isNetworkOpen = isOpen
    this.#ears!.post({ kind: "NetworkGate", gate: "client", isOpen })
  }

  #onTrickles(): void {
    for (const text of takeTrickles(this.#world.directory)) {
      if (text.includes("<finish/>")) this.#ears!.post({ kind: "FinishAsked" })
      else this.say(`the project sent down something unknown: ${text.replace(/\s+/g, " ").slice(0, REASON_MAX_CHARS)}`)
    }
  }

  #lookForClient(nowMs: number): void {
    if (this.#isGone) return
    if (this.#client === null) {
      if (nowMs - this.#heartbeatAtMs < HEARTBEAT_MAX_MS) return
    } else {
      if (nowMs < this.#lookAtMs) return
      this.#lookAtMs = nowMs + CLIENT_LOOK_MS
      if (isAlive(this.#client)) return
    }
    this.#isGone = true
    this.#ears!.post({ kind: "QuitAsked", reason: "the BOINC client is gone" })
  }

  // ---- what it is told ------------------------------------------------------------------------------------------

  #sendStatus(cpuSeconds: number, usage: Usage): void {
    // Both times, or the client takes the missing one for 0. If the last status was not taken yet, the next second brings another.
    const lines = [
      `<current_cpu_time>${cpuSeconds.toExponential(6)}</current_cpu_time>`,
      `<checkpoint_cpu_time>${this.#checkpointSeconds.toExponential(6)}</checkpoint_cpu_time>`,
      `<fraction_done>${this.#fractionDone().toExponential(6)}</fraction_done>`,
      ...(usage.otherPid === null ? [] : [`<other_pid>${usage.otherPid}</other_pid>`]),
      `<bytes_sent>${usage.sentBytes}</bytes_sent>`,
      `<bytes_received>${usage.receivedBytes}</bytes_received>`,
    ]
    this.#shared.send("status", `${lines.join("\n")}\n`)
  }

  /** A machine works until its deadline, not until something is done: its share of that time. Never 0, which the client would not show. */
  #fractionDone(): number {
    const { init, clock } = this.#world
    const elapsed = init.elapsedSeconds + (clock.nowMs() - this.#startedMs) / 1_000
    const left = init.deadlineSeconds - clock.wallMs() / 1_000
    if (init.deadlineSeconds === 0) return 0.000_001
    return left <= 0 ? 0.999 : Math.min(0.999, Math.max(0.000_001, elapsed / (elapsed + left)))
  }

  #trickle(state: string, usage: Usage): void {
    const lines = [
      `<vm_state>${state}</vm_state>`,
      `<cpu_time>${(this.#world.init.cpuSeconds + usage.cpuMs / 1_000).toFixed(1)}</cpu_time>`,
      `<bytes_sent>${usage.sentBytes}</bytes_sent>`,
      `<bytes_received>${usage.receivedBytes}</bytes_received>`,
    ]
    if (this.#ground !== null) lines.push(...groundLines(this.#ground))
    writeTrickle(this.#world.directory, "vmstatus", `${lines.join("\n")}\n`)
    this.#shared.send("trickleUp", "<have_new_trickle_up/>\n")
  }
}

/** As the hub's scheduler reads them: plain words, in which nothing looks like a tag. */
function groundLines({ hypervisor, acceleration, why }: Ground): string[] {
  const plain = (text: string): string => text.replace(/[<>&\s]+/g, " ").slice(0, REASON_MAX_CHARS)
  return [
    `<hypervisor>${plain(hypervisor)}</hypervisor>`,
    `<acceleration>${acceleration ?? ""}</acceleration>`,
    `<acceleration_why>${plain(why)}</acceleration_why>`,
  ]
}
