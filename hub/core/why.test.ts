import assert from "node:assert/strict"
import { test } from "node:test"
import { ATTEMPT_SLACK_MS, LEASE_MS, OFFER_MS } from "../limits.ts"
import { TestCore } from "./fixtures.ts"
import type { CampaignId, NodeId } from "./model.ts"
import { noRules } from "./rules.ts"
import { linesOf } from "./story.ts"

/** A core that notes every move, and each line of a story beside it. */
class Told extends TestCore {
  readonly said: string[] = []

  override tick(...events: Parameters<TestCore["tick"]>) {
    const done = super.tick(...events)
    for (const { why, to } of done.effects.moves) this.said.push(`${why} → ${to}`)
    for (const job of done.effects.jobs) assert.ok(linesOf(job.story).every(({ why }) => why !== "unknown"))
    for (const write of done.writes) if (write.kind === "cancelledRange") this.said.push(`${write.why} → range`)
    return done
  }

  /** What was said since the last time. */
  take(): string[] {
    return this.said.splice(0)
  }
}

function under(slots = 1, change: Parameters<TestCore["submit"]>[0] = {}): Told {
  const core = new Told()
  core.tick(core.hello("n1", { slots }))
  core.submit({ total: 1, ...change })
  core.take()
  return core
}

const ofJob = [1, 0, 1] as [number, number, number]

test("an attempt that goes well tells what the node said", () => {
  const core = under()
  for (const phase of ["staging", "running", "returning", "ended"] as const) core.tick(core.report("n1", ofJob, phase))
  assert.deepEqual(core.take(), [
    "progressed → staging",
    "progressed → running",
    "progressed → returning",
    "finished → finished",
  ])
})

test("failures are told apart: with tries left, without, by exit code, at the walltime, and in quarantine", () => {
  const ends = (retryMax: number, retryExitCodes: number[], change: Parameters<TestCore["report"]>[3]) => {
    const core = under(1, { rules: { ...noRules, retryMax, retryExitCodes } })
    core.tick(core.report("n1", ofJob, "ended", change))
    return core.take()[0]
  }
  const failed = { outcome: "failed", exitCode: 3 } as const
  assert.equal(ends(1, [], failed), "failed → queued")
  assert.equal(ends(0, [], failed), "failed → failed")
  assert.equal(ends(1, [3], failed), "failed → queued")
  assert.equal(ends(1, [4], failed), "exit_code_rule → failed")
  assert.equal(ends(0, [4], failed), "failed → failed", "there was no further try to be refused")
  assert.equal(ends(1, [], { outcome: "timedout", exitCode: 137 }), "walltime → queued")
  assert.equal(ends(0, [], { outcome: "timedout", exitCode: 137 }), "walltime → timedout")
  const core = under()
  const node = core.state.nodes.get("n1" as NodeId)!
  node.quarantine = { sinceAt: 0, why: "", clean: 0, failed: 0, probeMs: 0 }
  core.tick(core.report("n1", ofJob, "ended", failed))
  assert.equal(core.take()[0], "quarantine → queued")
})

test("losses are told apart", () => {
  const loses = (act: (core: Told) => void, phase: "running" | null = "running", rules = noRules) => {
    const core = under(1, { rules, walltimeMs: 1_000 })
    if (phase !== null) core.tick(core.report("n1", ofJob, phase))
    core.take()
    act(core)
    return core.take()[0]
  }
  const gives = (outcome: "lost" | "refused") => (core: Told) =>
    void core.tick(core.report("n1", ofJob, "ended", { outcome }))
  assert.equal(loses(gives("lost")), "given_up → queued")
  assert.equal(loses(gives("refused")), "refused → queued")
  assert.equal(loses(gives("lost"), "running", { ...noRules, lossMax: 0 }), "given_up → lost")
  assert.equal(
    loses(core => void core.wait(LEASE_MS + 1_000)),
    "lease_expired → queued",
  )
  assert.equal(
    loses(core => void core.tick(core.hello("n1"))),
    "node_forgot → queued",
  )
  assert.equal(
    loses(core => void core.tick(core.hello("n1", { bootId: "another" }))),
    "node_restarted → queued",
  )
  const revoked = (core: Told) => ({ kind: "NodeRevoked", request: core.request(), node: "n1" as NodeId }) as const
  assert.equal(
    loses(core => void core.tick(revoked(core))),
    "node_revoked → queued",
  )
  const beat = { kind: "HeartbeatReceived", node: "n1" as NodeId, epoch: 1, sequence: 1 } as const
  const unanswered = loses(core => {
    core.nowMs += OFFER_MS
    core.tick(beat)
  }, null)
  assert.equal(unanswered, "offer_unanswered → queued")
  assert.equal(
    loses(core => void core.live(1_000 + ATTEMPT_SLACK_MS + LEASE_MS)),
    "overdue → queued",
  )
})

test("an attempt that was given up for lost comes back", () => {
  const core = under()
  core.tick(core.report("n1", ofJob, "running"))
  core.wait(LEASE_MS + 1_000)
  core.take()
  const holding = [{ campaign: 1 as CampaignId, index: 0, attempt: 1, phase: "running" as const }]
  core.tick(core.hello("n1", { holding }))
  assert.equal(core.take()[0], "came_back → running")
})

test("what makes room is told apart: for a job in turn, and for want of a container", () => {
  const guest = under(1, { rules: { ...noRules, bestEffort: true } })
  guest.submit({ key: "2", total: 1 })
  assert.deepEqual(guest.take(), ["preempted → queued"])
  const core = under(2, { rules: { ...noRules, container: true } })
  core.tick(core.report("n1", ofJob, "running"))
  core.submit({ key: "2", total: 1, rules: { ...noRules, inside: 1 as CampaignId } })
  core.tick(core.report("n1", [2, 0, 1], "running"))
  core.take()
  core.tick(core.report("n1", ofJob, "ended", { outcome: "lost" }))
  assert.deepEqual(core.take(), ["given_up → queued", "container_gone → queued"])
})

test("owners hold, resume and cancel", () => {
  const core = new Told()
  const campaign = core.submit({ total: 3 })
  const one = { request: core.request(), campaign, ranges: [{ first: 0, last: 0 }] }
  core.tick({ kind: "JobsHeld", ...one, held: true })
  core.tick({ kind: "JobsHeld", ...one, held: false })
  core.tick({ kind: "JobsCancelled", ...one, ranges: [{ first: 0, last: 2 }] })
  assert.deepEqual(core.take(), ["held → held", "resumed → queued", "cancelled → cancelled", "cancelled → range"])
})

test("what is cancelled with its campaign tells what ended that", () => {
  const wallMs = 1e12 + 1_000
  const late = under(1, { total: 2, rules: { ...noRules, deadlineAt: wallMs + 5_000 } })
  late.wait(5_000)
  assert.deepEqual(late.take(), ["deadline → cancelled", "deadline → range"])

  const reservation = { startAt: wallMs, endAt: wallMs + 5_000 }
  const over = under(1, { total: 2, walltimeMs: 1_000, rules: { ...noRules, reservation } })
  over.wait(5_000)
  assert.ok(over.take().includes("reservation_over → range"))

  const failing = under(1, { total: 3, rules: { ...noRules, failMax: 1 } })
  failing.tick(failing.report("n1", ofJob, "ended", { outcome: "failed", exitCode: 1 }))
  assert.deepEqual(failing.take(), ["failed → failed", "too_many_failures → range"])

  const container = under(2, { rules: { ...noRules, container: true } })
  container.submit({ key: "2", total: 1, rules: { ...noRules, inside: 1 as CampaignId } })
  container.tick(container.report("n1", ofJob, "ended"))
  assert.deepEqual(container.take(), ["finished → finished", "container_ended → range"])

  const needed = under(1)
  needed.submit({ key: "2", total: 1, waitsFor: [{ campaign: 1 as CampaignId, success: true }] })
  needed.tick(needed.report("n1", ofJob, "ended", { outcome: "failed", exitCode: 1 }))
  assert.deepEqual(needed.take(), ["failed → failed", "dependency_failed → range"])
})
