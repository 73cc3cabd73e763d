import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { describe, it, type TestContext } from "node:test"
import { type Client, Code } from "@connectrpc/connect"
import type { ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import { Quotas } from "../../cases/quotas.ts"
import { noQuotas, openFront } from "../front.suite.ts"

const command = ["true"]

describe("an owner's quotas", () => {
  let nowMs = 0
  async function open(t: TestContext, limits: Partial<typeof noQuotas>) {
    const front = await openFront({ quotas: new Quotas({ ...noQuotas, ...limits }, { nowMs: () => nowMs }) })
    t.after(() => front.close())
    return { front, ada: front.scientist(await front.token("ada")), bob: front.scientist(await front.token("bob")) }
  }
  let keys = 0
  const submit = (who: Client<typeof ScientistService>, array: number) =>
    who.submit({ idempotencyKey: `key ${++keys}`, spec: { command, array } })

  it("S21: bound the jobs of campaigns under way, of each owner alone, and say the number", async t => {
    const { ada, bob } = await open(t, { jobs: 10 })
    const { campaign } = await submit(ada, 8)
    const rawMessage =
      /your campaigns under way have 8 jobs, and 3 more are above your quota of 10: wait until some have ended/
    await assert.rejects(submit(ada, 3), { code: Code.ResourceExhausted, rawMessage })
    await submit(bob, 10)
    await submit(ada, 2)
    await ada.cancel({ campaign })
    await submit(ada, 8)
    const { quota } = await ada.whoAmI({})
    assert.deepEqual([quota?.jobs, quota?.jobsMax], [10n, 10n])
  })

  it("S21: are not spent by a submit that is asked for again", async t => {
    const { ada } = await open(t, { jobs: 10 })
    const again = { idempotencyKey: "one", spec: { command, array: 10 } }
    const [first, second] = [await ada.submit(again), await ada.submit(again)]
    assert.deepEqual([second.campaign, second.existed], [first.campaign, true])
  })

  it("S21: bound submits a second, with some at once, and give more as time passes", async t => {
    const { ada, bob } = await open(t, { submitsPerSecond: 0.1 })
    await submit(ada, 1)
    await submit(ada, 1)
    await assert.rejects(submit(ada, 1), { code: Code.ResourceExhausted, rawMessage: /submits a second, your quota/ })
    await submit(bob, 1)
    nowMs += 10_000
    await submit(ada, 1)
  })

  it("S21: bound what an owner uploads, before a byte is taken", async t => {
    const { ada, front } = await open(t, { bytes: 100 })
    const upload = (size: number) => {
      const data = Buffer.alloc(size, size)
      const digest = `sha256:${createHash("sha256").update(data).digest("hex")}`
      return ada.upload(
        (async function* () {
          yield { blob: { digest, sizeBytes: BigInt(size) }, offset: 0n, data }
        })(),
      )
    }
    await upload(60)
    const rawMessage = /41 bytes more beside the 60 that you have here are above your quota of 100: remove some/
    await assert.rejects(upload(41), { code: Code.ResourceExhausted, rawMessage })
    await upload(60)
    await upload(40)
    assert.equal(front.store.ownedBytes("ada"), 100)
    assert.equal(front.store.ownedBytes("bob"), 0)
  })

  it("S21: bound watches, and an ended one makes room for another", async t => {
    const { ada } = await open(t, { watches: 1 })
    const { campaign } = await submit(ada, 1)
    const abort = new AbortController()
    const first = ada.watchCampaign({ campaign }, { signal: abort.signal })[Symbol.asyncIterator]()
    await first.next()
    const second = ada.watchCampaign({ campaign })[Symbol.asyncIterator]()
    await assert.rejects(second.next(), {
      code: Code.ResourceExhausted,
      rawMessage: /1 campaigns and logs are watched/,
    })
    assert.equal((await ada.whoAmI({})).quota?.watches, 1)
    await ada.cancel({ campaign })
    for (let next = await first.next(); next.done !== true; ) next = await first.next()
    assert.equal((await ada.whoAmI({})).quota?.watches, 0)
  })
})
