import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import {
  DESTROY_MS,
  DISK_FULL_MAX_MS,
  DISK_RETRY_MS,
  FAILURES_MAX,
  HEALTHY_MS,
  HELLO_MS,
  HUB_AWAY_MS,
  IDLE_MS,
  QUIT_MS,
  QUIT_RESTORE_MS,
  RESTART_MAX_MS,
  SAVE_MS,
  SHRINK_MS,
  SILENCE_MS,
  START_MS,
} from "../limits.ts"
import type { Effect } from "./effects.ts"
import type { Event } from "./events.ts"
import type { Ending } from "./model.ts"
import { emptyState, nextDeadlineMs, step } from "./step.ts"

class TestLauncher {
  readonly state = emptyState(IDLE_MS)
  nowMs = 0
  said: string[] = []

  /** Effects in short, without what is only said. */
  take(event: Event): string[] {
    return this.short(step(this.state, event, this.nowMs))
  }

  wait(ms: number): string[] {
    this.nowMs += ms
    return this.take({ kind: "Ticked" })
  }

  private short(effects: Effect[]): string[] {
    return effects.flatMap(effect => {
      if (effect.kind === "Say") {
        this.said.push(effect.message)
        return []
      }
      if (effect.kind === "Start") return [effect.fromSave ? "Restore" : "Start"]
      if (effect.kind === "End") return [`End ${effect.ending.kind}`]
      if (effect.kind === "OpenNetwork") return [effect.isOpen ? "OpenNetwork" : "CloseNetwork"]
      return [effect.kind]
    })
  }

  up(hasSave = false): this {
    this.take({ kind: "Prepared", hasSave })
    this.take({ kind: "Started" })
    return this
  }

  working(): this {
    this.up()
    this.take({ kind: "GuestHello" })
    return this
  }

  get ending(): Ending {
    return this.state.ending!
  }
}

const quit: Event = { kind: "QuitAsked", reason: "the client says so" }
const stopped: Event = { kind: "Stopped", reason: "QEMU was killed" }

test("a machine starts when all is prepared, and goes on from what was saved if that fits", () => {
  assert.deepEqual(new TestLauncher().take({ kind: "Prepared", hasSave: false }), ["Start"])
  assert.deepEqual(new TestLauncher().take({ kind: "Prepared", hasSave: true }), ["Restore"])
})

test("what cannot be prepared ends at once: later if that may help, for good if not", () => {
  const later = new TestLauncher()
  assert.deepEqual(later.take({ kind: "CannotPrepare", reason: "no room", laterSeconds: 60 }), ["End later"])
  assert.deepEqual(later.ending, { kind: "later", reason: "no room", seconds: 60 })
  const never = new TestLauncher()
  assert.deepEqual(never.take({ kind: "CannotPrepare", reason: "wrong image", laterSeconds: null }), ["End broken"])
})

test("suspend pauses and resume continues, and both said twice count once", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take({ kind: "SuspendAsked" }), ["Pause"])
  assert.deepEqual(launcher.take({ kind: "SuspendAsked" }), [])
  assert.deepEqual(launcher.take({ kind: "ResumeAsked" }), ["Resume"])
  assert.deepEqual(launcher.take({ kind: "ResumeAsked" }), [])
})

test("a suspend before the machine is there waits for it", () => {
  const early = new TestLauncher()
  early.take({ kind: "SuspendAsked" })
  assert.deepEqual(early.take({ kind: "Prepared", hasSave: false }), [])
  assert.deepEqual(early.take({ kind: "ResumeAsked" }), ["Start"])
  early.take({ kind: "SuspendAsked" })
  assert.deepEqual(early.take({ kind: "Started" }), ["Pause"])
})

test("a quit saves what works, and ends when it is on disk", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take(quit), ["Save"])
  assert.deepEqual(launcher.take({ kind: "Saved" }), ["End quit"])
})

test("a quit saves a paused machine as it stands", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "SuspendAsked" })
  assert.deepEqual(launcher.take(quit), ["Save"])
})

test("a quit does not wait for a boot, which has done nothing yet", () => {
  for (const launcher of [new TestLauncher(), new TestLauncher().up()]) {
    launcher.take({ kind: "Prepared", hasSave: false })
    assert.deepEqual(launcher.take(quit), ["Destroy"])
    assert.deepEqual(launcher.take(stopped), ["End quit"])
  }
})

test("a quit during a restore lets it end, and saves again", () => {
  const launcher = new TestLauncher()
  launcher.take({ kind: "Prepared", hasSave: true })
  assert.deepEqual(launcher.take(quit), [])
  assert.deepEqual(launcher.take({ kind: "Started" }), ["Save"])
})

test("a restore that does not end in time for the quit is ended, and what was saved stays", () => {
  const launcher = new TestLauncher()
  launcher.take({ kind: "Prepared", hasSave: true })
  launcher.take(quit)
  assert.deepEqual(launcher.wait(QUIT_RESTORE_MS), ["Destroy"])
  assert.deepEqual(launcher.take(stopped), ["End quit"])
})

test("a save that fails is followed by the power button, and that by the end, all within the client's 60 s", () => {
  const launcher = new TestLauncher().working()
  launcher.take(quit)
  launcher.nowMs += 20_000
  assert.deepEqual(launcher.take({ kind: "SaveFailed", reason: "no room" }), ["DiscardSave", "Resume", "PowerDown"])
  const deadlineMs = nextDeadlineMs(launcher.state)!
  assert.ok(deadlineMs <= QUIT_MS, `${deadlineMs}`)
  assert.deepEqual(launcher.wait(deadlineMs - launcher.nowMs), ["Destroy"])
  assert.deepEqual(launcher.take(stopped), ["End quit"])
  assert.match(launcher.said.join("\n"), /could not be saved \(no room\); it is switched off in order/)
})

test("a save that takes too long is given up, and its half is removed", () => {
  const launcher = new TestLauncher().working()
  launcher.take(quit)
  assert.deepEqual(launcher.wait(SAVE_MS), ["DiscardSave", "Destroy"])
  assert.deepEqual(launcher.take(stopped), ["End quit"])
  const late = new TestLauncher().working()
  late.take(quit)
  late.nowMs += SAVE_MS - 1
  assert.deepEqual(late.take({ kind: "SaveFailed", reason: "slow" }), ["DiscardSave", "Destroy"])
})

test("an abort destroys whatever there is, in every phase", () => {
  const abort: Event = { kind: "AbortAsked" }
  assert.deepEqual(new TestLauncher().take(abort), ["DiscardSave", "End aborted"])
  for (const launcher of [new TestLauncher().up(), new TestLauncher().working(), saving(), leaving()]) {
    assert.deepEqual(launcher.take(abort), ["DiscardSave", "Destroy"])
    assert.deepEqual(launcher.take(stopped), ["End aborted"])
  }
  const starting = new TestLauncher()
  starting.take({ kind: "Prepared", hasSave: true })
  assert.deepEqual(starting.take(abort), ["DiscardSave", "Destroy"])
})

function saving(): TestLauncher {
  const launcher = new TestLauncher().working()
  launcher.take(quit)
  return launcher
}

function leaving(): TestLauncher {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "FinishAsked" })
  return launcher
}

test("when the hub has no more work, the guest is switched off in order and the task is done", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take({ kind: "FinishAsked" }), ["PowerDown"])
  assert.deepEqual(launcher.take(stopped), ["End done"])
})

test("a guest that the hub does not take as it is needs a new workunit", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take({ kind: "GuestRefused", reason: "unknown node" }), ["PowerDown"])
  // The client may say quit meanwhile: the end keeps its own word.
  launcher.take(quit)
  assert.deepEqual(launcher.take(stopped), ["End broken"])
})

test("a machine that dies, panics or floods is started again, later each time, and at last only after an hour", () => {
  const ways: Event[] = [
    stopped,
    { kind: "GuestFailed", reason: "its kernel panicked" },
    { kind: "Flooded" },
    { kind: "CommandFailed", reason: "QMP is deaf" },
  ]
  const launcher = new TestLauncher()
  launcher.take({ kind: "Prepared", hasSave: false })
  const waits: number[] = []
  for (let failures = 1; failures < FAILURES_MAX; failures++) {
    launcher.take({ kind: "Started" })
    const way = ways[failures % ways.length]!
    if (way.kind === "Stopped") assert.deepEqual(launcher.take(way), [])
    else {
      assert.deepEqual(launcher.take(way), ["Destroy"])
      assert.deepEqual(launcher.take(stopped), [])
    }
    const waitMs = nextDeadlineMs(launcher.state)! - launcher.nowMs
    waits.push(waitMs)
    assert.deepEqual(launcher.wait(waitMs), ["Start"])
  }
  assert.deepEqual(waits, [5_000, 10_000, 20_000, 40_000])
  launcher.take({ kind: "Started" })
  assert.deepEqual(launcher.take(stopped), ["End later"])
  assert.match(launcher.ending.reason, /failed 5 times, the last time because QEMU was killed/)
  assert.equal(launcher.ending.seconds, 3_600)
})

test("a failure while the volunteer wants it to stand still waits for the volunteer's word", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "SuspendAsked" })
  launcher.take(stopped)
  assert.equal(nextDeadlineMs(launcher.state), null)
  launcher.nowMs += RESTART_MAX_MS
  assert.deepEqual(launcher.take({ kind: "ResumeAsked" }), ["Start"])
})

test("a machine that was well for long begins a new row of failures", () => {
  const launcher = new TestLauncher().working()
  launcher.take(stopped)
  launcher.wait(5_000)
  launcher.take({ kind: "Started" })
  launcher.take({ kind: "GuestHello" })
  assert.equal(launcher.state.failures, 1)
  launcher.nowMs += HEALTHY_MS - 1
  launcher.take({ kind: "Heard" })
  launcher.wait(1)
  assert.equal(launcher.state.failures, 0)
})

test("a saved machine that cannot be loaded is dropped, and it boots instead", () => {
  const launcher = new TestLauncher()
  launcher.take({ kind: "Prepared", hasSave: true })
  assert.deepEqual(launcher.take({ kind: "StartFailed", reason: "bad magic" }), ["DiscardSave", "Start"])
  assert.match(launcher.said[0]!, /cannot be continued \(bad magic\)/)
})

test("a start that hangs is ended, and so is a saved machine that makes it hang", () => {
  const launcher = new TestLauncher()
  launcher.take({ kind: "Prepared", hasSave: true })
  assert.deepEqual(launcher.wait(START_MS), ["DiscardSave", "Destroy"])
  assert.deepEqual(launcher.take(stopped), [])
  assert.deepEqual(launcher.wait(5_000), ["Start"])
})

test("a guest that never reaches the hub is given up, and a pause does not count", () => {
  const launcher = new TestLauncher().up()
  launcher.nowMs += HELLO_MS - 1_000
  launcher.take({ kind: "Heard" })
  launcher.take({ kind: "SuspendAsked" })
  assert.deepEqual(launcher.wait(86_400_000), [])
  launcher.take({ kind: "ResumeAsked" })
  assert.deepEqual(launcher.wait(999), [])
  assert.deepEqual(launcher.wait(1), ["Destroy"])
  assert.match(launcher.state.failure, /did not reach the hub for 3 minutes/)
})

test("a guest that dials is alive, though its hub is away; without work it does not wait there for ever", () => {
  const launcher = new TestLauncher().up()
  for (let ms = 0; ms + 60_000 < HUB_AWAY_MS; ms += 60_000) {
    launcher.nowMs += 60_000
    assert.deepEqual(launcher.take({ kind: "Dialled" }), [])
    assert.deepEqual(launcher.take({ kind: "Ticked" }), [])
  }
  assert.deepEqual(launcher.wait(60_000), ["Destroy"])
  assert.deepEqual(launcher.take(stopped), ["End later"])
  assert.match(launcher.ending.reason, /the hub was away for 60 minutes/)
})

test("what was restored is saved again by a quit, whether its agent has reached the hub or not", () => {
  const launcher = new TestLauncher().up(true)
  assert.deepEqual(launcher.take(quit), ["Save"])
})

test("a guest that worked and fell silent is given up; one that is heard is not", () => {
  const launcher = new TestLauncher().working()
  for (let n = 0; n < 5; n++) {
    launcher.nowMs += SILENCE_MS - 1
    assert.deepEqual(launcher.take({ kind: "Heard" }), [])
    assert.deepEqual(launcher.take({ kind: "Ticked" }), [])
  }
  assert.deepEqual(launcher.wait(SILENCE_MS), ["Destroy"])
})

test("a full disk makes the machine wait, try again and at last leave for a day", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "DiskFull" })
  assert.deepEqual(launcher.wait(DISK_RETRY_MS), ["Resume"])
  launcher.take({ kind: "DiskFull" })
  assert.equal(launcher.said.length, 1)
  launcher.nowMs += DISK_FULL_MAX_MS
  assert.deepEqual(launcher.wait(DISK_RETRY_MS), ["Destroy"])
  assert.deepEqual(launcher.take(stopped), ["End later"])
  assert.deepEqual([launcher.ending.reason, launcher.ending.seconds], ["the disk of this computer is full", 86_400])
})

test("a full disk does not make a paused machine run", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "DiskFull" })
  launcher.take({ kind: "SuspendAsked" })
  assert.deepEqual(launcher.wait(DISK_RETRY_MS), [])
})

test("the network is open when nobody forbids it", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take({ kind: "NetworkGate", gate: "client", isOpen: false }), ["CloseNetwork"])
  assert.deepEqual(launcher.take({ kind: "NetworkGate", gate: "budget", isOpen: false }), [])
  assert.deepEqual(launcher.take({ kind: "NetworkGate", gate: "client", isOpen: true }), [])
  assert.deepEqual(launcher.take({ kind: "NetworkGate", gate: "budget", isOpen: true }), ["OpenNetwork"])
})

test("after a sleep of the computer the guest dials anew at once", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take({ kind: "Slept", ms: 86_400_000 }), ["DropConnections"])
  assert.match(launcher.said[0]!, /slept for 24 hours/)
})

test("a machine that cannot be ended does not keep the launcher", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "GuestFailed", reason: "panic" })
  assert.deepEqual(launcher.wait(DESTROY_MS), ["End later"])
  assert.match(launcher.ending.reason, /removed at the next start/)
})

test("V3: a machine without a job for ten minutes leaves the computer to others, and its work is done, not failed", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "GuestIdle" })
  launcher.wait(IDLE_MS - 1)
  assert.equal(launcher.state.phase, "up")
  assert.deepEqual(launcher.wait(1), ["PowerDown"])
  assert.deepEqual(launcher.take(stopped), ["End done"])
  assert.equal(launcher.ending.reason, "the hub had no work for this computer in 10 minutes")
})

test("V3: idle minutes are those that it runs and has nothing; a job, a pause and a hub that is away begin no new count", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "GuestIdle" })
  launcher.nowMs += IDLE_MS / 2
  // Said again after the hub was away for a moment.
  launcher.take({ kind: "GuestHello" })
  launcher.take({ kind: "GuestIdle" })
  launcher.take({ kind: "SuspendAsked" })
  assert.deepEqual(launcher.wait(10 * IDLE_MS), [])
  launcher.take({ kind: "ResumeAsked" })
  launcher.take({ kind: "Heard" })
  launcher.wait(IDLE_MS / 2 - 1)
  assert.equal(launcher.state.phase, "up")
  launcher.take({ kind: "GuestBusy" })
  launcher.take({ kind: "Heard" })
  launcher.wait(1)
  assert.equal(launcher.state.phase, "up")
})

test("V3: at a person's terminal an idle machine stays", () => {
  const state = emptyState()
  for (const event of [{ kind: "Prepared", hasSave: false }, { kind: "Started" }, { kind: "GuestHello" }] as const)
    step(state, event, 0)
  step(state, { kind: "GuestIdle" }, 0)
  assert.equal(state.idleAtMs, null)
})

test("V4: told to finish, it does first what it has, and then ends well", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "GuestBusy" })
  assert.deepEqual(launcher.take({ kind: "FinishAsked" }), [])
  assert.deepEqual(launcher.take({ kind: "FinishAsked" }), [])
  assert.equal(launcher.said.filter(text => text.includes("finished first")).length, 1)
  assert.deepEqual(launcher.take({ kind: "GuestIdle" }), ["PowerDown"])
  assert.deepEqual(launcher.take(stopped), ["End done"])
})

test("V4: a machine that dies while it finishes is not started again", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "GuestBusy" })
  launcher.take({ kind: "FinishAsked" })
  assert.deepEqual(launcher.take(stopped), ["End done"])
})

test("V6: a boot that is held back by a tenth of the processor, or a busy computer, gets its time all the same", () => {
  const launcher = new TestLauncher().up()
  // Ten minutes, of which nine tenths are not its own: a minute of 180 s is used up.
  for (let second = 0; second < 600; second++) {
    launcher.take({ kind: "Held", ms: 900 })
    assert.deepEqual(launcher.wait(1_000), [], `given up after ${second} s`)
  }
  // One that has a processor, and does nothing with it, is given up as before.
  assert.deepEqual(launcher.wait(HELLO_MS - 60_000 + 1), ["Destroy"])
})

test("V6: a machine at work that is held back does not count as silent either", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "Held", ms: 60_000 })
  assert.deepEqual(launcher.wait(SILENCE_MS + 59_999), [])
  assert.deepEqual(launcher.wait(1), ["Destroy"])
})

test("V8: when less memory is allowed the machine ends in order, at once, and another follows; nothing has failed", () => {
  const launcher = new TestLauncher().working()
  const lowered: Event = { kind: "MemoryLowered", reason: "less memory is allowed now" }
  assert.deepEqual(launcher.take(lowered), ["PowerDown"])
  assert.deepEqual(launcher.take(lowered), [])
  assert.match(launcher.said[0]!, /less memory is allowed now.*a smaller one follows/)
  assert.deepEqual(launcher.take({ kind: "Stopped", reason: "it switched itself off" }), ["Start"])
  assert.equal(launcher.state.failures, 0)
})

test("V8: a guest that does not switch off before the client would measure is ended", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "MemoryLowered", reason: "less" })
  assert.deepEqual(launcher.wait(SHRINK_MS), ["Destroy"])
  assert.deepEqual(launcher.take(stopped), ["Start"])
})

test("V8: what was saved with more memory is not brought back, and a suspended machine comes back smaller when it may", () => {
  const restoring = new TestLauncher()
  restoring.take({ kind: "Prepared", hasSave: true })
  assert.deepEqual(restoring.take({ kind: "MemoryLowered", reason: "less" }), ["DiscardSave", "Destroy"])
  assert.deepEqual(restoring.take(stopped), ["Start"])
  const paused = new TestLauncher().working()
  paused.take({ kind: "SuspendAsked" })
  assert.deepEqual(paused.take({ kind: "MemoryLowered", reason: "less" }), ["Resume", "PowerDown"])
  assert.deepEqual(paused.take(stopped), [])
  assert.deepEqual(paused.take({ kind: "ResumeAsked" }), ["Start"])
})

test("V8: if what is allowed is too little for any machine, the task waits and says so", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "MemoryLowered", reason: "less" })
  launcher.take(stopped)
  assert.deepEqual(launcher.take({ kind: "CannotPrepare", reason: "too little", laterSeconds: 3_600 }), ["End later"])
})

test("V13: a node that somebody stopped on the hub's page ends its task well, in words that say so", () => {
  const launcher = new TestLauncher().working()
  assert.deepEqual(launcher.take({ kind: "GuestDismissed", reason: "stopped on the hub" }), ["PowerDown"])
  assert.deepEqual(launcher.take(stopped), ["End done"])
  assert.equal(launcher.ending.reason, "stopped on the hub")
})

test("V14: a clock by which the hub's certificate is not valid is said, and nothing is booted for it again and again", () => {
  const launcher = new TestLauncher().up()
  assert.deepEqual(launcher.take({ kind: "ClockDoubted", reason: "by this computer's clock" }), ["PowerDown"])
  assert.deepEqual(launcher.take(stopped), ["End later"])
  assert.deepEqual(launcher.ending, { kind: "later", reason: "by this computer's clock", seconds: 3_600 })
  const working = new TestLauncher().working()
  assert.deepEqual(working.take({ kind: "ClockDoubted", reason: "by this computer's clock" }), [])
  assert.deepEqual(working.said, ["by this computer's clock"])
})

test("V14: eleven minutes in which nothing ran are not held against the guest, nor against what was under way", () => {
  const launcher = new TestLauncher().working()
  launcher.take({ kind: "GuestIdle" })
  launcher.nowMs += 11 * 60_000
  assert.deepEqual(launcher.take({ kind: "Froze", ms: 11 * 60_000 }), ["DropConnections"])
  assert.deepEqual(launcher.wait(0), [])
  assert.match(launcher.said.at(-1)!, /nothing ran here for 11 minutes/)
  const starting = new TestLauncher()
  starting.take({ kind: "Prepared", hasSave: false })
  starting.nowMs += START_MS
  starting.take({ kind: "Froze", ms: START_MS })
  assert.deepEqual(starting.wait(START_MS - 1), [])
  assert.deepEqual(starting.wait(1), ["DiscardSave", "Destroy"])
})

// ---- whatever happens -------------------------------------------------------------------------------------------

const anything: fc.Arbitrary<Event> = fc.oneof(
  fc.constantFrom<Event>(
    { kind: "Prepared", hasSave: true },
    { kind: "Prepared", hasSave: false },
    { kind: "CannotPrepare", reason: "r", laterSeconds: 1 },
    { kind: "Started" },
    { kind: "StartFailed", reason: "r" },
    stopped,
    { kind: "Saved" },
    { kind: "SaveFailed", reason: "r" },
    { kind: "CommandFailed", reason: "r" },
    { kind: "DiskFull" },
    { kind: "Heard" },
    { kind: "Dialled" },
    { kind: "GuestHello" },
    { kind: "GuestFailed", reason: "r" },
    { kind: "GuestDismissed", reason: "r" },
    { kind: "GuestRefused", reason: "r" },
    { kind: "ClockDoubted", reason: "r" },
    { kind: "GuestIdle" },
    { kind: "GuestBusy" },
    { kind: "MemoryLowered", reason: "r" },
    { kind: "Held", ms: 900 },
    { kind: "Flooded" },
    { kind: "SuspendAsked" },
    { kind: "ResumeAsked" },
    { kind: "FinishAsked" },
    { kind: "NetworkGate", gate: "client", isOpen: false },
    { kind: "Slept", ms: 1e6 },
    { kind: "Ticked" },
  ),
)

test("whatever happened before, a quit or an abort ends it within the client's 60 s, once, with a reason", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anything, fc.nat(400_000)), { maxLength: 30 }),
      fc.array(anything, { maxLength: 10 }),
      fc.boolean(),
      (before, after, isAbort) => {
        const state = emptyState()
        let nowMs = 0
        let ends = 0
        const take = (event: Event): void => {
          const effects = step(state, event, nowMs)
          ends += effects.filter(effect => effect.kind === "End").length
          const last = effects.at(-1)
          if (ends > 0 && effects.length > 0) assert.equal(last?.kind, "End")
        }
        for (const [event, ms] of before) {
          nowMs += ms
          take(event)
        }
        const saidMs = nowMs
        take(isAbort ? { kind: "AbortAsked" } : quit)
        for (const event of after) take(event)
        for (let next = nextDeadlineMs(state); next !== null && ends === 0; next = nextDeadlineMs(state)) {
          nowMs = Math.max(nowMs, next)
          take({ kind: "Ticked" })
        }
        assert.equal(ends, 1)
        assert.equal(state.phase, "ended")
        assert.ok(state.ending!.reason.length > 0)
        assert.ok(nowMs - saidMs < 60_000, `${nowMs - saidMs} ms`)
      },
    ),
    { numRuns: 500 },
  )
})
