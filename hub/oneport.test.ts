// One port, every caller: a real hub, in plain text and with TLS, is asked by clients that share no code with it.
import assert from "node:assert/strict"
import { execFile, execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { request as requestHttps } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { fromBinary, toBinary } from "@bufbuild/protobuf"
import { createClient } from "@connectrpc/connect"
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web"
import * as grpc from "@grpc/grpc-js"
import { WebSocket } from "ws"
import { HubFrameSchema } from "../proto/gen/cah/v1/link_pb.ts"
import { ScientistService } from "../proto/gen/cah/v1/scientist_pb.ts"
import { readConfig } from "./config.ts"
import type { Log } from "./core/ports.ts"
import { type Hub, startHub } from "./hub.ts"

const run = promisify(execFile)
const buf = fileURLToPath(new URL("../node_modules/.bin/buf", import.meta.url))
const log: Log = { debug() {}, info() {}, warn() {}, error: (fields, message) => console.error(message, fields) }

describe("one port", () => {
  const directory = mkdtempSync(join(tmpdir(), "cah-oneport-"))
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")]
  after(() => rmSync(directory, { recursive: true }))
  before(() => {
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert]
    execFileSync("openssl", ["req", "-x509", "-days", "30", ...subject, ...made], { stdio: "ignore" })
  })

  for (const tls of [false, true]) {
    it(`answers everybody ${tls ? "over TLS" : "in plain text"}`, async t => {
      const certificate = tls ? ["--tls-cert", cert, "--tls-key", key] : []
      const data = join(directory, tls ? "tls" : "plain")
      const asked = readConfig(["--port", "0", "--data", data, "--disk-floor", "0", ...certificate], {}, [])
      assert.ok(asked.kind === "run")
      const hub: Hub = await startHub(asked.config, { log, drainMs: 100 })
      t.after(() => hub.stop())
      const token = readFileSync(hub.adminTokenPath, "utf8").trim()
      const authorization = `Bearer ${token}`
      const { url } = hub
      assert.equal(new URL(url).protocol, tls ? "https:" : "http:")
      const curl = (...more: string[]) =>
        run("curl", ["-sS", "--fail", "--cacert", cert, ...more]).then(out => out.stdout)

      await t.test("grpc-js", async () => {
        const trust = tls ? grpc.credentials.createSsl(readFileSync(cert)) : grpc.credentials.createInsecure()
        const client = new grpc.Client(`127.0.0.1:${hub.port}`, trust)
        const method = ScientistService.method.whoAmI
        const metadata = new grpc.Metadata()
        metadata.set("authorization", authorization)
        const who = await new Promise<string>((resolve, reject) =>
          client.makeUnaryRequest(
            "/cah.v1.ScientistService/WhoAmI",
            () => Buffer.from(toBinary(method.input, { $typeName: "cah.v1.WhoAmIRequest" })),
            bytes => fromBinary(method.output, bytes),
            {},
            metadata,
            (error, answer) => (error ? reject(error) : resolve(answer?.principal ?? "")),
          ),
        )
        client.close()
        assert.equal(who, "admin")
      })

      await t.test("connect-web: gRPC-web and Connect", async () => {
        const headers = { authorization }
        for (const make of [createGrpcWebTransport, createConnectTransport]) {
          const client = createClient(ScientistService, make({ baseUrl: url, fetch: fetchTrusting(cert) }))
          assert.equal((await client.whoAmI({}, { headers })).principal, "admin")
        }
      })

      for (const version of ["--http1.1", tls ? "--http2" : "--http2-prior-knowledge"]) {
        await t.test(`curl ${version}: pages and Connect JSON`, async () => {
          assert.equal(await curl(version, `${url}/healthz`), "ok\n")
          assert.match(await curl(version, `${url}/`), /All well/)
          const json = ["-H", "content-type: application/json", "-H", `authorization: ${authorization}`, "-d", "{}"]
          const answer = await curl(version, ...json, `${url}/cah.v1.ScientistService/WhoAmI`)
          assert.equal(JSON.parse(answer).principal, "admin")
        })
      }

      await t.test("ws", async () => {
        const address = `${url.replace("http", "ws")}/agent`
        const socket = new WebSocket(address, "cah.v1", { ca: readFileSync(cert) })
        const [bytes] = await once(socket, "message")
        assert.equal(fromBinary(HubFrameSchema, bytes as Buffer).body.case, "challenge")
        socket.terminate()
      })

      await t.test("buf curl, by reflection", async () => {
        const how = tls ? ["--cacert", cert] : ["--http2-prior-knowledge"]
        const call = (method: string) =>
          run(buf, ["curl", ...how, "--protocol", "grpc", "-H", `authorization: ${authorization}`, `${url}/${method}`])
        assert.equal(JSON.parse((await call("cah.v1.ScientistService/WhoAmI")).stdout).principal, "admin")
        assert.equal(JSON.parse((await call("grpc.health.v1.Health/Check")).stdout).status, "SERVING")
        const alpha = await run(buf, [
          "curl",
          ...how,
          ...["--reflect-protocol", "grpc-v1alpha", "--protocol", "grpcweb", "-H", `authorization: ${authorization}`],
          `${url}/cah.v1.OperatorService/ListTokens`,
        ])
        assert.equal(JSON.parse(alpha.stdout).tokens.length, 1)
      })
    })
  }
})

/** fetch as connect-web uses it, trusting the test's certificate: Node's own takes no certificate authority. */
function fetchTrusting(ca: string): typeof fetch {
  return async (input, init) => {
    const address = String(input instanceof Request ? input.url : input)
    if (address.startsWith("http:")) return fetch(input, init)
    const headers = Object.fromEntries(new Headers(init?.headers))
    const request = requestHttps(address, {
      method: init?.method ?? "GET",
      headers,
      ca: readFileSync(ca),
      agent: false,
    })
    request.end(init?.body === undefined || init.body === null ? undefined : Buffer.from(init.body as Uint8Array))
    const [response] = await once(request, "response")
    const body = Buffer.concat(await response.toArray())
    const answered = new Headers()
    for (const [name, value] of Object.entries(response.headers)) answered.set(name, String(value))
    return new Response(body, { status: response.statusCode, headers: answered })
  }
}
