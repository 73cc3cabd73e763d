import assert from "node:assert/strict"
import { test } from "node:test"
import { TestCore } from "./core/fixtures.ts"
import type { NodeId } from "./core/model.ts"
import { noRules } from "./core/rules.ts"
import { createMetrics } from "./metrics.ts"
import { observeTick } from "./observe.ts"

/** A core whose moves are observed, and what the instruments say of them. */
class Observed extends TestCore {
  readonly metrics = createMetrics("1")

  override tick(...events: Parameters<TestCore["tick"]>) {
    const done = super.tick(...events)
    observeTick(this.metrics, { moves: done.effects.moves, tookMs: 1 })
    return done
  }

  async retries(): Promise<Record<string, number>> {
    const { values } = await this.metrics.jobRetries.get()
    return Object.fromEntries(values.map(({ labels, value }) => [labels.cause, value]))
  }

  async losses(): Promise<Record<string, number>> {
    const { values } = await this.metrics.attemptLosses.get()
    return Object.fromEntries(values.map(({ labels, value }) => [labels.why, value]))
  }
}

test("S25: what comes back to the queue is counted by its cause", async () => {
  const core = new Observed()
  core.tick(core.hello("n0", { slots: 2 }))
  const id = core.submit({ total: 2, rules: { ...noRules, retryMax: 1, bestEffort: true } })
  core.tick(core.report("n0", [id, 0, 1], "ended", { outcome: "failed", exitCode: 1 }))
  assert.deepEqual(await core.retries(), { failure: 1 })
  core.tick(core.report("n0", [id, 1, 1], "ended", { outcome: "lost" }))
  assert.deepEqual(await core.retries(), { failure: 1, loss: 1 })
  core.wait(1_000)
  core.submit({ key: "other", total: 2 })
  assert.deepEqual(await core.retries(), { failure: 1, loss: 1, preemption: 2 })
  const range = { first: 0, last: 1 }
  core.tick({ kind: "JobsHeld", request: core.request(), campaign: id, ranges: [range], held: true })
  core.tick({ kind: "JobsHeld", request: core.request(), campaign: id, ranges: [range], held: false })
  assert.deepEqual(await core.retries(), { failure: 1, loss: 1, preemption: 2, hold: 2 })
  core.metrics.close()
})

test("S25: a failed attempt at a job that another still runs is no retry, and a held job that is lost is one", async () => {
  const core = new Observed()
  core.tick(core.hello("n0"))
  const id = core.submit({ total: 1 })
  core.tick(core.report("n0", [id, 0, 1], "running"))
  core.tick({ kind: "NodeRevoked", request: core.request(), node: "n0" as NodeId })
  assert.deepEqual(await core.retries(), { loss: 1 })
  core.metrics.close()
})

test("S25: attempts that are lost are counted by their why, those whose job is given up too, and failures are not among them", async () => {
  const core = new Observed()
  core.tick(core.hello("n0", { slots: 4 }))
  const id = core.submit({ total: 4, rules: { ...noRules, retryMax: 1, lossMax: 1 } })
  core.tick(core.report("n0", [id, 0, 1], "ended", { outcome: "refused" }))
  core.tick(core.report("n0", [id, 1, 1], "ended", { outcome: "failed", exitCode: 1 }))
  for (const index of [2, 3]) core.tick(core.report("n0", [id, index, 1], "running"))
  core.tick(core.hello("n0", { slots: 4, bootId: "another" }))
  assert.deepEqual(await core.losses(), { refused: 1, node_restarted: 2 })
  core.live(60_000)
  core.tick({ kind: "NodeRevoked", request: core.request(), node: "n0" as NodeId })
  assert.deepEqual(await core.losses(), { refused: 1, node_restarted: 2, node_revoked: 4 })
  assert.deepEqual(await core.retries(), { failure: 1, loss: 4 }, "three are given up for lost")
  core.metrics.close()
})

test("S25: run seconds are those that agents measured, of failed attempts too, and of nothing else", async () => {
  const core = new Observed()
  core.tick(core.hello("n0", { slots: 3 }))
  const id = core.submit({ total: 3, rules: { ...noRules, retryMax: 1 } })
  for (let index = 0; index < 3; index++) core.tick(core.report("n0", [id, index, 1], "running"))
  core.nowMs += 60_000
  core.tick(core.report("n0", [id, 0, 1], "ended", { runMs: 2_000 }))
  core.tick(core.report("n0", [id, 1, 1], "ended", { outcome: "failed", exitCode: 1, runMs: 3_000 }))
  core.tick(core.report("n0", [id, 2, 1], "ended", { outcome: "lost", runMs: 0 }))
  const text = await core.metrics.registry.metrics()
  assert.match(text, /cah_job_run_seconds_sum 5\n/)
  assert.match(text, /cah_job_run_seconds_count 2\n/)
  core.metrics.close()
})
