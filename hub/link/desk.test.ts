// What promises bring between a question and its answer: the world moves on. Links must stand it, whatever comes late.
import assert from "node:assert/strict"
import { afterEach, describe, it } from "node:test"
import fc from "fast-check"
import { Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { StreamError, StreamKind } from "../../proto/gen/cah/v1/link_pb.ts"
import type { Digest } from "../../proto/wire/digest.ts"
import { MemoryBlobStore } from "../blobs/memory.ts"
import { CahError } from "../core/errors.ts"
import type { LinkId } from "../core/model.ts"
import { LINK_QUESTIONS_MAX } from "../limits.ts"
import type { Desk } from "./desk.ts"
import { attempt, Happenings, type Hub, newKey, ScriptedAgent, startHub as start, wireAttempt } from "./fixtures.ts"

let hub: Hub
afterEach(() => hub.close())

type Question = Exclude<keyof Desk, "post">

/** A desk that passes on what it is asked at once, and keeps back the answers to some questions until it is told. */
class Keeping implements Desk {
  readonly asked = new Happenings<Question>()
  readonly #desk: Desk
  readonly #kept: ReadonlySet<Question>
  #release: () => void = () => {}
  readonly #released = new Promise<void>(resolve => {
    this.#release = resolve
  })

  constructor(desk: Desk, kept: readonly Question[]) {
    this.#desk = desk
    this.#kept = new Set(kept)
  }

  /** All answers leave, and from now on none is kept. */
  async release(): Promise<void> {
    this.#release()
    await new Promise(setImmediate)
  }

  post(...args: Parameters<Desk["post"]>): void {
    this.#desk.post(...args)
  }
  admit(...args: Parameters<Desk["admit"]>) {
    return this.#later("admit", this.#desk.admit(...args))
  }
  report(...args: Parameters<Desk["report"]>) {
    return this.#later("report", this.#desk.report(...args))
  }
  mayFetch(...args: Parameters<Desk["mayFetch"]>) {
    return this.#later("mayFetch", this.#desk.mayFetch(...args))
  }
  mayGive(...args: Parameters<Desk["mayGive"]>) {
    return this.#later("mayGive", this.#desk.mayGive(...args))
  }
  stored(...args: Parameters<Desk["stored"]>) {
    return this.#later("stored", this.#desk.stored(...args))
  }
  gather(...args: Parameters<Desk["gather"]>) {
    return this.#later("gather", this.#desk.gather(...args))
  }

  async #later<T>(question: Question, answer: Promise<T>): Promise<T> {
    this.asked.push(question)
    if (this.#kept.has(question)) await Promise.allSettled([answer, this.#released])
    return answer
  }
}

class CountingBlobs extends MemoryBlobStore {
  reads = 0
  writers = 0

  override read(...args: Parameters<MemoryBlobStore["read"]>) {
    this.reads++
    return super.read(...args)
  }

  override openWriter(...args: Parameters<MemoryBlobStore["openWriter"]>) {
    this.writers++
    return super.openWriter(...args)
  }
}

async function startHub(...kept: Question[]): Promise<{ desk: Keeping; blobs: CountingBlobs }> {
  const blobs = new CountingBlobs()
  let desk: Keeping | undefined
  hub = await start({
    blobs,
    between: one => {
      desk = new Keeping(one, kept)
      return desk
    },
  })
  return { desk: desk!, blobs }
}

const blob = { digest: `sha256:${"a".repeat(64)}` as Digest, sizeBytes: 5 }
const wireBlob = { digest: blob.digest, sizeBytes: 5n }
const withBlob = { outcome: Outcome.FINISHED, stageout: wireBlob } as never
const asks = (wanted: Question) => (question: Question) => question === wanted

function open(agent: ScriptedAgent, stream: number, kind: StreamKind): void {
  agent.send({ case: "streamOpen", value: { stream, kind, attempt: wireAttempt, blob: wireBlob } })
}

/** The agent hears an answer to what it says now: all before was taken. */
async function heard(agent: ScriptedAgent): Promise<void> {
  agent.send({ case: "heartbeat", value: { sequence: 1n } })
  await agent.next("heartbeatAnswer")
}

const troubles = () => hub.logged.all.filter(({ level }) => level === "error" || level === "warn")

describe("a link", () => {
  it("that closes while it is being admitted does not end the session of the one that came since", async () => {
    const { desk } = await startHub("admit")
    const key = newKey()
    const first = new ScriptedAgent(hub, key)
    await first.hello()
    await desk.asked.next(asks("admit"))
    first.webSocket.terminate()
    await first.closed
    while (hub.links.health().links > 0) await new Promise(setImmediate)
    await desk.release()
    assert.equal(hub.engine.events.all.length, 0, "the core hears nothing of it")
    const second = await new ScriptedAgent(hub, key).join()
    await heard(second)
    assert.equal(hub.engine.nodeById.get(key.node)?.epoch, 1)
  })

  it("whose node is revoked between the admission and the hello is told so, for good", async () => {
    await startHub()
    hub.engine.welcomes = false
    const agent = new ScriptedAgent(hub)
    await agent.hello()
    const hello = await hub.engine.events.next(event => event.kind === "NodeHello")
    assert.ok(hello.kind === "NodeHello")
    hub.links.speak({ kind: "CloseLink", link: hello.link, why: "revoked" })
    const goodbye = await agent.next("goodbye")
    assert.deepEqual([goodbye.final, goodbye.revoked], [true, true])
    assert.equal((await agent.closed).code, 4003)
  })

  it("that is superseded while the hub owes it answers hears none, and leaves nothing behind", async () => {
    const { desk, blobs } = await startHub("mayFetch", "mayGive", "report", "gather")
    const older = await new ScriptedAgent(hub).join()
    hub.engine.gives(older.key.node, attempt, blob)
    open(older, 1, StreamKind.STAGEIN)
    open(older, 2, StreamKind.STAGEOUT)
    older.report(Phase.ENDED, withBlob)
    older.send({ case: "listGather", value: { attempt: wireAttempt, fromIndex: 0 } })
    for (const question of ["mayFetch", "mayGive", "report", "gather"] as const) await desk.asked.next(asks(question))
    const newer = await new ScriptedAgent(hub, older.key).join()
    assert.equal((await older.closed).code, 4001)
    await desk.release()
    await heard(newer)
    const said = older.frames.all.map(frame => frame.case)
    assert.deepEqual(said, ["challenge", "welcome"])
    assert.deepEqual([blobs.reads, blobs.writers, hub.links.health().streams], [0, 0, 0])
    assert.deepEqual(troubles(), [])
  })

  it("is drained while the hub owes it answers, and what comes late harms nobody", async () => {
    const { desk, blobs } = await startHub("admit", "mayGive")
    const greeted = new ScriptedAgent(hub)
    await greeted.hello()
    await desk.asked.next(asks("admit"))
    const drained = hub.links.drain("the hub stops")
    assert.equal((await greeted.closed).code, 1001)
    await desk.release()
    await drained
    assert.deepEqual([blobs.writers, hub.engine.events.all.length], [0, 0])
    assert.deepEqual(troubles(), [])
  })

  it("whose upload waits for its place is not let go of before the answer: a resume elsewhere must not meet it", async () => {
    const { desk } = await startHub("mayGive")
    const agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, null)
    open(agent, 1, StreamKind.STAGEOUT)
    await desk.asked.next(asks("mayGive"))
    let isDrained = false
    const drained = hub.links.drain("the hub stops").then(() => {
      isDrained = true
    })
    await agent.closed
    while (hub.links.health().links > 0) await new Promise(setImmediate)
    assert.equal(isDrained, false)
    await desk.release()
    await drained
  })

  it("is closed for a while when the hub cannot tell, and the operator hears why", async () => {
    hub = await start({
      blobs: new MemoryBlobStore(),
      between: desk => new Lost(desk),
    })
    const agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, blob)
    open(agent, 1, StreamKind.STAGEIN)
    assert.equal((await agent.next("streamEnd")).error, StreamError.CANCELLED)
    agent.send({ case: "listGather", value: { attempt: wireAttempt, fromIndex: 0 } })
    assert.equal((await agent.next("gatherPage")).error, StreamError.CANCELLED)
    agent.report(Phase.ENDED, withBlob)
    assert.equal((await agent.closed).code, 1013)
    assert.ok(troubles().some(({ message }) => message === "a frame could not be handled"))
  })
})

/** As a gateway's when its hub has gone: who is there already hears so. */
class Lost extends Keeping {
  constructor(desk: Desk) {
    super(desk, [])
  }
  override mayFetch = () => Promise.reject(lost())
  override gather = () => Promise.reject(lost())
  override report = () => Promise.reject(lost())
}

function lost(): CahError {
  return new CahError("unavailable", "the hub that decides cannot be reached")
}

describe("a stream", () => {
  it("that the agent gave up before the answer is not begun, though the answer is yes", async () => {
    const { desk, blobs } = await startHub("mayFetch", "mayGive")
    const agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, blob)
    open(agent, 1, StreamKind.STAGEIN)
    agent.send({ case: "streamOpened", value: { stream: 1, offset: 0n, creditOffset: 5n } })
    open(agent, 2, StreamKind.STAGEOUT)
    for (const stream of [1, 2]) agent.send({ case: "streamEnd", value: { stream, error: StreamError.CANCELLED } })
    await heard(agent)
    assert.equal(hub.links.health().streams, 0)
    await desk.release()
    await heard(agent)
    assert.deepEqual([blobs.reads, blobs.writers], [0, 0])
    assert.deepEqual(
      agent.frames.all.map(frame => frame.case),
      ["challenge", "welcome", "heartbeatAnswer", "heartbeatAnswer"],
    )
  })

  it("takes in what the agent says of it before the answer, and begins with all of that after it", async () => {
    const { desk, blobs } = await startHub("mayFetch")
    const bytes = Buffer.from("hello")
    const agent = await new ScriptedAgent(hub).join()
    const { createHash } = await import("node:crypto")
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest
    const writer = await blobs.openWriter("scientist", { digest, sizeBytes: 5 })
    await writer.write(bytes)
    await writer.finish()
    hub.engine.gives(agent.key.node, attempt, { digest, sizeBytes: 5 })
    const value = { stream: 1, kind: StreamKind.STAGEIN, attempt: wireAttempt, blob: { digest, sizeBytes: 5n } }
    agent.send({ case: "streamOpen", value })
    agent.send({ case: "streamOpened", value: { stream: 1, offset: 0n, creditOffset: 2n } })
    agent.send({ case: "credit", value: { stream: 1, creditOffset: 5n } })
    await heard(agent)
    assert.equal(blobs.reads, 0)
    await desk.release()
    assert.equal(Buffer.from((await agent.next("chunk")).data).toString(), "hello")
    assert.equal((await agent.next("streamEnd")).error, StreamError.UNSPECIFIED)
  })

  it("that is denied late is one of those open until then, and counts as none after it", async () => {
    const { desk } = await startHub("mayFetch")
    const agent = await new ScriptedAgent(hub).join()
    open(agent, 1, StreamKind.STAGEIN)
    await desk.asked.next(asks("mayFetch"))
    assert.equal(hub.links.health().streams, 1)
    await desk.release()
    assert.equal((await agent.next("streamEnd")).error, StreamError.DENIED)
    assert.equal(hub.links.health().streams, 0)
  })
})

describe("questions", () => {
  it("beyond what the hub may owe a link wait in its socket, and none is lost or overtaken", async () => {
    const { desk } = await startHub("report")
    const agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, null)
    hub.engine.rows.set(blob.digest, blob.sizeBytes)
    const count = 4_000
    for (let index = 0; index < count; index++) {
      const value = { attempt: { ...wireAttempt, index }, phase: Phase.ENDED, result: withBlob }
      agent.send({ case: "report", value })
    }
    const asked = () => desk.asked.all.filter(asks("report")).length
    while (asked() < LINK_QUESTIONS_MAX) await new Promise(setImmediate)
    // As many turns as would be enough to read them all.
    for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
    assert.ok(asked() < count, `${asked()} of ${count} were asked`)
    await desk.release()
    while (asked() < count) await new Promise(setImmediate)
    await heard(agent)
    const indices = hub.engine.events.all.flatMap(event => (event.kind === "AttemptReported" ? [event.index] : []))
    assert.deepEqual(
      indices,
      Array.from({ length: count }, (_, index) => index),
    )
  })

  it("answered as late as may be by messages: what a link says arrives in its order, and so does what is said to it", async () => {
    const turns = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 20 })
    const said = fc.array(fc.constantFrom("beat", "plain", "here", "missing", "list", "fetch"), { maxLength: 30 })
    let delays: number[] = [0]
    let at = 0
    hub = await start({
      blobs: new MemoryBlobStore(),
      late: async () => {
        for (let turn = delays[at++ % delays.length]!; turn > 0; turn--) await new Promise(setImmediate)
      },
    })
    hub.engine.rows.set(blob.digest, blob.sizeBytes)
    const missing = { digest: `sha256:${"b".repeat(64)}`, sizeBytes: 5n }
    await fc.assert(
      fc.asyncProperty(turns, said, async (some, frames) => {
        delays = some
        const agent = await new ScriptedAgent(hub).join()
        const { node } = agent.key
        hub.engine.gives(node, attempt, null)
        const link = hub.engine.nodeById.get(node)!.link as LinkId
        const before = hub.engine.events.all.length
        const expected: string[] = []
        frames.forEach((frame, index) => {
          const of = { ...wireAttempt, index }
          if (frame === "beat") agent.send({ case: "heartbeat", value: { sequence: BigInt(index) } })
          else if (frame === "list") agent.send({ case: "listGather", value: { attempt: of, fromIndex: 0 } })
          else if (frame === "fetch") open(agent, index + 1, StreamKind.STAGEIN)
          else {
            const stageout = { plain: {}, here: { stageout: wireBlob }, missing: { stageout: missing } }[frame]
            const result = { outcome: Outcome.FINISHED, ...stageout }
            agent.send({ case: "report", value: { attempt: of, phase: Phase.ENDED, result } as never })
          }
          if (frame === "beat" || frame === "plain" || frame === "here") expected.push(`${frame} ${index}`)
        })
        agent.send({ case: "heartbeat", value: { sequence: 999n } })
        await hub.engine.events.next(event => event.kind === "HeartbeatReceived" && event.sequence === 999)
        const heardOf = hub.engine.events.all.slice(before).flatMap(event => {
          if (event.kind === "HeartbeatReceived") return event.sequence === 999 ? [] : [`beat ${event.sequence}`]
          if (event.kind !== "AttemptReported") return []
          return [`${event.result?.stageout === null ? "plain" : "here"} ${event.index}`]
        })
        assert.deepEqual(heardOf, expected)

        const offer = {
          ...attempt,
          owner: "ada",
          spec: Uint8Array.of(1),
          line: null,
          total: 1,
          shape: null,
          inside: false,
        }
        for (let index = 0; index < 3; index++) {
          hub.engine.links!.offer(link, { ...offer, index })
          hub.engine.links!.speak({ kind: "Kill", link, ...attempt, index, reason: "cancelled" })
        }
        const words: string[] = []
        while (words.length < 6) {
          const { case: kind, value } = await agent.frames.next(one => one.case === "offer" || one.case === "kill")
          words.push(`${kind} ${(value as { attempt?: { index: number } }).attempt?.index}`)
        }
        assert.deepEqual(words, ["offer 0", "kill 0", "offer 1", "kill 1", "offer 2", "kill 2"])
        agent.webSocket.close()
        await agent.closed
      }),
      { numRuns: 40 },
    )
    assert.deepEqual(troubles(), [])
  })
})
