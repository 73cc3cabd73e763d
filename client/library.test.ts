import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, afterEach, test } from "node:test"
import { status as Status } from "@grpc/grpc-js"
import { Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { ClientError } from "./errors.ts"
import { FakeHub, TOKEN } from "./fakehub.ts"
import { Hub, Occasion, Output } from "./library.ts"

const root = mkdtempSync(join(tmpdir(), "cah-library-"))
after(() => rmSync(root, { recursive: true, force: true }))
/** Closed after each test, also one that fails: an open server would keep the process, and hide the failure for ever. */
const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})
let number = 0

function scratch(): string {
  const directory = join(root, String(number++))
  mkdirSync(directory)
  return directory
}

async function pair(options: Parameters<typeof FakeHub.start>[0] = {}) {
  const fake = await FakeHub.start(options)
  const abort = new AbortController()
  const waits: string[] = []
  const hub = new Hub({ url: fake.url, token: TOKEN, signal: abort.signal, onWait: error => waits.push(error.message) })
  const close = () => {
    hub.close()
    fake.stop()
  }
  open.push(close)
  return { fake, hub, abort, waits, close }
}

function code(wanted: string) {
  return (error: unknown) => error instanceof ClientError && error.code === wanted
}

test("a read is repeated while the hub is away, and an error of the hub's is not", async () => {
  const { fake, hub, close } = await pair()
  fake.failNext("whoAmI", Status.UNAVAILABLE, "busy")
  fake.failNext("whoAmI", Status.UNAVAILABLE, "busy")
  assert.equal((await hub.whoAmI()).principal, "ada")
  fake.failNext("whoAmI", Status.INTERNAL, "broken")
  await assert.rejects(hub.whoAmI(), code("internal"))
  assert.equal(fake.calls.length, 4)
  close()
})

test("every status becomes its own code and exit code", async () => {
  const { fake, hub, close } = await pair()
  const cases: [number, string, number][] = [
    [Status.INVALID_ARGUMENT, "invalid_argument", 2],
    [Status.NOT_FOUND, "not_found", 3],
    [Status.UNAUTHENTICATED, "unauthenticated", 4],
    [Status.PERMISSION_DENIED, "permission_denied", 4],
    [Status.RESOURCE_EXHAUSTED, "resource_exhausted", 6],
    [Status.FAILED_PRECONDITION, "failed_precondition", 6],
    [Status.ALREADY_EXISTS, "already_exists", 6],
    [Status.DATA_LOSS, "data_loss", 7],
  ]
  for (const [status, name, exitCode] of cases) {
    fake.failNext("getCampaign", status, "because")
    await assert.rejects(
      hub.show(1n),
      error =>
        code(name)(error) && error instanceof ClientError && error.exitCode === exitCode && error.message === "because",
    )
  }
  close()
})

test("a submit whose answer was lost is asked again with the same key and makes one campaign", async () => {
  const { fake, hub, waits, close } = await pair()
  fake.failNext("submit", Status.UNAVAILABLE, "the wire was cut", { afterwards: true })
  const answer = await hub.submit({ spec: { command: ["true"], array: 3 } })
  assert.deepEqual([answer.campaign, answer.jobs, answer.existed], [1n, 3, true])
  assert.equal(fake.campaigns.size, 1)
  assert.equal(waits.length, 1)
  close()
})

test("a long parameter list goes as a stream, in order, also after a lost answer", async () => {
  const { fake, hub, close } = await pair()
  fake.failNext("submitStream", Status.UNAVAILABLE, "the wire was cut")
  const parameters = Array.from({ length: 40_000 }, (_, index) => `${index} ${"x".repeat(index % 50)}`)
  const answer = await hub.submit({ spec: { command: ["true"] }, parameters })
  assert.equal(answer.jobs, 40_000)
  assert.deepEqual(
    fake.campaigns.get(answer.campaign)?.jobs.map(job => job.parameters?.line),
    parameters,
  )
  assert.ok(!fake.calls.includes("submit"))
  close()
})

test("a stagein is sent once, resumed where it was cut, and not sent when the hub has it", async () => {
  const { fake, hub, close } = await pair()
  const directory = scratch()
  writeFileSync(join(directory, "data"), randomBytes(3_000_000))
  fake.cutUploadsAt = [1_000_000, 500_000]
  const first = await hub.upload(directory)
  const archive = fake.blobs.get(first.blob.digest)
  assert.equal(BigInt(archive?.length ?? 0), first.blob.sizeBytes)
  assert.equal(fake.uploadedBytes, archive?.length, "no byte was sent twice")
  assert.equal(fake.calls.filter(call => call === "upload").length, 3)
  assert.equal((await hub.upload(directory)).sentBytes, 0)
  assert.equal(fake.uploadedBytes, archive?.length)
  close()
})

test("an upload survives the hub's death and restart", async () => {
  const { fake, hub, close } = await pair()
  const file = join(scratch(), "big")
  writeFileSync(file, randomBytes(8_000_000))
  let killed: Promise<void> | null = null
  const { blob } = await hub.upload(file, {
    onProgress: done => {
      if (done < 2_000_000 || killed !== null) return
      fake.stop()
      killed = fake.resume()
    },
  })
  await killed
  assert.ok(fake.blobs.has(blob.digest))
  close()
})

test("what cannot be packed whole is refused before anything is sent", async () => {
  const { fake, hub, close } = await pair()
  const directory = scratch()
  await assert.rejects(hub.upload(join(directory, "nothing")), code("bad_stagein"))
  await assert.rejects(hub.upload(directory), /empty directory/)
  await assert.rejects(hub.upload("/dev/null"), code("bad_stagein"))
  if (process.getuid?.() !== 0) {
    writeFileSync(join(directory, "secret"), "x")
    chmodSync(join(directory, "secret"), 0)
    await assert.rejects(hub.upload(directory), /may not be read/)
  }
  assert.deepEqual(fake.calls, [])
  close()
})

test("a download resumes, on a cut and from an earlier run's partial file", async () => {
  const bytes = randomBytes(1_000_000)
  const { fake, hub, close } = await pair({ endOf: () => ({ stageout: bytes }) })
  const job = { campaign: fake.add({}, 1), index: 0 }
  const blob = (await hub.job(job)).result?.stageout ?? null
  const file = join(scratch(), "partial")
  writeFileSync(file, bytes.subarray(0, 300_000))
  fake.cutDownloadsAt = [200_000]
  const offsets: number[] = []
  await hub.download({ job, output: Output.STAGEOUT, blob }, file, { onProgress: done => offsets.push(done) })
  assert.ok(readFileSync(file).equals(bytes))
  assert.ok((offsets[0] ?? 0) > 300_000, "it went on where the file ended")
  assert.equal(fake.calls.filter(call => call === "download").length, 2)
  close()
})

test("bytes with the wrong digest are fetched once more, then refused and thrown away", async () => {
  const bytes = randomBytes(100_000)
  const { fake, hub, close } = await pair({ endOf: () => ({ stageout: bytes }) })
  const job = { campaign: fake.add({}, 1), index: 0 }
  const blob = (await hub.job(job)).result?.stageout ?? null
  const file = join(scratch(), "partial")
  fake.damage = { bytes: randomBytes(100_000), times: 1 }
  await hub.download({ job, output: Output.STAGEOUT, blob }, file)
  assert.ok(readFileSync(file).equals(bytes))
  rmSync(file)
  fake.damage = { bytes: randomBytes(100_000), times: 9 }
  await assert.rejects(hub.download({ job, output: Output.STAGEOUT, blob }, file), code("data_loss"))
  assert.equal(statSync(file).size, 0)
  fake.damage = { bytes: randomBytes(100_001), times: 9 }
  await assert.rejects(hub.download({ job, output: Output.STAGEOUT, blob }, file), /more than the 100000 bytes/)
  close()
})

test("a watch goes on after the hub was killed and came back", async () => {
  const { fake, hub, waits, close } = await pair()
  const campaign = fake.add({}, 2)
  const ended: number[] = []
  let killed = false
  for await (const message of hub.watch(campaign)) {
    ended.push(message.campaign?.counts?.finished ?? -1)
    if (killed) fake.end(campaign, 1, {})
    else {
      killed = true
      fake.stop()
      fake.end(campaign, 0, {})
      await fake.resume()
    }
  }
  assert.deepEqual([ended[0], ended.at(-1)], [0, 2])
  assert.ok(waits.length >= 1)
  close()
})

test("waiting gives the errors, times out with its own code, and stops at an abort with the abort's reason", async () => {
  const { fake, hub, abort, close } = await pair({
    endOf: index => (index === 0 ? { outcome: Outcome.FAILED, exitCode: 3 } : undefined),
  })
  const failed = await hub.wait(fake.add({}, 1))
  assert.deepEqual(
    failed.errors.map(({ exitCode, count }) => [exitCode, count]),
    [[3, 1]],
  )
  const endless = fake.add({}, 2)
  await assert.rejects(hub.wait(endless, { timeoutMs: 50 }), code("timeout"))
  const waiting = hub.wait(endless)
  await fake.called("watchCampaign")
  abort.abort(new ClientError("interrupted", "Interrupted."))
  await assert.rejects(waiting, code("interrupted"))
  await assert.rejects(hub.whoAmI(), code("interrupted"))
  close()
})

test("lists come in pages and end", async () => {
  const { fake, hub, close } = await pair()
  const campaign = fake.add({}, 2_500)
  const collect = async <T>(source: AsyncIterable<T>) => {
    const all: T[] = []
    for await (const one of source) all.push(one)
    return all
  }
  const indices = async (options: Parameters<Hub["jobs"]>[1]) =>
    (await collect(hub.jobs(campaign, options))).map(job => job.id?.index)
  assert.equal((await indices({})).length, 2_500)
  assert.deepEqual(
    await indices({
      ranges: [
        { first: 998, last: 1001 },
        { first: 2499, last: 2499 },
      ],
    }),
    [998, 999, 1000, 1001, 2499],
  )
  for (let count = 0; count < 4; count++) fake.add({}, 1)
  assert.deepEqual(
    (await collect(hub.list({ max: 2 }))).map(one => one.id),
    [5n, 4n],
  )
  assert.equal(
    (
      await hub.cancel(
        campaign,
        Array.from({ length: 1_200 }, (_, at) => ({ first: 2 * at, last: 2 * at })),
      )
    ).cancelled,
    1_200,
  )
  close()
})

test("holds go in as few calls as the hub takes ranges, and a notice goes with a long submit too", async () => {
  const { fake, hub } = await pair()
  const id = fake.add({}, 5_000)
  const even = Array.from({ length: 2_500 }, (_, n) => ({ first: 2 * n, last: 2 * n }))
  assert.deepEqual(await hub.setHold(id, true, even), { jobs: 2_500 })
  assert.equal(fake.calls.filter(call => call === "setHold").length, 3)
  assert.deepEqual(await hub.setHold(id, false), { jobs: 0 })
  const notice = { occasions: [Occasion.END], target: { case: "mail" as const, value: "me@example.org" } }
  const parameters = Array.from({ length: 300 }, (_, n) => `${n} ${"x".repeat(1_000)}`)
  const { campaign } = await hub.submit({ spec: { command: ["true"] }, parameters, notices: [notice] })
  assert.deepEqual(
    fake.campaigns.get(campaign)?.notices.map(({ target }) => target.value),
    ["me@example.org"],
  )
})

test("an older hub says that it does not know a call, with a code of its own", async () => {
  const { fake, hub } = await pair()
  fake.plan = null
  await assert.rejects(hub.plan({ command: ["true"] }, 1), code("unimplemented"))
  fake.explanation = { sentence: "it is next" }
  assert.equal((await hub.explain(fake.add({}, 1), null)).sentence, "it is next")
  await assert.rejects(hub.operator.revokeToken("none"), code("not_found"))
})

test("a hub that is not there is unavailable, after a few tries, in words", async () => {
  // Not a fake hub that was stopped: a connection that it took in its last moment would be silent, not refused.
  const listener = createServer().listen(0, "127.0.0.1")
  await once(listener, "listening")
  const url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`
  listener.close()
  await once(listener, "close")
  const waits: string[] = []
  const hub = new Hub({ url, token: TOKEN, onWait: error => waits.push(error.message) })
  open.push(() => hub.close())
  await assert.rejects(
    hub.whoAmI(),
    error => code("unavailable")(error) && String(error).includes(`${url} does not answer: connection refused`),
  )
  assert.equal(waits.length, 0, "short calls fail without a word in between")
})

test("a library user's mistakes are errors too", () => {
  assert.throws(() => new Hub({ url: "hub.example" }), code("usage"))
  assert.throws(() => new Hub({ url: "https://hub.example", caFile: "/nowhere" }), code("usage"))
  assert.ok(!existsSync("/nowhere"))
})
