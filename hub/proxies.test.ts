// The recipes of docs/proxies.md, as they stand there, in front of a real hub: Debian's nginx, Caddy and HAProxy pass on agents, gRPC,
// gRPC-web, Connect and pages, and the hub knows who asks. Only names, ports and paths are replaced.
import assert from "node:assert/strict"
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { createClient, type Transport } from "@connectrpc/connect"
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node"
import { ScientistService } from "../proto/gen/cah/v1/scientist_pb.ts"
import { readConfig } from "./config.ts"
import type { Log } from "./core/ports.ts"
import { type Hub, startHub } from "./hub.ts"
import { newKey, ScriptedAgent } from "./link/fixtures.ts"

const run = promisify(execFile)
const page = readFileSync(fileURLToPath(new URL("../docs/proxies.md", import.meta.url)), "utf8")
const directory = mkdtempSync(join(tmpdir(), "cah-proxies-"))
const [key, cert, pem] = [join(directory, "key.pem"), join(directory, "cert.pem"), join(directory, "hub.pem")]
/** Not the proxy's own: as somebody else's machine would be. */
const CLIENT = "127.0.0.2"

interface Recipe {
  readonly name: string
  /** Its number among the page's blocks of this language. */
  readonly block: [language: string, number: number]
  readonly isHubTls: boolean
  /** The configuration's file, from the recipe with its names and ports replaced; and the program with its arguments. */
  start(recipe: string, port: number): [program: string, ...string[]]
}

const recipes: Recipe[] = [
  {
    name: "nginx",
    block: ["nginx", 0],
    isHubTls: false,
    start(recipe, port) {
      const site = recipe
        .replace("listen 443", `listen 127.0.0.1:${port}`)
        .replace("/etc/ssl/hub/cert.pem", cert)
        .replace("/etc/ssl/hub/key.pem", key)
      const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        name => `${name}_temp_path ${directory}/nginx-${name};`,
      )
      const user = process.getuid?.() === 0 ? "user root;\n" : ""
      const file = join(directory, "nginx.conf")
      writeFileSync(
        file,
        `${user}pid ${directory}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${paths.join("\n")}\n${site}}\n`,
      )
      return ["nginx", "-p", directory, "-c", file, "-g", "daemon off;"]
    },
  },
  {
    name: "caddy",
    block: ["caddy", 0],
    isHubTls: false,
    start(recipe, port) {
      const site = recipe.replace("localhost {", `https://localhost:${port} {\n\ttls ${cert} ${key}`)
      const file = join(directory, "Caddyfile")
      writeFileSync(file, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`)
      return ["caddy", "run", "--config", file, "--adapter", "caddyfile"]
    },
  },
  { name: "haproxy", block: ["haproxy", 0], isHubTls: false, start: startHaproxy },
  { name: "haproxy, passing TLS through", block: ["haproxy", 1], isHubTls: true, start: startHaproxy },
]

function startHaproxy(recipe: string, port: number): [string, ...string[]] {
  const file = join(directory, "haproxy.cfg")
  writeFileSync(file, recipe.replace("bind :443", `bind 127.0.0.1:${port}`).replace("/etc/haproxy/hub.pem", pem))
  return ["haproxy", "-db", "-f", file]
}

function blockOf([language, number]: Recipe["block"]): string {
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter(match => match[1] === language)
  return blocks[number]![2]!
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Until it listens, or has ended. */
async function listens(child: ChildProcess, port: number, said: () => string): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the proxy ended: ${said()}`)
    const socket = connect(port, "127.0.0.1")
    const isOpen = await new Promise<boolean>(resolve => {
      socket.once("connect", () => resolve(true))
      socket.once("error", () => resolve(false))
    })
    socket.destroy()
    if (isOpen) return
  }
}

describe("a proxy before the hub", () => {
  before(() => {
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert]
    execFileSync("openssl", ["req", "-x509", "-days", "2", ...subject, ...made], { stdio: "ignore" })
    writeFileSync(pem, readFileSync(cert, "utf8") + readFileSync(key, "utf8"))
  })
  after(() => rmSync(directory, { recursive: true }))

  for (const recipe of recipes) {
    const [program] = recipe.name.split(",") as [string]
    const isMissing = spawnSync(program, ["-v"]).error !== undefined
    it(`O16: ${recipe.name}, as in docs/proxies.md`, {
      skip: isMissing && `${program} is not installed here`,
    }, async t => {
      const lines: { fields: Record<string, unknown>; message: string }[] = []
      const log: Log = {
        debug() {},
        info: (fields, message) => void lines.push({ fields, message }),
        warn() {},
        error: (fields, message) => console.error(message, fields),
      }
      const data = join(directory, recipe.name.replace(/\W/g, "-"))
      const tls = recipe.isHubTls ? ["--tls-cert", cert, "--tls-key", key] : []
      const flags = ["--public-url", "https://hub.example.org", "--trusted-proxy", "127.0.0.1", "--disk-floor", "0"]
      const asked = readConfig(["--port", "0", "--data", data, ...flags, ...tls], {}, [])
      assert.ok(asked.kind === "run")
      const hub: Hub = await startHub(asked.config, { log, drainMs: 100 })
      t.after(() => hub.stop())

      const port = await freePort()
      const text = blockOf(recipe.block)
        .replaceAll("hub.example.org", "localhost")
        .replaceAll(/127\.0\.0\.1:8\d43|127\.0\.0\.1:8080/g, `127.0.0.1:${hub.port}`)
      const [command, ...args] = recipe.start(text, port)
      const home = join(directory, "home")
      mkdirSync(home, { recursive: true })
      const proxy = spawn(command, args, {
        env: { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
      })
      let said = ""
      for (const stream of [proxy.stdout, proxy.stderr]) stream.on("data", piece => (said += piece))
      t.after(async () => {
        const ended = once(proxy, "exit")
        if (proxy.exitCode === null && proxy.kill("SIGTERM")) await ended
      })
      await listens(proxy, port, () => said)

      const url = `https://localhost:${port}`
      const ca = readFileSync(cert)
      const authorization = `Bearer ${readFileSync(hub.adminTokenPath, "utf8").trim()}`
      const curl = async (...more: string[]) => {
        const status = ["-w", "\n%{http_code}"]
        const { stdout } = await run("curl", [
          "-sS",
          "--cacert",
          cert,
          "--resolve",
          `localhost:${port}:127.0.0.1`,
          ...status,
          ...more,
        ])
        const at = stdout.lastIndexOf("\n")
        return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) }
      }

      await t.test("agents: a WebSocket, under the client's own address", async () => {
        const join = (token: string) => {
          const agent = new ScriptedAgent({ port }, newKey(), {
            address: `wss://localhost:${port}/agent`,
            ca,
            localAddress: CLIENT,
            family: 4,
          })
          return agent.hello({ enrolToken: token }).then(() => agent)
        }
        const refused = await join("dead")
        assert.equal((await refused.closed).code, 4003)
        const line = lines.find(({ message }) => message === "agent refused")
        assert.equal(line?.fields.address, CLIENT, said)
        const agent = await join(await hub.invite("ada"))
        await agent.next("welcome")
        agent.send({ case: "heartbeat", value: { sequence: 1n } })
        await agent.next("heartbeatAnswer")
        agent.webSocket.terminate()
      })

      const nodeOptions = { ca }
      const transports: [string, Transport][] = [
        ["gRPC", createGrpcTransport({ baseUrl: url, nodeOptions })],
        ["gRPC-web over HTTP/1.1", createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1", nodeOptions })],
        ["gRPC-web over HTTP/2", createGrpcWebTransport({ baseUrl: url, httpVersion: "2", nodeOptions })],
        ["Connect over HTTP/1.1", createConnectTransport({ baseUrl: url, httpVersion: "1.1", nodeOptions })],
        ["Connect over HTTP/2", createConnectTransport({ baseUrl: url, httpVersion: "2", nodeOptions })],
      ]
      for (const [name, transport] of transports) {
        await t.test(`${name}: calls, refusals and streams`, async () => {
          const ada = createClient(ScientistService, transport)
          const headers = { authorization }
          assert.equal((await ada.whoAmI({}, { headers })).principal, "admin")
          await assert.rejects(ada.whoAmI({}), /no token/)
          const spec = { command: ["true"], array: 1, hold: true }
          const { campaign } = await ada.submit({ idempotencyKey: name, spec }, { headers })
          let heard = 0
          for await (const news of ada.watchCampaign({ campaign }, { headers })) {
            if (heard++ === 0) {
              assert.equal(news.campaign?.id, campaign)
              await ada.cancel({ campaign }, { headers })
            }
          }
          assert.ok(heard > 1, "the stream went on, and ended when the campaign had")
        })
      }

      await t.test("pages, and who may see them", async () => {
        for (const version of ["--http1.1", "--http2"]) {
          assert.deepEqual(await curl(version, `${url}/healthz`), { status: 200, body: "ok\n" })
          for (const path of ["/status", "/api/v1/status", "/metrics"]) {
            assert.equal((await curl(version, `${url}${path}`)).status, 401, path)
            assert.equal((await curl(version, "-H", `authorization: ${authorization}`, `${url}${path}`)).status, 200)
          }
          const config = await curl(version, `${url}/get_project_config.php`)
          assert.match(config.body, /<master_url>https:\/\/hub\.example\.org\/<\/master_url>/)
        }
      })

      await t.test("failed logins, counted for the client", async () => {
        const json = ["-H", "content-type: application/json", "-d", "{}"]
        const guess = (from: string, forged: string) =>
          curl(
            "--interface",
            from,
            ...json,
            "-H",
            `X-Forwarded-For: ${forged}`,
            `${url}/cah.v1.ScientistService/WhoAmI`,
          )
        const statuses = new Set<number>()
        // Each under another name that it makes up itself.
        for (let n = 0; n < 25; n++) {
          const answer = await guess("127.0.0.3", `198.51.100.${n}`)
          assert.ok([401, 429].includes(answer.status), `${answer.status} ${answer.body} ${said}`)
          statuses.add(answer.status)
        }
        assert.deepEqual([...statuses], [401, 429])
        assert.equal((await guess("127.0.0.4", "127.0.0.3")).status, 401, "and nobody pays for another")
      })
    })
  }
})
