// The hub's link and the agent's, as they are, over a real loopback WebSocket, with blobs on a real disk.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, it, type TestContext } from "node:test"
import { recordedLink } from "../agent/link/fixtures.ts"
import { openDiskBlobs } from "../hub/blobs/disk.ts"
import type { BlobRef, NodeId } from "../hub/core/model.ts"
import { attempt, type Hub, startHub } from "../hub/link/fixtures.ts"
import { digestOf } from "../proto/wire/digest.ts"

const MIB = 1024 * 1024
const name = { campaign: attempt.campaign as number, index: attempt.index, attempt: attempt.attempt }
const never = new AbortController().signal

let directory: string
let hub: Hub
let agent: ReturnType<typeof recordedLink>

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cah-link-"))
  hub = await startHub({ blobs: await openDiskBlobs({ directory, wallMs: Date.now }) })
  agent = recordedLink(hub.url)
  agent.link.start()
  await agent.events.next(event => event.kind === "Welcomed")
})
afterEach(async () => {
  await agent.link.close()
  await hub.close()
  await rm(directory, { recursive: true })
})

/** Bytes that differ from piece to piece, made as they are needed. */
async function* generated(sizeBytes: number, offset = 0): AsyncGenerator<Uint8Array> {
  for (let at = offset; at < sizeBytes; ) {
    const start = at - (at % 65_536)
    const piece = Buffer.alloc(Math.min(65_536, sizeBytes - start))
    for (let word = 0; word + 4 <= piece.length; word += 4) piece.writeUInt32LE((start + word) >>> 0, word)
    yield piece.subarray(at - start)
    at = start + piece.length
  }
}

async function refOf(sizeBytes: number): Promise<BlobRef> {
  const hash = createHash("sha256")
  for await (const piece of generated(sizeBytes)) hash.update(piece)
  return { digest: digestOf(hash.digest()), sizeBytes }
}

async function store(sizeBytes: number): Promise<BlobRef> {
  const blob = await refOf(sizeBytes)
  const writer = await hub.blobs.openWriter("scientist", blob)
  for await (const piece of generated(sizeBytes)) await writer.write(piece)
  await writer.finish()
  hub.engine.rows.set(blob.digest, sizeBytes)
  return blob
}

const node = () => agent.identity.nodeId as NodeId

/** Heartbeats, one after the other's answer, while the work is done. */
async function whileBeating(t: TestContext, what: string, sizeBytes: number, work: Promise<unknown>): Promise<void> {
  let isDone = false
  const trips: number[] = []
  let peakBytes = 0
  let buffered = 0
  const settled = work.finally(() => {
    isDone = true
  })
  const beganMs = performance.now()
  const beating = (async () => {
    for (let sequence = 1; !isDone; sequence++) {
      const sentMs = performance.now()
      agent.link.heartbeat(sequence)
      await hub.engine.events.next(event => event.kind === "HeartbeatReceived")
      trips.push(performance.now() - sentMs)
      peakBytes = Math.max(peakBytes, process.memoryUsage().rss)
      buffered = Math.max(buffered, hub.links.health().bufferedBytes)
      await new Promise(setImmediate)
    }
  })()
  await settled
  await beating
  const seconds = (performance.now() - beganMs) / 1_000
  trips.sort((a, b) => a - b)
  const at = (share: number) => trips[Math.min(trips.length - 1, Math.floor(trips.length * share))]?.toFixed(2)
  t.diagnostic(
    `${what}: ${(sizeBytes / MIB / seconds).toFixed(0)} MiB/s, control one way p50 ${at(0.5)} ms, p99 ${at(0.99)} ms (${trips.length}), rss ${(peakBytes / MIB).toFixed(0)} MiB, buffered at most ${(buffered / 1024).toFixed(0)} KiB`,
  )
  assert.ok(buffered <= MIB, `${buffered} bytes buffered`)
}

describe("64 MiB", () => {
  const sizeBytes = 64 * MIB

  it("come as a stagein in bounded memory, with control frames in between", async t => {
    const blob = await store(sizeBytes)
    hub.engine.gives(node(), attempt, blob)
    const hash = createHash("sha256")
    const fetch = async () => {
      for await (const piece of agent.link.fetchBlob(name, blob, 0, never)) hash.update(piece)
    }
    await whileBeating(t, "stagein", sizeBytes, fetch())
    assert.equal(digestOf(hash.digest()), blob.digest)
  })

  it("go as a stageout in bounded memory, with control frames in between", async t => {
    const blob = await refOf(sizeBytes)
    hub.engine.gives(node(), attempt, null)
    await whileBeating(
      t,
      "stageout",
      sizeBytes,
      agent.link.upload(name, blob, offset => generated(sizeBytes, offset), never),
    )
    assert.equal(hub.engine.rows.get(blob.digest), sizeBytes)
    assert.ok(await hub.blobs.has(blob.digest))
  })
})

describe("a transfer whose socket is cut", () => {
  const sizeBytes = 8 * MIB + 17

  it("goes on where it stopped as a stageout", async () => {
    const blob = await refOf(sizeBytes)
    hub.engine.gives(node(), attempt, null)
    const offsets: number[] = []
    const cutOnce = async function* (offset: number) {
      offsets.push(offset)
      let sent = 0
      for await (const piece of generated(sizeBytes, offset)) {
        yield piece
        sent += piece.length
        if (offsets.length === 1 && sent >= 3 * MIB)
          hub.links.speak({ kind: "CloseLink", link: hub.engine.node(node())!.link!, why: "silent" })
      }
    }
    await assert.rejects(agent.link.upload(name, blob, cutOnce, never), /link to the hub was lost/)
    await agent.link.upload(name, blob, cutOnce, never)
    assert.equal(offsets[0], 0)
    assert.ok(offsets[1]! >= 2 * MIB, `went on at ${offsets[1]}`)
    assert.equal(hub.engine.rows.get(blob.digest), sizeBytes)
    assert.equal(agent.events.all.filter(event => event.kind === "Welcomed").length, 2)
  })

  it("goes on where it stopped as a stagein", async () => {
    const blob = await store(sizeBytes)
    hub.engine.gives(node(), attempt, blob)
    const hash = createHash("sha256")
    let here = 0
    const take = async (cutAt: number) => {
      for await (const piece of agent.link.fetchBlob(name, blob, here, never)) {
        hash.update(piece)
        here += piece.length
        if (here < cutAt) continue
        hub.links.drop("the engine starts anew")
        hub.links.resume()
      }
    }
    await assert.rejects(take(3 * MIB), /link to the hub was lost/)
    assert.ok(here >= 3 * MIB && here < sizeBytes)
    // The hub asked for five seconds of patience; another link of the same node does not wait for that.
    await agent.link.close()
    agent = recordedLink(hub.url, { identity: agent.identity })
    agent.link.start()
    await take(Number.POSITIVE_INFINITY)
    assert.equal(digestOf(hash.digest()), blob.digest)
  })
})

describe("two agents with one key", () => {
  it("do not chase each other: the older steps aside for a minute", async () => {
    const second = recordedLink(hub.url, { identity: agent.identity })
    second.link.start()
    await second.events.next(event => event.kind === "Welcomed")
    await agent.events.next(event => event.kind === "LinkLost")
    const { fields, message } = await agent.logged.next(one => one.message.startsWith("no link"))
    assert.match(message, /another agent uses this node's key/)
    assert.ok(Number(fields.againMs) >= 60_000)
    assert.equal(second.link.connected, true)
    await second.link.close()
  })
})

describe("a followed log", () => {
  it("travels from the agent's output to whoever watches", async () => {
    await agent.link.close()
    const logSource = async function* () {
      yield Buffer.from("frame 1\n")
      yield Buffer.from("frame 2\n")
    }
    agent = recordedLink(hub.url, { identity: agent.identity, logSource })
    agent.link.start()
    await agent.events.next(event => event.kind === "Welcomed")
    let text = ""
    await new Promise<void>(resolve => {
      const data = (bytes: Uint8Array) => {
        text += Buffer.from(bytes).toString()
      }
      hub.tap.follow(node(), attempt, "stdout", { data, end: () => resolve() }, 0)
    })
    assert.equal(text, "frame 1\nframe 2\n")
  })
})

describe("a thousand links from this machine", () => {
  it("are taken at once, and let go of completely", async () => {
    const agents = Array.from({ length: 1_000 }, () => recordedLink(hub.url, { random: Math.random }))
    for (const one of agents) one.link.start()
    await Promise.all(agents.map(one => one.events.next(event => event.kind === "Welcomed")))
    assert.equal(hub.links.health().links, 1_001)
    await Promise.all(agents.map(one => one.link.close()))
    while (hub.links.health().links > 1) await new Promise(setImmediate)
  })
})
