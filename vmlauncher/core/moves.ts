// What a launcher's machine is told, and what is noted of it: the moves that step.ts makes. Each leaves the state whole. Pure.
import { backoffMs } from "../../common/backoff.ts"
import {
  DESTROY_MS,
  FAILURES_MAX,
  HEALTHY_MS,
  LATER_SECONDS,
  POWER_DOWN_MS,
  RESTART_MAX_MS,
  RESTART_MIN_MS,
  RESTORED_HELLO_MS,
  START_MS,
} from "../limits.ts"
import type { Effect } from "./effects.ts"
import type { Ending, State } from "./model.ts"
import { inWords } from "./text.ts"

export interface Turn {
  readonly state: State
  readonly nowMs: number
  readonly say: (effect: Effect) => void
}

export const finished: Ending = { kind: "done", reason: "the hub has no more work for this computer", seconds: 0 }

export function start({ state, nowMs, say }: Turn): void {
  state.phase = "starting"
  state.retryAtMs = null
  state.isPaused = false
  state.hasHello = false
  state.hasWork = state.hasSave
  state.isIdle = null
  state.isShrinking = false
  state.diskFullSinceMs = null
  state.deadlineMs = nowMs + START_MS
  say({ kind: "Start", fromSave: state.hasSave })
}

/** The machine is gone. If nothing more is wanted, that was it; else it starts again, later each time. */
export function tryAgain(turn: Turn): void {
  const { state, nowMs } = turn
  state.phase = "waiting"
  state.deadlineMs = null
  unwatch(state)
  if (state.ending !== null) return end(turn, state.ending)
  if (state.isFinishing) return end(turn, finished)
  // Nobody's failure.
  if (state.isShrinking) {
    state.retryAtMs = nowMs
    if (state.mayRun) start(turn)
    return
  }
  state.failures++
  if (state.failures >= FAILURES_MAX) {
    const reason = `the virtual machine failed ${state.failures} times, the last time because ${state.failure}`
    return end(turn, { kind: "later", reason, seconds: LATER_SECONDS })
  }
  const waitMs = backoffMs(state.failures, RESTART_MIN_MS, RESTART_MAX_MS)
  state.retryAtMs = nowMs + waitMs
  turn.say({ kind: "Say", message: `${state.failure}; it is started again in ${inWords(waitMs)}` })
}

/** The guest is no good as it is: away with it. */
export function fail(turn: Turn, reason: string): void {
  const { state } = turn
  if (state.phase === "starting" || state.phase === "up") {
    state.failure = reason
    destroy(turn)
  }
}

/** It is not watched any more: it is on its way out. */
export function unwatch(state: State): void {
  state.silenceAtMs = null
  state.helloAtMs = null
  state.idleAtMs = null
  state.idleLeftMs = null
  state.healthyAtMs = null
  state.diskRetryAtMs = null
}

export function destroy({ state, nowMs, say }: Turn): void {
  state.phase = "clearing"
  unwatch(state)
  state.deadlineMs = nowMs + DESTROY_MS
  say({ kind: "Destroy" })
}

export function end({ state, say }: Turn, ending: Ending): void {
  state.phase = "ended"
  state.ending = ending
  say({ kind: "End", ending })
}

export function pause({ state, nowMs, say }: Turn): void {
  state.isPaused = true
  state.silenceLeftMs = state.silenceAtMs === null ? 0 : Math.max(0, state.silenceAtMs - nowMs)
  state.silenceAtMs = null
  state.idleLeftMs = state.idleAtMs === null ? null : Math.max(0, state.idleAtMs - nowMs)
  state.idleAtMs = null
  state.healthyAtMs = null
  say({ kind: "Pause" })
}

export function resume({ state, nowMs, say }: Turn): void {
  state.isPaused = false
  state.silenceAtMs = nowMs + Math.max(state.silenceLeftMs, state.hasHello ? RESTORED_HELLO_MS : 0)
  state.healthyAtMs = state.hasHello ? nowMs + HEALTHY_MS : null
  state.idleAtMs = state.idleLeftMs === null ? null : nowMs + state.idleLeftMs
  state.idleLeftMs = null
  say({ kind: "Resume" })
}

/** The work ends here: the guest gives up what it does in order, since there is nothing to come back to. */
export function leave(turn: Turn, ending: Ending): void {
  const { state } = turn
  if (state.ending?.kind === "aborted") return
  state.ending = ending
  switch (state.phase) {
    case "preparing":
    case "waiting":
      return end(turn, ending)
    case "starting":
      return destroy(turn)
    case "up":
      return powerDown(turn)
    case "saving":
      // What is saved would never be continued.
      turn.say({ kind: "DiscardSave" })
      return destroy(turn)
    case "leaving":
    case "clearing":
    case "ended":
      return
    default:
      state.phase satisfies never
  }
}

export function powerDown({ state, nowMs, say }: Turn): void {
  // A guest that stands still does not hear its power button.
  if (state.isPaused) say({ kind: "Resume" })
  state.isPaused = false
  state.phase = "leaving"
  unwatch(state)
  state.deadlineMs = Math.min(nowMs + POWER_DOWN_MS, state.quitAtMs ?? Number.POSITIVE_INFINITY)
  say({ kind: "PowerDown" })
}
