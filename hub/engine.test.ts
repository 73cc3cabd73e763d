import assert from "node:assert/strict"
import { test } from "node:test"
import type { FullOffer, LinkSpeech } from "./core/effects.ts"
import { order, result } from "./core/fixtures.ts"
import type { CampaignId, LinkId, NodeId } from "./core/model.ts"
import type { Links, Log, Timer } from "./core/ports.ts"
import { step } from "./core/step.ts"
import { type EngineParts, HubEngine } from "./engine.ts"
import { REOPEN_MS } from "./limits.ts"
import { MemoryStore } from "./store/memory/memory.ts"
import { digestFor } from "./store/store.suite.ts"

/** An engine whose turns, clock and disk move only when the test says so. */
class Bench {
  readonly said: (LinkSpeech | ({ kind: "Offer"; link: LinkId } & FullOffer))[] = []
  readonly dropped: string[] = []
  /** How often the links may have agents again. */
  resumed = 0
  readonly disk: (() => void)[] = []
  readonly store = new MemoryStore({ defer: run => this.disk.push(run) })
  readonly engine: HubEngine
  nowMs = 0
  private soon: (() => void)[] = []
  private readonly alarms: { atMs: number; run: () => void }[] = []

  constructor(parts: Partial<EngineParts> = {}) {
    const timer: Timer = {
      soon: run => this.soon.push(run),
      at: (atMs, run) => {
        const alarm = { atMs, run }
        this.alarms.push(alarm)
        return () => this.alarms.splice(this.alarms.indexOf(alarm), 1)
      },
    }
    const log: Log = { debug() {}, info() {}, warn() {}, error() {} }
    const clock = { nowMs: () => this.nowMs, wallMs: () => 1e12 + this.nowMs }
    this.engine = new HubEngine({ store: this.store, clock, timer, log, ...parts })
    const links: Links = {
      offer: (link, offer) => this.said.push({ kind: "Offer", link, ...offer }),
      speak: speech => this.said.push(speech),
      drop: reason => this.dropped.push(reason),
      resume: () => this.resumed++,
      health: () => ({ links: 0, streams: 0, bufferedBytes: 0 }),
    }
    this.engine.start(links)
    this.turn()
  }

  /** Runs what the engine asked to run soon, and what is due. */
  turn(): void {
    for (const run of this.soon.splice(0)) run()
    for (const alarm of [...this.alarms]) {
      if (alarm.atMs > this.nowMs) continue
      this.alarms.splice(this.alarms.indexOf(alarm), 1)
      alarm.run()
    }
    for (const run of this.soon.splice(0)) run()
  }

  /** One transaction reaches the disk. */
  write(): void {
    this.disk.shift()?.()
  }

  hello(name: string): void {
    this.engine.post({
      kind: "NodeHello",
      link: 1 as LinkId,
      node: name as NodeId,
      account: "volunteer",
      host: null,
      network: "192.0.2.0/24",
      publicKey: new Uint8Array(32),
      agentVersion: "1",
      bootId: "b",
      name,
      slots: 1,
      memoryBytes: 0,
      diskBytes: 0,
      properties: {},
      holding: [],
    })
  }
}

test("nothing is said before it is on disk", async () => {
  const bench = new Bench()
  bench.hello("n1")
  let answered = false
  const submit = bench.engine.submit(order({ total: 1 })).then(reply => {
    answered = true
    return reply
  })
  bench.turn()
  await Promise.resolve()
  assert.equal(bench.said.length, 0)
  assert.equal(answered, false)
  assert.equal(bench.store.campaign(1 as CampaignId), null)
  bench.write()
  assert.deepEqual(await submit, { campaign: 1, jobs: 1, existed: false })
  assert.deepEqual(
    bench.said.map(said => said.kind),
    ["Welcome", "Offer"],
  )
  assert.notEqual(bench.store.campaign(1 as CampaignId), null)
})

test("what happens during a transaction goes into the next one, whole", async () => {
  const bench = new Bench()
  const first = bench.engine.submit(order({ key: "1" }))
  bench.turn()
  const others = [2, 3, 4].map(key => bench.engine.submit(order({ key: String(key) })))
  bench.turn()
  assert.equal(bench.disk.length, 1)
  bench.write()
  await first
  assert.equal(bench.disk.length, 1, "one transaction for all three")
  bench.write()
  assert.deepEqual(
    (await Promise.all(others)).map(reply => reply.campaign),
    [2, 3, 4],
  )
})

test("an offer carries the specification and the job's own line", async () => {
  const bench = new Bench()
  bench.hello("n1")
  void bench.engine.submit(order({ total: 2, lines: ["a b", "c d"], spec: new Uint8Array([7]) }))
  bench.turn()
  bench.write()
  const offer = bench.said.find(said => said.kind === "Offer")
  assert.deepEqual(offer?.kind === "Offer" && [offer.line, offer.total, [...offer.spec]], ["a b", 2, [7]])
})

test("an offer's line is there when it is decided: nothing is asked between the commit and the words", () => {
  const bench = new Bench()
  bench.hello("n1")
  void bench.engine.submit(order({ total: 2, lines: ["a b", "c d"], spec: new Uint8Array([7]) }))
  bench.turn()
  bench.write()
  const report = { node: "n1" as NodeId, epoch: 1, campaign: 1 as CampaignId, index: 0, attempt: 1 }
  bench.engine.post({ kind: "AttemptReported", ...report, phase: "ended", result: result() })
  bench.turn()
  bench.store.parameters = () => {
    throw new Error("asked after the commit")
  }
  bench.write()
  const offers = bench.said.filter(said => said.kind === "Offer")
  assert.deepEqual(
    offers.map(({ line }) => line),
    ["a b", "c d"],
  )
})

test("parameters that cannot be read are trouble of the store: nothing of it is said, and the hub goes on from the disk", async () => {
  const bench = new Bench()
  bench.hello("n1")
  void bench.engine.submit(order({ total: 2, lines: ["a b", "c d"] }))
  bench.turn()
  bench.write()
  const { parameters } = bench.store
  bench.store.parameters = () => {
    throw new Error("database disk image is malformed")
  }
  const report = { node: "n1" as NodeId, epoch: 1, campaign: 1 as CampaignId, index: 0, attempt: 1 }
  bench.engine.post({ kind: "AttemptReported", ...report, phase: "ended", result: result() })
  bench.turn()
  assert.equal(bench.said.filter(said => said.kind === "AnswerReport").length, 0)
  assert.match(String(bench.dropped[0]), /parameters of a job could not be read: database disk image/)
  bench.store.parameters = parameters
  await new Promise(setImmediate)
  bench.turn()
  assert.equal(bench.engine.health().trouble, null)
  assert.equal(bench.engine.job(1 as CampaignId, 0)?.phase, "offered")
})

test("watchers hear of a campaign after its changes are on disk, and no more once they stop", async () => {
  const bench = new Bench()
  bench.hello("n1")
  void bench.engine.submit(order({ total: 1 }))
  bench.turn()
  bench.write()
  const news: unknown[] = []
  const stop = bench.engine.watch(1 as CampaignId, told => news.push(told))
  const report = { campaign: 1 as CampaignId, index: 0, attempt: 1, node: "n1" as NodeId, epoch: 1 }
  bench.engine.post({ kind: "AttemptReported", ...report, phase: "ended", result: result() })
  bench.turn()
  assert.deepEqual(news, [])
  bench.write()
  assert.deepEqual(news, [{ ended: [{ index: 0, outcome: "finished" }] }])
  stop()
})

test("when the disk is full those who wait are told, the links are dropped, and work goes on from what is on disk", async () => {
  const bench = new Bench()
  const kept = bench.engine.submit(order({ key: "kept" }))
  bench.turn()
  bench.write()
  await kept
  bench.store.fail(new Error("the disk is full"))
  const lost = assert.rejects(bench.engine.submit(order({ key: "lost" })), {
    code: "unavailable",
    message: /trouble with its disk/,
  })
  bench.turn()
  bench.write()
  await lost
  assert.equal(bench.dropped.length, 1)
  assert.match(bench.engine.health().trouble ?? "", /disk is full/)
  await assert.rejects(bench.engine.submit(order({ key: "later" })), { code: "unavailable" })
  await assert.rejects(bench.engine.commit([]), { code: "unavailable" })
  bench.store.fail(null)
  await settled()
  bench.nowMs += REOPEN_MS
  bench.turn()
  await settled()
  assert.equal(bench.engine.health().trouble, null)
  assert.equal(bench.engine.health().liveCampaigns, 1)
  const again = bench.engine.submit(order({ key: "lost" }))
  bench.turn()
  bench.write()
  assert.equal((await again).existed, false, "nothing of the refused one was kept")
})

test("an error of our own in a decision costs that event, not the hub", async () => {
  const bench = new Bench({
    decide: (state, event, now, effects) => {
      if (event.kind === "CampaignSubmitted" && event.key === "poison") throw new Error("a bug")
      step(state, event, now, effects)
    },
  })
  const poisoned = assert.rejects(bench.engine.submit(order({ key: "poison" })), { code: "unavailable" })
  bench.turn()
  await poisoned
  await settled()
  const good = bench.engine.submit(order({ key: "good" }))
  bench.turn()
  bench.write()
  assert.equal((await good).campaign, 1)
})

/** Let one order end in so many writes before another with its key, which the front let through, is decided. */
for (const [when, writes] of [
  ["is on disk", 2],
  ["is on its way there", 1],
  ["was decided in the same transaction", 0],
] as const) {
  test(`O13: an order whose key another used meanwhile gets that campaign, whose end ${when}`, async () => {
    const bench = new Bench()
    const busy = bench.engine.commit([{ kind: "share", owner: "ann", share: 2 }])
    bench.turn()
    const used = bench.engine.submit(order({ key: "k", total: 3 }))
    bench.turn()
    bench.write()
    const cancelled = bench.engine.cancel(1 as CampaignId, [{ first: 0, last: 2 }])
    bench.turn()
    for (let i = 0; i < writes; i++) bench.write()
    const late = bench.engine.submit(order({ key: "k", total: 3 }))
    const other = bench.engine.submit(order({ key: "another", total: 3 }))
    const wrong = assert.rejects(bench.engine.submit(order({ key: "k", specDigest: digestFor(7) })), {
      code: "already_exists",
    })
    bench.turn()
    while (bench.disk.length > 0) bench.write()
    await Promise.all([busy, used, cancelled, wrong])
    assert.deepEqual(await late, { campaign: 1, jobs: 3, existed: true })
    assert.deepEqual(await other, { campaign: 2, jobs: 3, existed: false })
    assert.deepEqual([bench.dropped, bench.engine.health().trouble], [[], null])
  })
}

test("O13: rows of one caller that break a rule are that caller's error, and nobody else's", async () => {
  const bench = new Bench()
  const row = { id: "e", hash: new Uint8Array(1), account: "ann", usesLeft: 1, expiresAt: 1, launch: null }
  const good = bench.engine.commit([{ kind: "enrolment", row }])
  const orphan = { kind: "blobOwner", digest: digestFor(1), owner: "eve", as: "uploaded" } as const
  const bad = assert.rejects(bench.engine.commit([{ kind: "enrolment", row: { ...row, id: "f" } }, orphan]), {
    code: "aborted",
    message: /try again/,
  })
  const submitted = bench.engine.submit(order())
  bench.turn()
  bench.write()
  await Promise.all([good, bad, submitted])
  assert.deepEqual([bench.store.enrolment("e")?.id, bench.store.enrolment("f")], ["e", null])
  assert.deepEqual([bench.dropped, bench.engine.health().trouble], [[], null])
})

test("draining takes no more orders and waits for what was promised", async () => {
  const bench = new Bench()
  const promised = bench.engine.submit(order())
  bench.turn()
  const drained = bench.engine.drain()
  await assert.rejects(bench.engine.submit(order({ key: "late" })), { code: "unavailable", message: /stopping/ })
  bench.write()
  await Promise.all([promised, drained])
})

function settled(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
