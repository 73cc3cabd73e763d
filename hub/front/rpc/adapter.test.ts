// Bodies of calls as a socket brings them: in pieces, large, or not to their end.
import assert from "node:assert/strict"
import { once } from "node:events"
import { createServer, request } from "node:http"
import { type AddressInfo, connect } from "node:net"
import { after, before, beforeEach, describe, it } from "node:test"
import { Health } from "../../../proto/gen/grpc/health/v1/health_pb.ts"
import type { Log } from "../../core/ports.ts"
import { GATHERED_BYTES_MAX } from "../../limits.ts"
import { SparingLog } from "../../sparing.ts"
import { rpcHandler } from "./adapter.ts"

const PATH = `/${Health.typeName}/Check`
const log: Log = { debug() {}, info() {}, warn() {}, error: (_fields, message) => assert.fail(message) }

describe("a call over HTTP/1", () => {
  const asked: string[] = []
  const handle = rpcHandler({
    routes: router => {
      router.rpc(Health.method.check, ({ service }) => {
        asked.push(service)
        return { status: 1 }
      })
    },
    admit: () => null,
    boundOf: () => ({ bytes: 2 * GATHERED_BYTES_MAX, entries: 100 }),
    interceptors: [],
    shutdown: new AbortController().signal,
    faults: new SparingLog(log),
  })
  const server = createServer((incoming, response) => assert.ok(handle(incoming, response)))
  let port = 0
  before(async () => {
    await once(server.listen(0, "127.0.0.1"), "listening")
    port = (server.address() as AddressInfo).port
  })
  after(() => server.close())
  beforeEach(() => asked.splice(0))

  const head = (bytes: number) =>
    `POST ${PATH} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n`

  it("is answered when its small body has come, byte by byte", async () => {
    const body = JSON.stringify({ service: "in pieces" })
    const socket = connect(port, "127.0.0.1").setNoDelay(true)
    await once(socket, "connect")
    socket.write(head(body.length))
    for (const character of body) await new Promise(resolve => socket.write(character, resolve))
    const [answer] = (await once(socket, "data")) as [Buffer]
    socket.destroy()
    assert.match(answer.toString(), /^HTTP\/1\.1 200 OK/)
    assert.deepEqual(asked, ["in pieces"])
  })

  for (const [size, bytes] of [
    ["as large as one that is gathered", GATHERED_BYTES_MAX],
    ["larger than that", GATHERED_BYTES_MAX + 1],
  ] as const) {
    it(`is answered when its body is ${size}`, async () => {
      const frame = JSON.stringify({ service: "" }).length
      const service = "x".repeat(bytes - frame)
      assert.equal(await post(JSON.stringify({ service })), 200)
      assert.deepEqual(asked, [service])
    })
  }

  it("is answered without a body's length", async () => {
    assert.equal(await post(JSON.stringify({ service: "chunked" }), false), 200)
    assert.deepEqual(asked, ["chunked"])
  })

  it("is no call when its peer goes away in the middle of its body", async () => {
    // Not by once(): it hears errors, and nobody else may have to.
    const gone = new Promise(resolve => server.once("request", incoming => incoming.on("close", resolve)))
    await halfOfOne()
    await gone
    assert.equal(await post(JSON.stringify({ service: "next" })), 200)
    assert.deepEqual(asked, ["next"])
  })

  async function halfOfOne(): Promise<void> {
    const body = JSON.stringify({ service: "never" })
    const socket = connect(port, "127.0.0.1")
    await once(socket, "connect")
    await new Promise(resolve => socket.write(head(body.length) + body.slice(0, 5), resolve))
    socket.destroy()
  }

  function post(body: string, withLength = true): Promise<number> {
    return new Promise((resolve, reject) => {
      const length = withLength ? { "content-length": body.length } : {}
      const headers = { "content-type": "application/json", ...length }
      const call = request({ port, host: "127.0.0.1", method: "POST", path: PATH, headers, agent: false }, response => {
        response.resume()
        response.on("end", () => resolve(response.statusCode!))
      })
      call.on("error", reject)
      if (!withLength) call.write(body.slice(0, 3))
      call.end(withLength ? body : body.slice(3))
    })
  }
})
