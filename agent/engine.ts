// The agent's only loop: takes events, steps the core, and carries out what the core asks for through link, journal and
// workshop. Decides nothing itself. For each attempt effects are carried out one after the other, a journal entry being on disk
// before anything after it is done; attempts do not wait for each other. One timer, set to the core's next deadline.

import { setTimeout as wait } from "node:timers/promises"
import { backoffMs } from "../common/backoff.ts"
import { noLog } from "../proto/wire/log.ts"
import type { NodeProperties } from "../proto/wire/property.ts"
import type { Effect } from "./core/effects.ts"
import type { Event, Packed, ReportPhase } from "./core/events.ts"
import {
  type AttemptId,
  type AttemptName,
  attemptId,
  type BlobRef,
  type Capacity,
  type Exit,
  type RunSpec,
  type State,
} from "./core/model.ts"
import { type Clock, Failure, type Link, type Log, type LogSource, type OutputName } from "./core/ports.ts"
import { emptyState, holdingOf, nextDeadlineMs, step } from "./core/step.ts"
import type { Journal, JournalEntry } from "./journal.ts"
import { CANCEL_GRACE_MS, LEAVE_MS, RETRY_MAX_MS, RETRY_MIN_MS } from "./limits.ts"

/** What can be done for one attempt. Calls come one at a time, except stop(), follow() and an abort. */
export interface Work {
  /** Into a fresh working directory. Rejects with Failure. */
  stage(spec: RunSpec, link: Link, signal: AbortSignal): Promise<void>
  run(spec: RunSpec): RunningCommand
  pack(spec: RunSpec, signal: AbortSignal): Promise<Packed>
  /** Sends one output from the spool. Rejects with Failure. */
  give(blob: BlobRef, link: Link, signal: AbortSignal): Promise<void>
  /** Live output; null unless the command runs. */
  follow(output: OutputName, offset: number): AsyncIterable<Uint8Array> | null
  /** Removes all that it left on the disk. */
  clear(): Promise<void>
}

export interface RunningCommand {
  /** When it runs, or it is clear that it never will. Never rejects. */
  readonly begun: Promise<void>
  /** Never rejects. */
  readonly ended: Promise<Exit>
  /** TERM, then KILL after the grace. Called again with a shorter one, that counts. */
  stop(graceMs: number): void
}

export interface Workshop {
  open(name: AttemptName): Work
}

export interface EngineWorld {
  readonly capacity: Capacity
  /** In an appliance, what this node is judged by. */
  readonly facts?: NodeProperties
  readonly workshop: Workshop
  readonly journal: Journal
  readonly clock: Clock
  readonly log: Log
  /** Told after each welcome, and when it changes: whether any attempt is held. */
  readonly onIdle?: (isIdle: boolean) => void
}

/** What is under way for one attempt, and the order in which its effects are carried out. */
interface Lane {
  readonly name: AttemptName
  readonly work: Work
  /** Settles when all effects given so far have been carried out or begun. */
  tail: Promise<void>
  /** Aborted when the attempt is to be forgotten: nothing of it is waited for or begun any more. */
  readonly gone: AbortController
  /** The stage, pack or upload under way. */
  task: AbortController | null
  taskDone: Promise<void>
  run: RunningCommand | null
}

export class Engine {
  readonly #world: EngineWorld
  readonly #state: State
  readonly #lanes = new Map<AttemptId, Lane>()
  /** Of attempts forgotten and not yet cleared away: a new lane under the same name waits for it. */
  readonly #clearing = new Map<AttemptId, Promise<void>>()
  #link: Link | null = null
  #queue: Event[] = []
  #tickScheduled = false
  #timer: NodeJS.Timeout | null = null
  #closed = false
  #onSettled: (() => void) | null = null
  /** As it was last told; null: not since the last welcome. */
  #isIdle: boolean | null = null

  constructor(world: EngineWorld) {
    this.#world = world
    this.#state = emptyState(world.capacity, world.facts)
  }

  /** Takes up what the journal held, before the first hello names it. */
  start(link: Link, recovered: readonly JournalEntry[]): void {
    this.#link = link
    for (const { name, spec, result } of recovered) this.post({ kind: "Recovered", name, spec, result })
    this.#tick()
  }

  /** Applied in the order posted. */
  post(event: Event): void {
    if (this.#closed) return
    this.#queue.push(event)
    if (this.#tickScheduled) return
    this.#tickScheduled = true
    setImmediate(() => this.#tick())
  }

  /** For the hello: every attempt that is held, and where it is. */
  holdings(): { readonly name: AttemptName; readonly phase: ReportPhase }[] {
    return [...this.#state.attempts.values()].map(attempt => ({ name: attempt.name, phase: holdingOf(attempt) }))
  }

  readonly logSource: LogSource = (name, output, offset) => {
    return this.#lanes.get(attemptId(name))?.work.follow(output, offset) ?? null
  }

  /** Gives up what runs and reports it. Resolves when the hub knows all, or cannot be told now, or after LEAVE_MS. */
  async leave(): Promise<void> {
    const settled = new Promise<void>(resolve => {
      this.#onSettled = resolve
    })
    this.post({ kind: "Leaving" })
    const over = new AbortController()
    // The journal has the last word of each attempt, for the next life to say.
    const written = settled.then(() => Promise.all([...this.#lanes.values()].map(({ tail }) => tail)))
    await Promise.race([written, wait(LEAVE_MS, undefined, { signal: over.signal }).catch(() => {})])
    over.abort()
    await this.close()
  }

  /** Stops the loop and ends what still runs, without a word to the hub. The journal keeps what it has. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    const lanes = [...this.#lanes.values()]
    for (const lane of lanes) {
      lane.gone.abort()
      lane.task?.abort()
      lane.run?.stop(CANCEL_GRACE_MS)
    }
    await Promise.all(lanes.flatMap(lane => [lane.tail, lane.taskDone, lane.run?.ended]))
    await Promise.all(this.#clearing.values())
  }

  // ---- the loop -------------------------------------------------------------------------------------------------

  #tick(): void {
    this.#tickScheduled = false
    if (this.#closed) return
    const events = this.#queue
    this.#queue = []
    const nowMs = this.#world.clock.nowMs()
    for (const event of events) {
      if (event.kind === "Welcomed") this.#isIdle = null
      const before = "name" in event ? this.#stepOf(event.name) : null
      const effects = step(this.#state, event, nowMs)
      if ("name" in event) this.#logChange(event, before)
      for (const effect of effects) this.#dispatch(effect)
    }
    this.#setTimer(nowMs)
    this.#tellIdle()
    this.#checkSettled()
  }

  /** Without the hub nothing begins and nothing ends for good. */
  #tellIdle(): void {
    const isIdle = this.#state.attempts.size === 0
    if (!this.#state.connected || isIdle === this.#isIdle) return
    this.#isIdle = isIdle
    this.#world.onIdle?.(isIdle)
  }

  #setTimer(nowMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const next = nextDeadlineMs(this.#state)
    // Node's timers hold 31 bits. Woken early, the core has nothing to do and the timer is set anew.
    this.#timer =
      next === null ? null : setTimeout(() => this.post({ kind: "Ticked" }), Math.min(next - nowMs, 2 ** 31 - 1))
  }

  #stepOf(name: AttemptName): string {
    return this.#state.attempts.get(attemptId(name))?.step ?? "unknown"
  }

  #logChange(event: Event & { readonly name: AttemptName }, from: string | null): void {
    const to = this.#stepOf(event.name)
    const { campaign, index, attempt } = event.name
    const fields = { campaign, job: `${campaign}.${index}`, attempt, event: event.kind, from, to }
    if ("message" in event) this.#world.log.warn({ ...fields, message: event.message }, "attempt has a problem")
    else if (from !== to) this.#world.log.info(fields, "attempt goes on")
    else this.#world.log.debug(fields, "attempt stays")
  }

  /** When leaving: nothing more can be done here, or nobody is there to hear it. */
  #checkSettled(): void {
    if (this.#onSettled === null || !this.#state.leaving) return
    const attempts = [...this.#state.attempts.values()]
    const left = this.#state.connected
      ? attempts
      : attempts.filter(({ step: at }) => at !== "reporting" && at !== "uploading")
    if (left.length > 0) return
    void Promise.all([...this.#clearing.values()]).then(this.#onSettled)
  }

  // ---- effects, in order for each attempt -----------------------------------------------------------------------

  #dispatch(effect: Effect): void {
    if (effect.kind === "SendHeartbeat") {
      this.#link!.heartbeat(effect.sequence)
      return
    }
    const id = attemptId(effect.name)
    // Answers about attempts that we do not hold need no order.
    if (effect.kind === "SendReport" && !this.#lanes.has(id)) {
      this.#link!.report(effect.name, effect.phase, effect.result)
      return
    }
    const lane = this.#laneOf(effect.name)
    if (effect.kind === "Forget") {
      this.#forget(lane, id)
      return
    }
    lane.tail = lane.tail.then(async () => {
      if (lane.gone.signal.aborted) return
      try {
        await this.#carryOut(lane, effect)
      } catch (error) {
        // Each effect handles what the world can do to it; what comes here is our own mistake, and must not stall the lane.
        this.#world.log.error({ attempt: id, effect: effect.kind, err: error }, "an effect failed unexpectedly")
      }
    })
  }

  #laneOf(name: AttemptName): Lane {
    const id = attemptId(name)
    let lane = this.#lanes.get(id)
    if (lane === undefined) {
      lane = {
        name,
        work: this.#world.workshop.open(name),
        tail: this.#clearing.get(id) ?? Promise.resolve(),
        gone: new AbortController(),
        task: null,
        taskDone: Promise.resolve(),
        run: null,
      }
      this.#lanes.set(id, lane)
    }
    return lane
  }

  async #carryOut(lane: Lane, effect: Exclude<Effect, { kind: "Forget" | "SendHeartbeat" }>): Promise<void> {
    switch (effect.kind) {
      case "Journal":
        return await this.#journal(lane, effect)
      case "SendReport":
        return this.#link!.report(effect.name, effect.phase, effect.result)
      case "Stage":
        return this.#begin(lane, signal => this.#stage(lane, effect.spec, signal))
      case "Run":
        return this.#run(lane, effect.spec)
      case "Stop":
        lane.task?.abort()
        lane.run?.stop(effect.graceMs)
        return
      case "Pack":
        return this.#begin(lane, signal => this.#pack(lane, effect.spec, signal))
      case "Upload":
        return this.#begin(lane, signal => this.#upload(lane, effect.blobs, signal))
      default:
        return effect satisfies never
    }
  }

  /** Until it is on disk. Nothing after it is done meanwhile: a full disk delays an attempt, and never loses its result. */
  async #journal(lane: Lane, entry: JournalEntry): Promise<void> {
    const { name, spec, result } = entry
    for (let tries = 1; ; tries++) {
      const waitMs = backoffMs(tries, RETRY_MIN_MS, RETRY_MAX_MS)
      try {
        return await this.#world.journal.save({ name, spec, result })
      } catch (error) {
        this.#world.log.error(
          { attempt: attemptId(name), againMs: waitMs, err: error },
          "the journal cannot be written; the attempt waits until it can",
        )
      }
      await wait(waitMs, undefined, { signal: lane.gone.signal }).catch(() => {})
      if (lane.gone.signal.aborted) return
    }
  }

  #forget(lane: Lane, id: AttemptId): void {
    this.#lanes.delete(id)
    lane.gone.abort()
    lane.task?.abort()
    lane.run?.stop(CANCEL_GRACE_MS)
    const cleared = (async () => {
      await lane.tail
      // Begun by what was in the lane just before it was closed.
      lane.task?.abort()
      lane.run?.stop(CANCEL_GRACE_MS)
      await Promise.all([lane.taskDone, lane.run?.ended])
      // The entry first: a directory without an entry is swept at the next start, an entry without its outputs would be a broken promise.
      await this.#world.journal.forget(lane.name)
      await lane.work.clear()
    })()
      .catch((error: unknown) => {
        this.#world.log.warn(
          { attempt: id, err: error },
          "what an attempt left cannot be removed; tried again at the next start",
        )
      })
      .finally(() => {
        if (this.#clearing.get(id) === cleared) this.#clearing.delete(id)
      })
    this.#clearing.set(id, cleared)
  }

  // ---- what takes time ------------------------------------------------------------------------------------------

  /** Begins a task that ends in an event, or in none if it is aborted. */
  #begin(lane: Lane, task: (signal: AbortSignal) => Promise<Event>): void {
    const controller = new AbortController()
    lane.task = controller
    lane.taskDone = lane.taskDone.then(async () => {
      const event = await task(controller.signal)
      if (!controller.signal.aborted) this.post(event)
    })
  }

  #run(lane: Lane, spec: RunSpec): void {
    const { name } = lane
    const run = lane.work.run(spec)
    lane.run = run
    void run.begun.then(() => this.post({ kind: "CommandBegan", name }))
    void run.ended.then(exit => {
      lane.run = null
      this.post({ kind: "CommandEnded", name, exit })
    })
  }

  async #stage(lane: Lane, spec: RunSpec, signal: AbortSignal): Promise<Event> {
    const { name } = lane
    try {
      await lane.work.stage(spec, this.#link!, signal)
      return { kind: "StageinReady", name }
    } catch (error) {
      return { kind: "StageinFailed", name, ...this.#tell(lane, error, signal) }
    }
  }

  async #pack(lane: Lane, spec: RunSpec, signal: AbortSignal): Promise<Event> {
    const { name } = lane
    try {
      return { kind: "ResultPacked", name, packed: await lane.work.pack(spec, signal) }
    } catch (error) {
      const { message } = this.#tell(lane, error, signal)
      return {
        kind: "ResultPacked",
        name,
        packed: { stageout: null, stdout: noLog, stderr: noLog, message, warnings: "" },
      }
    }
  }

  async #upload(lane: Lane, blobs: readonly BlobRef[], signal: AbortSignal): Promise<Event> {
    const { name } = lane
    try {
      for (const blob of blobs) await lane.work.give(blob, this.#link!, signal)
      return { kind: "Uploaded", name }
    } catch (error) {
      return { kind: "UploadFailed", name, ...this.#tell(lane, error, signal) }
    }
  }

  /** What people are told. Of what nobody foresaw, they are told that, and the log has the rest. */
  #tell(lane: Lane, error: unknown, signal: AbortSignal): { readonly message: string; readonly final: boolean } {
    if (error instanceof Failure) return { message: error.message, final: error.final }
    if (!signal.aborted) {
      this.#world.log.error({ attempt: attemptId(lane.name), err: error }, "a task failed in a way that nobody foresaw")
    }
    return { message: "something went wrong on the node; its log says what", final: false }
  }
}
