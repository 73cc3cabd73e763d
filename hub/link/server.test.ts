import assert from "node:assert/strict"
import { afterEach, describe, it } from "node:test"
import { Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { Answer } from "../../proto/gen/cah/v1/link_pb.ts"
import { digestOf } from "../../proto/wire/digest.ts"
import { FRAME_MAX_BYTES } from "../../proto/wire/frame.ts"
import { helloBytes } from "../../proto/wire/hello.ts"
import { MemoryBlobStore } from "../blobs/memory.ts"
import type { LinkId } from "../core/model.ts"
import { Peers } from "../peers.ts"
import { attempt, type Hub, newKey, ScriptedAgent, startHub as start, wireAttempt } from "./fixtures.ts"

let hub: Hub
const startHub = async (options: Partial<Parameters<typeof start>[0]> = {}) => {
  hub = await start({ blobs: new MemoryBlobStore(), ...options })
  return hub
}
afterEach(() => hub.close())

async function connects(result: string): Promise<number> {
  const { values } = await hub.metrics.agentConnects.get()
  return values.find(({ labels }) => labels.result === result)?.value ?? 0
}

describe("a hello", () => {
  it("that proves its key and brings a token is welcomed, and the engine hears all it says", async () => {
    await startHub()
    const agent = new ScriptedAgent(hub)
    await agent.hello({ holding: [{ attempt: wireAttempt, phase: Phase.RUNNING }] as never })
    const welcome = await agent.next("welcome")
    assert.equal(welcome.nodeId, agent.key.node)
    assert.equal(welcome.sessionEpoch, 1n)
    assert.equal(welcome.protocol, 1)
    assert.equal(welcome.heartbeat?.seconds, 30n)
    assert.deepEqual(
      welcome.reconciled.map(one => one.attempt?.index),
      [7],
    )
    const { publicKey, ...event } = await hub.engine.events.next(one => one.kind === "NodeHello")
    assert.deepEqual(Buffer.from(publicKey), Buffer.from(agent.key.publicKey))
    assert.deepEqual(event, {
      kind: "NodeHello",
      link: 1,
      node: agent.key.node,
      account: "ada",
      host: null,
      network: "127.0.0.0/24",
      agentVersion: "0.1.0",
      bootId: "boot-1",
      name: "attic",
      slots: 2,
      memoryBytes: 4_000,
      diskBytes: 8_000,
      properties: { os: "linux" },
      holding: [{ ...attempt, phase: "running" }],
    })
    assert.deepEqual(hub.links.health(), { links: 1, streams: 0, bufferedBytes: 0 })
    assert.equal(await connects("accepted"), 1)
  })

  it("of a known node needs no token", async () => {
    await startHub()
    const key = newKey()
    const first = await new ScriptedAgent(hub, key).join()
    first.webSocket.close()
    await hub.engine.events.next(event => event.kind === "NodeGone")
    const second = new ScriptedAgent(hub, key)
    await second.hello({ enrolToken: "" })
    assert.equal((await second.next("welcome")).sessionEpoch, 2n)
  })

  it("of an unknown node without a token, or with a wrong one, is sent away for good and told why", async () => {
    await startHub()
    for (const [enrolToken, reason] of [
      ["", /enrolment token \(--enroll\)/],
      ["wrong", /token is not valid/],
    ] as const) {
      const agent = new ScriptedAgent(hub)
      await agent.hello({ enrolToken })
      const goodbye = await agent.next("goodbye")
      assert.equal(goodbye.final, true)
      assert.match(goodbye.reason, reason)
      assert.equal((await agent.closed).code, 4003)
    }
    assert.equal(await connects("denied"), 2)
    assert.equal(hub.engine.events.all.length, 0)
  })

  it("O11: that is refused again and again is one line, and agents that join and leave are a line each", async () => {
    await startHub()
    for (let n = 0; n < 5; n++) {
      const agent = new ScriptedAgent(hub)
      await agent.hello({ enrolToken: "dead" })
      await agent.closed
    }
    const agent = await new ScriptedAgent(hub).join()
    agent.webSocket.close()
    await hub.engine.events.next(event => event.kind === "NodeGone")
    await new ScriptedAgent(hub, agent.key).join()
    const said = hub.logged.all.filter(({ level }) => level === "info").map(({ message }) => message)
    // The third is the same node's once more, which the next minute counts.
    assert.deepEqual(said, ["agent refused", "a new agent joined", "agent left", "agent joined"])
  })

  it("O2: nodes that knock and are not known are counted, each once, until they join", async () => {
    await startHub()
    const [first, second] = [newKey(), newKey()]
    for (const [key, enrolToken] of [
      [first, ""],
      [first, ""],
      [second, "wrong"],
    ] as const) {
      const agent = new ScriptedAgent(hub, key)
      await agent.hello({ enrolToken })
      await agent.closed
    }
    assert.equal(hub.desk.strangers(), 2)
    await new ScriptedAgent(hub, first).join()
    assert.equal(hub.desk.strangers(), 1)
  })

  it("signed with another key is refused", async () => {
    await startHub()
    const agent = new ScriptedAgent(hub)
    await agent.hello({ signature: new Uint8Array(64) })
    assert.match((await agent.next("goodbye")).reason, /signature does not fit/)
    assert.equal((await agent.closed).code, 4003)
  })

  it("heard on one link is worth nothing on another", async () => {
    await startHub()
    const key = newKey()
    const honest = new ScriptedAgent(hub, key)
    const { sign } = await import("node:crypto")
    const { hubId, nonce } = await honest.challenge()
    const proof = helloBytes({ hubId, nonce, nodeId: key.node, bootId: "boot-1" })
    const thief = new ScriptedAgent(hub, key)
    await thief.hello({ signature: Uint8Array.from(sign(null, proof, key.privateKey)) })
    assert.match((await thief.next("goodbye")).reason, /signature does not fit/)
  })

  it("of a revoked node, or of another key by the same id, is refused", async () => {
    await startHub()
    const key = newKey()
    const agent = await new ScriptedAgent(hub, key).join()
    agent.webSocket.close()
    await hub.engine.events.next(event => event.kind === "NodeGone")
    const node = hub.engine.nodeById.get(key.node)!
    node.revoked = true
    const revoked = new ScriptedAgent(hub, key)
    await revoked.hello()
    const goodbye = await revoked.next("goodbye")
    assert.match(goodbye.reason, /stopped on the hub, by its owner or by the hub's operator/)
    assert.deepEqual([goodbye.final, goodbye.revoked], [true, true])
    hub.engine.nodeById.set(key.node, { ...node, revoked: false, publicKey: newKey().publicKey })
    const double = new ScriptedAgent(hub, key)
    await double.hello()
    assert.match((await double.next("goodbye")).reason, /another key/)
  })

  it("of another version of the protocol is told who must be upgraded", async () => {
    await startHub()
    for (const [range, who] of [
      [{ protocolMin: 0, protocolMax: 0 }, /^upgrade the agent: /],
      [{ protocolMin: 2, protocolMax: 3 }, /^upgrade the hub: .* versions 2 to 3 .* this hub 1 to 1/],
    ] as const) {
      const agent = new ScriptedAgent(hub)
      await agent.hello(range)
      const goodbye = await agent.next("goodbye")
      assert.match(goodbye.reason, who)
      assert.equal(goodbye.final, true)
      assert.equal((await agent.closed).code, 4002)
    }
  })

  it("that does not come in time closes the link", async () => {
    await startHub({ limits: { helloMs: 20, watchMs: 5 } })
    assert.equal((await new ScriptedAgent(hub).closed).code, 4008)
    assert.equal(await connects("timeout"), 1)
    assert.equal(hub.links.health().links, 0)
  })

  it("that makes no sense is a breach", async () => {
    await startHub()
    for (const [wrong, reason] of [
      [{ node: undefined }, /what the node gives/],
      [{ bootId: "" }, /boot id/],
      [{ node: { slots: 0 } }, /slots is 0/],
      [{ node: { slots: 1, memoryBytes: 2n ** 60n } }, /memory_bytes is beyond/],
      [{ node: { slots: 1, properties: [{ name: "__proto__", value: "x" }] } }, /property named "__proto__"/],
      [{ node: { slots: 1, name: "a\u001b[2J" } }, /control characters/],
      [{ holding: [{ attempt: wireAttempt, phase: Phase.QUEUED }] }, /held in phase 1/],
      [{ holding: [{ phase: Phase.RUNNING }] }, /which attempt/],
    ] as const) {
      const agent = new ScriptedAgent(hub)
      await agent.hello(wrong as never)
      const { code, reason: said } = await agent.closed
      assert.equal(code, 4004)
      assert.match(said, reason)
    }
    assert.equal(hub.engine.events.all.length, 0)
  })

  it("whose token cannot be looked up now is told to come back, and the operator hears why", async () => {
    await startHub({ enrol: () => Promise.reject(new Error("disk full")) })
    const agent = new ScriptedAgent(hub)
    await agent.hello()
    assert.equal((await agent.closed).code, 1013)
    assert.ok(hub.logged.all.some(({ level }) => level === "error"))
  })

  it("whose link closed before the welcome leaves no node that seems connected", async () => {
    await startHub()
    hub.engine.welcomes = false
    const agent = new ScriptedAgent(hub)
    await agent.hello()
    const hello = await hub.engine.events.next(event => event.kind === "NodeHello")
    assert.ok(hello.kind === "NodeHello")
    agent.webSocket.terminate()
    await agent.closed
    while (hub.links.health().links > 0) await new Promise(setImmediate)
    hub.engine.welcome(hello)
    const gone = await hub.engine.events.next(event => event.kind === "NodeGone")
    assert.deepEqual(gone, { kind: "NodeGone", node: agent.key.node, epoch: 1 })
  })
})

describe("a session", () => {
  it("is closed when a newer one of the same key takes over, and what it says after that is not heard", async () => {
    await startHub()
    const key = newKey()
    const older = await new ScriptedAgent(hub, key).join()
    const newer = await new ScriptedAgent(hub, key).join()
    older.report(Phase.STAGING)
    assert.equal((await older.closed).code, 4001)
    newer.send({ case: "heartbeat", value: { sequence: 9n } })
    assert.equal((await newer.next("heartbeatAnswer")).sequence, 9n)
    assert.ok(hub.engine.events.all.every(event => event.kind !== "AttemptReported"))
  })

  it("passes reports on in order, and the engine's words back", async () => {
    await startHub()
    const agent = await new ScriptedAgent(hub).join()
    const link = 1 as LinkId
    hub.links.offer(link, {
      ...attempt,
      owner: "ada",
      spec: Uint8Array.of(1),
      line: "x=1",
      total: 10,
      shape: null,
      inside: false,
    })
    const offer = await agent.next("offer")
    assert.equal(offer.parameters?.line, "x=1")
    assert.equal(offer.arraySize, 10)
    agent.report(Phase.STAGING)
    agent.report(Phase.RUNNING)
    const reported = async () => {
      const event = await hub.engine.events.next(one => one.kind === "AttemptReported")
      assert.ok(event.kind === "AttemptReported")
      return event
    }
    const first = await reported()
    assert.deepEqual(first, {
      kind: "AttemptReported",
      node: agent.key.node,
      epoch: 1,
      ...attempt,
      phase: "staging",
      result: null,
    })
    assert.equal((await reported()).phase, "running")
    hub.links.speak({ kind: "AnswerReport", link, ...attempt, phase: "running", answer: "stale" })
    const answer = await agent.next("reportAnswer")
    assert.deepEqual([answer.phase, answer.answer], [Phase.RUNNING, Answer.STALE])
    hub.links.speak({ kind: "Kill", link, ...attempt, reason: "cancelled" })
    assert.equal((await agent.next("kill")).reason, "cancelled")
    hub.links.speak({ kind: "CloseLink", link, why: "revoked" })
    assert.equal((await agent.next("goodbye")).final, true)
    assert.equal((await agent.closed).code, 4003)
  })

  it("takes a result only when every blob it names is here", async () => {
    await startHub()
    const agent = await new ScriptedAgent(hub).join()
    hub.engine.gives(agent.key.node, attempt, null)
    const digest = digestOf(new Uint8Array(32))
    const result = {
      outcome: Outcome.FAILED,
      exitCode: 3,
      message: "bad\u001b[31m luck",
      warnings: "a.csv matched\r nothing\nleft out: \u001b[2J",
      stageout: { digest, sizeBytes: 5n },
      stdout: { inline: Buffer.from("hello"), droppedBytes: 2n },
      runTime: { seconds: 1n, nanos: 500_000_000 },
    } as never
    agent.report(Phase.ENDED, result)
    assert.equal((await agent.next("reportAnswer")).answer, Answer.BLOB_MISSING)
    hub.engine.rows.set(digest, 5)
    hub.engine.foreign.add(digest)
    agent.report(Phase.ENDED, result)
    assert.equal(
      (await agent.next("reportAnswer")).answer,
      Answer.BLOB_MISSING,
      "another scientist's is not the owner's",
    )
    hub.engine.foreign.delete(digest)
    agent.report(Phase.ENDED, result)
    const event = await hub.engine.events.next(one => one.kind === "AttemptReported")
    assert.ok(event.kind === "AttemptReported")
    assert.deepEqual(event.result, {
      outcome: "failed",
      exitCode: 3,
      message: "bad [31m luck",
      warnings: "a.csv matched  nothing\nleft out:  [2J",
      stageout: { digest, sizeBytes: 5 },
      stdout: { inline: Uint8Array.from(Buffer.from("hello")), blob: null, droppedBytes: 2 },
      stderr: { inline: null, blob: null, droppedBytes: 0 },
      runMs: 1_500,
      cpuMs: 0,
      peakMemoryBytes: 0,
    })
  })

  it("ends with a reason when the agent says what makes no sense", async () => {
    await startHub()
    const digest = digestOf(new Uint8Array(32))
    hub.engine.rows.set(digest, 5)
    const cases = [
      [{ attempt: wireAttempt, phase: Phase.QUEUED }, /report of phase 1/],
      [{ attempt: wireAttempt, phase: Phase.ENDED }, /ended without a result/],
      [{ attempt: wireAttempt, phase: Phase.RUNNING, result: {} }, /running with a result/],
      [{ attempt: undefined, phase: Phase.RUNNING }, /which attempt/],
      [{ attempt: { campaign: 1n }, phase: Phase.RUNNING }, /which attempt/],
      [{ attempt: { campaign: 2n ** 60n, attempt: 1 }, phase: Phase.RUNNING }, /beyond 2\^53/],
      [{ result: { outcome: Outcome.CANCELLED } }, /outcome 6/],
      [{ result: { outcome: Outcome.FAILED, exitCode: -1 } }, /exit_code is -1/],
      [{ result: { outcome: Outcome.FINISHED, exitCode: 1 } }, /finished result with exit code 1/],
      [{ result: { outcome: Outcome.FAILED, runTime: { seconds: -1n, nanos: 0 } } }, /run_time is -1000/],
      [{ result: { outcome: Outcome.FAILED, stageout: { digest: "sha256:no" } } }, /without a digest/],
      [{ result: { outcome: Outcome.FAILED, stageout: { digest, sizeBytes: 6n } } }, /it has 5/],
    ] as const
    for (const [value, reason] of cases) {
      const agent = await new ScriptedAgent(hub).join()
      hub.engine.gives(agent.key.node, attempt, null)
      agent.send({ case: "report", value: { attempt: wireAttempt, phase: Phase.ENDED, ...value } as never })
      const closed = await agent.closed
      assert.equal(closed.code, 4004)
      assert.match(closed.reason, reason)
    }
    assert.ok(hub.engine.events.all.every(event => event.kind !== "AttemptReported"))
  })

  it("ends at a malformed frame, one out of order, a text message, and one too large", async () => {
    await startHub()
    const early = new ScriptedAgent(hub)
    await early.challenge()
    early.send({ case: "heartbeat", value: {} })
    assert.deepEqual(await early.closed, {
      code: 4004,
      reason: "heartbeat from the agent while the link is challenged",
    })

    const malformed = await new ScriptedAgent(hub).join()
    malformed.webSocket.send(Uint8Array.of(0xff, 0xff))
    assert.equal((await malformed.closed).code, 4004)

    const text = await new ScriptedAgent(hub).join()
    text.webSocket.send("hello")
    assert.match((await text.closed).reason, /text message/)

    const second = await new ScriptedAgent(hub).join()
    second.send({ case: "hello", value: { publicKey: new Uint8Array(32), signature: new Uint8Array(64) } })
    assert.match((await second.closed).reason, /hello from the agent while the link is open/)

    const large = await new ScriptedAgent(hub).join()
    large.webSocket.send(new Uint8Array(FRAME_MAX_BYTES + 1))
    assert.equal((await large.closed).code, 1009)
    while (hub.links.health().links > 0) await new Promise(setImmediate)
  })

  it("ends when frames come far faster than any agent has reason to send them", async () => {
    // No time passes, however slow this machine is just now.
    await startHub({ clock: { nowMs: () => 0, wallMs: () => 0 } })
    const agent = await new ScriptedAgent(hub).join()
    for (let n = 0; n < 40_000; n++) agent.send({ case: "heartbeat", value: { sequence: BigInt(n) } })
    assert.match((await agent.closed).reason, /more than 10000 frames a second/)
    assert.ok(hub.engine.events.all.length < 40_000)
  })

  it("is pinged when silent, and dead after two pings without any answer", async () => {
    // Time passes when a ping has arrived, and not by itself: on a busy machine the second one could come too late to be seen.
    let nowMs = 0
    await startHub({ clock: { nowMs: () => nowMs, wallMs: () => 0 }, limits: { pingMs: 20, watchMs: 5 } })
    const agent = new ScriptedAgent(hub, newKey(), { autoPong: false } as never)
    await agent.join()
    let pings = 0
    agent.webSocket.on("ping", () => {
      pings++
      nowMs += 20
    })
    nowMs += 20
    const gone = await hub.engine.events.next(event => event.kind === "NodeGone")
    assert.deepEqual(gone, { kind: "NodeGone", node: agent.key.node, epoch: 1 })
    await agent.closed
    assert.equal(pings, 2)
  })

  it("is given up when the agent takes nothing of what is sent", async () => {
    await startHub({ limits: { stuckMs: 50, watchMs: 10, pingMs: 60_000 } })
    const agent = await new ScriptedAgent(hub).join()
    agent.webSocket.pause()
    const spec = new Uint8Array(200_000)
    for (let n = 0; n < 60; n++)
      hub.links.offer(1 as LinkId, { ...attempt, owner: "ada", spec, line: null, total: 1, shape: null, inside: false })
    await hub.engine.events.next(event => event.kind === "NodeGone")
    assert.ok(hub.logged.all.some(({ message }) => message.includes("stuck")))
    agent.webSocket.terminate()
    await agent.closed
    assert.equal(hub.links.health().bufferedBytes, 0)
  })

  it("does not outlive a flood of pings", async () => {
    await startHub()
    const agent = await new ScriptedAgent(hub).join()
    for (let n = 0; n < 40_000; n++) agent.webSocket.ping()
    // The WebSocket library cuts it when its answers pile up; the frame rate would, if they did not.
    await agent.closed
    while (hub.links.health().links > 0) await new Promise(setImmediate)
  })
})

describe("an upgrade", () => {
  it("with an Origin is refused: no page in a browser speaks for an agent", async () => {
    await startHub()
    const agent = new ScriptedAgent(hub, newKey(), { origin: "https://example.org" })
    assert.equal((await agent.refusal()).status, 403)
    assert.equal(await connects("refused"), 1)
  })

  it("without our subprotocol, or for another path, is refused", async () => {
    await startHub()
    const agent = new ScriptedAgent(hub, newKey(), { protocols: ["cah.v2"] })
    const { status, text } = await agent.refusal()
    assert.equal(status, 400)
    assert.match(text, /must be cah\.v1/)
    const { default: WebSocket } = await import("ws")
    const other = new WebSocket(`ws://127.0.0.1:${hub.port}/other`, ["cah.v1"])
    const answered = await new Promise<number | undefined>(resolve => {
      other.on("unexpected-response", (_, response) => resolve(response.statusCode))
    })
    other.on("error", () => {})
    other.terminate()
    assert.equal(answered, 404)
  })

  it("is put off while the engine has trouble, which would not hear its hello", async () => {
    await startHub()
    const agent = await new ScriptedAgent(hub).join()
    hub.links.drop("the disk is full")
    assert.equal((await agent.next("goodbye")).final, false)
    assert.equal((await agent.closed).code, 1001)
    const refusal = await new ScriptedAgent(hub).refusal()
    assert.equal(refusal.status, 503)
    assert.match(refusal.text, /trouble with its disk/)
    hub.links.resume()
    await new ScriptedAgent(hub).join()
  })

  it("is put off with a time to come back while the loop is late, or too many hellos are awaited", async () => {
    let lagMs = 201
    await startHub({ lagMs: () => lagMs, limits: { pendingHellosMax: 1 } })
    const late = await new ScriptedAgent(hub).refusal()
    assert.equal(late.status, 503)
    assert.ok(Number(late.retryAfter) >= 5 && Number(late.retryAfter) <= 10)
    lagMs = 0
    const pending = new ScriptedAgent(hub)
    await pending.challenge()
    assert.match((await new ScriptedAgent(hub).refusal()).text, /too many agents are joining/)
    await pending.hello()
    await pending.next("welcome")
    await new ScriptedAgent(hub).join()
  })

  it("is in the network from which it calls, also behind a trusted proxy", async () => {
    await startHub({ peers: new Peers({ trusted: ["127.0.0.1"] }) })
    const address = "2001:db8:1:2::3"
    await new ScriptedAgent(hub, newKey(), { headers: { "x-forwarded-for": address } }).join()
    const hello = await hub.engine.events.next(event => event.kind === "NodeHello")
    assert.equal(hello.kind === "NodeHello" && hello.network, "2001:db8:1::/48")
  })

  it("S6: is taken for honest agents while two addresses take all they can and say nothing", async () => {
    // The proxy says who they are: on one machine all have one address.
    const peers = new Peers({ trusted: ["127.0.0.1"] })
    await startHub({ peers, limits: { pendingHellosMax: 20, acceptsBurst: 10_000 } })
    const from = (address: string) => new ScriptedAgent(hub, newKey(), { headers: { "x-forwarded-for": address } })
    const sent: string[] = []
    const silent = async (address: string) => {
      const agent = from(address)
      const answers = [agent.challenge().then(() => "in"), agent.refusal().then(() => "out")]
      if ((await Promise.race(answers)) === "in") void agent.closed.then(({ reason }) => sent.push(reason))
    }
    let joined = 0
    for (let n = 0; n < 30; n++) {
      await Promise.all(Array.from({ length: 24 }, (_, k) => silent(`203.0.113.${1 + (k % 2)}`)))
      const honest = from(`192.0.2.${n}`)
      const answers = [honest.join().then(() => true), honest.refusal().then(() => false)]
      if (await Promise.race(answers)) joined++
    }
    assert.ok(joined >= 29, `${joined} of 30 joined`)
    assert.ok(sent.some(reason => reason.includes("too many agents are joining from this address")))
  })

  it("is put off when upgrades come too fast", async () => {
    await startHub({ limits: { acceptsBurst: 2, acceptsPerSecond: 0.001 } })
    await new ScriptedAgent(hub).join()
    await new ScriptedAgent(hub).join()
    assert.equal((await new ScriptedAgent(hub).refusal()).status, 503)
    assert.equal(await connects("busy"), 1)
  })
})

describe("draining", () => {
  it("tells every agent to come back, each at another time, and closes", async () => {
    await startHub()
    const agents = await Promise.all([1, 2, 3].map(() => new ScriptedAgent(hub).join()))
    const drained = hub.links.drain("the hub restarts")
    const waits = []
    for (const agent of agents) {
      const goodbye = await agent.next("goodbye")
      assert.equal(goodbye.reason, "the hub restarts")
      assert.equal(goodbye.final, false)
      waits.push(Number(goodbye.retryAfter?.seconds) * 1_000 + Number(goodbye.retryAfter?.nanos) / 1e6)
      assert.equal((await agent.closed).code, 1001)
    }
    await drained
    assert.ok(
      waits.every(wait => wait >= 5_000 && wait <= 15_000),
      String(waits),
    )
    assert.equal(new Set(waits).size, 3)
    assert.equal((await new ScriptedAgent(hub).refusal()).status, 503)
    assert.equal(hub.engine.events.all.filter(event => event.kind === "NodeGone").length, 3)
  })
})
