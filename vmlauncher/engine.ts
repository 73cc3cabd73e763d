// The launcher's only loop: takes events, steps the core, and carries out what the core asks for. Decides nothing itself. Commands to the machine are
// carried out one after the other, except its end, which waits for nobody. One timer for the core's deadlines, and one that tells the
// client each second what is used and notices that the computer slept.
import type { Effect } from "./core/effects.ts"
import type { Event } from "./core/events.ts"
import type { Ending, State } from "./core/model.ts"
import {
  type Allowance,
  type Client,
  type Clock,
  Failure,
  type HubProxy,
  type Hypervisor,
  type Machine,
  type MachinePlan,
} from "./core/ports.ts"
import { emptyState, nextDeadlineMs, step } from "./core/step.ts"
import { sizeInWords } from "./core/text.ts"
import type { Guest } from "./guest.ts"
import { FROZE_MS, SLEPT_MS, STATUS_MS } from "./limits.ts"

/** What must be known before a machine can be started. */
export interface Prepared {
  /** Everything of the machine lies here. */
  readonly directory: string
  readonly hypervisor: Hypervisor
  readonly hasSave: boolean
  /** Asked anew for each start, since the volunteer may have changed the limits; what was saved keeps its memory. Writes the guest's settings. Throws Failure. */
  plan(fromSave: boolean): MachinePlan
}

/** The guest's way to the hub. */
export interface Network {
  setOpen(isOpen: boolean): void
  drop(): void
  allow(allowance: Allowance): void
  /** From now on by this way; connections by another are cut. */
  reach(proxy: HubProxy | null): void
  readonly sentBytes: number
  readonly receivedBytes: number
}

export interface EngineWorld {
  readonly client: Client
  /** Rejects with Failure. */
  readonly prepare: () => Promise<Prepared>
  readonly network: Network
  readonly guest: Guest
  readonly clock: Clock
  /** Of this process and the children it has waited for. */
  readonly ownCpuMs: () => number
  /** The guest's console, for a file that nobody needs to read. */
  readonly onConsole: (line: string) => void
  /** After so long without a job the work is done; null: never. */
  readonly idleMaxMs: number | null
}

export class Engine {
  readonly #world: EngineWorld
  readonly #state: State
  #prepared: Prepared | null = null
  #machine: Machine | null = null
  /** Aborted when the start under way is not wanted any more. */
  #starting: AbortController | null = null
  #lane: Promise<void> = Promise.resolve()
  #queue: Event[] = []
  #tickScheduled = false
  #timer: NodeJS.Timeout | null = null
  #status: NodeJS.Timeout | null = null
  #sleepMs = 0
  /** When this loop last turned. */
  #aliveMs: number
  /** What the machine was kept from, when it was last looked at. */
  #heldMs = 0
  /** Of the machine that was last started. */
  #memoryBytes: number | null = null
  #resolve: (ending: Ending) => void = () => {}
  readonly #ended: Promise<Ending>

  constructor(world: EngineWorld) {
    this.#world = world
    this.#state = emptyState(world.idleMaxMs)
    this.#aliveMs = world.clock.nowMs()
    this.#ended = new Promise(resolve => {
      this.#resolve = resolve
    })
  }

  /** Until all is over. Nothing of the machine is left then. Returns how it ended. */
  async run(): Promise<Ending> {
    const { client, clock } = this.#world
    client.start({
      post: event => this.post(event),
      allow: allowance => this.#allow(allowance),
      reach: proxy => this.#world.network.reach(proxy),
    })
    this.#sleepMs = clock.wallMs() - clock.nowMs()
    this.#status = setInterval(() => this.#tell(), STATUS_MS)
    void this.#prepare()
    const ending = await this.#ended
    clearInterval(this.#status)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#report()
    return ending
  }

  /** Applied in the order posted. */
  post(event: Event): void {
    this.#queue.push(event)
    if (this.#tickScheduled) return
    this.#tickScheduled = true
    setImmediate(() => this.#tick())
  }

  /** The guest dials like no agent does. Its cable is pulled at once; the rest is decided in its turn. */
  flood(): void {
    this.#machine?.plugCable(false).catch(() => {})
    this.post({ kind: "Flooded" })
  }

  // ---- the loop -------------------------------------------------------------------------------------------------

  #tick(): void {
    this.#tickScheduled = false
    const events = this.#queue
    this.#queue = []
    const nowMs = this.#world.clock.nowMs()
    const gapMs = nowMs - this.#aliveMs
    this.#aliveMs = nowMs
    // Before anything is judged by a clock that ran on without us.
    if (gapMs > FROZE_MS) events.unshift({ kind: "Froze", ms: gapMs })
    for (const event of events) for (const effect of step(this.#state, event, nowMs)) this.#carryOut(effect)
    if (this.#timer !== null) clearTimeout(this.#timer)
    const next = nextDeadlineMs(this.#state)
    this.#timer =
      next === null
        ? null
        : setTimeout(() => this.post({ kind: "Ticked" }), Math.min(Math.max(0, next - nowMs), 2 ** 31 - 1))
  }

  #tell(): void {
    const { clock } = this.#world
    const sleepMs = clock.wallMs() - clock.nowMs()
    if (sleepMs - this.#sleepMs > SLEPT_MS) this.post({ kind: "Slept", ms: sleepMs - this.#sleepMs })
    this.#sleepMs = sleepMs
    const heldMs = this.#machine?.heldMs() ?? 0
    this.post({ kind: "Held", ms: Math.max(0, heldMs - this.#heldMs) })
    this.#heldMs = heldMs
    this.#report()
  }

  #report(): void {
    const { client, network, ownCpuMs } = this.#world
    client.report({
      cpuMs: ownCpuMs() + (this.#machine?.cpuMs() ?? 0),
      sentBytes: network.sentBytes,
      receivedBytes: network.receivedBytes,
      isKept: this.#state.hasWork,
      isPaused: this.#state.isPaused,
      otherPid: this.#machine?.otherPid ?? null,
    })
  }

  #allow(allowance: Allowance): void {
    this.#world.network.allow(allowance)
    this.#machine?.limitProcessor(allowance.processorPercent)
    const { memoryBytes } = allowance
    if (this.#memoryBytes === null || memoryBytes >= this.#memoryBytes) return
    const [now, has] = [sizeInWords(memoryBytes), sizeInWords(this.#memoryBytes)]
    const reason = `less memory is allowed now: ${now} for the virtual machine, which has ${has}`
    this.post({ kind: "MemoryLowered", reason })
  }

  async #prepare(): Promise<void> {
    try {
      this.#prepared = await this.#world.prepare()
      const { description, acceleration, why } = this.#prepared.hypervisor
      this.#world.client.describe({ hypervisor: description, acceleration, why })
      this.post({ kind: "Prepared", hasSave: this.#prepared.hasSave })
    } catch (error) {
      const { message, laterSeconds } = failureOf(error)
      this.post({ kind: "CannotPrepare", reason: message, laterSeconds })
    }
  }

  // ---- effects --------------------------------------------------------------------------------------------------

  #carryOut(effect: Effect): void {
    const { client, network } = this.#world
    switch (effect.kind) {
      case "Start":
        void this.#start(effect.fromSave)
        return
      case "Pause":
        return this.#command(machine => machine.pause(), "the virtual machine stands still")
      case "Resume":
        return this.#command(machine => machine.resume(), "the virtual machine goes on")
      case "PowerDown":
        return this.#command(machine => machine.powerDown())
      case "Save":
        void this.#save()
        return
      case "Destroy":
        void this.#destroy()
        return
      case "DiscardSave":
        this.#lane = this.#lane.then(() => this.#discardSave())
        return
      case "OpenNetwork":
        return network.setOpen(effect.isOpen)
      case "DropConnections":
        return network.drop()
      case "Say":
        return client.say(effect.message)
      case "End":
        // What was begun before is done before.
        void this.#lane.then(() => this.#resolve(effect.ending))
        return
      default:
        return effect satisfies never
    }
  }

  async #start(fromSave: boolean): Promise<void> {
    const { guest, onConsole, client, clock } = this.#world
    const { hypervisor } = this.#prepared!
    const starting = new AbortController()
    this.#starting = starting
    guest.forget()
    const onStopped = (reason: string): void => {
      this.#machine = null
      for (const line of reason === "it was ended" ? [] : guest.lastLines) client.say(`  console: ${line}`)
      this.post({ kind: "Stopped", reason })
    }
    const onLine = (line: string): void => {
      onConsole(line)
      this.post(guest.hear(line))
    }
    try {
      await this.#lane
      const ears = { onLine, onStopped, onDiskFull: () => this.post({ kind: "DiskFull" }) }
      const beganMs = clock.nowMs()
      const wanted = this.#planFor(fromSave)
      if (wanted === null) return
      this.#memoryBytes = wanted.memoryBytes
      const machine = await hypervisor.start(wanted, fromSave, ears, starting.signal)
      const how = fromSave ? "goes on from where it was saved" : "starts"
      client.say(`the virtual machine ${how} (${(clock.nowMs() - beganMs).toFixed(0)} ms)`)
      this.#machine = machine
      this.#heldMs = machine.heldMs()
      if (starting.signal.aborted) await machine.destroy()
      else this.post({ kind: "Started" })
    } catch (error) {
      const reason = failureOf(error).message
      this.post(starting.signal.aborted ? { kind: "Stopped", reason } : { kind: "StartFailed", reason })
    }
  }

  /** Null: what is allowed, or free, is no longer enough for any machine. */
  #planFor(fromSave: boolean): MachinePlan | null {
    try {
      return this.#prepared!.plan(fromSave)
    } catch (error) {
      const { message, laterSeconds } = failureOf(error)
      this.post({ kind: "CannotPrepare", reason: message, laterSeconds })
      return null
    }
  }

  /** `done` is told with the time it took. */
  #command(what: (machine: Machine) => Promise<void>, done: string | null = null): void {
    this.#lane = this.#lane.then(async () => {
      if (this.#machine === null) return
      const { clock, client } = this.#world
      try {
        const beganMs = clock.nowMs()
        await what(this.#machine)
        if (done !== null) client.say(`${done} (${(clock.nowMs() - beganMs).toFixed(1)} ms)`)
      } catch (error) {
        this.post({ kind: "CommandFailed", reason: failureOf(error).message })
      }
    })
  }

  async #save(): Promise<void> {
    // Commands after it wait for their turn behind whatever comes of it.
    await this.#lane
    const { clock, client } = this.#world
    try {
      const beganMs = clock.nowMs()
      await this.#machine!.save()
      client.say(`the virtual machine is saved (${(clock.nowMs() - beganMs).toFixed(0)} ms)`)
      this.#machine = null
      this.post({ kind: "Saved" })
    } catch (error) {
      this.post({ kind: "SaveFailed", reason: failureOf(error).message })
    }
  }

  async #destroy(): Promise<void> {
    this.#starting?.abort()
    try {
      // None yet: the start under way says how it ended.
      await this.#machine?.destroy()
    } catch (error) {
      this.#world.client.say(`the virtual machine cannot be ended: ${failureOf(error).message}`)
    }
  }

  async #discardSave(): Promise<void> {
    if (this.#prepared === null) return
    const { hypervisor, directory } = this.#prepared
    try {
      await hypervisor.discardSave(directory)
    } catch (error) {
      this.#world.client.say(`the saved virtual machine cannot be removed: ${failureOf(error).message}`)
    }
  }
}

/** What nobody foresaw is worth another try, later. */
function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error
  const message = error instanceof Error ? error.message : String(error)
  return new Failure(message, { laterSeconds: UNFORESEEN_SECONDS, cause: error })
}

const UNFORESEEN_SECONDS = 600
