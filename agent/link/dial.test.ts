import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { createPublicKey, verify } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, it } from "node:test"
import { create, toBinary } from "@bufbuild/protobuf"
import { CampaignSpecSchema, Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { Answer, Reconcile, StreamError, StreamKind } from "../../proto/gen/cah/v1/link_pb.ts"
import { digestOf } from "../../proto/wire/digest.ts"
import { FRAME_MAX_BYTES, STREAM_WINDOW_BYTES } from "../../proto/wire/frame.ts"
import { helloBytes } from "../../proto/wire/hello.ts"
import { Failure } from "../core/ports.ts"
import { LAPSE_ANSWER_MS, PING_MS } from "../limits.ts"
import type { DialOptions } from "./dial.ts"
import { attempt, FakeHub, type HubEnd, type RecordedLink, recordedLink, wireAttempt } from "./fixtures.ts"
import { passingMembership } from "./membership.ts"

let hub: FakeHub
let agent: RecordedLink
beforeEach(async () => {
  hub = await FakeHub.start()
})
afterEach(async () => {
  await agent.link.close()
  await hub.close()
})

async function connect(options: Partial<DialOptions> = {}): Promise<HubEnd> {
  agent = recordedLink(hub.url, options)
  agent.link.start()
  return await hub.connections.next()
}

async function welcomed(options: Partial<DialOptions> = {}): Promise<HubEnd> {
  const end = await connect(options)
  await end.welcome()
  await agent.events.next(event => event.kind === "Welcomed")
  return end
}

const never = new AbortController().signal
const blob = { digest: digestOf(new Uint8Array(32)), sizeBytes: 10 }

async function text(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let all = ""
  for await (const piece of bytes) all += Buffer.from(piece).toString()
  return all
}

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const one of texts) yield Buffer.from(one)
}

function failure(message: RegExp, final: boolean) {
  return (error: unknown) => {
    assert.ok(error instanceof Failure, String(error))
    assert.match(error.message, message)
    assert.equal(error.final, final)
    return true
  }
}

describe("an agent's link", () => {
  it("signs the challenge, says what it holds, and tells the engine how the hub sees that", async () => {
    const end = await connect({ holdings: () => [{ name: attempt, phase: "running" }] })
    const nonce = new Uint8Array(32).fill(7)
    end.challenge(nonce)
    const hello = await end.next("hello")
    const { nodeId } = agent.identity
    const prefix = Buffer.from("302a300506032b6570032100", "hex")
    const key = createPublicKey({ key: Buffer.concat([prefix, hello.publicKey]), format: "der", type: "spki" })
    assert.ok(verify(null, helloBytes({ hubId: "hub", nonce, nodeId, bootId: "boot-1" }), key, hello.signature))
    assert.equal(hello.enrolToken, "token")
    assert.deepEqual(
      hello.holding.map(held => [held.attempt?.index, held.phase]),
      [[7, Phase.RUNNING]],
    )
    assert.deepEqual(
      hello.node?.properties.map(({ name, value }) => [name, value]),
      [["os", "linux"]],
    )
    assert.equal(agent.link.connected, false)
    const reconciled = [{ attempt: wireAttempt, what: Reconcile.KILL }]
    end.send({ case: "welcome", value: { heartbeat: { seconds: 30n }, reconciled, protocol: 1 } })
    assert.deepEqual(await agent.events.next(), {
      kind: "Welcomed",
      heartbeatMs: 30_000,
      reconciled: [{ ...attempt, answer: "kill" }],
    })
    assert.equal(agent.link.connected, true)
    assert.equal(hub.requests[0]?.headers["sec-websocket-protocol"], "cah.v1")
    assert.equal(hub.requests[0]?.headers.origin, undefined)
    assert.equal(hub.requests[0]?.headers["sec-websocket-extensions"], undefined)
  })

  it("turns the hub's frames into events, and the engine's words into frames", async () => {
    const end = await welcomed()
    const spec = toBinary(
      CampaignSpecSchema,
      create(CampaignSpecSchema, {
        name: "orbit",
        command: ["povray", "scene.pov"],
        env: { A: "1" },
        stagein: { digest: blob.digest, sizeBytes: 10n },
        walltime: { seconds: 90n },
        needs: { memoryBytes: 5n },
        property: "image_name = 'base'",
      }),
    )
    const value = { attempt: wireAttempt, owner: "ada", spec, parameters: { line: "x" }, arraySize: 36 }
    end.send({ case: "offer", value })
    assert.deepEqual(await agent.events.next(), {
      kind: "Offered",
      name: attempt,
      spec: {
        owner: "ada",
        campaignName: "orbit",
        project: "",
        command: ["povray", "scene.pov"],
        env: { A: "1" },
        stagein: blob,
        gather: false,
        inside: false,
        stageout: [],
        requireStageout: false,
        walltimeMs: 90_000,
        graceMs: 5_000,
        property: "image_name = 'base'",
        needs: { slots: 1, memoryBytes: 5, diskBytes: 0 },
        line: "x",
        arraySize: 36,
      },
    })
    const named = toBinary(
      CampaignSpecSchema,
      create(CampaignSpecSchema, { command: ["run"], parameterNames: ["rate", "seed"] }),
    )
    end.send({ case: "offer", value: { ...value, spec: named, parameters: { line: '["0.1","a b"]' } } })
    const event = await agent.events.next()
    assert.ok(event.kind === "Offered")
    assert.deepEqual([event.spec.env, event.spec.line], [{ CAH_P_rate: "0.1", CAH_P_seed: "a b" }, null])
    agent.link.report(attempt, "running", null)
    assert.equal((await end.next("report")).phase, Phase.RUNNING)
    const log = { inline: Buffer.from("hi").toString("base64"), blob: null, droppedBytes: 4 }
    const nothing = { inline: null, blob: null, droppedBytes: 0 }
    agent.link.report(attempt, "ended", {
      outcome: "failed",
      exitCode: 2,
      message: "no",
      warnings: "",
      stageout: blob,
      stdout: log,
      stderr: nothing,
      runMs: 1_500,
      cpuMs: 20,
      peakMemoryBytes: 99,
    })
    const { result } = await end.next("report")
    assert.equal(result?.outcome, Outcome.FAILED)
    assert.equal(Buffer.from(result?.stdout?.inline ?? []).toString(), "hi")
    assert.equal(result?.runTime?.nanos, 500_000_000)
    agent.link.heartbeat(5)
    assert.equal((await end.next("heartbeat")).sequence, 5n)
    end.send({ case: "reportAnswer", value: { attempt: wireAttempt, phase: Phase.ENDED, answer: Answer.BLOB_MISSING } })
    end.send({ case: "kill", value: { attempt: wireAttempt, reason: "cancelled" } })
    const answered = { kind: "ReportAnswered", name: attempt, phase: "ended", answer: "blobMissing" }
    assert.deepEqual(await agent.events.next(), answered)
    assert.deepEqual(await agent.events.next(), { kind: "KillAsked", name: attempt, reason: "cancelled" })
  })

  it("refuses an offer that makes no sense, in words, without troubling the engine", async () => {
    const end = await welcomed()
    const specs: [Parameters<typeof create<typeof CampaignSpecSchema>>[1], RegExp][] = [
      [{}, /no command/],
      [{ command: ["a\0b"] }, /NUL/],
      [{ command: ["a"], env: { "x=y": "" } }, /"x=y" is no name/],
      [{ command: ["a"], walltime: { seconds: -5n } }, /walltime/],
      [{ command: ["a"], stagein: { digest: "sha256:short" } }, /digest/],
    ]
    for (const [spec, reason] of specs) {
      const bytes = toBinary(CampaignSpecSchema, create(CampaignSpecSchema, spec))
      end.send({ case: "offer", value: { attempt: wireAttempt, spec: bytes } })
      const report = await end.next("report")
      assert.equal(report.result?.outcome, Outcome.REFUSED)
      assert.match(report.result?.message ?? "", reason)
    }
    end.send({ case: "offer", value: { attempt: wireAttempt, spec: Uint8Array.of(0xff) } })
    assert.match((await end.next("report")).result?.message ?? "", /cannot be read/)
    assert.ok(agent.events.all.every(event => event.kind !== "Offered"))
  })

  it("S15: hears that there is nothing to gather, and waits no longer", async () => {
    const end = await welcomed()
    const listed = agent.link.listGather(attempt, 3, never)
    const { fromIndex } = await end.next("listGather")
    const value = { attempt: wireAttempt, fromIndex, error: StreamError.DENIED, message: "not yours" }
    end.send({ case: "gatherPage", value })
    await assert.rejects(listed, failure(/nothing to gather: not yours/, false))
  })

  it("comes back when the link is lost, and shows its token no more", async () => {
    const end = await welcomed()
    end.webSocket.terminate()
    assert.equal((await agent.events.next()).kind, "LinkLost")
    const again = await hub.connections.next()
    assert.equal((await again.welcome()).enrolToken, "")
    await agent.events.next(event => event.kind === "Welcomed")
  })

  it("waits as the hub asks: in a goodbye, and in a 503 with Retry-After", async () => {
    const end = await welcomed()
    end.send({ case: "goodbye", value: { reason: "restarting", retryAfter: { nanos: 20_000_000 } } })
    end.webSocket.close(1001)
    const busy = "the hub is busy\n"
    const head = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
    hub.refusals.push(`${head}Retry-After: 0.03\r\nContent-Length: ${busy.length}\r\n\r\n${busy}`)
    await (await hub.connections.next()).welcome()
    const waits = agent.logged.all.filter(({ message }) => message.startsWith("no link"))
    assert.deepEqual(
      waits.map(({ fields, message }) => [fields.againMs, message]),
      [
        [20, "no link to the hub: restarting"],
        [30, "no link to the hub: the hub answered 503: the hub is busy"],
      ],
    )
  })

  it("dials no more after a final goodbye to a node that never joined, and says why", async () => {
    const end = await connect()
    end.challenge()
    await end.next("hello")
    end.send({ case: "goodbye", value: { reason: "the enrolment token is unknown", final: true } })
    end.webSocket.close(4003)
    assert.equal(await agent.finals.next(), "the enrolment token is unknown")
    await assert.rejects(text(agent.link.fetchBlob(attempt, blob, 0, never)), failure(/closed/, false))
    assert.equal(hub.requests.length, 1)
  })

  const sendAway = async (end: HubEnd, reason: string, code: number, hubId?: string): Promise<void> => {
    end.challenge(undefined, undefined, hubId)
    await end.next("hello")
    end.send({ case: "goodbye", value: { reason, final: true } })
    end.webSocket.close(code)
  }
  const sentAway = () => agent.logged.next(one => one.message.startsWith("the hub sent this agent away"))
  const again = () => agent.logged.next(one => one.message.startsWith("no link"))

  it("O2: a node that has joined is never sent away for good by a hub that does not know it: it asks again, later each time", async () => {
    agent = recordedLink(hub.url, { membership: passingMembership("hub-of-old") })
    agent.link.start()
    await sendAway(await hub.connections.next(), "this hub does not know the node", 4003, "hub-of-today")
    const { message, fields } = await sentAway()
    assert.match(
      message,
      /another hub answers there than the one this node has joined: this hub does not know the node/,
    )
    assert.deepEqual([fields.joined, fields.answered], ["hub-of-old", "hub-of-today"])
    assert.equal((await again()).fields.againMs, 60_000)
    agent.link.lapsed()
    await sendAway(await hub.connections.next(), "this hub does not know the node", 4003, "hub-of-old")
    assert.equal((await again()).fields.againMs, 120_000)
    agent.link.lapsed()
    await (await hub.connections.next()).welcome()
    await agent.events.next()
    assert.deepEqual(agent.finals.all, [])
  })

  it("O2: an agent that is newer than its hub asks again as well, whether it has joined or not", async () => {
    agent = recordedLink(hub.url)
    agent.link.start()
    await sendAway(await hub.connections.next(), "upgrade the hub", 4002)
    assert.match((await sentAway()).message, /upgrade the hub; it is asked again, at least every hour/)
    assert.equal((await again()).fields.againMs, 60_000)
    assert.deepEqual(agent.finals.all, [])
  })

  it("O2: a node that was revoked is, joined or not, sent away for good", async () => {
    agent = recordedLink(hub.url, { membership: passingMembership("hub") })
    agent.link.start()
    const end = await hub.connections.next()
    end.challenge()
    await end.next("hello")
    end.send({ case: "goodbye", value: { reason: "stopped on the hub", final: true, revoked: true } })
    end.webSocket.close(4003)
    assert.equal(await agent.finals.next(), "revoked: stopped on the hub")
  })

  it("does not chase an agent that took over with the same key", async () => {
    const end = await welcomed()
    end.webSocket.close(4001, "a newer session")
    const { fields, message } = await agent.logged.next(one => one.message.startsWith("no link"))
    assert.match(message, /another agent uses this node's key/)
    assert.equal(fields.againMs, 60_000)
  })

  it("closes on a hub that breaks the protocol, and tries again", async () => {
    const breaches: [(end: HubEnd) => void, number][] = [
      [end => end.webSocket.send(Uint8Array.of(0xff)), 4004],
      [end => end.webSocket.send("text"), 4004],
      [end => end.challenge(), 4004],
      [end => end.send({ case: "chunk", value: { stream: 1, data: new Uint8Array(1) } }), 4004],
      [end => end.send({ case: "kill", value: {} }), 4004],
      [end => end.webSocket.send(new Uint8Array(FRAME_MAX_BYTES + 1)), 1009],
    ]
    agent = recordedLink(hub.url)
    agent.link.start()
    for (const [breach, code] of breaches) {
      const end = await hub.connections.next()
      await end.welcome()
      breach(end)
      assert.equal((await end.closed).code, code)
    }
  })
})

/** A key and a certificate for this name, signed by itself. */
function certificateFor(name: `IP:${string}` | `DNS:${string}`): { cert: Buffer; key: Buffer } {
  const directory = mkdtempSync(join(tmpdir(), "cah-tls-"))
  const [keyFile, certFile] = [join(directory, "key.pem"), join(directory, "cert.pem")]
  const subject = ["-subj", "/CN=hub", "-addext", `subjectAltName=${name}`]
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
  const output = ["-nodes", "-keyout", keyFile, "-out", certFile]
  execFileSync("openssl", ["req", "-x509", ...curve, "-days", "2", ...subject, ...output], { stdio: "ignore" })
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) }
  rmSync(directory, { recursive: true })
  return tls
}

describe("a link by way of another address", () => {
  it("speaks to the hub by the hub's name", async () => {
    agent = recordedLink("http://hub.example.org:8080", { via: new URL(hub.url).host, insecure: true })
    agent.link.start()
    await (await hub.connections.next()).welcome()
    await agent.events.next(event => event.kind === "Welcomed")
    assert.equal(hub.requests[0]?.headers.host, "hub.example.org:8080")
  })

  it("asks for the hub's certificate, whether that has a name or an address", async () => {
    for (const [hubUrl, name, host] of [
      ["https://hub.example.org", "DNS:hub.example.org", "hub.example.org"],
      ["https://192.0.2.7:8443", "IP:192.0.2.7", "192.0.2.7:8443"],
    ] as const) {
      const tls = certificateFor(name)
      await hub.close()
      hub = await FakeHub.start(tls)
      agent = recordedLink(hubUrl, { via: new URL(hub.url).host, ca: tls.cert })
      agent.link.start()
      await (await hub.connections.next()).welcome()
      await agent.events.next(event => event.kind === "Welcomed")
      assert.equal(hub.requests[0]?.headers.host, host)
      await agent.link.close()
    }
  })

  it("does not take a certificate that is good for that other address only", async () => {
    const tls = certificateFor("IP:127.0.0.1")
    await hub.close()
    hub = await FakeHub.start(tls)
    for (const hubUrl of ["https://hub.example.org", "https://192.0.2.7"]) {
      agent = recordedLink(hubUrl, { via: new URL(hub.url).host, ca: tls.cert, random: () => 0.999 })
      agent.link.start()
      const { message } = await agent.logged.next(one => one.message.startsWith("no link"))
      assert.match(message, /cannot be reached: .*does not match certificate's altnames/)
      await agent.link.close()
    }
    assert.equal(hub.connections.all.length, 0)
  })

  it("is not begun when there is no such address", () => {
    agent = recordedLink(hub.url)
    for (const via of ["hub.example.org:80", "10.0.2.100", "10.0.2.100:0"]) {
      assert.throws(() => recordedLink(hub.url, { via }), failure(/no address to connect to/, true))
    }
  })
})

describe("after this machine stood still", () => {
  it("a hub that still answers keeps its link", async () => {
    let nowMs = 0
    const end = await welcomed({ clock: { nowMs: () => nowMs, wallMs: () => 0 } })
    const asked = once(end.webSocket, "ping")
    agent.link.lapsed()
    await asked
    // Heard after the answer to the ping, which was sent before it.
    end.send({ case: "kill", value: { attempt: wireAttempt, reason: "any" } })
    await agent.events.next(event => event.kind === "KillAsked")
    nowMs += PING_MS
    await once(end.webSocket, "ping")
    assert.equal(agent.link.connected, true)
  })

  it("a link whose hub does not answer is given up within seconds, and dialled anew", async () => {
    let nowMs = 0
    const clock = { nowMs: () => nowMs, wallMs: () => 0 }
    const end = await welcomed({ clock, random: () => 0.5 })
    // As when the hypervisor forgot the connection: nothing arrives any more, and nobody says so.
    end.webSocket.pause()
    agent.link.lapsed()
    nowMs += LAPSE_ANSWER_MS
    await agent.events.next(event => event.kind === "LinkLost")
    await (await hub.connections.next()).welcome()
    await agent.events.next(event => event.kind === "Welcomed")
    assert.match(agent.logged.all.map(one => one.message).join(), /did not survive that this machine stood still/)
  })

  it("an agent that waits to dial again does not wait any longer", async () => {
    const end = await connect({ random: () => 0.999 })
    end.send({ case: "goodbye", value: { reason: "busy", retryAfter: { seconds: 3_000n } } })
    end.webSocket.close(1013, "busy")
    await agent.logged.next(one => one.message.startsWith("no link"))
    agent.link.lapsed()
    await (await hub.connections.next()).welcome()
    await agent.events.next(event => event.kind === "Welcomed")
  })
})

describe("a link over TLS", () => {
  it("is made to a hub whose certificate is trusted, and to no other", async () => {
    const tls = certificateFor("IP:127.0.0.1")
    await hub.close()
    hub = await FakeHub.start(tls)

    const distrustful = recordedLink(hub.url, { random: () => 0.999 })
    distrustful.link.start()
    const { message } = await distrustful.logged.next(one => one.message.startsWith("no link"))
    assert.match(message, /cannot be reached: .*self.signed/)
    await distrustful.link.close()

    const end = await connect({ ca: tls.cert })
    await end.welcome()
    await agent.events.next(event => event.kind === "Welcomed")
    assert.equal(hub.connections.all.length, 1)
  })
})

describe("a fetch", () => {
  it("waits for a link, takes the bytes, and grants more as they are taken", async () => {
    agent = recordedLink(hub.url)
    const large = { ...blob, sizeBytes: STREAM_WINDOW_BYTES + 5 }
    const fetched = text(agent.link.fetchBlob(attempt, large, 5, never))
    agent.link.start()
    const end = await hub.connections.next()
    await end.welcome()
    const open = await end.next("streamOpen")
    assert.deepEqual([open.kind, open.offset, open.blob?.digest], [StreamKind.STAGEIN, 5n, blob.digest])
    assert.equal((await end.next("streamOpened")).creditOffset, BigInt(STREAM_WINDOW_BYTES + 5))
    const data = Buffer.alloc(65_536, "x")
    for (let at = 0; at < 4; at++)
      end.send({ case: "chunk", value: { stream: 1, offset: BigInt(5 + at * 65_536), data } })
    end.send({ case: "streamEnd", value: { stream: 1 } })
    assert.equal((await fetched).length, STREAM_WINDOW_BYTES)
  })

  it("tells whether trying again can help", async () => {
    const end = await welcomed()
    for (const [error, final] of [
      [StreamError.DENIED, true],
      [StreamError.NOT_FOUND, true],
      [StreamError.INTERNAL, false],
      [StreamError.CANCELLED, false],
    ] as const) {
      const fetched = text(agent.link.fetchBlob(attempt, blob, 0, never))
      const { stream } = await end.next("streamOpen")
      end.send({ case: "streamEnd", value: { stream, error, message: "because" } })
      await assert.rejects(fetched, failure(/because/, final))
    }
  })

  it("ends in a failure worth another try when the link is lost, and in silence towards a hub when it is aborted", async () => {
    const end = await welcomed()
    const lost = text(agent.link.fetchBlob(attempt, blob, 0, never))
    await end.next("streamOpen")
    end.webSocket.terminate()
    await assert.rejects(lost, failure(/link to the hub was lost/, false))
    const again = await hub.connections.next()
    await again.welcome()
    const abort = new AbortController()
    const aborted = text(agent.link.fetchBlob(attempt, blob, 0, abort.signal))
    const { stream } = await again.next("streamOpen")
    abort.abort()
    await assert.rejects(aborted, failure(/given up/, false))
    assert.equal((await again.next("streamEnd")).error, StreamError.CANCELLED)
    // The hub had not heard yet.
    again.send({ case: "chunk", value: { stream, data: Buffer.from("late") } })
    agent.link.heartbeat(1)
    await again.next("heartbeat")
    assert.equal(agent.link.connected, true)
  })

  it("waits for its turn when eight are under way", async () => {
    const end = await welcomed()
    const all = Array.from({ length: 9 }, () =>
      text(agent.link.fetchBlob(attempt, { ...blob, sizeBytes: 0 }, 0, never)),
    )
    for (let stream = 1; stream <= 8; stream++) assert.equal((await end.next("streamOpen")).stream, stream)
    agent.link.heartbeat(1)
    await end.next("heartbeat")
    assert.equal(end.frames.all.filter(frame => frame.case === "streamOpen").length, 8)
    end.send({ case: "streamEnd", value: { stream: 3 } })
    assert.equal((await end.next("streamOpen")).stream, 9)
    for (const stream of [1, 2, 4, 5, 6, 7, 8, 9]) end.send({ case: "streamEnd", value: { stream } })
    assert.deepEqual(await Promise.all(all), Array(9).fill(""))
  })
})

describe("an upload", () => {
  const source = (offset: number) => pieces("0123456789".slice(offset))

  it("begins where the hub wants it and ends when the hub has it on disk", async () => {
    const end = await welcomed()
    const uploaded = agent.link.upload(attempt, blob, source, never)
    const { stream, blob: named } = await end.next("streamOpen")
    assert.equal(named?.sizeBytes, 10n)
    end.send({ case: "streamOpened", value: { stream, offset: 4n, creditOffset: 6n } })
    assert.equal(Buffer.from((await end.next("chunk")).data).toString(), "45")
    end.send({ case: "credit", value: { stream, creditOffset: 10n } })
    assert.equal(Buffer.from((await end.next("chunk")).data).toString(), "6789")
    assert.equal((await end.next("streamEnd")).error, StreamError.UNSPECIFIED)
    end.send({ case: "streamStored", value: { stream } })
    await uploaded
  })

  it("of what the hub has already sends nothing", async () => {
    const end = await welcomed()
    const uploaded = agent.link.upload(attempt, blob, () => assert.fail("opened"), never)
    end.send({ case: "streamOpened", value: { stream: 1, offset: 10n, creditOffset: 10n } })
    await end.next("streamEnd")
    end.send({ case: "streamStored", value: { stream: 1 } })
    await uploaded
    assert.ok(end.frames.all.every(frame => frame.case !== "chunk"))
  })

  it("of a file that changed is given up, and the hub is told", async () => {
    const end = await welcomed()
    for (const changed of ["short", "much too long"]) {
      const uploaded = agent.link.upload(attempt, blob, () => pieces(changed), never)
      const { stream } = await end.next("streamOpen")
      end.send({ case: "streamOpened", value: { stream, offset: 0n, creditOffset: 10n } })
      await assert.rejects(uploaded, failure(/changed after it was packed/, true))
      assert.equal((await end.next("streamEnd")).error, StreamError.CANCELLED)
    }
    assert.equal(agent.link.connected, true)
  })

  it("that the hub calls stored before it was sent is a breach", async () => {
    const end = await welcomed()
    const uploaded = agent.link.upload(attempt, blob, source, never)
    const rejected = assert.rejects(uploaded, failure(/link to the hub was lost/, false))
    const { stream } = await end.next("streamOpen")
    end.send({ case: "streamStored", value: { stream } })
    assert.equal((await end.closed).code, 4004)
    await rejected
  })
})

describe("a served log", () => {
  it("is opened when somebody watches and ends with the output", async () => {
    const end = await welcomed({ logSource: (_, output) => (output === "stdout" ? pieces("out", "put") : null) })
    end.send({ case: "followLog", value: { attempt: wireAttempt, on: true } })
    const stdout = await end.next("streamOpen")
    const stderr = await end.next("streamOpen")
    assert.deepEqual([stdout.kind, stderr.kind], [StreamKind.STDOUT, StreamKind.STDERR])
    // Asked again while it is served: nothing new.
    end.send({ case: "followLog", value: { attempt: wireAttempt, on: true } })
    end.send({ case: "streamOpened", value: { stream: stdout.stream, creditOffset: 100n } })
    let all = ""
    while (all.length < 6) all += Buffer.from((await end.next("chunk")).data).toString()
    assert.equal(all, "output")
    assert.equal((await end.next("streamEnd")).stream, stdout.stream)
    end.send({ case: "streamOpened", value: { stream: stderr.stream, creditOffset: 100n } })
    assert.equal((await end.next("streamEnd")).stream, stderr.stream)
    assert.equal(end.frames.all.filter(frame => frame.case === "streamOpen").length, 2)
  })

  it("stops when nobody watches any more, also while the output is silent", async () => {
    let isReturned = false
    const silent: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          isReturned = true
          return { done: true, value: undefined }
        },
      }),
    }
    const end = await welcomed({ logSource: () => silent })
    end.send({ case: "followLog", value: { attempt: wireAttempt, on: true } })
    const { stream } = await end.next("streamOpen")
    end.send({ case: "streamOpened", value: { stream, creditOffset: 100n } })
    end.send({ case: "followLog", value: { attempt: wireAttempt, on: false } })
    assert.equal((await end.next("streamEnd")).error, StreamError.CANCELLED)
    while (!isReturned) await new Promise(setImmediate)
  })
})
