// The engine with its real journal, cache, workplace and processes; only the link is played.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "node:test"
import { listTree, pack } from "../archive/pack.ts"
import { roomFor, unpack } from "../archive/unpack.ts"
import { hexOf } from "../proto/wire/digest.ts"
import { openCache } from "./cache/cache.ts"
import type { ReportPhase } from "./core/events.ts"
import { type AttemptName, attemptId, type BlobRef, type Result, type RunSpec } from "./core/model.ts"
import { Failure, type GatherPage, type Link } from "./core/ports.ts"
import { Engine } from "./engine.ts"
import { blobOf, collect, type RecordedLog, recordedLog, scratch, spec } from "./fixtures.ts"
import { type Journal, openJournal } from "./journal.ts"
import { processRunner } from "./runner/process.ts"
import type { Owner } from "./runner/runner.ts"
import { workshop } from "./work.ts"
import { openWorkplace, type Workplace } from "./workplace.ts"

type Report = { readonly name: AttemptName; readonly phase: ReportPhase; readonly result: Result | null }

/** Plays hub and link: records what is said, stores what is given, answers every report unless told not to. */
class PlayedHub implements Link {
  readonly reports: Report[] = []
  readonly stored = new Map<string, Buffer>()
  readonly blobs = new Map<string, Buffer>()
  readonly pages = new Map<number, GatherPage>()
  fetches = 0
  answers = true
  uploadFailure: Failure | null = null
  engine: Engine | null = null
  #waiting: { wanted: (report: Report) => boolean; resolve: (report: Report) => void }[] = []

  report(name: AttemptName, phase: ReportPhase, result: Result | null): void {
    const report = { name, phase, result }
    this.reports.push(report)
    for (const { wanted, resolve } of this.#waiting) if (wanted(report)) resolve(report)
    if (this.answers) this.engine!.post({ kind: "ReportAnswered", name, phase, answer: "accepted" })
  }
  heartbeat(): void {}
  async *fetchBlob(_: AttemptName, blob: BlobRef, offset: number): AsyncGenerator<Uint8Array> {
    this.fetches++
    const bytes = this.blobs.get(blob.digest)
    if (bytes === undefined) throw new Failure("the hub does not have it", { final: true })
    yield bytes.subarray(offset)
  }
  async listGather(_: AttemptName, fromIndex: number): Promise<GatherPage> {
    return this.pages.get(fromIndex) ?? { entries: [], nextIndex: null, arraySize: 0 }
  }
  async upload(_: AttemptName, blob: BlobRef, open: (offset: number) => AsyncIterable<Uint8Array>): Promise<void> {
    if (this.uploadFailure !== null) throw this.uploadFailure
    this.stored.set(blob.digest, await collect(open(0)))
  }
  said(phase: ReportPhase, name?: AttemptName): Promise<Report> {
    const wanted = (report: Report): boolean =>
      report.phase === phase && (name === undefined || attemptId(report.name) === attemptId(name))
    const before = this.reports.find(wanted)
    if (before !== undefined) return Promise.resolve(before)
    return new Promise(resolve => this.#waiting.push({ wanted, resolve }))
  }
}

interface Node {
  readonly engine: Engine
  readonly hub: PlayedHub
  readonly place: Workplace
  readonly state: string
  readonly log: RecordedLog
}

async function node(
  options: {
    state?: string
    hub?: PlayedHub
    journal?: (real: Journal) => Journal
    onIdle?: (isIdle: boolean) => void
    owner?: Owner
  } = {},
): Promise<Node> {
  const state = options.state ?? scratch()
  const hub = options.hub ?? new PlayedHub()
  const place = await openWorkplace(state)
  const real = processRunner({ node: "attic", sandbox: null, pipes: join(state, "pipes") })
  const runner = { ...real, owner: options.owner ?? null }
  await runner.killLeftovers(place.root)
  const { journal, entries } = await openJournal(join(state, "journal"))
  await place.sweep(entries.map(entry => entry.name))
  const cache = await openCache(join(state, "cache"), 1e8)
  const log = recordedLog()
  const engine = new Engine({
    capacity: { slots: 8, memoryBytes: 0, diskBytes: 0 },
    workshop: workshop({ cache, runner, place }),
    journal: options.journal?.(journal) ?? journal,
    clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
    log,
    ...(options.onIdle === undefined ? {} : { onIdle: options.onIdle }),
  })
  hub.engine = engine
  engine.start(hub, entries)
  engine.post({ kind: "Welcomed", heartbeatMs: 30_000, reconciled: [] })
  return { engine, hub, place, state, log }
}

const name = (index: number): AttemptName => ({ campaign: 12, index, attempt: 1 })
function offer(to: Node, index: number, change: Partial<RunSpec>): AttemptName {
  const needs = { slots: 1, memoryBytes: 0, diskBytes: 0 }
  to.engine.post({ kind: "Offered", name: name(index), spec: spec({ needs, ...change }) })
  return name(index)
}
const inline = (result: Result | null): string => Buffer.from(result!.stdout.inline ?? "", "base64").toString()
/** Until nothing is held any more: the hub has accepted everything, and the disk is clear. */
async function clear({ engine, place, state }: Node): Promise<void> {
  await waitFor(() => engine.holdings().length === 0)
  await engine.close()
  assert.deepEqual(readdirSync(place.root), [])
  assert.deepEqual(readdirSync(join(state, "journal")), [])
}

test("V3: whether there is work is told after each welcome and at each change, and never without the hub", async () => {
  const told: boolean[] = []
  let heard = (): void => {}
  const onIdle = (isIdle: boolean): void => {
    told.push(isIdle)
    heard()
  }
  const until = async (count: number): Promise<void> => {
    while (told.length < count) {
      await new Promise<void>(resolve => {
        heard = resolve
      })
    }
  }
  const it = await node({ onIdle })
  offer(it, 1, { command: ["true"] })
  await until(2)
  await it.hub.said("ended", name(1))
  const ended = told.length
  it.engine.post({ kind: "LinkLost" })
  it.engine.post({ kind: "Welcomed", heartbeatMs: 30_000, reconciled: [] })
  await until(ended + 1)
  assert.equal(told.at(-1), true)
  assert.ok(told.includes(false))
  await clear(it)
})

async function stagein(hub: PlayedHub, files: Record<string, string>): Promise<BlobRef> {
  const root = scratch()
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, ".."), { recursive: true })
    await writeFile(join(root, path), content)
  }
  const bytes = await collect(pack(await listTree(root)))
  hub.blobs.set(blobOf(bytes).digest, bytes)
  return blobOf(bytes)
}

test("jobs are staged once, run, packed, given back and reported in order; then nothing of them is left", async () => {
  const it = await node()
  const blob = await stagein(it.hub, { "scene.txt": "scene" })
  const command = ["cat scene.txt; echo $CAH_ARRAY_INDEX > frame"]
  for (const index of [1, 2, 3]) offer(it, index, { command, stagein: blob })
  const ends = await Promise.all([1, 2, 3].map(index => it.hub.said("ended", name(index))))
  assert.equal(it.hub.fetches, 1)
  for (const { result, name: of } of ends) {
    assert.equal(result!.outcome, "finished", result!.message)
    assert.equal(inline(result), "scene")
    const out = join(scratch(), "out")
    const archive = it.hub.stored.get(result!.stageout!.digest)!
    const { files } = await unpack(
      (async function* () {
        yield archive
      })(),
      out,
      { room: roomFor(100) },
    )
    assert.deepEqual(
      files.map(file => file.path),
      ["frame"],
    )
    const phases = it.hub.reports.filter(report => attemptId(report.name) === attemptId(of)).map(report => report.phase)
    assert.deepEqual(phases, ["staging", "running", "returning", "ended"])
  }
  await clear(it)
})

test("what other jobs gave back is gathered page by page, each in a directory named by its index", async () => {
  const it = await node()
  const frames = await Promise.all([0, 7, 11].map(index => stagein(it.hub, { "frame.txt": `frame ${index} ` })))
  const [zero, seven, eleven] = frames as [BlobRef, BlobRef, BlobRef]
  it.hub.pages.set(0, {
    entries: [
      { index: 0, blob: zero },
      { index: 7, blob: seven },
    ],
    nextIndex: 9,
    arraySize: 12,
  })
  it.hub.pages.set(9, { entries: [{ index: 11, blob: eleven }], nextIndex: null, arraySize: 12 })
  offer(it, 1, { command: ["cat */frame.txt; ls -d */ > seen"], gather: true })
  const { result } = await it.hub.said("ended")
  assert.equal(inline(result), "frame 0 frame 7 frame 11 ")
  const archive = it.hub.stored.get(result!.stageout!.digest)!
  assert.match(archive.toString("latin1"), /00\/\n07\/\n11\/\n/, "and only what is new goes back")
  await clear(it)
})

test("a job that fails gives its files and output back all the same", async () => {
  const it = await node()
  offer(it, 1, { command: ["echo half > partial; echo trouble >&2; exit 3"] })
  const { result } = await it.hub.said("ended")
  assert.equal(result!.outcome, "failed")
  assert.equal(result!.exitCode, 3)
  assert.equal(Buffer.from(result!.stderr.inline!, "base64").toString(), "trouble\n")
  assert.ok(it.hub.stored.has(result!.stageout!.digest))
  await clear(it)
})

test("nothing is said of an offer before the journal has it, and a journal that fails is tried again", async () => {
  let failures = 1
  const saved: string[] = []
  const it = await node({
    journal: real => ({
      forget: of => real.forget(of),
      save: async entry => {
        if (failures-- > 0) throw Object.assign(new Error("no space left"), { code: "ENOSPC" })
        assert.deepEqual(
          it.hub.reports.filter(report => report.phase === "ended"),
          [],
        )
        await real.save(entry)
        saved.push(entry.result === null ? "offer" : "result")
        if (saved.length === 1) assert.deepEqual(it.hub.reports, [], "not a word before")
      },
    }),
  })
  offer(it, 1, { command: ["true"] })
  await it.hub.said("ended")
  assert.deepEqual(saved, ["offer", "result"])
  assert.equal(it.log.lines.filter(line => /journal cannot be written/.test(line.message)).length, 1)
  await clear(it)
})

test("a kill ends the whole tree and is reported; a discard does so without a report", async () => {
  const it = await node()
  const killed = offer(it, 1, { command: ["setsid sleep 1000 & sleep 1000"] })
  const discarded = offer(it, 2, { command: ["sleep 1000"] })
  await Promise.all([it.hub.said("running", killed), it.hub.said("running", discarded)])
  it.engine.post({ kind: "KillAsked", name: killed, reason: "cancelled by its owner" })
  const { result } = await it.hub.said("ended", killed)
  assert.equal(result!.outcome, "lost")
  assert.match(result!.message, /cancelled by its owner/)
  it.engine.post({ kind: "Welcomed", heartbeatMs: 30_000, reconciled: [{ ...discarded, answer: "discard" }] })
  await clear(it)
  assert.equal(
    it.hub.reports.some(report => report.phase === "ended" && report.name.index === 2),
    false,
  )
})

test("a kill while the stagein is under way leaves nothing behind", async () => {
  const hub = new PlayedHub()
  let begun = (): void => {}
  const began = new Promise<void>(resolve => {
    begun = resolve
  })
  hub.fetchBlob = async function* (_name, _blob, _offset, signal: AbortSignal) {
    yield Buffer.alloc(10)
    begun()
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
  } as Link["fetchBlob"] as typeof hub.fetchBlob
  const it = await node({ hub })
  offer(it, 1, { stagein: blobOf(Buffer.alloc(1_000)) })
  await began
  it.engine.post({ kind: "KillAsked", name: name(1), reason: "cancelled" })
  assert.equal((await hub.said("ended")).result!.outcome, "lost")
  await clear(it)
})

test("a command is stopped at its walltime, and what it made until then comes back", async () => {
  const it = await node()
  offer(it, 1, { command: ["echo some > out; sleep 1000"], walltimeMs: 300 })
  const { result } = await it.hub.said("ended")
  assert.equal(result!.outcome, "timedout")
  assert.ok(result!.stageout)
  await clear(it)
})

test("S11: where jobs are another user's, all that is staged is theirs before the command begins", {
  skip: process.getuid?.() !== 0 && "needs root to give files away",
}, async () => {
  const it = await node({ owner: { uid: 65_534, gid: 65_534 } })
  const blob = await stagein(it.hub, { "a/b/scene.txt": "scene" })
  offer(it, 1, { command: ["stat -c %u . a a/b a/b/scene.txt"], stagein: blob })
  offer(it, 2, { command: ["stat -c %u ."] })
  assert.equal(inline((await it.hub.said("ended", name(1))).result), "65534\n".repeat(4))
  assert.equal(inline((await it.hub.said("ended", name(2))).result), "65534\n")
  await clear(it)
})

test("a hostile stagein and one the hub does not have fail the job at once, with the reason", async () => {
  const it = await node()
  const evil = Buffer.from(await collect(pack(await listTree(scratch()))))
  const hostile = Buffer.concat([Buffer.from("this is no archive".padEnd(512, "x")), evil])
  it.hub.blobs.set(blobOf(hostile).digest, hostile)
  offer(it, 1, { stagein: blobOf(hostile) })
  offer(it, 2, { stagein: blobOf(Buffer.from("unknown")) })
  const first = (await it.hub.said("ended", name(1))).result!
  assert.equal(first.outcome, "failed")
  assert.match(first.message, /not a tar archive/)
  assert.match((await it.hub.said("ended", name(2))).result!.message, /does not have it/)
  await clear(it)
})

test("a result that was not acknowledged is given and reported again in the agent's next life", async () => {
  const first = await node()
  first.hub.answers = false
  offer(first, 1, { command: ["head -c 50000 /dev/zero; echo x > out"] })
  const { result } = await first.hub.said("ended")
  await first.engine.close()
  const second = await node({ state: first.state })
  const again = await second.hub.said("ended")
  assert.deepEqual(again.result, result)
  assert.equal(second.hub.stored.get(result!.stdout.blob!.digest)!.length, 50_000)
  assert.equal(second.hub.stored.size, 2)
  await clear(second)
})

test("what ran when the agent died is reported lost by the next one, and is not running any more", async () => {
  const first = await node()
  offer(first, 1, { command: ["sleep 1000"] })
  await first.hub.said("running")
  await first.engine.close()
  const second = await node({ state: first.state })
  assert.match((await second.hub.said("ended")).result!.message, /restarted/)
  await clear(second)
})

test("an output that vanished from the spool is told, and the result still arrives", async () => {
  const it = await node()
  it.hub.uploadFailure = new Failure("the link was lost", { final: false })
  offer(it, 1, { command: ["echo x > out"] })
  await it.hub.said("returning")
  const entry = join(it.place.spool(name(1)))
  await waitFor(() => it.log.lines.some(line => line.fields.event === "UploadFailed"))
  await it.engine.close()
  for (const file of readdirSync(entry)) await writeFile(join(entry, file), "")
  const second = await node({ state: it.state })
  const { result } = await second.hub.said("ended")
  assert.equal(result!.outcome, "failed")
  assert.match(result!.message, /no longer on this node's disk/)
  await clear(second)
})

test("live output can be followed while the command runs, and not after", async () => {
  const it = await node()
  offer(it, 1, { command: ["echo first; until [ -e go ]; do sleep 0.01; done; echo last"] })
  await it.hub.said("running")
  await waitFor(() => it.engine.logSource(name(1), "stdout", 0) !== null)
  const followed = it.engine.logSource(name(1), "stdout", 0)![Symbol.asyncIterator]()
  assert.equal(Buffer.from((await followed.next()).value!).toString(), "first\n")
  await writeFile(join(it.place.work(name(1)), "go"), "")
  assert.equal(Buffer.from((await followed.next()).value!).toString(), "last\n")
  assert.equal((await followed.next()).done, true)
  await it.hub.said("ended")
  assert.equal(it.engine.logSource(name(1), "stdout", 0), null)
  await clear(it)
})

test("F1: a job whose output bursts while it is followed finishes, with every byte", async () => {
  const it = await node()
  offer(it, 1, { command: ["until [ -e go ]; do sleep 0.01; done; seq 1 40000"] })
  await it.hub.said("running")
  await waitFor(() => it.engine.logSource(name(1), "stdout", 0) !== null)
  const followed = collect(it.engine.logSource(name(1), "stdout", 0)!)
  await writeFile(join(it.place.work(name(1)), "go"), "")
  const { result } = await it.hub.said("ended")
  assert.equal(result!.outcome, "finished", result!.message)
  const wanted = Array.from({ length: 40_000 }, (_, i) => `${i + 1}\n`).join("")
  assert.equal(it.hub.stored.get(result!.stdout.blob!.digest)!.toString(), wanted)
  assert.equal((await followed).toString(), wanted)
  await clear(it)
})

test("leaving gives up what runs, reports it, and is over when the hub has answered", async () => {
  const it = await node()
  offer(it, 1, { command: ["sleep 1000"] })
  await it.hub.said("running")
  await it.engine.leave()
  assert.match(it.hub.reports.at(-1)!.result!.message, /agent is stopping/)
  assert.deepEqual(readdirSync(it.place.root), [])
})

test("leaving without a link ends what runs and keeps the word for the next life", async () => {
  const it = await node()
  offer(it, 1, { command: ["sleep 1000"] })
  await it.hub.said("running")
  it.engine.post({ kind: "LinkLost" })
  it.hub.answers = false
  await it.engine.leave()
  assert.equal(readdirSync(join(it.state, "journal")).length, 1)
  const second = await node({ state: it.state })
  assert.match((await second.hub.said("ended")).result!.message, /agent is stopping/)
  await clear(second)
})

test("the hello names what is held and where it is", async () => {
  const it = await node()
  offer(it, 1, { command: ["sleep 1000"] })
  await it.hub.said("running")
  assert.deepEqual(it.engine.holdings(), [{ name: name(1), phase: "running" }])
  await it.engine.close()
})

test("the same attempt offered again after it was forgotten begins afresh", async () => {
  const it = await node()
  for (const round of ["one", "two"]) {
    it.hub.reports.length = 0
    offer(it, 1, { command: [`ls; echo ${round} | tee out`] })
    assert.equal(inline((await it.hub.said("ended")).result), `${round}\n`)
  }
  await clear(it)
})

test("the spool holds outputs under their digests until they are acknowledged", async () => {
  const it = await node()
  it.hub.answers = false
  offer(it, 1, { command: ["echo x > out"] })
  const { result } = await it.hub.said("ended")
  assert.ok(existsSync(join(it.place.spool(name(1)), hexOf(result!.stageout!.digest))))
  it.hub.engine!.post({ kind: "ReportAnswered", name: name(1), phase: "ended", answer: "accepted" })
  await it.hub.engine!.leave()
  await clear(it)
})

test("a job that fills the disk is told so, and its result still arrives", {
  skip: process.getuid?.() !== 0 && "needs root to mount",
}, async () => {
  const small = scratch()
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small])
  try {
    const it = await node({ state: join(small, "state") })
    offer(it, 1, { command: ["head -c 10000000 /dev/zero > big; echo ended $?"] })
    const { result } = await it.hub.said("ended")
    assert.equal(result!.outcome, "failed")
    assert.match(result!.message, /outputs could not be packed: the disk of the node is full/)
    await clear(it)
  } finally {
    execFileSync("umount", [small])
  }
})

/** For states that nobody announces: asks again after each turn of the loop. */
async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}
