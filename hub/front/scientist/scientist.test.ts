import assert from "node:assert/strict"
import { setMaxListeners } from "node:events"
import { after, before, describe, it } from "node:test"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Client, Code, ConnectError } from "@connectrpc/connect"
import { type CampaignSpecSchema, Outcome, Phase, Why } from "../../../proto/gen/cah/v1/job_pb.ts"
import { Output, type ScientistService } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import {
  ARRAY_MAX,
  PARAMETER_BYTES_MAX,
  STAGEOUT_GLOBS_MAX,
  UPLOAD_MESSAGE_BYTES_MAX,
  UPLOADS_PER_OWNER_MAX,
  WALLTIME_MAX_MS,
  WATCH_PENDING_MAX,
} from "../../limits.ts"
import { keep, openFront, refOf, type TestFront } from "../front.suite.ts"

type Spec = MessageInitShape<typeof CampaignSpecSchema>
type Ada = Client<typeof ScientistService>

const command = ["true"]
let keys = 0
const submit = (ada: Ada, spec: Spec, lines: string[] = [], key = `key ${++keys}`) =>
  ada.submit({ idempotencyKey: key, spec, parameters: lines.map(line => ({ line })) })

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const gathered: T[] = []
  for await (const each of source) gathered.push(each)
  return gathered
}

async function* pieces(blob: ReturnType<typeof refOf>, offset: number, parts: readonly Uint8Array[]) {
  const named = { digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) }
  yield { blob: named, offset: BigInt(offset), data: parts[0] ?? new Uint8Array() }
  for (const data of parts.slice(1)) yield { data }
}

describe("the scientist's service", () => {
  let front: TestFront
  let ada: Ada
  before(async () => {
    front = await openFront()
    ada = front.scientist(await front.token("ada"))
  })
  after(() => front.close())

  it("says who asks, of which hub", async () => {
    const me = await ada.whoAmI({})
    assert.deepEqual([me.principal, me.hubId, me.hubVersion], ["ada", front.store.hubId(), "0.0.0-test"])
  })

  describe("a submit", () => {
    const refused: [string, Spec, RegExp][] = [
      ["no command", { array: 1 }, /command is empty/],
      ["a blank command", { command: [" "], array: 1 }, /command is empty/],
      ["a NUL in the command", { command: ["a", "b\0c"], array: 1 }, /argument 1 of the command contains a NUL/],
      ["an array of 0", { command, array: 0 }, /array is 0/],
      ["an array above the limit", { command, array: ARRAY_MAX + 1 }, /array 10000001 is too large: 10000000/],
      [
        "F4: a grace above the limit",
        { command, array: 1, grace: { seconds: 1_801n } },
        /grace 1801 s is out of range: 30/,
      ],
      ["a walltime of 0", { command, array: 1, walltime: { seconds: 0n } }, /walltime 0 s is out of range/],
      ["a negative walltime", { command, array: 1, walltime: { seconds: -5n } }, /walltime -5 s is out of range/],
      [
        "a walltime above the limit",
        { command, array: 1, walltime: { seconds: BigInt(WALLTIME_MAX_MS / 1e3 + 1) } },
        /out of range: 1 s to 30 days/,
      ],
      ["a bad env name", { command, array: 1, env: { "1A": "x" } }, /env name "1A"/],
      ["an env name with =", { command, array: 1, env: { "A=B": "x" } }, /env name "A=B"/],
      ["a long name", { command, array: 1, name: "n".repeat(201) }, /name has 201 characters: 200 at most/],
      ["a control character in the name", { command, array: 1, name: "a\u001b[31m" }, /name contains a control/],
      ["an absolute stageout", { command, array: 1, stageout: ["/etc/passwd"] }, /stageout "\/etc\/passwd"/],
      ["a stageout out of the directory", { command, array: 1, stageout: ["a/../../b"] }, /stageout/],
      ["many stageouts", { command, array: 1, stageout: Array(STAGEOUT_GLOBS_MAX + 1).fill("a") }, /too many/],
      ["a priority out of range", { command, array: 1, priority: 5000 }, /priority 5000 is out of range/],
      ["many slots", { command, array: 1, needs: { slots: 1_000_000 } }, /slots are too many/],
      ["a large specification", { command: ["x".repeat(70_000)], array: 1 }, /specification of \d+ bytes is too large/],
      ["no digest", { command, array: 1, stagein: { digest: "sha256:xyz" } }, /a blob is named "sha256:"/],
    ]
    for (const [what, spec, message] of refused) {
      it(`with ${what} is refused in clear words`, async () => {
        await assert.rejects(submit(ada, spec), { code: Code.InvalidArgument, rawMessage: message })
      })
    }

    it("without a key, without a spec, or with a bad parameter line is refused in clear words", async () => {
      const code = Code.InvalidArgument
      await assert.rejects(submit(ada, { command, array: 1 }, [], ""), { code, rawMessage: /no idempotency_key/ })
      await assert.rejects(ada.submit({ idempotencyKey: "k" }), { code, rawMessage: /no spec/ })
      const long = "x".repeat(PARAMETER_BYTES_MAX + 1)
      await assert.rejects(submit(ada, { command }, ["a", long]), { code, rawMessage: /parameter line 1 has 16385/ })
      await assert.rejects(submit(ada, { command }, ["a\nb"]), { code, rawMessage: /line 0 contains a line break/ })
    })

    it("whose stagein the owner has not uploaded says which and what to do", async () => {
      const blob = refOf(Buffer.from("somebody else's"))
      const eve = front.scientist(await front.token("eve"))
      const stagein = { digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) }
      await eve.upload(pieces(blob, 0, [Buffer.from("somebody else's")]))
      await assert.rejects(submit(ada, { command, array: 1, stagein }), {
        code: Code.FailedPrecondition,
        rawMessage: new RegExp(`${blob.digest} is not on the hub: upload it`),
      })
      await submit(eve, { command, array: 1, stagein })
      await assert.rejects(submit(eve, { command, array: 1, stagein: { ...stagein, sizeBytes: 3n } }), {
        code: Code.InvalidArgument,
        rawMessage: /has 15 bytes, not 3/,
      })
    })

    it("repeated with its key makes nothing new, and another one with that key is refused", async () => {
      const spec = { command, array: 3, env: { B: "2", A: "1" } }
      const first = await submit(ada, spec, [], "same")
      assert.equal(first.existed, false)
      const again = await submit(ada, { ...spec, env: { A: "1", B: "2" } }, [], "same")
      assert.deepEqual([again.campaign, again.existed, again.jobs], [first.campaign, true, 3])
      const code = Code.AlreadyExists
      await assert.rejects(submit(ada, { ...spec, array: 4 }, [], "same"), { code, rawMessage: /use a new key/ })
      // Also when it has ended and only the store knows it.
      await ada.cancel({ campaign: first.campaign })
      assert.equal((await submit(ada, spec, [], "same")).existed, true)
      await assert.rejects(submit(ada, { ...spec, array: 4 }, [], "same"), { code, rawMessage: /use a new key/ })
      // The key is the owner's own.
      const eve = front.scientist(await front.token("eve"))
      assert.equal((await submit(eve, spec, [], "same")).existed, false)
    })

    it("of many at once with one key makes one campaign", async () => {
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => submit(ada, { command, array: 1 }, [], "at once")),
      )
      assert.equal(new Set(answers.map(answer => answer.campaign)).size, 1)
      assert.equal(answers.filter(answer => !answer.existed).length, 1)
    })

    it("in a stream of messages is the same as in one", async () => {
      const parameters = (lines: string[]) => lines.map(line => ({ line }))
      async function* requests() {
        yield { idempotencyKey: "stream", spec: { command }, parameters: parameters(["a", "b"]) }
        yield { parameters: parameters(["c"]) }
      }
      const made = await ada.submitStream(requests())
      assert.equal(made.jobs, 3)
      const again = await submit(ada, { command }, ["a", "b", "c"], "stream")
      assert.deepEqual([again.campaign, again.existed], [made.campaign, true])
      const { job } = await ada.getJob({ id: { campaign: made.campaign, index: 2 } })
      assert.equal(job?.parameters?.line, "c")
      async function* twice() {
        yield { idempotencyKey: "twice", spec: { command } }
        yield { spec: { command } }
      }
      await assert.rejects(ada.submitStream(twice()), { code: Code.InvalidArgument, rawMessage: /first message only/ })
    })
  })

  describe("lists", () => {
    it("show an untouched million as queued, a page at a time, around what was cancelled", async () => {
      const { campaign } = await submit(ada, { command, array: 1_000_000 })
      assert.equal((await ada.cancel({ campaign, ranges: [{ first: 2, last: 999_990 }] })).cancelled, 999_989)
      const { jobs } = await ada.listJobs({ campaign, phase: Phase.QUEUED })
      assert.deepEqual(
        jobs.map(job => job.id?.index),
        [0, 1, 999_991, 999_992, 999_993, 999_994, 999_995, 999_996, 999_997, 999_998, 999_999],
      )
      const some = await ada.listJobs({ campaign, limit: 3 })
      assert.deepEqual(
        some.jobs.map(job => [job.id?.index, job.phase, job.outcome]),
        [
          [0, Phase.QUEUED, Outcome.UNSPECIFIED],
          [1, Phase.QUEUED, Outcome.UNSPECIFIED],
          [2, Phase.ENDED, Outcome.CANCELLED],
        ],
      )
      const ended = await ada.listJobs({ campaign, outcome: Outcome.CANCELLED, fromIndex: 999_989, limit: 5 })
      assert.deepEqual(
        ended.jobs.map(job => job.id?.index),
        [999_989, 999_990],
      )
      await assert.rejects(ada.listJobs({ campaign, limit: 1001 }), { code: Code.InvalidArgument })
      await assert.rejects(ada.getJob({ id: { campaign, index: 1_000_000 } }), {
        code: Code.NotFound,
        rawMessage: /has jobs \d+\.0 to \d+\.999999/,
      })
      const shown = await ada.getCampaign({ campaign })
      assert.deepEqual([shown.campaign?.counts?.queued, shown.campaign?.counts?.cancelled], [11, 999_989])
      assert.deepEqual(shown.campaign?.spec?.command, command)
    })

    it("show campaigns newest first, page by page", async () => {
      const bob = front.scientist(await front.token("bob"))
      const made: bigint[] = []
      for (let n = 0; n < 5; n++) made.unshift((await submit(bob, { command, array: 1, name: `c${n}` })).campaign)
      const first = (await bob.listCampaigns({ limit: 3 })).campaigns.map(each => each.id)
      assert.deepEqual(first, made.slice(0, 3))
      const rest = (await bob.listCampaigns({ limit: 3, before: first[2]! })).campaigns.map(each => each.id)
      assert.deepEqual(rest, made.slice(3))
      await bob.cancel({ campaign: made[0]! })
      assert.equal((await bob.listCampaigns({ live: true })).campaigns.length, 4)
    })

    it("refuse ranges that are none", async () => {
      const { campaign } = await submit(ada, { command, array: 10 })
      for (const ranges of [[{ first: 3, last: 2 }], [{ first: 0, last: 10 }]]) {
        await assert.rejects(ada.cancel({ campaign, ranges }), {
          code: Code.InvalidArgument,
          rawMessage: /is not within campaign/,
        })
      }
      assert.equal((await ada.cancel({ campaign })).cancelled, 10)
      assert.equal((await ada.cancel({ campaign })).cancelled, 0)
    })
  })

  describe("an upload", () => {
    const bytes = Buffer.from("0123456789".repeat(20_000))
    const blob = refOf(bytes)
    const named = { digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) }
    const half = bytes.subarray(0, 100_000)

    it("that ends too early is kept and can be resumed, and is whole only then", async () => {
      assert.deepEqual(await ada.getUpload({ blob: named }).then(({ offset, stored }) => [offset, stored]), [0n, false])
      await assert.rejects(ada.upload(pieces(blob, 0, [half])), {
        code: Code.Aborted,
        rawMessage: /ended at 100000 of 200000 bytes/,
      })
      const where = await ada.getUpload({ blob: named })
      assert.deepEqual([where.offset, where.stored], [100_000n, false])
      await assert.rejects(ada.upload(pieces(blob, 0, [half])), {
        code: Code.FailedPrecondition,
        rawMessage: /has 100000 bytes of it, not 0: ask GetUpload/,
      })
      await ada.upload(pieces(blob, 100_000, [bytes.subarray(100_000, 150_000), bytes.subarray(150_000)]))
      assert.deepEqual(await ada.getUpload({ blob: named }).then(({ offset, stored }) => [offset, stored]), [
        200_000n,
        true,
      ])
      // Again: answered at once.
      assert.equal((await ada.upload(pieces(blob, 0, [half]))).blob?.digest, blob.digest)
    })

    it("of what somebody else has uploaded starts at 0: nobody learns that it is here", async () => {
      const eve = front.scientist(await front.token("eve"))
      const where = await eve.getUpload({ blob: named })
      assert.deepEqual([where.offset, where.stored], [0n, false])
      await eve.upload(pieces(blob, 0, [half, bytes.subarray(100_000)]))
      assert.equal((await eve.getUpload({ blob: named })).stored, true)
    })

    it("S17: whose bytes do not match their digest is its sender's fault, thrown away, and begins anew", async () => {
      const wrong = refOf(Buffer.from("right"))
      const logged = front.lines.errors.length
      await assert.rejects(ada.upload(pieces(wrong, 0, [Buffer.from("wrong")])), {
        code: Code.InvalidArgument,
        rawMessage: /the bytes sent as sha256:\w+ have the digest/,
      })
      assert.equal(front.lines.errors.length, logged)
      const where = await ada.getUpload({ blob: { digest: wrong.digest, sizeBytes: 5n } })
      assert.deepEqual([where.offset, where.stored], [0n, false])
      await ada.upload(pieces(wrong, 0, [Buffer.from("right")]))
    })

    it("with more bytes than declared, too large a message, or a second blob is refused", async () => {
      const code = Code.InvalidArgument
      const small = refOf(Buffer.from("abc"))
      await assert.rejects(ada.upload(pieces(small, 0, [Buffer.from("abcd")])), { code })
      const large = Buffer.alloc(UPLOAD_MESSAGE_BYTES_MAX + 1)
      await assert.rejects(ada.upload(pieces(refOf(large), 0, [large])), { code, rawMessage: /in one message/ })
      async function* two() {
        yield { blob: { digest: small.digest, sizeBytes: 3n }, data: Buffer.from("a") }
        yield { blob: { digest: small.digest, sizeBytes: 3n }, data: Buffer.from("bc") }
      }
      await assert.rejects(ada.upload(two()), { code, rawMessage: /first message only/ })
      await assert.rejects(ada.upload(pieces({ ...small, sizeBytes: 2 ** 50 }, 0, [])), {
        code,
        rawMessage: /too large/,
      })
    })

    it("is one of a bounded number of its owner's at once", async () => {
      const zoe = front.scientist(await front.token("zoe"))
      const release = new AbortController()
      const stalled = async (n: number) => {
        const content = Buffer.from(`${n} of many`)
        async function* requests() {
          yield {
            blob: { digest: refOf(content).digest, sizeBytes: BigInt(content.length) },
            data: content.subarray(1),
          }
          await new Promise(resolve => release.signal.addEventListener("abort", resolve))
        }
        await zoe.upload(requests(), { signal: release.signal })
      }
      setMaxListeners(0, release.signal)
      const uploads = Array.from({ length: UPLOADS_PER_OWNER_MAX + 1 }, (_, n) => stalled(n))
      const refusal = await Promise.any(uploads.map(upload => upload.then(Promise.reject, error => error)))
      assert.deepEqual(
        [refusal.code, refusal.rawMessage],
        [Code.ResourceExhausted, "you have 16 uploads under way: wait until one has ended"],
      )
      release.abort()
      await Promise.allSettled(uploads)
    })

    it("of nothing at all is fine", async () => {
      await ada.upload(pieces(refOf(Buffer.alloc(0)), 0, []))
    })
  })
})

describe("with a node that works", () => {
  let front: TestFront
  let ada: Ada
  before(async () => {
    front = await openFront()
    ada = front.scientist(await front.token("ada"))
    await front.node.join(front.engine, 16)
  })
  after(() => front.close())

  it("a job's result, story and files can be had", async () => {
    const { campaign } = await submit(ada, { command, array: 1, name: "wing" })
    const offer = await front.node.offered(campaign, 0)
    await assert.rejects(all(ada.download({ job: { campaign, index: 0 }, output: Output.STAGEOUT })), {
      code: Code.FailedPrecondition,
      rawMessage: /is offered: wait until it has ended/,
    })
    const bytes = Buffer.from("frame".repeat(50_000))
    const stageout = await keep(front, bytes)
    const stdout = { inline: Buffer.from("hello\n"), blob: null, droppedBytes: 3 }
    await front.node.finish(offer, { stageout, stdout })

    const { job } = await ada.getJob({ id: { campaign, index: 0 } })
    assert.deepEqual(
      [job?.phase, job?.outcome, job?.node, job?.attempt, job?.result?.exitCode, job?.result?.stdout?.droppedBytes],
      [Phase.ENDED, Outcome.FINISHED, front.node.id, 1, 0, 3n],
    )
    const phases = job?.story.map(line => line.phase)
    assert.deepEqual(phases, [Phase.OFFERED, Phase.STAGING, Phase.RUNNING, Phase.ENDED])
    assert.equal(job?.story.at(-1)?.why, Why.FINISHED)
    const name = { job: { campaign, index: 0 } }
    const whole = await all(ada.download({ ...name, output: Output.STAGEOUT }))
    assert.equal(whole[0]?.blob?.digest, stageout.digest)
    assert.deepEqual(Buffer.concat(whole.map(each => each.data)), bytes)
    const rest = await all(ada.download({ ...name, output: Output.STAGEOUT, offset: 200_000n }))
    assert.deepEqual(Buffer.concat(rest.map(each => each.data)), bytes.subarray(200_000))
    const out = await all(ada.download({ ...name, output: Output.STDOUT, offset: 1n }))
    assert.equal(out[0]?.blob?.digest, refOf(Buffer.from("hello\n")).digest)
    assert.equal(Buffer.concat(out.map(each => each.data)).toString(), "ello\n")
    const none = await all(ada.download({ ...name, output: Output.STDERR }))
    assert.deepEqual([none.length, none[0]?.blob?.sizeBytes], [1, 0n])
    const code = Code.InvalidArgument
    await assert.rejects(all(ada.download(name)), { code, rawMessage: /say which output/ })
    await assert.rejects(all(ada.download({ ...name, output: Output.STDOUT, offset: 7n })), {
      code,
      rawMessage: /beyond the end, at 6/,
    })
  })

  it("a watch shows the campaign, each job that ends, and ends with it", async () => {
    const { campaign } = await submit(ada, { command, array: 3 })
    const watch = ada.watchCampaign({ campaign, jobs: true })[Symbol.asyncIterator]()
    const first = (await watch.next()).value
    assert.equal(first?.campaign?.counts?.total, 3)
    assert.ok(first?.campaign?.spec !== undefined)
    for (const index of [1, 0, 2]) await front.node.finish(await front.node.offered(campaign, index))
    const ended: number[] = []
    let last = first
    for (let next = await watch.next(); !next.done; next = await watch.next()) {
      last = next.value
      ended.push(...last.ended.map((job: { id?: { index: number } }) => job.id?.index ?? -1))
    }
    assert.deepEqual(ended.sort(), [0, 1, 2])
    assert.equal(last?.campaign?.counts?.finished, 3)
    assert.ok(last?.campaign?.endedAt !== undefined)
    const again = await all(ada.watchCampaign({ campaign, jobs: true }))
    assert.equal(again.length, 1, "of an ended campaign, what it is")
  })

  it("a watch gathers what happens quickly into few news", async () => {
    const { campaign } = await submit(ada, { command, array: 16 })
    const watching = all(ada.watchCampaign({ campaign, jobs: true }))
    for (let index = 0; index < 16; index++) await front.node.finish(await front.node.offered(campaign, index))
    const news = await watching
    assert.equal(news.flatMap(each => each.ended).length, 16)
    assert.ok(news.length <= 6, `${news.length} messages`)
  })

  it("a watch whose reader cannot follow ends, and says so", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const { engine } = front
    const original = engine.watch
    let tell: Parameters<typeof engine.watch>[1] = () => {}
    engine.watch = (id, listener) => {
      tell = listener
      return original.call(engine, id, listener)
    }
    const watch = ada.watchCampaign({ campaign, jobs: true })[Symbol.asyncIterator]()
    await watch.next()
    engine.watch = original
    tell({ ended: Array.from({ length: WATCH_PENDING_MAX + 1 }, () => ({ index: 0, outcome: "finished" as const })) })
    await assert.rejects(watch.next(), { code: Code.ResourceExhausted, rawMessage: /you read too slowly/ })
  })

  it("a watch that is given up leaves nothing behind", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const { engine } = front
    const original = engine.watch
    const stopped = new Promise<void>(resolve => {
      engine.watch = (id, listener) => {
        const stop = original.call(engine, id, listener)
        return () => {
          stop()
          resolve()
        }
      }
    })
    const giveUp = new AbortController()
    const watch = ada.watchCampaign({ campaign }, { signal: giveUp.signal })[Symbol.asyncIterator]()
    await watch.next()
    giveUp.abort()
    await assert.rejects(watch.next(), { code: Code.Canceled })
    await stopped
    engine.watch = original
    await front.node.finish(await front.node.offered(campaign, 0))
  })

  it("output is followed from before its job begins until its attempt ends", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const offer = await front.node.offered(campaign, 0)
    const following = all(ada.followLog({ job: { campaign, index: 0 }, output: Output.STDOUT }))
    await front.node.start(offer)
    const find = () => front.node.followers.find(each => each.attempt.campaign === Number(campaign))
    await front.node.until(() => find() !== undefined)
    const follower = find()!
    assert.deepEqual([follower.attempt.attempt, follower.output], [1, "stdout"])
    follower.on.data(Buffer.from("one\n"), 0)
    follower.on.data(Buffer.from("two\n"), 4)
    follower.on.end(false)
    assert.equal(Buffer.concat((await following).map(each => each.data)).toString(), "one\ntwo\n")
    assert.ok(follower.stopped)
    await front.node.report(offer, "ended", {
      outcome: "finished",
      exitCode: 0,
      message: "",
      warnings: "",
      stageout: null,
      stdout: { inline: Buffer.from("all of it\n"), blob: null, droppedBytes: 0 },
      stderr: { inline: null, blob: null, droppedBytes: 0 },
      runMs: 1,
      cpuMs: 1,
      peakMemoryBytes: 1,
    })
    const stored = await all(ada.followLog({ job: { campaign, index: 0 }, output: Output.STDOUT }))
    assert.equal(Buffer.concat(stored.map(each => each.data)).toString(), "all of it\n")
    await assert.rejects(all(ada.followLog({ job: { campaign, index: 0 }, output: Output.STAGEOUT })), {
      code: Code.InvalidArgument,
    })
  })

  it("output of a job that was over on its node before the node was asked comes from its result", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const offer = await front.node.offered(campaign, 0)
    await front.node.start(offer)
    const following = all(ada.followLog({ job: { campaign, index: 0 }, output: Output.STDERR }))
    const find = () => front.node.followers.find(each => each.attempt.campaign === Number(campaign))
    await front.node.until(() => find() !== undefined)
    find()!.on.end(false)
    await front.node.report(offer, "ended", {
      ...{
        outcome: "finished",
        exitCode: 0,
        message: "",
        warnings: "",
        stageout: null,
        runMs: 1,
        cpuMs: 1,
        peakMemoryBytes: 1,
      },
      stdout: { inline: null, blob: null, droppedBytes: 0 },
      stderr: { inline: Buffer.from("too quick\n"), blob: null, droppedBytes: 0 },
    })
    assert.equal(Buffer.concat((await following).map(each => each.data)).toString(), "too quick\n")
  })

  it("F11: output is followed from where a caller was cut off, by attempt; a cut of the node is no end", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const offer = await front.node.offered(campaign, 0)
    await front.node.start(offer)
    const job = { campaign, index: 0 }
    const from = (attempt: number, offset: bigint) =>
      all(ada.followLog({ job, output: Output.STDOUT, attempt, offset }))
    const find = (n: number) => front.node.followers.filter(each => each.attempt.campaign === Number(campaign))[n]
    const cut = from(1, 4n)
    await front.node.until(() => find(0) !== undefined)
    assert.equal(find(0)?.offset, 4)
    find(0)?.on.data(Buffer.from("one\ntwo\n"), 0)
    find(0)?.on.end(true)
    await assert.rejects(cut, { code: Code.Unavailable, rawMessage: /link of its node was cut/ })
    const whole = from(1, 8n)
    await front.node.until(() => find(1) !== undefined)
    find(1)?.on.data(Buffer.from("three\n"), 8)
    find(1)?.on.end(false)
    const [piece] = (await whole).filter(({ data }) => data.length > 0)
    assert.deepEqual([String(Buffer.from(piece!.data)), piece?.offset, piece?.attempt], ["three\n", 8n, 1])
    await front.node.report(offer, "ended", {
      ...{
        outcome: "finished",
        exitCode: 0,
        message: "",
        warnings: "",
        stageout: null,
        runMs: 1,
        cpuMs: 1,
        peakMemoryBytes: 1,
      },
      stdout: { inline: Buffer.from("one\ntwo\nthree\n"), blob: null, droppedBytes: 0 },
      stderr: { inline: null, blob: null, droppedBytes: 0 },
    })
    const text = async (attempt: number, offset: bigint) =>
      Buffer.concat((await from(attempt, offset)).map(({ data }) => data)).toString()
    assert.deepEqual(
      [await text(1, 8n), await text(1, 14n), await text(1, 99n), await text(2, 8n), await text(0, 0n)],
      ["three\n", "", "", "one\ntwo\nthree\n", "one\ntwo\nthree\n"],
    )
  })

  it("M8, F22: jobs are listed with their parameters where wanted, and with the names of their nodes", async () => {
    const { campaign } = await submit(ada, { command: ["true"], parameterNames: ["k"] }, ['["a"]', '["b"]'])
    await front.node.start(await front.node.offered(campaign, 0))
    const { jobs } = await ada.listJobs({ campaign, parameters: true })
    assert.equal(jobs.map(({ parameters }) => parameters?.line).join(), '["a"],["b"]')
    assert.deepEqual([jobs[0]?.node, jobs[0]?.nodeName], [front.node.id, "<script>alert(1)</script>"])
    assert.match((await ada.getJob({ id: { campaign, index: 0 } })).job?.story.at(-1)?.nodeName ?? "", /alert/)
    assert.equal((await ada.listJobs({ campaign })).jobs[0]?.parameters, undefined)
  })

  it("a follower that does not read is let go, and says why", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    await front.node.start(await front.node.offered(campaign, 0))
    const following = ada.followLog({ job: { campaign, index: 0 }, output: Output.STDOUT })[Symbol.asyncIterator]()
    const find = () => front.node.followers.find(each => each.attempt.campaign === Number(campaign))
    await front.node.until(() => find() !== undefined)
    for (let n = 0; n < 40; n++) find()?.on.data(Buffer.alloc(64 * 1024), n * 64 * 1024)
    await assert.rejects(
      (async () => {
        while (!(await following.next()).done);
      })(),
      { code: Code.ResourceExhausted, rawMessage: /more slowly than the job writes/ },
    )
    assert.ok(find()?.stopped)
  })

  it("nodes are listed as they stand", async () => {
    const { nodes } = await ada.listNodes({})
    const standing = nodes.map(node => [node.id, node.slots, node.state])
    assert.deepEqual(standing, [[front.node.id, 16, 1]])
    assert.deepEqual((await ada.listNodes({ after: front.node.id })).nodes, [])
    // Whose they are and where, only operators are told.
    const root = front.scientist((await front.tokens.create("root", ["read", "admin"], null)).secret)
    const of = async (caller: typeof ada) =>
      (await caller.listNodes({})).nodes.map(node => [node.account, node.network])
    assert.deepEqual([await of(ada), await of(root)], [[["", ""]], [["volunteer", "192.0.2.0/24"]]])
  })

  it("an error of our own reaches the log with its cause and the caller without", async () => {
    const { store } = front
    const original = store.errors
    store.errors = () => {
      throw new Error("secret path /var/lib")
    }
    const { campaign } = await submit(ada, { command, array: 1 })
    const plain = { code: Code.Internal, rawMessage: /something went wrong inside/ }
    await assert.rejects(ada.getCampaign({ campaign }), plain)
    store.errors = original
    assert.match(String(front.lines.errors.at(-1)?.fields.error), /secret path/)
  })

  it("a hub that stops ends its streams and says so", async () => {
    const { campaign } = await submit(ada, { command, array: 1 })
    const watch = ada.watchCampaign({ campaign })[Symbol.asyncIterator]()
    await watch.next()
    front.shutdown.abort(new ConnectError("the hub is stopping", Code.Unavailable))
    await assert.rejects(watch.next(), { code: Code.Unavailable, rawMessage: "the hub is stopping" })
  })
})
