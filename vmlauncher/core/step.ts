// The launcher's decisions: (state, event, nowMs) in, effects out. No I/O, clock, chance or logger inside. What it holds to: the client's quit is
// obeyed within its 60 s; work that can be saved is saved, and nothing else is worth waiting for; a guest that fails is started anew a
// bounded number of times, ever later; every end has a sentence that a volunteer understands.
import {
  DISK_FULL_MAX_MS,
  DISK_RETRY_MS,
  HEALTHY_MS,
  HELLO_MS,
  HUB_AWAY_MS,
  LATER_SECONDS,
  MUCH_LATER_SECONDS,
  POWER_DOWN_MIN_MS,
  QUIT_MS,
  QUIT_RESTORE_MS,
  RESTORED_HELLO_MS,
  SAVE_MS,
  SHRINK_MS,
  SILENCE_MS,
  START_MS,
} from "../limits.ts"
import type { Effect } from "./effects.ts"
import type { Event } from "./events.ts"
import type { Ending, NetworkGate, State } from "./model.ts"
import {
  destroy,
  end,
  fail,
  finished,
  leave,
  pause,
  powerDown,
  resume,
  start,
  type Turn,
  tryAgain,
  unwatch,
} from "./moves.ts"
import { inWords } from "./text.ts"

/** `idleMaxMs`: after so long without a job the launcher ends, and its work is done; null: never. */
export function emptyState(idleMaxMs: number | null = null): State {
  return {
    phase: "preparing",
    mayRun: true,
    isPaused: false,
    hasSave: false,
    hasHello: false,
    hasWork: false,
    isIdle: null,
    idleMaxMs,
    idleAtMs: null,
    idleLeftMs: null,
    isFinishing: false,
    isShrinking: false,
    silenceAtMs: null,
    silenceLeftMs: 0,
    helloAtMs: null,
    deadlineMs: null,
    quitAtMs: null,
    retryAtMs: null,
    failures: 0,
    healthyAtMs: null,
    failure: "",
    diskFullSinceMs: null,
    diskRetryAtMs: null,
    ending: null,
    networkClosedBy: new Set(),
  }
}

/** Applies one event and returns what is to be done, in this order. */
export function step(state: State, event: Event, nowMs: number): Effect[] {
  const effects: Effect[] = []
  const turn: Turn = { state, nowMs, say: effect => effects.push(effect) }
  if (state.phase !== "ended") apply(turn, event)
  return effects
}

/** The earliest moment at which a Ticked event has something to do, or null. */
export function nextDeadlineMs(state: State): number | null {
  if (state.phase === "ended") return null
  const { silenceAtMs, helloAtMs, idleAtMs, deadlineMs, retryAtMs, healthyAtMs, diskRetryAtMs } = state
  const retry = state.mayRun ? retryAtMs : null
  const all = [silenceAtMs, helloAtMs, idleAtMs, deadlineMs, retry, healthyAtMs, diskRetryAtMs]
  const times = all.filter(time => time !== null)
  return times.length === 0 ? null : Math.min(...times)
}

function apply(turn: Turn, event: Event): void {
  const { state } = turn
  switch (event.kind) {
    case "Prepared":
      return onPrepared(turn, event.hasSave)
    case "CannotPrepare":
      return onCannotPrepare(turn, event.reason, event.laterSeconds)
    case "Started":
      return onStarted(turn)
    case "StartFailed":
      return onStartFailed(turn, event.reason)
    case "Stopped":
      return onStopped(turn, event.reason)
    case "Saved":
      if (state.phase === "saving") end(turn, state.ending!)
      return
    case "SaveFailed":
      return onSaveFailed(turn, event.reason)
    case "CommandFailed":
      return fail(turn, event.reason)
    case "DiskFull":
      return onDiskFull(turn)
    case "Heard":
      // Before its hello a guest that babbles is not a guest that works.
      if (state.hasHello) onHeard(turn)
      return
    case "Dialled":
      return onHeard(turn)
    case "GuestHello":
      return onHello(turn)
    case "GuestIdle":
      return onGuestIdle(turn)
    case "GuestBusy":
      state.isIdle = false
      state.idleAtMs = null
      state.idleLeftMs = null
      return
    case "GuestFailed":
      return fail(turn, event.reason)
    case "ClockDoubted":
      return onClockDoubted(turn, event.reason)
    case "GuestRefused":
      return leave(turn, { kind: "broken", reason: event.reason, seconds: 0 })
    case "GuestDismissed":
      return leave(turn, { kind: "done", reason: event.reason, seconds: 0 })
    case "Flooded":
      return fail(turn, "the virtual machine opened far more connections than its work needs")
    case "SuspendAsked":
      return onSuspendAsked(turn)
    case "ResumeAsked":
      return onResumeAsked(turn)
    case "QuitAsked":
      return onQuitAsked(turn, event.reason)
    case "AbortAsked":
      return onAbortAsked(turn)
    case "FinishAsked":
      return onFinishAsked(turn)
    case "NetworkGate":
      return onNetworkGate(turn, event.gate, event.isOpen)
    case "MemoryLowered":
      return onMemoryLowered(turn, event.reason)
    case "Held":
      // The guest's patience is counted in time that it could use.
      if (state.silenceAtMs !== null) state.silenceAtMs += event.ms
      return
    case "Froze":
      return onFroze(turn, event.ms)
    case "Slept":
      turn.say({ kind: "Say", message: `the computer slept for ${inWords(event.ms)}; the virtual machine goes on` })
      turn.say({ kind: "DropConnections" })
      return
    case "Ticked":
      return onTicked(turn)
    default:
      event satisfies never
  }
}

// ---- to the machine and away from it ----------------------------------------------------------------------------

function onPrepared({ state, nowMs, say }: Turn, hasSave: boolean): void {
  if (state.phase !== "preparing") return
  state.hasSave = hasSave
  if (state.mayRun) return start({ state, nowMs, say })
  state.phase = "waiting"
  state.retryAtMs = nowMs
}

function onCannotPrepare(turn: Turn, reason: string, laterSeconds: number | null): void {
  if (turn.state.phase !== "preparing" && turn.state.phase !== "starting") return
  turn.state.deadlineMs = null
  end(turn, { kind: laterSeconds === null ? "broken" : "later", reason, seconds: laterSeconds ?? 0 })
}

function onStarted(turn: Turn): void {
  const { state, nowMs } = turn
  if (state.phase !== "starting") return
  state.phase = "up"
  state.deadlineMs = null
  state.silenceAtMs = nowMs + (state.hasWork ? RESTORED_HELLO_MS : HELLO_MS)
  state.helloAtMs = state.hasWork ? null : nowMs + HUB_AWAY_MS
  // What was saved lives in the machine now, and its file is gone.
  state.hasSave = false
  if (state.ending !== null) return part(turn, state.ending)
  if (!state.mayRun) pause(turn)
}

function onStartFailed(turn: Turn, reason: string): void {
  const { state } = turn
  if (state.phase !== "starting") return
  state.deadlineMs = null
  if (state.hasSave) {
    state.hasSave = false
    turn.say({ kind: "DiscardSave" })
    if (state.ending !== null) return end(turn, state.ending)
    turn.say({
      kind: "Say",
      message: `the saved virtual machine cannot be continued (${reason}); it starts anew, and its unfinished jobs with it`,
    })
    return start(turn)
  }
  state.failure = reason
  tryAgain(turn)
}

function onStopped(turn: Turn, reason: string): void {
  const { state } = turn
  switch (state.phase) {
    case "up":
      state.failure = reason
      return tryAgain(turn)
    case "starting":
      return onStartFailed(turn, reason)
    case "saving":
      // It went before its memory was on disk. The client waits: no second try.
      turn.say({ kind: "DiscardSave" })
      return tryAgain(turn)
    case "leaving":
    case "clearing":
      return tryAgain(turn)
    case "preparing":
    case "waiting":
    case "ended":
      return
    default:
      state.phase satisfies never
  }
}

// ---- what the client says ---------------------------------------------------------------------------------------

function onSuspendAsked(turn: Turn): void {
  const { state } = turn
  state.mayRun = false
  if (state.phase === "up" && !state.isPaused) pause(turn)
}

function onResumeAsked(turn: Turn): void {
  const { state, nowMs } = turn
  state.mayRun = true
  if (state.phase === "up" && state.isPaused) resume(turn)
  else if (state.phase === "waiting" && state.retryAtMs !== null && state.retryAtMs <= nowMs) start(turn)
}

function onQuitAsked(turn: Turn, reason: string): void {
  const { state, nowMs } = turn
  if (state.ending !== null && state.quitAtMs !== null) return
  state.quitAtMs = nowMs + QUIT_MS
  // An end that was under way keeps its own word for the client; it only has less time from now on.
  const ending = state.ending ?? ({ kind: "quit", reason, seconds: 0 } as const)
  state.ending = ending
  switch (state.phase) {
    case "preparing":
    case "waiting":
      return end(turn, ending)
    case "starting":
      // A restore goes on, and is saved again: its work is worth those seconds. A boot has done nothing yet.
      if (!state.hasSave) return destroy(turn)
      state.deadlineMs = Math.min(state.deadlineMs!, nowMs + QUIT_RESTORE_MS)
      return
    case "up":
      return part(turn, ending)
    case "leaving":
      state.deadlineMs = Math.min(state.deadlineMs!, state.quitAtMs)
      return
    case "saving":
    case "clearing":
    case "ended":
      return
    default:
      state.phase satisfies never
  }
}

function onAbortAsked(turn: Turn): void {
  const { state } = turn
  const ending = { kind: "aborted", reason: "it was aborted", seconds: 0 } as const
  state.ending = ending
  switch (state.phase) {
    case "preparing":
    case "waiting":
      state.hasSave = false
      turn.say({ kind: "DiscardSave" })
      return end(turn, ending)
    case "starting":
    case "up":
    case "saving":
    case "leaving":
      state.hasSave = false
      turn.say({ kind: "DiscardSave" })
      return destroy(turn)
    case "clearing":
    case "ended":
      return
    default:
      state.phase satisfies never
  }
}

/** On the client's quit: saves what is worth it. */
function part(turn: Turn, ending: Ending): void {
  const { state, nowMs, say } = turn
  if (ending.kind !== "quit") return leave(turn, ending)
  if (!state.hasWork) return destroy(turn)
  state.phase = "saving"
  unwatch(state)
  state.isPaused = true
  state.deadlineMs = Math.min(nowMs + SAVE_MS, state.quitAtMs!)
  say({ kind: "Save" })
}

function onSaveFailed(turn: Turn, reason: string): void {
  const { state, nowMs } = turn
  if (state.phase !== "saving") return
  turn.say({ kind: "DiscardSave" })
  const leftMs = state.quitAtMs! - nowMs
  const how = leftMs >= POWER_DOWN_MIN_MS ? "it is switched off in order" : "it is ended"
  turn.say({ kind: "Say", message: `the virtual machine could not be saved (${reason}); ${how}` })
  if (leftMs < POWER_DOWN_MIN_MS) return destroy(turn)
  powerDown(turn)
}

/** What the hub has given already is done first: it sends no more from its word on. */
function onFinishAsked(turn: Turn): void {
  const { state } = turn
  if (state.phase === "up" && state.isIdle === false) {
    const message = "the hub wants this to end; what is being worked on is finished first"
    if (!state.isFinishing) turn.say({ kind: "Say", message })
    state.isFinishing = true
    return
  }
  leave(turn, finished)
}

/** Memory cannot be taken from a machine that runs, nor from one that was saved: it ends, and a smaller one follows in the same task. */
function onMemoryLowered(turn: Turn, reason: string): void {
  const { state, nowMs } = turn
  if (state.ending !== null || state.isShrinking) return
  if (state.phase === "starting") {
    turn.say({ kind: "Say", message: `${reason}; a smaller one follows` })
    state.isShrinking = true
    if (state.hasSave) turn.say({ kind: "DiscardSave" })
    state.hasSave = false
    return destroy(turn)
  }
  if (state.phase !== "up") return
  turn.say({
    kind: "Say",
    message: `${reason}; it is ended, what it worked on goes back to the hub, and a smaller one follows`,
  })
  state.isShrinking = true
  powerDown(turn)
  state.deadlineMs = nowMs + SHRINK_MS
}

// ---- what the guest does ----------------------------------------------------------------------------------------

function onHello(turn: Turn): void {
  const { state, nowMs } = turn
  if (state.phase !== "up") return
  state.hasHello = true
  state.hasWork = true
  state.helloAtMs = null
  state.healthyAtMs ??= nowMs + HEALTHY_MS
  onHeard(turn)
}

/** A machine that cannot reach its hub for this is of no use until somebody has set the clock. One that has work goes on with it. */
function onClockDoubted(turn: Turn, reason: string): void {
  const { state, say } = turn
  if (state.phase !== "up") return
  if (state.hasWork) return say({ kind: "Say", message: reason })
  leave(turn, { kind: "later", reason, seconds: LATER_SECONDS })
}

/** A machine that has nothing to do keeps a processor and memory that other projects of this computer could use. */
function onGuestIdle(turn: Turn): void {
  const { state, nowMs } = turn
  if (state.phase !== "up" || !state.hasHello) return
  if (state.isFinishing) {
    state.isIdle = true
    return onFinishAsked(turn)
  }
  if (state.isIdle !== true && state.idleMaxMs !== null && !state.isPaused) state.idleAtMs = nowMs + state.idleMaxMs
  state.isIdle = true
}

function onHeard({ state, nowMs }: Turn): void {
  if (state.phase === "up" && !state.isPaused && state.diskRetryAtMs === null) state.silenceAtMs = nowMs + SILENCE_MS
}

function onDiskFull(turn: Turn): void {
  const { state, nowMs } = turn
  if (state.phase !== "up") return
  // The clock of its silence stands still: it can't speak.
  state.silenceAtMs = null
  state.healthyAtMs = null
  state.diskRetryAtMs = nowMs + DISK_RETRY_MS
  if (state.diskFullSinceMs !== null) return
  state.diskFullSinceMs = nowMs
  turn.say({ kind: "Say", message: "the disk of this computer is full; the virtual machine waits for room" })
}

function onNetworkGate({ state, say }: Turn, gate: NetworkGate, isOpen: boolean): void {
  const wasOpen = state.networkClosedBy.size === 0
  if (isOpen) state.networkClosedBy.delete(gate)
  else state.networkClosedBy.add(gate)
  const nowOpen = state.networkClosedBy.size === 0
  if (wasOpen === nowOpen) return
  const why = gate === "budget" ? "its allowance of traffic is used up" : "so the BOINC client says"
  say({ kind: "Say", message: nowOpen ? "the network may be used again" : `the network is not used for now: ${why}` })
  say({ kind: "OpenNetwork", isOpen: nowOpen })
}

// ---- time -------------------------------------------------------------------------------------------------------

function onTicked(turn: Turn): void {
  const { state, nowMs } = turn
  const isOver = (time: number | null): boolean => time !== null && time <= nowMs
  if (isOver(state.healthyAtMs)) {
    state.failures = 0
    state.healthyAtMs = null
  }
  if (isOver(state.diskRetryAtMs)) return onDiskRetry(turn)
  if (isOver(state.idleAtMs)) return onIdleTooLong(turn)
  if (isOver(state.helloAtMs)) return onHubAway(turn)
  if (isOver(state.silenceAtMs)) {
    const silent = state.hasHello ? "has not been heard of" : "did not reach the hub"
    const forMs = state.hasHello ? SILENCE_MS : HELLO_MS
    return fail(turn, `the virtual machine ${silent} for ${inWords(forMs)}`)
  }
  if (isOver(state.deadlineMs)) return onDeadline(turn)
  if (state.phase === "waiting" && state.mayRun && isOver(state.retryAtMs)) start(turn)
}

/** No failure, and nothing to keep: the client may do others' work, and asks for ours again. */
function onIdleTooLong(turn: Turn): void {
  const reason = `the hub had no work for this computer in ${inWords(turn.state.idleMaxMs!)}`
  leave(turn, { kind: "done", reason, seconds: 0 })
}

/** Every moment ahead was meant in time that is lived through. What was under way may be half a minute from its end, not past it. */
function onFroze(turn: Turn, ms: number): void {
  const { state, say } = turn
  for (const name of moments) {
    const time = state[name]
    if (time !== null) state[name] = time + ms
  }
  say({ kind: "Say", message: `nothing ran here for ${inWords(ms)}; the virtual machine is given that time anew` })
  say({ kind: "DropConnections" })
}

const moments = [
  "silenceAtMs",
  "helloAtMs",
  "idleAtMs",
  "deadlineMs",
  "quitAtMs",
  "retryAtMs",
  "healthyAtMs",
  "diskFullSinceMs",
  "diskRetryAtMs",
] as const satisfies readonly (keyof State)[]

/** It dials and dials, and has nothing to do meanwhile: its memory is better left to its owner. */
function onHubAway(turn: Turn): void {
  const { state, nowMs } = turn
  if (state.isPaused) {
    state.helloAtMs = nowMs + HUB_AWAY_MS
    return
  }
  state.ending = { kind: "later", reason: `the hub was away for ${inWords(HUB_AWAY_MS)}`, seconds: LATER_SECONDS }
  destroy(turn)
}

function onDeadline(turn: Turn): void {
  const { state } = turn
  switch (state.phase) {
    case "starting":
      // Stopped by a quit, a saved machine that was not loaded yet is as good as it was.
      if (state.ending === null) {
        state.hasSave = false
        turn.say({ kind: "DiscardSave" })
      }
      state.failure = `the virtual machine could not be started within ${inWords(START_MS)}`
      return destroy(turn)
    case "saving":
      turn.say({ kind: "DiscardSave" })
      turn.say({ kind: "Say", message: `saving took longer than ${inWords(SAVE_MS)}; the virtual machine is ended` })
      return destroy(turn)
    case "leaving":
      turn.say({ kind: "Say", message: "the virtual machine did not switch itself off in time; it is ended" })
      return destroy(turn)
    case "clearing": {
      // Nothing more can be done from here. What is left is swept at the next start.
      const reason = "the virtual machine could not be ended; what is left of it is removed at the next start"
      const ending = state.ending ?? { kind: "later" as const, reason, seconds: LATER_SECONDS }
      turn.say({ kind: "Say", message: reason })
      return end(turn, ending)
    }
    case "preparing":
    case "up":
    case "waiting":
    case "ended":
      return
    default:
      state.phase satisfies never
  }
}

/** The hypervisor repeats the writes that failed when it goes on; if there is still no room, DiskFull comes again. */
function onDiskRetry(turn: Turn): void {
  const { state, nowMs, say } = turn
  state.diskRetryAtMs = null
  if (nowMs - state.diskFullSinceMs! >= DISK_FULL_MAX_MS) {
    const reason = "the disk of this computer is full"
    state.ending = { kind: "later", reason, seconds: MUCH_LATER_SECONDS }
    return destroy(turn)
  }
  if (state.isPaused) {
    state.diskRetryAtMs = nowMs + DISK_RETRY_MS
    return
  }
  say({ kind: "Resume" })
  state.silenceAtMs = nowMs + SILENCE_MS
}
