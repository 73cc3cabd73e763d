// One simulated machine: the agent's own core around a pretended runner, with a journal that survives what a disk
// survives. It comes and goes, is killed, suspended, loses its disk, and dials as the real agent does.

import type { Effect } from "../../agent/core/effects.ts"
import type { Event as AgentEvent } from "../../agent/core/events.ts"
import {
  type AttemptId,
  type AttemptName,
  attemptId,
  type Exit,
  type Result,
  type RunSpec,
} from "../../agent/core/model.ts"
import { emptyState, holdingOf, nextDeadlineMs, step } from "../../agent/core/step.ts"
import { backoffMs } from "../../common/backoff.ts"
import type { Digest } from "../../proto/wire/digest.ts"
import { noLog } from "../../proto/wire/log.ts"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { Connection, Network, Peer } from "./network.ts"
import { Random } from "./random.ts"

const handshakeMs = 15_000
const dialMaxMs = 120_000
const goodSessionMs = 60_000

/** What a job does, wherever and however often it runs. */
export interface Work {
  readonly runMs: number
  readonly exitCode: number
  readonly hasOutput: boolean
  /** There is nothing to stage, and its result is packed at once. Otherwise both take a while, and staging is in vain now and then. */
  readonly isBare?: boolean
}

export interface Surroundings {
  readonly network: Network
  work(name: AttemptName): Work
  /** The hub stores a blob; `stored` is called once it is on disk, if the hub lives that long. */
  storeBlob(digest: Digest, sizeBytes: number, stored: () => void): void
  /** For the checkers: an attempt's command was begun; its result was answered "accepted". */
  ran(name: AttemptName, node: NodeId): void
  answered(name: AttemptName, outcome: string): void
}

export class Volunteer implements Peer {
  readonly node: NodeId
  readonly number: number
  readonly random: Random
  private readonly world: Surroundings
  readonly slots: number
  private state
  private readonly journal = new Map<AttemptId, { name: AttemptName; spec: RunSpec; result: Result | null }>()
  /** What is under way, by attempt; a task whose number is no longer this one was aborted. */
  private readonly tasks = new Map<AttemptId, number>()
  private lastTask = 0
  private connection: Connection | null = null
  private welcomedAtMs = 0
  private tries = 0
  private bootId = 1
  /** Counts starts: what an earlier life had planned never happens. */
  private life = 0
  private wakeAtMs = Number.POSITIVE_INFINITY
  /** Virtual ms that this machine was suspended for: its own clock did not see them. */
  private missedMs = 0
  private suspendedAtMs: number | null = null
  private waiting: (() => void)[] = []
  power: "on" | "off" = "off"
  /** Its commands take so many times as long. */
  slowness = 1
  /** They fail at once, whatever they are. */
  sick = false
  revoked = false

  constructor(world: Surroundings, seed: number, number: number, slots: number) {
    this.world = world
    this.number = number
    this.random = new Random(seed, number + 1_000)
    this.node = `n${number.toString(16).padStart(16, "0")}` as NodeId
    this.slots = slots
    this.state = emptyState(this.capacity())
  }

  get busy(): number {
    return this.state.attempts.size
  }

  get connected(): boolean {
    return this.state.connected
  }

  private capacity() {
    return { slots: this.slots, memoryBytes: 4e9, diskBytes: 20e9 }
  }

  private get time() {
    return this.world.network.time
  }

  /** The machine's own monotonic clock. */
  private get nowMs(): number {
    return this.time.nowMs - this.missedMs
  }

  // ---- power ------------------------------------------------------------------------------------------------

  switchOn(): void {
    if (this.power === "on" || this.revoked) return
    this.power = "on"
    this.life++
    this.tries = 0
    this.wakeAtMs = Number.POSITIVE_INFINITY
    this.state = emptyState(this.capacity())
    for (const entry of this.journal.values()) this.take({ kind: "Recovered", ...entry })
    this.after(this.random.between(0, 5_000), () => this.dial())
  }

  /** The plug is pulled, or the agent gets a kill -9: what ran is gone, the journal stays. */
  kill(how: { reboot: boolean; wipe: boolean }): void {
    if (this.power === "off") return
    this.power = "off"
    this.tasks.clear()
    this.waiting = []
    this.suspendedAtMs = null
    if (how.wipe) this.journal.clear()
    if (how.reboot || how.wipe) this.bootId++
    const { connection } = this
    this.connection = null
    connection?.closeAtNode()
  }

  /** The lid is closed: nothing happens, the clock stands still, and the hub is told nothing. */
  suspend(forMs: number): void {
    if (this.power === "off" || this.suspendedAtMs !== null) return
    const began = this.time.nowMs
    const missedMs = Math.ceil(forMs)
    this.suspendedAtMs = began
    this.connection?.break()
    this.time.after(missedMs, () => {
      if (this.suspendedAtMs !== began) return
      this.suspendedAtMs = null
      this.missedMs += missedMs
      for (const run of this.waiting.splice(0)) run()
      this.setAlarm()
    })
  }

  /** Runs in this machine's time: later if it is suspended now, never if it dies before. */
  private after(delayMs: number, run: () => void): void {
    const { life } = this
    const due = this.nowMs + Math.ceil(delayMs)
    const fire = () => {
      if (this.life !== life || this.power === "off") return
      if (this.suspendedAtMs !== null) this.waiting.push(fire)
      else if (this.nowMs < due) this.time.after(due - this.nowMs, fire)
      else run()
    }
    this.time.after(delayMs, fire)
  }

  // ---- the link ---------------------------------------------------------------------------------------------

  private dial(): void {
    if (this.connection !== null || this.revoked) return
    const connection = this.world.network.connect(this)
    if (connection === null) return this.dialAgain()
    this.connection = connection
    const holding = [...this.state.attempts.values()].map(attempt => ({
      campaign: attempt.name.campaign as CampaignId,
      index: attempt.name.index,
      attempt: attempt.name.attempt,
      phase: holdingOf(attempt),
    }))
    connection.toHub(({ link }) => ({
      kind: "NodeHello",
      link,
      node: this.node,
      account: `volunteer:${this.node}`,
      host: null,
      network: "192.0.2.0/24",
      publicKey: new Uint8Array(32),
      agentVersion: "simulated",
      bootId: `boot${this.bootId}`,
      name: this.node,
      ...this.capacity(),
      properties: {},
      holding,
    }))
    this.after(handshakeMs, () => {
      if (this.connection === connection && !this.state.connected) connection.closeAtNode()
      if (this.connection === connection && !this.state.connected) this.lost(connection)
    })
  }

  /** Full jitter: a random wait up to a bound that doubles. */
  private dialAgain(): void {
    const bound = backoffMs(++this.tries, 1_000, dialMaxMs)
    this.after(this.random.between(0, bound), () => this.dial())
  }

  lost(connection: Connection): void {
    if (this.connection !== connection || this.power === "off") return
    const tell = () => {
      if (this.connection !== connection) return
      this.connection = null
      if (this.state.connected)
        this.tries = this.nowMs - this.welcomedAtMs > goodSessionMs ? 0 : Math.min(this.tries, 2)
      this.take({ kind: "LinkLost" })
      this.dialAgain()
    }
    if (this.suspendedAtMs === null) tell()
    else this.waiting.push(tell)
  }

  hear(connection: Connection, event: AgentEvent): void {
    if (this.connection !== connection || this.power === "off" || this.suspendedAtMs !== null) return
    if (event.kind === "Welcomed") this.welcomedAtMs = this.nowMs
    // The first frame the hub may say is its welcome; on a socket nothing can come before it.
    else if (!this.state.connected) return
    if (event.kind === "ReportAnswered" && event.phase === "ended" && event.answer === "accepted") {
      const result = this.state.attempts.get(attemptId(event.name))?.result
      if (result != null) this.world.answered(event.name, result.outcome)
    }
    this.take(event)
  }

  /** The link goes dead without a word. */
  breakLink(): void {
    this.connection?.break()
  }

  // ---- the core, and what it asks for -----------------------------------------------------------------------

  private take(event: AgentEvent): void {
    for (const effect of step(this.state, event, this.nowMs)) this.perform(effect)
    this.setAlarm()
  }

  private setAlarm(): void {
    const next = nextDeadlineMs(this.state)
    if (next === null || this.power === "off") return
    if (this.wakeAtMs > this.nowMs && this.wakeAtMs <= next) return
    this.wakeAtMs = next
    this.after(Math.max(0, next - this.nowMs), () => {
      if (this.wakeAtMs === next) this.wakeAtMs = Number.POSITIVE_INFINITY
      this.take({ kind: "Ticked" })
    })
  }

  private perform(effect: Effect): void {
    switch (effect.kind) {
      case "Journal": {
        const { name, spec, result } = effect
        this.journal.set(attemptId(name), { name, spec, result })
        return
      }
      case "Forget":
        this.journal.delete(attemptId(effect.name))
        this.tasks.delete(attemptId(effect.name))
        return
      case "SendReport":
        return this.sendReport(effect)
      case "SendHeartbeat":
        this.connection?.toHub(({ epoch }) =>
          epoch === null ? null : { kind: "HeartbeatReceived", node: this.node, epoch, sequence: effect.sequence },
        )
        return
      case "Stage":
        return this.stage(effect)
      case "Run":
        return this.run(effect)
      case "Stop":
        return this.stop(effect.name)
      case "Pack":
        return this.pack(effect)
      case "Upload":
        return this.upload(effect)
      default:
        return effect satisfies never
    }
  }

  private sendReport(effect: Extract<Effect, { kind: "SendReport" }>): void {
    const { name, phase, result } = effect
    this.connection?.toHub(({ epoch }) => {
      if (epoch === null) return null
      const { campaign, index, attempt } = name
      return {
        kind: "AttemptReported",
        node: this.node,
        epoch,
        campaign: campaign as CampaignId,
        index,
        attempt,
        phase,
        result: result === null ? null : { ...result, stdout: noLog, stderr: noLog },
      }
    })
  }

  /** Begins a task of an attempt; `done` comes after the delay unless the task was aborted. */
  private task(name: AttemptName, delayMs: number, done: () => void): void {
    const id = attemptId(name)
    const number = ++this.lastTask
    this.tasks.set(id, number)
    this.after(delayMs, () => {
      if (this.tasks.get(id) !== number) return
      this.tasks.delete(id)
      done()
    })
  }

  private stage({ name }: Extract<Effect, { kind: "Stage" }>): void {
    if (this.world.work(name).isBare === true)
      return this.task(name, 0, () => this.take({ kind: "StageinReady", name }))
    this.task(name, this.random.between(100, 10_000), () => {
      if (this.state.connected && !this.random.chance(0.01)) return this.take({ kind: "StageinReady", name })
      this.take({ kind: "StageinFailed", name, message: "the transfer was cut", final: false })
    })
  }

  private run({ name }: Extract<Effect, { kind: "Run" }>): void {
    const { runMs, exitCode } = this.sick ? { runMs: 1, exitCode: 127 } : this.world.work(name)
    this.world.ran(name, this.node)
    const takesMs = runMs * this.slowness
    this.take({ kind: "CommandBegan", name })
    this.task(name, takesMs, () => this.take({ kind: "CommandEnded", name, exit: exitOf(exitCode, takesMs) }))
  }

  private stop(name: AttemptName): void {
    const attempt = this.state.attempts.get(attemptId(name))
    this.tasks.delete(attemptId(name))
    if (attempt?.step !== "stopping" && !attempt?.overtime) return
    this.task(name, this.random.between(0, 5_000), () => {
      this.take({ kind: "CommandEnded", name, exit: exitOf(143, 0) })
    })
  }

  private pack({ name, exit }: Extract<Effect, { kind: "Pack" }>): void {
    const { hasOutput: writes, isBare = false } = this.world.work(name)
    const hasOutput = writes && exit.exitCode === 0
    const stageout = hasOutput ? { digest: outputDigest(name), sizeBytes: 1_000 } : null
    this.task(name, isBare ? 0 : this.random.between(10, 1_000), () => {
      this.take({
        kind: "ResultPacked",
        name,
        packed: { stageout, stdout: noLog, stderr: noLog, message: "", warnings: "" },
      })
    })
  }

  private upload({ name, blobs }: Extract<Effect, { kind: "Upload" }>): void {
    const { connection } = this
    const id = attemptId(name)
    const [blob] = blobs
    if (blob === undefined) throw new Error("the core asked to upload nothing")
    const fail = () => this.take({ kind: "UploadFailed", name, message: "the link was lost", final: false })
    this.task(name, this.random.between(50, 20_000), () => {
      if (connection === null || this.connection !== connection || connection.blackhole) return fail()
      const number = ++this.lastTask
      this.tasks.set(id, number)
      // The hub says when it is on disk. If that never comes, the link or the hub is gone, and so is the upload.
      const end = (then: () => void) => {
        if (this.tasks.get(id) !== number) return
        this.tasks.delete(id)
        then()
      }
      this.world.storeBlob(blob.digest, blob.sizeBytes, () =>
        this.after(50, () => end(() => this.take({ kind: "Uploaded", name }))),
      )
      this.after(60_000, () => end(fail))
    })
  }
}

function exitOf(exitCode: number, runMs: number): Exit {
  return { exitCode, message: "", runMs, cpuMs: runMs, peakMemoryBytes: 0 }
}

function outputDigest(name: AttemptName): Digest {
  const hex = `${name.campaign.toString(16)}f${name.index.toString(16)}`
  return `sha256:${hex.padStart(64, "0")}` as Digest
}
