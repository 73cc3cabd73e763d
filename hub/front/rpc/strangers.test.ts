// What strangers, and holders of a token, can make the hub do with the body of a call: by every protocol, on a real port.
import assert from "node:assert/strict"
import { once } from "node:events"
import { request as requestHttp1 } from "node:http"
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2"
import { connect } from "node:net"
import { after, before, describe, it } from "node:test"
import { Code } from "@connectrpc/connect"
import { Failures } from "../../auth/failures.ts"
import { MESSAGE_BYTES_MAX } from "../../limits.ts"
import { openFront, type TestFront } from "../front.suite.ts"

const SUBMIT = "/cah.v1.ScientistService/Submit"
const CANCEL = "/cah.v1.ScientistService/Cancel"
const emptyMessages = (bytes: number) => Buffer.alloc(bytes, Buffer.from([0x1a, 0]))
const emptyRanges = (bytes: number) => Buffer.alloc(bytes, Buffer.from([0x12, 0]))
const emptyObjects = (bytes: number) => Buffer.from(`{"parameters":[${"{},".repeat(bytes / 3 - 10)}{}]}`)
const nested = (bytes: number) => Buffer.from(`{"spec":${"[".repeat(bytes - 10)}`)

function envelope(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

const LARGE = MESSAGE_BYTES_MAX - 1024
const bodies: [string, string, string, Buffer][] = [
  ["protobuf", SUBMIT, "application/proto", emptyMessages(LARGE)],
  ["protobuf, Cancel's ranges", CANCEL, "application/proto", emptyRanges(LARGE)],
  ["JSON", SUBMIT, "application/json", emptyObjects(LARGE)],
  ["JSON, nested", SUBMIT, "application/json", nested(LARGE)],
  ["gRPC", SUBMIT, "application/grpc+proto", envelope(emptyMessages(LARGE))],
  ["gRPC, a stream", "/cah.v1.ScientistService/SubmitStream", "application/grpc", envelope(emptyMessages(LARGE))],
  ["gRPC with JSON", SUBMIT, "application/grpc+json", envelope(emptyObjects(LARGE))],
  ["gRPC-web", SUBMIT, "application/grpc-web+proto", envelope(emptyMessages(LARGE))],
  [
    "a stream of Connect's",
    "/cah.v1.ScientistService/SubmitStream",
    "application/connect+json",
    envelope(nested(LARGE)),
  ],
  ["the operator's service", "/cah.v1.OperatorService/CreateToken", "application/proto", emptyMessages(LARGE)],
]

/** What the protocol says of how the call went: a number of gRPC's. */
function codeOf(headers: IncomingHttpHeaders, trailers: IncomingHttpHeaders, body: Buffer): number {
  const status = trailers["grpc-status"] ?? headers["grpc-status"]
  if (status !== undefined) return Number(status)
  const text = body.toString("latin1")
  const [, inBody] = /grpc-status: ?(\d+)/.exec(text) ?? []
  if (inBody !== undefined) return Number(inBody)
  const [, word = ""] = /"code":"(\w+)"/.exec(text) ?? []
  const codes = { unauthenticated: Code.Unauthenticated, invalid_argument: Code.InvalidArgument }
  return { ...codes, resource_exhausted: Code.ResourceExhausted }[word] ?? Number.NaN
}

describe("the body of a call", () => {
  let front: TestFront
  let session: ClientHttp2Session
  before(async () => {
    front = await openFront()
    session = connectHttp2(front.url)
  })
  after(async () => {
    session.destroy()
    await front.close()
  })

  /** Sends so much of a body as the hub takes, and says how the call went and what it cost the hub's processor, with our own. */
  async function call(path: string, type: string, body: Buffer, secret?: string) {
    const authorization = secret === undefined ? {} : { authorization: `Bearer ${secret}` }
    const used = process.cpuUsage()
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": type,
      te: "trailers",
      ...authorization,
    })
    let headers: IncomingHttpHeaders = {}
    let trailers: IncomingHttpHeaders = {}
    const pieces: Buffer[] = []
    stream.on("response", got => {
      headers = got
    })
    stream.on("trailers", got => {
      trailers = got
    })
    stream.on("data", piece => pieces.push(piece))
    // Cut by the hub, once it has answered.
    stream.on("error", () => {})
    stream.end(body)
    await once(stream, "close")
    const { user, system } = process.cpuUsage(used)
    return { code: codeOf(headers, trailers, Buffer.concat(pieces)), cpuMs: (user + system) / 1_000 }
  }

  for (const [what, path, type, body] of bodies) {
    it(`S2: of four megabytes in ${what} costs nothing without a token, and little with one`, async () => {
      const stranger = await call(path, type, body)
      assert.equal(stranger.code, Code.Unauthenticated)
      const holder = await call(path, type, body, await front.token("ada", ["submit", "cancel", "admin"]))
      assert.ok([Code.InvalidArgument, Code.ResourceExhausted].includes(holder.code), `code ${holder.code}`)
      // Decoding takes 1.5 s; the sending itself takes some 30 ms.
      for (const { cpuMs } of [stranger, holder]) assert.ok(cpuMs < 600, `${cpuMs} ms of the processor`)
    })
  }

  it("S2: is not waited for where the head says who may not call", async () => {
    const socket = connect(Number(new URL(front.url).port), "127.0.0.1")
    const head = `POST ${SUBMIT} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/proto\r\nContent-Length: 4000000\r\n\r\n`
    socket.write(head)
    const [answer] = (await once(socket, "data")) as [Buffer]
    assert.match(answer.toString(), /^HTTP\/1\.1 401 /)
    socket.destroy()
  })

  it("O16: is over before a refusal, where it is small, so that a proxy can keep its client's connection", async () => {
    const head = { ":method": "POST", ":path": SUBMIT, "content-type": "application/proto" }
    const refused = session.request(head)
    let status = 0
    refused.on("response", got => {
      status = got[":status"] ?? 0
    })
    refused.write(Buffer.of(0x1a))
    // Whatever the hub would have said of the first call at once, it has said when the second is answered.
    assert.equal((await call(SUBMIT, "application/proto", Buffer.alloc(0))).code, Code.Unauthenticated)
    assert.equal(status, 0)
    refused.end(Buffer.of(0))
    refused.resume()
    await once(refused, "close")
    assert.equal(status, 401)
    assert.equal(refused.rstCode, 0)
  })

  it("S2: in the query of a GET is bounded and refused likewise", async () => {
    const url = `${front.url}/cah.v1.ScientistService/Plan?connect=v1&encoding=json&message=`
    assert.equal((await fetch(`${url}${encodeURIComponent("[".repeat(100))}`)).status, 401)
    const headers = { authorization: `Bearer ${await front.token("ada")}` }
    const deep = await fetch(`${url}${encodeURIComponent("[".repeat(100))}`, { headers })
    assert.deepEqual([deep.status, ((await deep.json()) as { code: string }).code], [400, "invalid_argument"])
    const plain = await fetch(`${url}${encodeURIComponent('{"jobs":3,"spec":{"command":["true"]}}')}`, { headers })
    assert.equal(plain.status, 200)
  })

  it("S2: with wrong tokens is answered 'too many' without being read", async t => {
    const other = await openFront({ failures: new Failures({ nowMs: () => 0, wallMs: () => 0 }, 3) })
    t.after(() => other.close())
    const statuses = []
    for (let n = 0; n < 5; n++) {
      const headers = { "content-type": "application/proto", authorization: "Bearer cah_nonsense" }
      const answer = await fetch(`${other.url}${SUBMIT}`, { method: "POST", headers, body: emptyMessages(100_000) })
      statuses.push(answer.status)
    }
    assert.deepEqual(statuses, [401, 401, 401, 429, 429])
  })

  it("S17: that is malformed is its sender's fault by every protocol, and no line in the log", async () => {
    const secret = await front.token("ada")
    const wrong = Buffer.from("0a02c328", "hex")
    for (const [type, body] of [
      ["application/proto", wrong],
      ["application/grpc", envelope(wrong)],
      ["application/grpc-web", envelope(wrong)],
      ["application/json", Buffer.from('{"idempotencyKey":')],
      ["application/proto", Buffer.from("0a", "hex")],
    ] as const) {
      assert.equal((await call(SUBMIT, type, body, secret)).code, Code.InvalidArgument, type)
    }
    const stream = "/cah.v1.ScientistService/SubmitStream"
    assert.equal((await call(stream, "application/grpc", envelope(wrong), secret)).code, Code.InvalidArgument)
    assert.deepEqual(front.lines.errors, [])
  })

  it("S17: counts among the calls, refused or malformed", async () => {
    const { metrics } = front
    const text = await metrics.registry.metrics()
    const count = (code: string) =>
      Number(
        new RegExp(
          `requests_total\\{method="cah.v1.ScientistService/Submit",protocol="grpc",code="${code}"\\} (\\d+)`,
        ).exec(text)?.[1],
      )
    assert.ok(count("unauthenticated") >= 1, text)
    assert.ok(count("invalidargument") >= 1)
  })

  it("S7: has its whole time, and no longer, whoever sends it", async t => {
    const slow = await openFront({ messageMs: 100 })
    t.after(() => slow.close())
    const authorization = `Bearer ${await slow.token("ada")}`
    for (const headers of [{ "content-length": 1_000 }, {}]) {
      const options = {
        method: "POST",
        agent: false,
        headers: { "content-type": "application/proto", authorization, ...headers },
      }
      const asked = requestHttp1(`${slow.url}${SUBMIT}`, options)
      asked.on("error", () => {})
      asked.write("x")
      const [answer] = await once(asked, "response")
      assert.equal(answer.statusCode, 409)
      answer.resume()
      asked.destroy()
    }
  })
})
