import assert from "node:assert/strict"
import { test } from "node:test"
import type { Digest } from "../../proto/wire/digest.ts"
import { noLog } from "../../proto/wire/log.ts"
import { REPORT_REPEAT_MS, RETRY_MIN_MS, STAGE_TRIES_MAX } from "../limits.ts"
import type { Effect } from "./effects.ts"
import type { Event, Packed } from "./events.ts"
import { type Attempt, attemptId, type Exit, type RunSpec } from "./model.ts"
import { emptyState, nextDeadlineMs, step } from "./step.ts"

const name = { campaign: 1, index: 0, attempt: 1 }
const blob = { digest: `sha256:${"a".repeat(64)}` as Digest, sizeBytes: 10 }
const nothingPacked: Packed = { stageout: null, stdout: noLog, stderr: noLog, message: "", warnings: "" }

function spec(change: Partial<RunSpec> = {}): RunSpec {
  return {
    owner: "ada",
    campaignName: "frames",
    project: "",
    command: ["true"],
    env: {},
    stagein: null,
    gather: false,
    inside: false,
    stageout: [],
    requireStageout: false,
    walltimeMs: 60_000,
    graceMs: 5_000,
    property: "",
    needs: { slots: 1, memoryBytes: 0, diskBytes: 0 },
    line: null,
    arraySize: 1,
    ...change,
  }
}

function exit(change: Partial<Exit> = {}): Exit {
  return { exitCode: 0, message: "", runMs: 5, cpuMs: 5, peakMemoryBytes: 0, ...change }
}

class TestAgent {
  readonly state = emptyState({ slots: 1, memoryBytes: 1e9, diskBytes: 1e9 })
  nowMs = 0

  constructor(connected = true) {
    if (connected) this.welcome()
  }

  take(event: Event): Effect[] {
    return step(this.state, event, this.nowMs)
  }

  welcome(...reconciled: Extract<Event, { kind: "Welcomed" }>["reconciled"]): Effect[] {
    return this.take({ kind: "Welcomed", heartbeatMs: 60_000, reconciled })
  }

  offer(change: Partial<RunSpec> = {}): Effect[] {
    return this.take({ kind: "Offered", name, spec: spec(change) })
  }

  /** Brings the attempt to where its command runs. */
  running(change: Partial<RunSpec> = {}): this {
    this.offer(change)
    this.take({ kind: "StageinReady", name })
    this.take({ kind: "CommandBegan", name })
    return this
  }

  wait(ms: number): Effect[] {
    this.nowMs += ms
    return this.take({ kind: "Ticked" })
  }

  get attempt(): Attempt | undefined {
    return this.state.attempts.get(attemptId(name))
  }
}

/** Effects in short: kind, and phase or outcome for reports. */
function short(effects: Effect[]): string[] {
  return effects.map(effect => {
    if (effect.kind !== "SendReport") return effect.kind
    return `${effect.kind} ${effect.phase}${effect.result === null ? "" : ` ${effect.result.outcome}`}`
  })
}

test("an attempt is journalled before the hub hears of it, and goes through its steps to the hub's answer", () => {
  const agent = new TestAgent()
  assert.deepEqual(short(agent.offer({ stagein: blob })), ["Journal", "SendReport staging", "Stage"])
  assert.deepEqual(short(agent.take({ kind: "StageinReady", name })), ["SendReport running", "Run"])
  assert.deepEqual(short(agent.take({ kind: "CommandEnded", name, exit: exit() })), ["Pack"])
  const packed = agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, stageout: blob } })
  assert.deepEqual(short(packed), ["Journal", "SendReport returning", "Upload"])
  assert.deepEqual(short(agent.take({ kind: "Uploaded", name })), ["SendReport ended finished"])
  const answered = agent.take({ kind: "ReportAnswered", name, phase: "ended", answer: "accepted" })
  assert.deepEqual(short(answered), ["Forget"])
  assert.equal(agent.attempt, undefined)
})

test("with nothing to fetch and nothing to send back the hub hears twice: that it runs, and how it ended", () => {
  const agent = new TestAgent()
  assert.deepEqual(short(agent.offer()), ["Journal", "SendReport running", "Stage"])
  assert.deepEqual(short(agent.take({ kind: "StageinReady", name })), ["Run"])
  assert.deepEqual(short(agent.take({ kind: "CommandEnded", name, exit: exit() })), ["Pack"])
  const packed = agent.take({ kind: "ResultPacked", name, packed: nothingPacked })
  assert.deepEqual(short(packed), ["Journal", "SendReport ended finished"])
})

test("outputs are sent after an error too", () => {
  const agent = new TestAgent().running()
  agent.take({ kind: "CommandEnded", name, exit: exit({ exitCode: 3 }) })
  const effects = agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, stageout: blob } })
  assert.deepEqual(short(effects), ["Journal", "SendReport returning", "Upload"])
  assert.deepEqual(short(agent.take({ kind: "Uploaded", name })), ["SendReport ended failed"])
})

test("a command that did well but whose outputs can't be packed has failed, and says why", () => {
  const agent = new TestAgent().running()
  agent.take({ kind: "CommandEnded", name, exit: exit() })
  agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, message: "the disk is full" } })
  assert.equal(agent.attempt?.result?.outcome, "failed")
  assert.equal(agent.attempt?.result?.message, "the disk is full")
})

test("F6: warnings travel with the result and change nothing about it", () => {
  const agent = new TestAgent().running()
  agent.take({ kind: "CommandEnded", name, exit: exit() })
  agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, warnings: "a.csv matched nothing" } })
  const { outcome, message, warnings } = agent.attempt?.result ?? assert.fail()
  assert.deepEqual([outcome, message, warnings], ["finished", "", "a.csv matched nothing"])
})

test("work goes on while the hub is away, and everything is said again when it is back", () => {
  const agent = new TestAgent().running()
  agent.take({ kind: "LinkLost" })
  agent.take({ kind: "CommandEnded", name, exit: exit() })
  const packed = agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, stageout: blob } })
  assert.deepEqual(short(packed), ["Journal", "SendReport returning"], "no upload without a link")
  assert.deepEqual(short(agent.welcome({ ...name, answer: "continue" })), ["SendReport returning", "Upload"])
})

test("a report is repeated until it is answered", () => {
  const agent = new TestAgent()
  agent.offer()
  assert.deepEqual(short(agent.wait(REPORT_REPEAT_MS - 1)), [])
  assert.deepEqual(short(agent.wait(1)), ["SendReport running"])
  agent.take({ kind: "ReportAnswered", name, phase: "running", answer: "already" })
  assert.deepEqual(short(agent.wait(REPORT_REPEAT_MS)), [])
})

test("at its walltime a command is stopped and its result counts as timedout", () => {
  const agent = new TestAgent().running({ walltimeMs: 5_000 })
  assert.equal(nextDeadlineMs(agent.state), 5_000)
  assert.deepEqual(short(agent.wait(5_000)), ["Stop"])
  assert.deepEqual(short(agent.wait(1)), [], "told once")
  agent.take({ kind: "CommandEnded", name, exit: exit({ exitCode: 143 }) })
  agent.take({ kind: "ResultPacked", name, packed: nothingPacked })
  assert.equal(agent.attempt?.result?.outcome, "timedout")
})

test("S11: the walltime counts the command alone: not what was unpacked before it, and not twice", () => {
  const agent = new TestAgent()
  agent.offer({ stagein: blob, walltimeMs: 5_000 })
  agent.wait(60_000)
  agent.take({ kind: "StageinReady", name })
  assert.deepEqual(short(agent.wait(60_000)).includes("Stop"), false, "it was asked to run, and does not yet")
  agent.take({ kind: "CommandBegan", name })
  const begunMs = agent.nowMs
  agent.nowMs += 1_000
  agent.take({ kind: "CommandBegan", name })
  assert.equal(agent.attempt?.deadlineMs, begunMs + 5_000)
  agent.take({ kind: "CommandEnded", name, exit: exit() })
  agent.take({ kind: "CommandBegan", name })
  assert.equal(agent.attempt?.deadlineMs, null, "over is over")
})

test("F4: the grace at the walltime is what the scientist said", () => {
  const agent = new TestAgent().running({ walltimeMs: 5_000, graceMs: 90_000 })
  const [stop] = agent.wait(5_000)
  assert.deepEqual(stop?.kind === "Stop" && stop.graceMs, 90_000)
})

test("F15: what was killed after its walltime says so, and nothing of memory", () => {
  for (const [exitCode, words] of [
    [137, "asked to end at its walltime of 5 s, and killed 2 s later, for it had not ended"],
    [143, "asked to end at its walltime of 5 s"],
    [0, "asked to end at its walltime of 5 s"],
  ] as const) {
    const agent = new TestAgent().running({ walltimeMs: 5_000, graceMs: 2_000 })
    agent.wait(5_000)
    agent.take({ kind: "CommandEnded", name, exit: exit({ exitCode, message: "ended by SIGKILL" }) })
    agent.take({ kind: "ResultPacked", name, packed: nothingPacked })
    assert.deepEqual([agent.attempt?.result?.outcome, agent.attempt?.result?.message], ["timedout", words])
  }
})

test("a kill stops the command, and the hub hears when it is dead", () => {
  const agent = new TestAgent().running()
  assert.deepEqual(short(agent.take({ kind: "KillAsked", name, reason: "cancelled" })), ["Stop"])
  assert.deepEqual(short(agent.take({ kind: "KillAsked", name, reason: "cancelled" })), [], "told once")
  const dead = agent.take({ kind: "CommandEnded", name, exit: exit({ exitCode: 143 }) })
  assert.deepEqual(short(dead), ["Journal", "SendReport ended lost"])
  assert.deepEqual(short(agent.take({ kind: "ReportAnswered", name, phase: "ended", answer: "stale" })), ["Forget"])
})

test("a kill during a stagein aborts it at once", () => {
  const agent = new TestAgent()
  agent.offer()
  const effects = agent.take({ kind: "KillAsked", name, reason: "cancelled" })
  assert.deepEqual(short(effects), ["Stop", "Journal", "SendReport ended lost"])
})

test("a kill for what the node does not have is answered, so that the hub frees its room", () => {
  assert.deepEqual(short(new TestAgent().take({ kind: "KillAsked", name, reason: "x" })), ["SendReport ended lost"])
})

test("an offer beyond the node's room is refused, and a repeated one is answered by where the attempt is", () => {
  const agent = new TestAgent()
  assert.deepEqual(short(agent.offer({ needs: { slots: 2, memoryBytes: 0, diskBytes: 0 } })), [
    "SendReport ended refused",
  ])
  assert.equal(agent.attempt, undefined)
  agent.running()
  assert.deepEqual(short(agent.offer()), ["SendReport running"])
})

test("a stagein that fails is tried again, longer each time, and given up for another node", () => {
  const agent = new TestAgent()
  agent.offer()
  for (let tries = 1; tries < STAGE_TRIES_MAX; tries++) {
    assert.deepEqual(short(agent.take({ kind: "StageinFailed", name, message: "cut", final: false })), [])
    agent.take({ kind: "ReportAnswered", name, phase: "running", answer: "accepted" })
    const wait = Math.min(60_000, RETRY_MIN_MS * 2 ** (tries - 1))
    assert.deepEqual(
      short(agent.wait(wait)).filter(kind => kind === "Stage"),
      ["Stage"],
    )
  }
  const last = agent.take({ kind: "StageinFailed", name, message: "cut", final: false })
  assert.deepEqual(short(last), ["Journal", "SendReport ended lost"])
})

test("a hostile stagein is the job's own failure", () => {
  const agent = new TestAgent()
  agent.offer()
  const effects = agent.take({ kind: "StageinFailed", name, message: "it leads out of its directory", final: true })
  assert.deepEqual(short(effects), ["Journal", "SendReport ended failed"])
})

test("outputs that the hub will not take are left behind, and the job fails with the reason", () => {
  const agent = new TestAgent().running()
  agent.take({ kind: "CommandEnded", name, exit: exit() })
  agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, stageout: blob } })
  agent.take({ kind: "UploadFailed", name, message: "too large", final: true })
  assert.equal(agent.attempt?.step, "reporting")
  assert.deepEqual([agent.attempt?.result?.outcome, agent.attempt?.result?.stageout], ["failed", null])
})

test("a blob that the hub misses is uploaded again before the result is said again", () => {
  const agent = new TestAgent().running()
  agent.take({ kind: "CommandEnded", name, exit: exit() })
  agent.take({ kind: "ResultPacked", name, packed: { ...nothingPacked, stageout: blob } })
  agent.take({ kind: "Uploaded", name })
  const missing = agent.take({ kind: "ReportAnswered", name, phase: "ended", answer: "blobMissing" })
  assert.deepEqual(short(missing), ["SendReport returning", "Upload"])
  assert.deepEqual(short(agent.take({ kind: "Uploaded", name })), ["SendReport ended finished"])
})

test("after a kill -9 of the agent a finished result is returned, and what ran is reported lost at once", () => {
  const agent = new TestAgent(false)
  assert.deepEqual(short(agent.take({ kind: "Recovered", name, spec: spec(), result: null })), [
    "Journal",
    "SendReport ended lost",
  ])
  const other = new TestAgent(false)
  const result = { ...nothingPacked, ...exit(), outcome: "finished" as const, stageout: blob, message: "" }
  other.take({ kind: "Recovered", name, spec: spec(), result })
  assert.deepEqual(short(other.welcome({ ...name, answer: "continue" })), ["SendReport returning", "Upload"])
})

test("what the hub discards at a hello is forgotten; what it wants killed is stopped", () => {
  const agent = new TestAgent().running()
  assert.deepEqual(short(agent.welcome({ ...name, answer: "kill" })), ["Stop"])
  assert.deepEqual(short(agent.welcome({ ...name, answer: "discard" })), ["Forget"])
})

test("an agent that leaves gives up what runs, says so, and takes nothing new", () => {
  const agent = new TestAgent().running()
  assert.deepEqual(short(agent.take({ kind: "Leaving" })), ["Stop"])
  const dead = agent.take({ kind: "CommandEnded", name, exit: exit() })
  assert.deepEqual(short(dead), ["Journal", "SendReport ended lost"])
  const other = agent.take({ kind: "Offered", name: { ...name, index: 5 }, spec: spec() })
  assert.deepEqual(short(other), ["SendReport ended refused"])
})

test("heartbeats go out while there is a link, and stop without one", () => {
  const agent = new TestAgent()
  assert.deepEqual(short(agent.wait(60_000)), ["SendHeartbeat"])
  agent.take({ kind: "LinkLost" })
  assert.deepEqual(short(agent.wait(60_000)), [])
  assert.equal(nextDeadlineMs(agent.state), null)
})

test("in an appliance a job for another one is refused in words; one for this one, or for any, is taken", () => {
  const facts = { image: `sha256:${"b".repeat(64)}`, image_name: "base", image_version: "0.1.0+20261124", mem: 1e9 }
  const answer = (property: string): string => {
    const state = emptyState({ slots: 9, memoryBytes: 1e9, diskBytes: 1e9 }, facts)
    const effects = step(state, { kind: "Offered", name, spec: spec({ property }) }, 0)
    const report = effects.find(effect => effect.kind === "SendReport")
    assert.ok(report?.kind === "SendReport")
    return report.result === null ? report.phase : `${report.result.outcome}: ${report.result.message}`
  }
  for (const mine of [
    "",
    "image_name = 'base'",
    `image = 'sha256:${"b".repeat(64)}'`,
    "image_name = 'povray' OR image_version LIKE '0.1.%'",
    // Not about the image: the hub's judgement alone.
    "mem > 64",
    // A hub that is newer than this agent.
    "image_name SOUNDS LIKE 'povray'",
  ]) {
    assert.equal(answer(mine), "running", mine)
  }
  assert.equal(
    answer("image_name = 'povray'"),
    "refused: this node runs the appliance base 0.1.0+20261124, and the job wants image_name = 'povray'",
  )
  assert.match(answer(`mem > 0 AND image = 'sha256:${"c".repeat(64)}'`), /^refused: /)
})

test("outside an appliance what a job asks for is the hub's to judge", () => {
  const agent = new TestAgent()
  const effects = agent.offer({ property: "image_name = 'povray'" })
  assert.ok(effects.some(effect => effect.kind === "SendReport" && effect.phase === "running"))
})
