import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { afterEach, beforeEach, describe, it } from "node:test"
import { StreamError, StreamKind } from "../../proto/gen/cah/v1/link_pb.ts"
import { digestOf } from "../../proto/wire/digest.ts"
import { CHUNK_MAX_BYTES, STREAM_WINDOW_WIDE_BYTES, STREAMS_MAX } from "../../proto/wire/frame.ts"
import { MemoryBlobStore, MemoryDisk } from "../blobs/memory.ts"
import type { BlobRef, CampaignId } from "../core/model.ts"
import { GATHER_PAGE_ENTRIES, STAGEOUTS_PER_ATTEMPT_MAX } from "../limits.ts"
import { attempt, type Hub, ScriptedAgent, startHub, wireAttempt } from "./fixtures.ts"

let disk: MemoryDisk
let hub: Hub
let agent: ScriptedAgent

beforeEach(async () => {
  disk = new MemoryDisk()
  hub = await startHub({ blobs: new MemoryBlobStore({ disk }) })
  agent = await new ScriptedAgent(hub).join()
})
afterEach(() => hub.close())

function someBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8)) % 256
  return bytes
}

function refOf(bytes: Uint8Array): BlobRef {
  return { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.length }
}

const wire = (blob: BlobRef) => ({ digest: blob.digest, sizeBytes: BigInt(blob.sizeBytes) })

async function store(bytes: Uint8Array): Promise<BlobRef> {
  const ref = refOf(bytes)
  const writer = await hub.blobs.openWriter("scientist", ref)
  await writer.write(bytes)
  await writer.finish()
  hub.engine.rows.set(ref.digest, ref.sizeBytes)
  return ref
}

function open(stream: number, kind: StreamKind, blob: BlobRef, offset = 0): void {
  const value = { stream, kind, attempt: wireAttempt, blob: wire(blob), offset: BigInt(offset) }
  agent.send({ case: "streamOpen", value })
}

function credit(stream: number, offset: number, creditOffset: number): void {
  agent.send({ case: "streamOpened", value: { stream, offset: BigInt(offset), creditOffset: BigInt(creditOffset) } })
}

function chunk(stream: number, offset: number, data: Uint8Array): void {
  agent.send({ case: "chunk", value: { stream, offset: BigInt(offset), data } })
}

/** What was denied, in full: nothing in it may tell one reason from another. */
async function denied(stream: number): Promise<string> {
  const end = await agent.next("streamEnd")
  assert.equal(end.stream, stream)
  assert.equal(end.error, StreamError.DENIED)
  return end.message
}

describe("a stagein", () => {
  it("is sent within the credit, from the offset asked for, and ends when all is sent", async () => {
    const bytes = someBytes(200_000)
    const blob = await store(bytes)
    hub.engine.gives(agent.key.node, attempt, blob)
    open(1, StreamKind.STAGEIN, blob, 50_000)
    credit(1, 50_000, 60_000)
    const first = await agent.next("chunk")
    assert.equal(first.offset, 50_000n)
    assert.equal(first.data.length, 10_000)
    agent.send({ case: "credit", value: { stream: 1, creditOffset: 200_000n } })
    const pieces = [Buffer.from(first.data)]
    for (let at = 60_000; at < 200_000; ) {
      const { offset, data } = await agent.next("chunk")
      assert.equal(offset, BigInt(at))
      assert.ok(data.length <= CHUNK_MAX_BYTES)
      pieces.push(Buffer.from(data))
      at += data.length
    }
    assert.ok(Buffer.concat(pieces).equals(bytes.subarray(50_000)))
    assert.equal((await agent.next("streamEnd")).error, StreamError.UNSPECIFIED)
    assert.equal(hub.links.health().streams, 0)
  })

  it("to a near agent has its share under way once the agent said how often it says that it took some", async () => {
    await hub.close()
    const clock = { nowMs: () => 0, wallMs: () => Date.now() }
    hub = await startHub({ blobs: new MemoryBlobStore({ disk }), clock })
    agent = await new ScriptedAgent(hub).join()
    const bytes = someBytes(30 * CHUNK_MAX_BYTES)
    const blob = await store(bytes)
    hub.engine.gives(agent.key.node, attempt, blob)
    const give = (stream: number, chunks: number) => {
      agent.send({ case: "credit", value: { stream, creditOffset: BigInt(chunks * CHUNK_MAX_BYTES) } })
    }
    const come = async (chunks: number) => {
      for (let n = 0; n < chunks; n++) last = await agent.next("chunk")
      agent.send({ case: "heartbeat", value: { sequence: 1n } })
      await agent.next("heartbeatAnswer")
      return Number(last?.offset) / CHUNK_MAX_BYTES + 1
    }
    let last: Awaited<ReturnType<typeof agent.next<"chunk">>> | null = null
    for (let stream = 2; stream <= 8; stream++) open(stream, StreamKind.STAGEIN, blob)
    open(9, StreamKind.STAGEIN, blob)
    credit(9, 0, 8 * CHUNK_MAX_BYTES)
    assert.equal(await come(8), 8)
    give(9, 9)
    give(9, 15)
    // Seven taken and one under way are eight.
    give(9, 16)
    assert.equal(await come(1), 9)
  })

  it("of no bytes ends at once", async () => {
    const blob = await store(new Uint8Array(0))
    hub.engine.gives(agent.key.node, attempt, blob)
    open(1, StreamKind.STAGEIN, blob)
    assert.equal((await agent.next("streamEnd")).error, StreamError.UNSPECIFIED)
  })

  it("is denied alike for another's attempt, another blob, and a blob that is nowhere", async () => {
    const blob = await store(someBytes(10))
    const other = await store(someBytes(11))
    open(1, StreamKind.STAGEIN, blob)
    const notHeld = await denied(1)
    hub.engine.gives(agent.key.node, attempt, blob)
    open(2, StreamKind.STAGEIN, other)
    assert.equal(await denied(2), notHeld)
    open(3, StreamKind.STAGEIN, refOf(someBytes(12)))
    assert.equal(await denied(3), notHeld)
    hub.engine.gives(agent.key.node, { ...attempt, attempt: 3 }, blob)
    open(4, StreamKind.STAGEIN, blob)
    assert.equal(await denied(4), notHeld)
  })

  it("is gathered from another campaign's stageouts: listed page by page, and sent to who holds the attempt only", async () => {
    const gathered = 99 as CampaignId
    const blob = await store(someBytes(10))
    const other = refOf(someBytes(11))
    const entries = Array.from({ length: GATHER_PAGE_ENTRIES + 1 }, (_, index) => ({ index, blob }))
    hub.engine.gathered.set(gathered, entries)
    hub.engine.gives(agent.key.node, attempt, null, gathered)
    agent.send({ case: "listGather", value: { attempt: wireAttempt, fromIndex: 0 } })
    const first = await agent.next("gatherPage")
    const next = GATHER_PAGE_ENTRIES
    assert.deepEqual([first.entries.length, first.nextIndex, first.arraySize], [next, next, 2_000])
    agent.send({ case: "listGather", value: { attempt: wireAttempt, fromIndex: next } })
    const last = await agent.next("gatherPage")
    assert.deepEqual([last.entries.length, last.entries[0]?.index, last.nextIndex], [1, next, undefined])
    open(1, StreamKind.STAGEIN, blob)
    credit(1, 0, 10)
    assert.equal((await agent.next("chunk")).data.length, 10)
    assert.equal((await agent.next("streamEnd")).error, StreamError.UNSPECIFIED)
    open(2, StreamKind.STAGEIN, other)
    await denied(2)
  })

  it("S15: is not listed for an attempt that is not the node's, or gathers nothing, and the agent hears so", async () => {
    const ask = async (name: object) => {
      agent.send({ case: "listGather", value: { attempt: name as never, fromIndex: 5 } })
      const { error, message, attempt: about, fromIndex, entries } = await agent.next("gatherPage")
      assert.deepEqual([about?.campaign, fromIndex, entries.length], [(name as typeof wireAttempt).campaign, 5, 0])
      assert.equal(error, StreamError.DENIED)
      return message
    }
    const foreign = await ask({ campaign: 4_711n, index: 0, attempt: 1 })
    assert.notEqual(foreign, "")
    hub.engine.gives(agent.key.node, attempt, refOf(someBytes(10)))
    assert.equal(await ask(wireAttempt), foreign)
    assert.equal(await ask({ ...wireAttempt, attempt: 9 }), foreign)
  })

  it("that went bad on the hub's disk ends with an error, and the operator hears of it", async () => {
    const blob = await store(someBytes(100_000))
    hub.engine.gives(agent.key.node, attempt, blob)
    disk.blobs.get(blob.digest)!.bytes[77] = 0
    open(1, StreamKind.STAGEIN, blob)
    credit(1, 0, 100_000)
    assert.equal((await agent.next("streamEnd")).error, StreamError.DIGEST_MISMATCH)
    assert.ok(hub.logged.all.some(({ level }) => level === "error"))
    // Moved aside by now: still the hub's fault, and nothing for which an agent may fail the job.
    open(2, StreamKind.STAGEIN, blob)
    credit(2, 0, 100_000)
    const again = await agent.next("streamEnd")
    assert.equal(again.error, StreamError.DIGEST_MISMATCH)
    assert.match(again.message, /the hub has lost blob sha256:/)
  })

  it("stops when the agent gives it up, and late credits for it do no harm", async () => {
    const blob = await store(someBytes(100_000))
    hub.engine.gives(agent.key.node, attempt, blob)
    open(1, StreamKind.STAGEIN, blob)
    credit(1, 0, 10)
    await agent.next("chunk")
    agent.send({ case: "streamEnd", value: { stream: 1, error: StreamError.CANCELLED } })
    agent.send({ case: "credit", value: { stream: 1, creditOffset: 20n } })
    agent.send({ case: "heartbeat", value: { sequence: 1n } })
    await agent.next("heartbeatAnswer")
    assert.equal(hub.links.health().streams, 0)
  })

  it("S24: that the agent never says StreamOpened for is given up, and the agent hears what was missing", async () => {
    await hub.close()
    hub = await startHub({ blobs: new MemoryBlobStore({ disk }), limits: { stuckMs: 40, watchMs: 10 } })
    agent = await new ScriptedAgent(hub).join()
    const blob = await store(someBytes(1_000))
    hub.engine.gives(agent.key.node, attempt, blob)
    open(1, StreamKind.STAGEIN, blob)
    const end = await agent.next("streamEnd")
    assert.equal(end.error, StreamError.CANCELLED)
    assert.match(end.message, /nothing moved .*waits for the agent's StreamOpened/)
  })

  it("on which the agent takes nothing is given up, and counted", async () => {
    await hub.close()
    hub = await startHub({ blobs: new MemoryBlobStore({ disk }), limits: { stuckMs: 40, watchMs: 10 } })
    agent = await new ScriptedAgent(hub).join()
    const blob = await store(someBytes(100_000))
    hub.engine.gives(agent.key.node, attempt, blob)
    open(1, StreamKind.STAGEIN, blob)
    credit(1, 0, 10)
    const end = await agent.next("streamEnd")
    assert.equal(end.error, StreamError.CANCELLED)
    assert.match(end.message, /nothing moved for \d+ s$/)
    assert.equal((await hub.metrics.streamStalls.get()).values[0]?.value, 1)
  })
})

describe("a stageout", () => {
  const bytes = someBytes(STREAM_WINDOW_WIDE_BYTES + 100_000)
  const blob = refOf(bytes)
  const send = (stream: number, from: number, to: number) => {
    for (let at = from; at < to; at += CHUNK_MAX_BYTES) {
      chunk(stream, at, bytes.subarray(at, Math.min(at + CHUNK_MAX_BYTES, to)))
    }
  }
  beforeEach(() => hub.engine.gives(agent.key.node, attempt, null))

  it("is stored, then in the database, then acknowledged", async () => {
    open(1, StreamKind.STAGEOUT, blob)
    const opened = await agent.next("streamOpened")
    assert.deepEqual([opened.offset, opened.creditOffset], [0n, BigInt(STREAM_WINDOW_WIDE_BYTES)])
    send(1, 0, STREAM_WINDOW_WIDE_BYTES)
    while ((await agent.next("credit")).creditOffset < BigInt(bytes.length)) {}
    send(1, STREAM_WINDOW_WIDE_BYTES, bytes.length)
    agent.send({ case: "streamEnd", value: { stream: 1 } })
    assert.equal((await agent.next("streamStored")).stream, 1)
    assert.equal(hub.engine.rows.get(blob.digest), bytes.length)
    assert.ok(await hub.blobs.has(blob.digest))
  })

  it("of a near agent has a share of what a core takes soon, the smaller the more there are", async () => {
    await hub.close()
    const clock = { nowMs: () => 0, wallMs: () => Date.now() }
    hub = await startHub({ blobs: new MemoryBlobStore({ disk }), clock })
    agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, null)
    const opened: bigint[] = []
    for (let stream = 1; stream <= 4; stream++) {
      const other = refOf(someBytes(STREAM_WINDOW_WIDE_BYTES + stream))
      open(stream, StreamKind.STAGEOUT, other)
      opened.push((await agent.next("streamOpened")).creditOffset)
    }
    const chunks = (count: number) => BigInt(count * CHUNK_MAX_BYTES)
    assert.deepEqual(opened, [chunks(8), chunks(4), chunks(2), chunks(2)])
  })

  it("goes on where it stopped, on another link", async () => {
    open(1, StreamKind.STAGEOUT, blob)
    await agent.next("streamOpened")
    send(1, 0, 3 * CHUNK_MAX_BYTES)
    await agent.next("credit")
    agent.webSocket.terminate()
    agent = await new ScriptedAgent(hub, agent.key).join()
    open(1, StreamKind.STAGEOUT, blob)
    const { offset } = await agent.next("streamOpened")
    assert.ok(Number(offset) >= 2 * CHUNK_MAX_BYTES && Number(offset) <= 3 * CHUNK_MAX_BYTES, String(offset))
    send(1, Number(offset), bytes.length)
    agent.send({ case: "streamEnd", value: { stream: 1 } })
    await agent.next("streamStored")
  })

  it("that the hub has already is not sent again", async () => {
    await store(bytes)
    open(1, StreamKind.STAGEOUT, blob)
    assert.equal((await agent.next("streamOpened")).offset, BigInt(bytes.length))
    agent.send({ case: "streamEnd", value: { stream: 1 } })
    await agent.next("streamStored")
    assert.equal((await hub.metrics.dedupSavedBytes.get()).values[0]?.value, bytes.length)
  })

  it("whose bytes are others than their digest says is thrown away", async () => {
    open(1, StreamKind.STAGEOUT, refOf(someBytes(3)))
    await agent.next("streamOpened")
    chunk(1, 0, Uint8Array.of(9, 9, 9))
    agent.send({ case: "streamEnd", value: { stream: 1 } })
    assert.equal((await agent.next("streamEnd")).error, StreamError.DIGEST_MISMATCH)
    assert.equal(hub.engine.rows.size, 0)
  })

  it("for an attempt that the node does not hold, or larger than allowed, is not taken", async () => {
    const value = { stream: 1, kind: StreamKind.STAGEOUT, attempt: { ...wireAttempt, attempt: 9 }, blob: wire(blob) }
    agent.send({ case: "streamOpen", value })
    await denied(1)
    open(2, StreamKind.STAGEOUT, { ...blob, sizeBytes: 2 ** 31 + 1 })
    const end = await agent.next("streamEnd")
    assert.equal(end.error, StreamError.TOO_LARGE)
    assert.match(end.message, /at most 2 GiB/)
  })

  it("is not begun on a disk that is nearly full", async () => {
    disk.freeBytes = 1_000_000
    open(1, StreamKind.STAGEOUT, blob)
    assert.equal((await agent.next("streamEnd")).error, StreamError.DISK_FULL)
  })

  it("beyond its credit is a breach", async () => {
    let written: () => void = () => {}
    class SlowDisk extends MemoryBlobStore {
      override async openWriter(upload: string, ref: BlobRef) {
        const writer = await super.openWriter(upload, ref)
        const slow = new Promise<void>(resolve => {
          written = resolve
        })
        return { ...writer, offsetBytes: 0, write: () => slow }
      }
    }
    await hub.close()
    hub = await startHub({ blobs: new SlowDisk() })
    agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, null)
    open(1, StreamKind.STAGEOUT, blob)
    await agent.next("streamOpened")
    send(1, 0, STREAM_WINDOW_WIDE_BYTES + 1)
    const { code, reason } = await agent.closed
    assert.equal(code, 4004)
    assert.match(reason, /up to offset 524289, beyond the credit of 524288/)
    written()
  })

  it("out of sequence, too short or without being opened is a breach", async () => {
    const breaches: [() => void, RegExp][] = [
      [() => chunk(1, 5, Uint8Array.of(1)), /at offset 5 where 0 was due/],
      [() => agent.send({ case: "streamEnd", value: { stream: 1 } }), /ended at offset 0 of/],
      [() => chunk(2, 0, Uint8Array.of(1)), /stream 2, which was never opened/],
      [() => agent.send({ case: "credit", value: { stream: 1, creditOffset: 9n } }), /credit on a stageout/],
      [() => open(1, StreamKind.STAGEOUT, blob), /stream 1 opened after stream 1/],
      [() => open(2, StreamKind.UNSPECIFIED, blob), /kind 0/],
    ]
    for (const [breach, reason] of breaches) {
      open(1, StreamKind.STAGEOUT, blob)
      await agent.next("streamOpened")
      breach()
      const { code, reason: said } = await agent.closed
      assert.match(said, reason)
      assert.equal(code, 4004)
      agent = await new ScriptedAgent(hub, agent.key).join()
    }
  })

  it("is one of at most so many of its attempt, on whichever link", async () => {
    const send = async (stream: number, length: number) => {
      const small = someBytes(length)
      open(stream, StreamKind.STAGEOUT, refOf(small))
      await agent.next("streamOpened")
      chunk(stream, 0, small)
      agent.send({ case: "streamEnd", value: { stream } })
      await agent.next("streamStored")
    }
    for (let stream = 1; stream < STAGEOUTS_PER_ATTEMPT_MAX; stream++) await send(stream, stream)
    agent.webSocket.close()
    agent = await new ScriptedAgent(hub, agent.key).join()
    await send(1, 99)
    open(2, StreamKind.STAGEOUT, refOf(someBytes(100)))
    assert.match(await denied(2), /more than 32 different blobs/)
    // Of one that it has sent before nothing is held against it.
    open(3, StreamKind.STAGEOUT, refOf(someBytes(99)))
    await agent.next("streamOpened")
  })

  it("is one of at most eight at once", async () => {
    for (let stream = 1; stream <= STREAMS_MAX; stream++) {
      open(stream, StreamKind.STAGEOUT, refOf(someBytes(100 + stream)))
      await agent.next("streamOpened")
    }
    assert.equal(hub.links.health().streams, STREAMS_MAX)
    open(STREAMS_MAX + 1, StreamKind.STAGEOUT, blob)
    assert.match((await agent.closed).reason, /more than 8 streams/)
  })
})

describe("a followed log", () => {
  function follower() {
    let text = ""
    let ended: () => void = () => {}
    const end = new Promise<void>(resolve => {
      ended = resolve
    })
    let got: (() => void) | null = null
    return {
      data(bytes: Uint8Array) {
        text += Buffer.from(bytes).toString()
        got?.()
      },
      end: ended,
      ended: end,
      text: () => text,
      async has(wanted: string) {
        while (text !== wanted) {
          await new Promise<void>(resolve => {
            got = resolve
          })
        }
      },
    }
  }

  it("is asked for once, passed on as it comes, and replayed to those who come later", async () => {
    const first = follower()
    hub.tap.follow(agent.key.node, attempt, "stdout", first, 0)
    const asked = await agent.next("followLog")
    assert.equal(asked.on, true)
    agent.send({ case: "streamOpen", value: { stream: 1, kind: StreamKind.STDOUT, attempt: wireAttempt } })
    assert.equal((await agent.next("streamOpened")).offset, 0n)
    chunk(1, 0, Buffer.from("one "))
    await first.has("one ")
    const second = follower()
    const { stop } = hub.tap.follow(agent.key.node, attempt, "stdout", second, 0)
    assert.equal(second.text(), "one ")
    chunk(1, 4, Buffer.from("two"))
    await second.has("one two")
    stop()
    chunk(1, 7, Buffer.from("!"))
    agent.send({ case: "streamEnd", value: { stream: 1 } })
    await first.ended
    assert.equal(first.text(), "one two!")
    assert.equal(second.text(), "one two")
  })

  it("F11: goes on after what a follower has seen, and tells a cut from an end", async () => {
    const pieces: [string, number][] = []
    const ends: boolean[] = []
    const ended = new Promise<void>(resolve => {
      const on = {
        data: (bytes: Uint8Array, offset: number) => pieces.push([String(Buffer.from(bytes)), offset]),
        end: (isCut: boolean) => {
          ends.push(isCut)
          resolve()
        },
      }
      hub.tap.follow(agent.key.node, attempt, "stdout", on, 1_000)
    })
    const asked = await agent.next("followLog")
    assert.deepEqual([asked.kind, asked.offset], [StreamKind.STDOUT, 1_000n])
    agent.send({
      case: "streamOpen",
      value: { stream: 1, kind: StreamKind.STDOUT, attempt: wireAttempt, offset: 1_000n },
    })
    await agent.next("streamOpened")
    const has = async (count: number) => {
      while (pieces.length < count) await new Promise(setImmediate)
    }
    chunk(1, 0, Buffer.from("one "))
    await has(1)
    chunk(1, 4, Buffer.from("two"))
    await has(2)
    const late: number[] = []
    hub.tap.follow(agent.key.node, attempt, "stdout", { data: (_, at) => late.push(at), end: () => {} }, 0)
    agent.webSocket.terminate()
    await ended
    assert.deepEqual(
      [pieces, ends, late],
      [
        [
          ["one ", 1_000],
          ["two", 1_004],
        ],
        [true],
        [1_000, 1_004],
      ],
    )
  })

  it("that nobody follows any more is called off", async () => {
    const { stop } = hub.tap.follow(agent.key.node, attempt, "stderr", follower(), 0)
    await agent.next("followLog")
    agent.send({ case: "streamOpen", value: { stream: 1, kind: StreamKind.STDERR, attempt: wireAttempt } })
    await agent.next("streamOpened")
    stop()
    assert.equal((await agent.next("streamEnd")).error, StreamError.CANCELLED)
    assert.equal((await agent.next("followLog")).on, false)
    // Said before the agent had heard: ignored.
    chunk(1, 0, Buffer.from("late"))
    agent.send({ case: "heartbeat", value: {} })
    await agent.next("heartbeatAnswer")
  })

  it("that nobody asked for is not taken", async () => {
    agent.send({ case: "streamOpen", value: { stream: 1, kind: StreamKind.STDOUT, attempt: wireAttempt } })
    assert.match((await agent.next("streamEnd")).message, /nobody follows/)
  })

  it("ends with the link", async () => {
    const watcher = follower()
    hub.tap.follow(agent.key.node, attempt, "stdout", watcher, 0)
    agent.webSocket.terminate()
    await watcher.ended
    assert.throws(() => hub.tap.follow(agent.key.node, attempt, "stdout", watcher, 0), /not connected/)
  })
})
