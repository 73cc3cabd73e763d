// Whose fault a failure is: the job's, the node's, or the whole campaign's.
import assert from "node:assert/strict"
import { test } from "node:test"
import { ELSEWHERE_MS, PROBE_MIN_MS, PROBES_CLEAN } from "../limits.ts"
import type { Speech } from "./effects.ts"
import { digest, only, TestCore } from "./fixtures.ts"
import type { NodeId } from "./model.ts"
import type { Write } from "./rows.ts"
import { noRules } from "./rules.ts"

const failed = { outcome: "failed", exitCode: 127 } as const

class Fleet extends TestCore {
  readonly failures: { index: number; node: string }[] = []
  readonly ended = new Map<number, string>()
  readonly said: { quarantined: boolean; node: string }[] = []

  constructor(nodes: number) {
    super()
    for (let i = 0; i < nodes; i++) this.tick(this.hello(`n${i}`))
  }

  /** Every node that has a job ends it as `exits` says, the sick ones first. Returns how many ended. */
  round(fails: (node: string, index: number) => boolean): number {
    const nodes = [...this.state.nodes.values()].filter(({ link, held }) => link !== null && held.size > 0)
    const reports = nodes
      .sort((a, b) => Number(fails(b.id, 0)) - Number(fails(a.id, 0)))
      .flatMap(({ id, held }) => [...held.values()].map(one => ({ id, ...one })))
      .filter(({ stopping }) => stopping === null)
    for (const { id, campaign, index, attempt } of reports) {
      const isBad = fails(id, index)
      if (isBad) this.failures.push({ index, node: id })
      this.keep(this.tick(this.report(id, [campaign, index, attempt], "ended", isBad ? failed : {})))
    }
    return reports.length
  }

  keep({ speech, writes }: { speech: readonly Speech[]; writes: readonly Write[] }): void {
    for (const write of writes)
      if (write.kind === "result" && write.row.accepted) this.ended.set(write.row.index, write.row.outcome)
    this.said.push(...only(speech, "NodeJudged"))
  }

  /** Until nothing is left, or for so many virtual minutes. */
  play(fails: (node: string, index: number) => boolean, minutes = 60): void {
    for (let ms = 0; ms < minutes * 60_000 && this.state.campaigns.size > 0; ms += 250) {
      this.round(fails)
      this.nowMs += 250
      for (const { id, epoch } of this.state.nodes.values())
        this.keep(this.tick({ kind: "HeartbeatReceived", node: id, epoch, sequence: 1 }))
    }
  }

  outcomes(): Record<string, number> {
    const sum: Record<string, number> = {}
    for (const outcome of this.ended.values()) sum[outcome] = (sum[outcome] ?? 0) + 1
    return sum
  }
}

const isSick = (node: string) => node === "n0"

test("O3: a job that failed has its next try on another node", () => {
  const core = new TestCore()
  core.tick(core.hello("one"))
  const id = core.submit({ total: 1, rules: { ...noRules, retryMax: 2 } })
  core.tick(core.hello("two"))
  core.tick(core.report("one", [id, 0, 1], "ended", failed))
  const { speech } = core.wait(1_000)
  assert.equal(only(speech, "Offer").length, 1)
  assert.equal(core.job(id, 0)?.node, "two")
})

test("O3: where there is no other node the next try is on the same, and at once", () => {
  const core = new TestCore()
  core.tick(core.hello("one"), core.hello("away"))
  core.tick({ kind: "NodeDrained", request: core.request(), node: "away" as NodeId, drained: true })
  const id = core.submit({ total: 1, rules: { ...noRules, retryMax: 2 } })
  core.tick(core.report("one", [id, 0, 1], "ended", failed))
  core.wait(1_000)
  assert.equal(core.job(id, 0)?.node, "one")
})

test("O3: others that stay busy are not waited for for ever, and explain says that they are", () => {
  const core = new TestCore()
  core.tick(core.hello("one"), core.hello("two"))
  const id = core.submit({ total: 2, rules: { ...noRules, retryMax: 2 } })
  const at = core.job(id, 0)!.node!
  core.tick(core.report(at, [id, 0, 1], "ended", failed))
  core.wait(1_000)
  assert.equal(core.job(id, 0)?.phase, "queued")
  assert.match(core.explain(id, 0), /all are busy.*; for a while it is kept from 1 node, where it failed/)
  core.live(ELSEWHERE_MS)
  assert.equal(core.job(id, 0)?.node, at)
})

test("O3: one sick node out of ten is in quarantine after three failures, and no job with retries is lost", () => {
  const fleet = new Fleet(10)
  fleet.submit({ total: 200, rules: { ...noRules, retryMax: 2 } })
  fleet.play(isSick)
  assert.deepEqual(fleet.outcomes(), { finished: 200 })
  assert.ok(fleet.failures.length <= 3, `${fleet.failures.length} failures`)
  assert.deepEqual(
    fleet.said.map(({ node, quarantined }) => [node, quarantined]),
    [["n0", true]],
  )
})

test("O3: without retries a sick node costs no more than its three failures, and its tries after that cost none", () => {
  const fleet = new Fleet(10)
  fleet.submit({ total: 5_000 })
  fleet.play(isSick)
  assert.deepEqual(fleet.outcomes(), { finished: 4_997, failed: 3 })
  const { quarantine } = fleet.state.nodes.get("n0" as NodeId)!
  assert.ok(quarantine!.failed >= 1, "it was tried meanwhile")
})

test("O3: a sick node beside others at work for an hour gets three jobs, and then waits for them", () => {
  const fleet = new Fleet(10)
  const id = fleet.submit({ total: 200, rules: { ...noRules, retryMax: 2 } })
  const begin = [...fleet.state.nodes.values()].flatMap(({ id: node, held }) =>
    isSick(node)
      ? []
      : [...held.values()].map(({ index, attempt }) => fleet.report(node, [id, index, attempt], "running")),
  )
  fleet.tick(...begin)
  for (let second = 0; second < 30; second++) {
    const sick = fleet.state.nodes.get("n0" as NodeId)!
    for (const { campaign, index, attempt } of [...sick.held.values()]) {
      fleet.failures.push({ index, node: "n0" })
      fleet.keep(fleet.tick(fleet.report("n0", [campaign, index, attempt], "ended", failed)))
    }
    fleet.keep({ ...fleet.wait(1_000) })
  }
  assert.equal(fleet.failures.length, 3)
  assert.deepEqual(
    fleet.said.map(({ node }) => node),
    ["n0"],
  )
})

test("O3: a campaign that fails everywhere puts nobody into quarantine, and ends soon", () => {
  for (const nodes of [1, 2, 10, 40]) {
    const fleet = new Fleet(nodes)
    fleet.submit({ total: 400, rules: { ...noRules, retryMax: 1 } })
    const from = fleet.nowMs
    fleet.play(() => true)
    assert.deepEqual([fleet.outcomes(), fleet.said], [{ failed: 400 }, []], `${nodes} nodes`)
    const roundsMs = (800 / nodes) * 250
    assert.ok(fleet.nowMs - from < 2 * roundsMs + 5 * 60_000, `${nodes} nodes took ${fleet.nowMs - from} ms`)
  }
})

test("O3: a campaign half of whose jobs fail puts nobody into quarantine", () => {
  const fleet = new Fleet(10)
  fleet.submit({ total: 3_000 })
  // As good as chance, and the same at each run.
  fleet.play((_node, index) => ((index * 2_654_435_761) >>> 7) % 2 === 0)
  assert.deepEqual(fleet.said, [])
  assert.equal(fleet.state.campaigns.size, 0)
})

test("O3: a node in quarantine has one job at a time, whose failure is a loss, and leaves when three have gone well", () => {
  const fleet = new Fleet(10)
  fleet.tick(fleet.hello("n0", { slots: 4 }))
  fleet.submit({ total: 100_000 })
  fleet.play(isSick, 1)
  const node = fleet.state.nodes.get("n0" as NodeId)!
  assert.ok(node.quarantine !== null)
  assert.equal(node.held.size, 0)
  fleet.live(PROBE_MIN_MS)
  assert.equal(node.held.size, 1)
  const [held] = node.held.values()
  const { writes } = fleet.tick(fleet.report("n0", [held!.campaign, held!.index, held!.attempt], "ended", failed))
  const job = fleet.job(held!.campaign, held!.index)!
  assert.deepEqual([job.phase, job.failures, job.losses], ["queued", 0, 1])
  assert.ok(writes.some(write => write.kind === "node" && write.row.quarantine?.failed === 1))
  assert.equal(node.held.size, 0, "the wait is longer now")
  fleet.live(2 * PROBE_MIN_MS)
  for (let clean = 1; clean <= PROBES_CLEAN; clean++) {
    assert.equal(node.held.size, 1)
    const [next] = node.held.values()
    fleet.tick(fleet.report("n0", [next!.campaign, next!.index, next!.attempt], "ended"))
  }
  assert.equal(node.quarantine, null)
  assert.equal(node.held.size, 4)
})

test("O3: the operator takes a node out of quarantine, and one that is not in it is refused", () => {
  const fleet = new Fleet(10)
  fleet.submit({ total: 100_000 })
  fleet.play(isSick, 1)
  const node = "n0" as NodeId
  const done = fleet.tick({ kind: "NodeReleased", request: fleet.request(), node })
  assert.deepEqual(
    only(done.speech, "NodeJudged").map(said => said.quarantined),
    [false],
  )
  assert.equal(fleet.state.nodes.get(node)!.held.size, 1)
  const [refused] = only(fleet.tick({ kind: "NodeReleased", request: fleet.request(), node }).speech, "Reply")
  assert.match(refused?.reply.kind === "error" ? refused.reply.error.message : "", /not in quarantine/)
})

test("M1: an attempt that failed and is tried again leaves what it wrote, if that is not too long", () => {
  const core = new TestCore()
  core.tick(core.hello("one"))
  const id = core.submit({ total: 1, rules: { ...noRules, retryMax: 1 } })
  const [small, large] = [100, 1e9].map(sizeBytes => ({
    inline: null,
    blob: { digest: digest("b"), sizeBytes },
    droppedBytes: 0,
  }))
  const ended = { ...failed, stageout: small!.blob, stdout: small!, stderr: large! }
  const { writes } = core.tick(core.report("one", [id, 0, 1], "ended", ended))
  const [kept] = writes.flatMap(write => (write.kind === "result" ? write.row : []))
  assert.deepEqual(
    [kept?.attempt, kept?.accepted, kept?.stageout, kept?.stdout, kept?.stderr],
    [1, false, null, small, { inline: null, blob: null, droppedBytes: 1e9 }],
  )
  core.wait(1_000)
  const last = core.tick(core.report("one", [id, 0, 2], "ended", failed)).writes
  assert.deepEqual(
    last.flatMap(write => (write.kind === "result" ? write.row.accepted : [])),
    [true],
  )
})
